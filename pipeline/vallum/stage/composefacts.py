"""Reading values of a compose file: each method says what is wrong by the file's name and the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vallum.errors import UserError


@dataclass(frozen=True)
class Facts:
    """Where the compose file is: `file` for messages, its `folder`, the checkout's `root`, the `variables` it may name."""

    file: str
    folder: Path
    root: Path
    variables: Mapping[str, str]

    def refused(self, key: str, why: str) -> UserError:
        """The error for what is understood and not carried out."""
        return UserError(
            f"{self.file}: {key} cannot be staged: {why}",
            "write a compose file for staging and name it in environment.compose.file",
        )

    def table(self, value: Any, key: str) -> dict[str, Any]:
        """A table with words as keys; empty where there is none."""
        if value is None:
            return {}
        if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
            raise UserError(f"{self.file}: {key} is no table", "correct the compose file")
        return value

    def only(self, value: Any, key: str, known: tuple[str, ...]) -> dict[str, Any]:
        """A table that has no other keys than `known` and extensions."""
        table = self.table(value, key)
        for name in table:
            if name not in known and not name.startswith("x-"):
                raise self.refused(f"{key}.{name}", "vallum does not carry it out")
        return table

    def words(self, value: Any, key: str) -> tuple[str, ...]:
        """A word, or a list of words."""
        if value is None:
            return ()
        if isinstance(value, str | int | float) and not isinstance(value, bool):
            return (str(value),)
        if not isinstance(value, list) or not all(isinstance(each, str | int | float) for each in value):
            raise UserError(f"{self.file}: {key} is no list of words", "correct the compose file")
        return tuple(map(str, value))

    def pairs(self, value: Any, key: str) -> dict[str, str]:
        """A table or a list of NAME=VALUE; a name alone takes the value of the variable."""
        if isinstance(value, dict):
            given = {str(name): each for name, each in value.items()}
        else:
            given = {}
            for word in self.words(value, key):
                name, equals, text = word.partition("=")
                given[name] = text if equals else None
        return {name: self._value(name, each, key) for name, each in given.items()}

    def _value(self, name: str, value: Any, key: str) -> str:
        if value is None:
            if name not in self.variables:
                raise UserError(
                    f"{self.file}: {key}.{name} needs the variable {name}", f"set environment.compose.variables.{name}"
                )
            return self.variables[name]
        if isinstance(value, bool):
            return "true" if value else "false"
        if not isinstance(value, str | int | float):
            raise UserError(f"{self.file}: {key}.{name} is no text", "correct the compose file")
        return str(value)

    def inside(self, name: str, key: str) -> Path:
        """A path that exists and lies in the checkout."""
        path = (self.folder / name).resolve()
        if not path.exists() or not path.is_relative_to(self.root):
            raise UserError(f"{self.file}: {key}: there is no {name!r} in the checkout", "correct the compose file")
        return path

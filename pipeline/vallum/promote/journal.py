"""`promotion.json`: what a promotion is at, written before each step, so that whoever is killed leaves word of what to undo.

It holds no secret. It lies in `.vallum/`, and in `[promotion] state` too where that is set; of the two the latter counts.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from vallum import artifacts
from vallum.errors import UserError
from vallum.plan import now

FILE = "promotion.json"
SCHEMA = 1
State = Literal[
    "quarantined", "promoting", "watching", "promoted", "rolling-back", "rolled-back", "rollback-failed", "resolved"
]
UNSETTLED = frozenset({"promoting", "watching", "rolling-back", "rollback-failed"})
"""What is deployed is not known: nothing else is promoted before it is."""
MAX_SIZE = 4 << 20
KEPT = 100
"""Commits that were rolled back and are remembered."""


class Step(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One command: what it was for, its words, how it ended (None: it did not end by itself), seconds, and its log's name."""

    name: str
    argv: tuple[str, ...]
    exit_code: int | None
    seconds: float
    log: str


class Seen(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What a watch saw of one probe: rounds, how many were bad, what the last bad one said."""

    probe: str
    rounds: int = 0
    bad: int = 0
    last: str = ""


class Watched(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One watch. `of` is `promotion` or `rollback`, `why` empty where all was well to the end."""

    of: str
    seconds: float
    why: str = ""
    probes: tuple[Seen, ...] = ()


class Journal(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The file. `previous` is what the kind of promotion needs to bring back what was; `rolled_back` names
    commits that went wrong, which a scheduled run must not promote again and again."""

    schema: int
    state: State
    kind: str = ""
    run: str = ""
    commit: str = ""
    target: str = ""
    started: str = ""
    updated: str = ""
    why: str = ""
    previous: dict[str, str] = {}
    steps: tuple[Step, ...] = ()
    watched: tuple[Watched, ...] = ()
    rolled_back: tuple[str, ...] = ()


class Book:
    """Reads and writes the journal of one target."""

    def __init__(self, root: Path, state: str) -> None:
        own = artifacts.folder(root)
        self.folder = root / state if state else own
        self._paths = (self.folder / FILE, own / FILE) if state else (own / FILE,)
        if state and not self.folder.is_dir():
            raise UserError(f"promotion.state: there is no folder {state!r}", "make it, for the user who promotes")
        self.now = self._read()

    def _read(self) -> Journal | None:
        try:
            found = msgspec.json.decode(artifacts.read(self._paths[0], MAX_SIZE), type=Journal)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(
                f"{self._paths[0]} cannot be read, so what is deployed is not known: {error}",
                "look at what is deployed, then delete the file",
            ) from None
        if found.schema != SCHEMA:
            raise UserError(f"{self._paths[0]} has schema {found.schema}, not {SCHEMA}", "use the vallum that wrote it")
        return found

    def blamed(self, commit: str, *, bad: bool) -> tuple[str, ...]:
        """The commits that were rolled back because they went wrong, with or without this one."""
        others = [each for each in (self.now.rolled_back if self.now else ()) if each != commit]
        return tuple([*others, *([commit] if bad else [])][-KEPT:])

    def write(self, **changes: object) -> Journal:
        """Change what is said, on disk before it returns."""
        before = self.now or Journal(schema=SCHEMA, state="quarantined")
        self.now = msgspec.structs.replace(before, **changes, updated=now())
        data = msgspec.json.format(msgspec.json.encode(self.now))
        for path in self._paths:
            artifacts.write(path, data)
        return self.now

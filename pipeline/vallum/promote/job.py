"""What a kind of promotion works with, and what it must give."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from vallum.errors import UserError
from vallum.promote.steps import Steps
from vallum.promotions import Promotion
from vallum.stage.settings import PLACEHOLDER

DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Job:
    """One promotion of `commit`, judged in `run`. `scanned` are the digests of the images that the verdict's checks looked at;
    `folder` is ours to write into."""

    root: Path
    settings: Promotion
    commit: str
    run: str
    steps: Steps
    folder: Path
    scanned: frozenset[str] = frozenset()

    def fill(self, text: str, key: str, more: Mapping[str, str] = {}) -> str:
        """`text` with its placeholders replaced; UserError, with the key, for an unknown one."""
        values = {"commit": self.commit, "run": self.run, **more}
        values |= {f"env.{name}": value for name, value in self.steps.given.items()}

        def value(found: re.Match[str]) -> str:
            if found[1] in values:
                return values[found[1]]
            hint = (
                "name the variable in promotion.pass-env"
                if found[1].startswith("env.")
                else f"known: {', '.join(values)}"
            )
            raise UserError(f"promotion.{key}: unknown placeholder {found[0]}", hint)

        return PLACEHOLDER.sub(value, text)

    def words(self, key: str, argv: Sequence[str], more: Mapping[str, str] = {}) -> list[str]:
        """A command with its placeholders replaced."""
        return [self.fill(word, key, more) for word in argv]

    def unscanned(self, *digests: str) -> bool:
        """Whether an image known by these digests may not be promoted: no check of this verdict looked at it."""
        return self.settings.unscanned_images == "refuse" and self.scanned.isdisjoint(digests)


class Kind(Protocol):
    """A kind of promotion: a module with these functions, and one line in KINDS."""

    def check(self, settings: Promotion, root: Path) -> None:
        """Raise UserError, with the key, for settings that cannot work. Starts nothing."""
        ...

    def paths(self, settings: Promotion) -> list[str]:
        """Files and folders of the target that decide what is done, beside those that the commands name."""
        ...

    def nothing(self, previous: Mapping[str, str]) -> bool:
        """Whether `before` saw that nothing ran: after a rollback to that nothing can be well, and nothing is watched."""
        ...

    def before(self, job: Job) -> dict[str, str]:
        """What is deployed now, as `rollback` needs it; changes nothing. Raises Inconclusive or UserError."""
        ...

    def promote(self, job: Job, previous: Mapping[str, str]) -> None:
        """Do it. Raises Inconclusive where it fails, at any point."""
        ...

    def rollback(self, job: Job, previous: Mapping[str, str]) -> None:
        """Bring back what `before` saw, from wherever `promote` got to, or was killed at; doing it twice does no harm.

        Raises Inconclusive where it fails.
        """
        ...

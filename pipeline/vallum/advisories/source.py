"""Where advisories come from, as one question: `open_source(…).lookup(queries)`. Nothing here ever answers by guessing.

`online` asks api.osv.dev, `auto` too but names the way out where it cannot be reached; an `http(s)://` address asks another
service of the same contract; anything else is a folder or zip of OSV JSON below the target's root.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from vallum.advisories.ecosystems import Query
from vallum.advisories.osv import Record
from vallum.errors import Inconclusive
from vallum.outcome import Database

PUBLIC = "https://api.osv.dev"
"""The public service of the OSV project."""


class Answer(NamedTuple):
    """What a source says of one package: the records that affect it, and ids of those that could not be compared with it."""

    records: tuple[Record, ...] = ()
    undecided: tuple[str, ...] = ()


class Source(Protocol):
    """Something that can be asked. `lookup` answers every query or raises Inconclusive; `database` describes what was
    compared with so far; `covers` says whether it has any knowledge of an ecosystem (with its release)."""

    @property
    def database(self) -> Database:
        """What was compared with so far."""
        ...

    def lookup(self, queries: Sequence[Query]) -> Mapping[Query, Answer]:
        """Answer every query, or raise Inconclusive."""
        ...

    def covers(self, ecosystem: str) -> bool:
        """Whether it has any knowledge of the ecosystem."""
        ...


def open_source(source: str, root: Path, max_age_days: int = 30) -> Source:
    """Open what `advisories.source` of the configuration says. Raises Inconclusive where it cannot be relied on."""
    if source in ("auto", "online") or source.startswith(("http://", "https://")):
        from vallum.advisories.online import Online

        address = PUBLIC if source in ("auto", "online") else source.rstrip("/")
        hint = " (set `advisories.source` to a folder or zip of OSV records to work without it)"
        return Online(address, hint if source == "auto" else "")
    from vallum.advisories.local import LocalSet

    path = (root / source).resolve()
    if not path.exists():
        raise Inconclusive(
            f"advisories.source names {source}, which is neither `auto`, `online` nor an existing folder or zip"
        )
    return LocalSet.read(path, source, max_age_days)

"""Is this version affected by this record? By OSV's evaluation rules, with a third answer where that cannot be said."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any

from vallum.advisories.ecosystems import Query, UnknownVersion, base, key_name, parse
from vallum.advisories.osv import Affected, Range, Record


class Verdict(Enum):
    """The answer for one package at one version."""

    YES = "affected"
    NO = "not affected"
    UNDECIDED = "a version could not be compared"


def concerns(affected: Affected, query: Query) -> bool:
    """Whether the entry speaks of the package: same ecosystem and name; an entry without release means all releases."""
    package = affected.package
    if package is None or base(package.ecosystem) != base(query.ecosystem):
        return False
    theirs = package.ecosystem.split(":")[1:2]
    ours = query.ecosystem.split(":")[1:2]
    if theirs and ours and theirs != ours:
        return False
    return key_name(package.ecosystem, package.name) == key_name(query.ecosystem, query.name)


def match(record: Record, query: Query) -> Verdict:
    """Compare one record with one package. Withdrawn records affect nothing."""
    if record.withdrawn is not None:
        return Verdict.NO
    answers = {_entry(affected, query) for affected in record.affected if concerns(affected, query)}
    return Verdict.YES if Verdict.YES in answers else Verdict.UNDECIDED if Verdict.UNDECIDED in answers else Verdict.NO


def _entry(affected: Affected, query: Query) -> Verdict:
    """An explicit version counts, and so does any range but GIT's (a commit says nothing of a published version)."""
    if query.version in affected.versions:
        return Verdict.YES
    lines = [line for line in affected.ranges if line.type != "GIT"]
    kind = base(query.ecosystem)
    if not lines and not affected.versions:
        return Verdict.NO
    try:
        version = parse(kind, query.version)
    except UnknownVersion:
        return Verdict.YES if any(_everything(line) for line in lines) else Verdict.UNDECIDED
    undecided = False
    for line in lines:
        try:
            if in_range(line, kind, version):
                return Verdict.YES
        except UnknownVersion:
            undecided = True
    if any(_same(kind, version, other) for other in affected.versions):
        return Verdict.YES
    return Verdict.UNDECIDED if undecided else Verdict.NO


def _everything(line: Range) -> bool:
    return all(event.introduced == "0" for event in line.events)


def _same(kind: str, version: Any, other: str) -> bool:
    try:
        return bool(parse(kind, other) == version)
    except UnknownVersion:
        return False  # what cannot be parsed equals nothing that can; the texts were compared before


def in_range(line: Range, kind: str, version: Any) -> bool:
    """Walk the events in order of version: in after `introduced`, out from `fixed`, out after `last_affected`.

    Raises UnknownVersion where an event's version cannot be ordered. Events at one version: `introduced` comes last,
    so that a repaired and reintroduced version counts as affected.
    """
    inside = False
    limits = [parse(kind, event.limit) for event in line.events if event.limit not in (None, "*")]
    if limits and not any(version < limit for limit in limits):
        return False
    start = [event for event in line.events if event.introduced == "0"]
    rest = [event for event in line.events if event.introduced != "0" and event.limit is None]
    inside = bool(start)
    ordered = sorted(((parse(kind, event.version), event) for event in rest), key=_Key)
    for at, event in ordered:
        if event.introduced is not None and version >= at:
            inside = True
        elif (event.fixed is not None and version >= at) or (event.last_affected is not None and version > at):
            inside = False
    return inside


class _Key:
    """Sort key of an event: its version, then `introduced` last. Some version classes have only rich comparisons."""

    __slots__ = ("at", "last")

    def __init__(self, pair: tuple[Any, Any]) -> None:
        self.at = pair[0]
        self.last = pair[1].introduced is not None

    def __lt__(self, other: _Key) -> bool:
        if self.at == other.at:
            return self.last < other.last
        return bool(self.at < other.at)


def fixed_versions(records: Iterable[Record], query: Query) -> tuple[str, ...]:
    """The versions that repair it and are newer than the one at hand, oldest first, each once."""
    kind = base(query.ecosystem)
    found: dict[str, Any] = {}
    for record in records:
        for affected in record.affected:
            if not concerns(affected, query):
                continue
            for line in affected.ranges:
                if line.type == "GIT":
                    continue
                for event in line.events:
                    if event.fixed is None:
                        continue
                    try:
                        version = parse(kind, event.fixed)
                        newer = version > parse(kind, query.version)
                    except UnknownVersion:
                        version, newer = None, True  # shown, though it cannot be ordered
                    if newer:
                        found.setdefault(event.fixed, version)
    known = sorted((pair for pair in found.items() if pair[1] is not None), key=lambda pair: _Plain(pair[1]))
    return tuple(text for text, _ in known) + tuple(sorted(text for text, value in found.items() if value is None))


class _Plain:
    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def __lt__(self, other: _Plain) -> bool:
        return bool(self.value < other.value)

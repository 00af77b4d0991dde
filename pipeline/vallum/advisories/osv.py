"""One record of the Open Source Vulnerability format, schema 1.x: the fields that decide something, strictly read.

Fields that we do not know are let through (the schema grows); a field that we do know must have its documented shape.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """A point on a line of versions; exactly one of the four is set. `introduced` may be `0`: from the first version on."""

    introduced: str | None = None
    fixed: str | None = None
    last_affected: str | None = None
    limit: str | None = None

    @property
    def version(self) -> str:
        """The version it stands at."""
        return self.introduced or self.fixed or self.last_affected or self.limit or ""


class Range(msgspec.Struct, frozen=True, omit_defaults=True):
    """Events on one line. `type` is SEMVER, ECOSYSTEM or GIT."""

    type: str
    events: tuple[Event, ...]


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whom a record speaks of. `ecosystem` may carry a release: `Debian:12`."""

    ecosystem: str
    name: str


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """A severity: `type` CVSS_V2, CVSS_V3, CVSS_V4 or another scale, `score` the vector."""

    type: str
    score: str


class Affected(msgspec.Struct, frozen=True, omit_defaults=True):
    """One package of a record with its vulnerable versions: the union of `ranges` and `versions`."""

    package: Subject | None = None
    ranges: tuple[Range, ...] = ()
    versions: tuple[str, ...] = ()
    severity: tuple[Score, ...] = ()
    database_specific: dict[str, Any] = {}
    ecosystem_specific: dict[str, Any] = {}


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where to read more."""

    type: str
    url: str


class Record(msgspec.Struct, frozen=True, omit_defaults=True):
    """One advisory. `modified` is an instant; a record without a time zone is read as UTC."""

    id: str
    modified: datetime
    aliases: tuple[str, ...] = ()
    summary: str = ""
    details: str = ""
    withdrawn: str | None = None
    severity: tuple[Score, ...] = ()
    affected: tuple[Affected, ...] = ()
    references: tuple[Reference, ...] = ()
    database_specific: dict[str, Any] | None = None


_DECODER = msgspec.json.Decoder(Record, strict=True)


def decode(data: bytes) -> Record:
    """Read one record. Raises ValueError with a sentence that says what is broken."""
    try:
        record = _DECODER.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(str(error)) from None
    wrong = problem(record)
    if wrong:
        raise ValueError(wrong)
    if record.modified.tzinfo is None:
        record = msgspec.structs.replace(record, modified=record.modified.replace(tzinfo=UTC))
    return record


def problem(record: Record) -> str:
    """What the schema forbids and types cannot say; empty where the record is sound."""
    if not record.id:
        return "the id is empty"
    for affected in record.affected:
        if affected.package is not None and not (affected.package.name and affected.package.ecosystem):
            return "an affected package has no name or no ecosystem"
        for line in affected.ranges:
            if line.type not in ("SEMVER", "ECOSYSTEM", "GIT"):
                return f"a range has the unknown type {line.type[:40]!r}"
            if not any(event.introduced is not None for event in line.events):
                return "a range has no `introduced` event"
            for event in line.events:
                values = (event.introduced, event.fixed, event.last_affected, event.limit)
                if sum(value is not None for value in values) != 1 or not event.version:
                    return "an event must have exactly one of introduced, fixed, last_affected and limit"
    return ""

"""A set of OSV records on disk: a folder of `*.json` (and zips of them), or one zip. Strictly read, bounded, and dated."""

from __future__ import annotations

import hashlib
import os
import stat
import tomllib
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from vallum.advisories.ecosystems import Query, base, key_name
from vallum.advisories.matcher import Verdict, match
from vallum.advisories.osv import Record, decode
from vallum.advisories.source import Answer
from vallum.errors import Inconclusive
from vallum.outcome import Database

MAX_RECORD = 8 << 20
"""Bytes of one record. The largest of the PyPA set (2024-10-10) has under 40 kB; some kernel records of OSV reach 2 MB."""
MAX_TOTAL = 2 << 30
"""Bytes of a whole set, unpacked."""
MAX_RECORDS = 1_000_000
INDEX = "index.toml"


class LocalSet:
    """Records indexed by ecosystem and name. `covers` and `database` describe what is left after withdrawn ones are dropped."""

    def __init__(self, records: Sequence[Record], database: Database) -> None:
        self._database = database
        self._by_name: dict[tuple[str, str], list[Record]] = {}
        self._ecosystems: set[str] = set()
        for record in records:
            for name in {
                (base(affected.package.ecosystem), key_name(affected.package.ecosystem, affected.package.name))
                for affected in record.affected
                if affected.package is not None
            }:
                self._by_name.setdefault(name, []).append(record)
            self._ecosystems.update(
                affected.package.ecosystem for affected in record.affected if affected.package is not None
            )

    @classmethod
    def read(cls, path: Path, label: str, max_age_days: int, today: datetime | None = None) -> LocalSet:
        """Read the set at `path`. `label` is what messages call it. `today` is for tests.

        Raises Inconclusive for a broken record, an empty set, one over the limits, and one older than `max_age_days`.
        """
        digest = hashlib.sha256()
        records: dict[str, Record] = {}
        index: dict[str, object] = {}
        size = 0
        for name, data in _files(path, label):
            digest.update(f"{name}\0{len(data)}\0".encode())
            digest.update(data)
            size += len(data)
            if size > MAX_TOTAL or len(records) > MAX_RECORDS:
                raise Inconclusive(
                    f"the advisories in {label} are more than {MAX_TOTAL >> 20} MB or {MAX_RECORDS} records"
                )
            if name == INDEX:
                index = _index(data, label)
                continue
            try:
                record = decode(data)
            except ValueError as error:
                raise Inconclusive(f"the advisory {name} in {label} cannot be read: {error}") from None
            before = records.get(record.id)
            if before is None or record.modified >= before.modified:
                records[record.id] = record
        live = [record for record in records.values() if record.withdrawn is None]
        if not live:
            raise Inconclusive(f"there is no advisory in {label}: every package would look sound")
        when = _date(index, live, label)
        age = ((today or datetime.now(UTC)) - when).days
        if age > max_age_days:
            raise Inconclusive(
                f"the advisories in {label} end on {when:%Y-%m-%d}, {age} days ago; "
                f"the limit is {max_age_days} days (advisories.max-age-days)"
            )
        if age < -1:
            raise Inconclusive(f"the advisories in {label} are dated {when:%Y-%m-%d}, which lies in the future")
        title = index.get("name", path.name)
        database = Database(
            name=str(title), source=label, records=len(live), date=when.date().isoformat(), digest=digest.hexdigest()
        )
        return cls(live, database)

    @property
    def database(self) -> Database:
        """What the set is called, how many records it has, and up to which day."""
        return self._database

    @property
    def ecosystems(self) -> frozenset[str]:
        """The ecosystems it speaks of, with their releases."""
        return frozenset(self._ecosystems)

    def covers(self, ecosystem: str) -> bool:
        """Whether there is any record for the ecosystem, for its release or for all of them."""
        return ecosystem in self._ecosystems or base(ecosystem) in self._ecosystems

    def lookup(self, queries: Sequence[Query]) -> Mapping[Query, Answer]:
        """Answer every query from memory."""
        return {query: self.ask(query) for query in queries}

    def ask(self, query: Query) -> Answer:
        """The answer for one package."""
        affecting, undecided = [], []
        for record in self._by_name.get((base(query.ecosystem), key_name(query.ecosystem, query.name)), ()):
            verdict = match(record, query)
            if verdict is Verdict.YES:
                affecting.append(record)
            elif verdict is Verdict.UNDECIDED:
                undecided.append(record.id)
        return Answer(tuple(affecting), tuple(undecided))

    def record(self, identifier: str) -> Record | None:
        """The record of that id."""
        return next((one for records in self._by_name.values() for one in records if one.id == identifier), None)


def _files(path: Path, label: str) -> Iterator[tuple[str, bytes]]:
    """Every record of the set and its index, in order of name; links and special files are not followed."""
    if path.is_file():
        yield from _zip(path, label)
        return
    for folder, folders, names in os.walk(path):
        folders.sort()
        for name in sorted(names):
            file = Path(folder) / name
            inner = file.relative_to(path).as_posix()
            if not stat.S_ISREG(file.lstat().st_mode):
                continue
            if name.endswith(".zip"):
                yield from ((f"{inner}/{member}", data) for member, data in _zip(file, f"{label}/{inner}"))
            elif name.endswith(".json") or inner == INDEX:
                with file.open("rb") as opened:
                    data = opened.read(MAX_RECORD + 1)
                yield inner, _small(data, inner, label)


def _zip(path: Path, label: str) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len(members) > MAX_RECORDS or sum(member.file_size for member in members) > MAX_TOTAL:
                raise Inconclusive(f"the zip {label} unpacks to more than {MAX_TOTAL >> 20} MB or {MAX_RECORDS} files")
            for member in sorted(members, key=lambda one: one.filename):
                if member.is_dir() or not (member.filename.endswith(".json") or member.filename == INDEX):
                    continue
                with archive.open(member) as file:
                    yield member.filename, _small(file.read(MAX_RECORD + 1), member.filename, label)
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise Inconclusive(f"the advisories in {label} are no readable zip: {error}") from None


def _small(data: bytes, name: str, label: str) -> bytes:
    if len(data) > MAX_RECORD:
        raise Inconclusive(f"the advisory {name} in {label} has more than {MAX_RECORD >> 20} MB")
    return data


def _index(data: bytes, label: str) -> dict[str, object]:
    """`index.toml` may hold `name` (text) and `date` (the day up to which the set is complete)."""
    try:
        table: dict[str, object] = tomllib.loads(data.decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Inconclusive(f"{INDEX} in {label} cannot be read: {error}") from None
    return table


def _date(index: Mapping[str, object], records: Sequence[Record], label: str) -> datetime:
    said = index.get("date")
    if said is None:
        newest = max(record.modified for record in records)
        return newest - timedelta(microseconds=newest.microsecond)
    if isinstance(said, str):
        try:
            said = date.fromisoformat(said[:10])
        except ValueError:
            said = None
    if isinstance(said, datetime):
        return said.replace(tzinfo=said.tzinfo or UTC)
    if isinstance(said, date):
        return datetime(said.year, said.month, said.day, tzinfo=UTC)
    raise Inconclusive(f"`date` in {INDEX} of {label} must be a day such as 2026-11-01")

"""`.vallum/history.sqlite`: when each finding was first and last seen, repaired, and seen again. It decides nothing by itself.

What is kept grows only: the first and last sighting of each finding by each check, and each repair and return. So two
histories are merged by uniting them, in any order and as often as one likes; what they mean is worked out on reading.
A check that was incomplete neither repairs nor introduces.

A damaged file is set aside, never deleted, and blocks no run (vallum.history.store).
"""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import os
import sqlite3
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from vallum import artifacts
from vallum.history.store import FILE, MAX_FILE, Unused, attempt, open_file, path_of, prepare
from vallum.verdict import Verdict


class Entry(NamedTuple):
    """What is known of one finding as one check saw it. `fixed` is when it was repaired, empty while it is open.

    `since` is when it appeared, or came back the last time; `reopened` counts returns; `to_fix` are the seconds from each
    appearance to its repair. Times in ISO 8601 UTC, as the runs began.
    """

    finding: str
    check: str
    first: str
    last: str
    fixed: str
    since: str
    reopened: int
    to_fix: tuple[float, ...]


def first_seen(root: Path) -> tuple[Mapping[str, dt.date], tuple[str, ...]]:
    """The day on which each finding was first seen by any check, whatever happened since; and notes for the report.

    A finding that came back keeps its first day: its age does not start anew. Never raises for a bad file.
    """
    path = path_of(root)
    if not os.path.lexists(path):
        return {}, ()
    days: dict[str, dt.date] = {}
    notes = attempt(root, lambda connection: days.update(_days(connection)))
    return ({}, notes) if notes else (days, ())


def record(root: Path, verdict: Verdict) -> tuple[str, ...]:
    """Add a verdict to the history; to add it again changes nothing. Returns notes: why not, or what was set aside."""
    artifacts.folder(root)
    notes = attempt(root, lambda connection: _record(connection, verdict))
    if notes and not os.path.lexists(path_of(root)):  # a damaged one was set aside: a fresh one takes its place
        notes += attempt(root, lambda connection: _record(connection, verdict))
    return notes


def merge(root: Path, other: Path) -> tuple[str, ...]:
    """Unite the history with another file's, which is only read. Returns notes: why it was not."""
    artifacts.folder(root)
    said: list[str] = []

    def unite(connection: sqlite3.Connection) -> None:
        try:
            rows = _rows(other)
        except (sqlite3.Error, OSError, ValueError, Unused) as error:
            said.append(f"{other.name} is no history of ours: {error}")
            return
        _unite(connection, rows)

    notes = attempt(root, unite)
    return (*notes, *said)


def entries(root: Path) -> tuple[list[Entry], tuple[str, ...]]:
    """Everything that is known, by finding and check; and notes."""
    found: list[Entry] = []
    if not os.path.lexists(path_of(root)):
        return found, ()
    notes = attempt(root, lambda connection: found.extend(_entries(connection)))
    return found, notes


class _Rows(NamedTuple):
    run: list[tuple[str, ...]]
    sighting: list[tuple[str, ...]]
    event: list[tuple[str, ...]]


def _record(connection: sqlite3.Connection, verdict: Verdict) -> None:
    at = verdict.started
    complete: dict[str, bool] = {}
    for result in verdict.checks:
        complete[result.check] = complete.get(result.check, True) and result.status == "completed"
    known = {(entry.finding, entry.check): entry for entry in _entries(connection)}
    seen = {(judged.finding.id, check) for judged in verdict.findings for check in judged.finding.checks}
    sightings: list[tuple[str, ...]] = []
    events: list[tuple[str, ...]] = []
    for key, entry in known.items():
        if entry.reopened and not entry.fixed:  # after a merge it may be known from the sighting only, which moves on
            events.append((*key, entry.since, "reopened"))
        if key not in seen and complete.get(key[1], False) and not entry.fixed and entry.last < at:
            events.append((*key, at, "fixed"))
    for key in sorted(seen):  # in the order of the table, which is quicker
        before = known.get(key)
        if complete.get(key[1], False) or (before is not None and not before.fixed):
            sightings.append((*key, at, at))
            if before is not None and before.fixed and before.fixed < at:
                events.append((*key, at, "reopened"))
    run = (verdict.run, at, verdict.commit, str(verdict.status))
    _unite(connection, _Rows([run], sightings, events))


def _unite(connection: sqlite3.Connection, rows: _Rows) -> None:
    connection.executemany("INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?)", rows.run)
    connection.executemany(
        'INSERT INTO sighting VALUES (?, ?, ?, ?) ON CONFLICT (finding, "check") DO UPDATE SET '
        "first = min(first, excluded.first), last = max(last, excluded.last)",
        rows.sighting,
    )
    connection.executemany("INSERT OR IGNORE INTO event VALUES (?, ?, ?, ?)", rows.event)


def _entries(connection: sqlite3.Connection) -> Iterator[Entry]:
    """Work out what the sightings and events mean. A sighting at or after a repair says that it came back."""
    events: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for finding, check, at, kind in connection.execute('SELECT finding, "check", at, kind FROM event'):
        events.setdefault((finding, check), []).append((at, kind))
    for finding, check, first, last in connection.execute(
        'SELECT finding, "check", first, last FROM sighting ORDER BY finding, "check"'
    ):
        happened = events.get((finding, check))
        if happened is None:
            yield Entry(finding, check, first, last, "", first, 0, ())
            continue
        since, fixed, reopened = first, "", 0
        to_fix: list[float] = []
        for at, kind in sorted(
            [*events.get((finding, check), ()), (last, "seen")]
        ):  # at one time: fixed, reopened, seen
            if kind == "fixed" and not fixed and at > since:
                fixed = at
                to_fix.append((_time(at) - _time(since)).total_seconds())
            elif kind != "fixed" and fixed:
                since, fixed, reopened = at, "", reopened + 1
        yield Entry(finding, check, first, last, fixed, since, reopened, tuple(to_fix))


def _days(connection: sqlite3.Connection) -> Iterator[tuple[str, dt.date]]:
    for finding, first in connection.execute("SELECT finding, min(first) FROM sighting GROUP BY finding"):
        yield finding, _day(first)


@functools.lru_cache(1_024)
def _day(text: str) -> dt.date:
    return _time(text).date()


@functools.lru_cache(1_024)  # the times of few runs
def _time(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text)


def _rows(path: Path) -> _Rows:
    """All rows of another history, from a copy: nothing is written beside it. Raises sqlite3.Error, OSError, ValueError."""
    with tempfile.TemporaryDirectory(prefix="vallum-history-") as folder:
        copy = Path(folder) / FILE
        copy.write_bytes(artifacts.read(path, MAX_FILE))
        log = path.with_name(path.name + "-wal")
        if log.exists():
            copy.with_name(copy.name + "-wal").write_bytes(artifacts.read(log, MAX_FILE))
        with contextlib.closing(open_file(copy)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            prepare(connection)
            for _ in (*_entries(connection), *_days(connection)):
                pass  # every time must be one
            return _Rows(*(connection.execute(f"SELECT * FROM {table}").fetchall() for table in _Rows._fields))  # noqa: S608

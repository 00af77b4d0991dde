"""`vallum -s history`: what was open for how long, and how long repairs take; `-- --merge FILE` unites two histories first."""

from __future__ import annotations

import argparse
import datetime as dt
import statistics
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NoReturn

from vallum import history
from vallum.errors import UserError
from vallum.history import Entry
from vallum.progress import clean, say

OLDEST = 10
"""Open findings that are listed, the oldest first."""
DAY = 86400.0


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"history: {message}", "vallum -s history [-- --merge FILE …]")


def show(root: Path, arguments: tuple[str, ...]) -> str:
    """Unite what is named, and print what is known to stdout; returns why something could not be used, or ''."""
    parser = _Parser(prog="vallum -s history --", add_help=False, allow_abbrev=False)
    parser.add_argument("--merge", type=Path, nargs="+", default=[], metavar="FILE")
    options = parser.parse_args(list(arguments))
    root = root.resolve()
    notes: tuple[str, ...] = ()
    for other in options.merge:
        notes += history.merge(root, other)
    entries, more = history.entries(root)
    for line in lines(entries, dt.datetime.now(dt.UTC)):
        sys.stdout.write(clean(line) + "\n")
    for note in (*notes, *more):
        say(note)
    return next(iter((*notes, *more)), "")


def lines(entries: Iterable[Entry], now: dt.datetime) -> Iterator[str]:
    """A line a check, then the findings that have been open for longest (since they last appeared)."""
    by_check: dict[str, list[Entry]] = {}
    for entry in entries:
        by_check.setdefault(entry.check, []).append(entry)
    if not by_check:
        yield "nothing is known yet: a run that judges adds to the history"
        return
    for check, known in sorted(by_check.items()):
        repaired = [seconds for entry in known for seconds in entry.to_fix]
        median = f"{statistics.median(repaired) / DAY:.1f} days (median)" if repaired else "none yet"
        still = sum(not entry.fixed for entry in known)
        back = sum(entry.reopened for entry in known)
        yield f"{check:<16} {still} open, {len(known) - still} repaired, {back} came back; time to repair: {median}"
    waiting = sorted((entry for known in by_check.values() for entry in known if not entry.fixed), key=_age)
    if waiting:
        yield "open for longest:"
    for entry in waiting[:OLDEST]:
        age = (now - dt.datetime.fromisoformat(entry.since)).total_seconds() / DAY
        yield f"  {entry.finding[:12]:<12} {entry.check:<16} {age:.0f} days, since {entry.since[:10]}"


def _age(entry: Entry) -> tuple[str, str, str]:
    return entry.since, entry.finding, entry.check

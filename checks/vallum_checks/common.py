"""What the source checks share: argument lists that fit the system's limit, markers in the source that silence a tool,
our judgement of rules whose tool gives none, and the end of a check that has looked at files."""

from __future__ import annotations

import errno
import functools
import os
import re
import stat
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import msgspec

from vallum import artifacts, sources
from vallum.errors import Inconclusive
from vallum.finding import Suppression
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run
from vallum.process import Finished
from vallum.severity import Severity
from vallum.target import Target
from vallum.tools import packaged

ARGUMENT_BYTES = 1 << 20
"""Of the 2 MiB that Linux gives argv and environment together (execve(2)), half."""
MAX_MISSED = 1000
"""Entries of Coverage.missed, see there."""

T = TypeVar("T")


def batches(paths: Sequence[str], limit: int = ARGUMENT_BYTES) -> Iterator[list[str]]:
    """`paths` in lists whose bytes stay under `limit`; at least one path each."""
    batch: list[str] = []
    size = 0
    for path in paths:
        length = len(path.encode("utf-8", "surrogateescape")) + 12
        if batch and size + length > limit:
            yield batch
            batch, size = [], 0
        batch.append(path)
        size += length
    if batch:
        yield batch


def coverage(unit: str, expected: Sequence[str], missed: Mapping[str, str]) -> Coverage:
    """The coverage of `expected` without those in `missed` (path → why)."""
    entries = tuple(Missed(path, why) for path, why in sorted(missed.items())[:MAX_MISSED])
    return Coverage(unit, len(expected), max(0, len(expected) - len(missed)), entries)


def conclude(name: str, run: Run) -> Outcome:
    """Completed where nothing was missed, else Incomplete with the first file and why."""
    for part in run.coverage:
        if part.missed:
            first = part.missed[0]
            lost = part.expected - part.seen
            return Incomplete(
                f"{name} did not look at {lost} of {part.expected} {part.unit}: {first.target}: {first.why}", run
            )
    return Completed(run)


def decode(data: bytes, kind: type[T], name: str, done: Finished) -> T:
    """The JSON report of the tool `name`. Bytes that are no UTF-8 (excerpts of the target) are replaced.

    Raises Inconclusive where it is not such a report.
    """
    try:
        return msgspec.json.decode(data.decode("utf-8", "replace"), type=kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Inconclusive(f"{name} left no readable report: {error}", done.tail()) from None


def ended(name: str, done: Finished) -> Inconclusive:
    """The reason where a tool ended with a code that its documentation does not give for a whole run."""
    how = f"was killed by signal {-done.exit_code}" if done.exit_code < 0 else f"ended with {done.exit_code}"
    lines = [line.strip() for line in done.tail(600).splitlines() if line.strip()]
    return Inconclusive(f"{name} {how}{': ' + lines[-1][:300] if lines else ''}", done.tail())


class Judgement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What we say about a rule of a tool. Where a field is empty, the tool's own word or the check's default holds."""

    severity: Severity | None = None
    confidence: str = ""
    cwe: tuple[int, ...] = ()
    owasp: tuple[str, ...] = ()
    fix: str = ""


@functools.cache
def judgements(tool: str) -> dict[str, Judgement]:
    """The file `severities/<tool>.toml`: rule id to judgement."""
    text = (packaged("vallum_checks") / "severities" / f"{tool}.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Judgement])


def chart_folders(target: Target) -> frozenset[str]:
    """The `templates` folders of Helm charts, each with a slash at its end."""
    return frozenset(path.removesuffix("Chart.yaml") + "templates/" for path in target.select(names=("Chart.yaml",)))


def is_template(charts: frozenset[str], path: str) -> bool:
    """Whether the file lies in one of these folders."""
    return any(path.startswith(folder) for folder in charts)


def start_of(path: Path | str, limit: int) -> bytes:
    """The first `limit` bytes of a regular file. Raises OSError, also for what would block or is no file of its own."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return artifacts.read_open(handle, limit, status.st_size)
    finally:
        os.close(handle)


def unreadable(target: Target, paths: Iterable[str]) -> dict[str, str]:
    """Those of `paths` that are no regular file that we may read (path → why): a tool may take a pipe for an empty file."""
    missed = {}
    for path in paths:
        try:
            start_of(f"{target.base}/{path}", 1)
        except OSError as error:
            missed[path] = f"cannot be read: {error.strerror}"
    return missed


class Markers:
    """Finds a silencing comment on the lines of a finding. Tools run with their markers off; the policy judges these.

    `word`, in lower case, is in all that the pattern matches: where a file has none, its lines need not be looked at.
    """

    def __init__(self, target: Target, pattern: re.Pattern[str], name: str, word: str = "") -> None:
        self._target = target
        self._pattern = pattern
        self._name = name
        self._word = word
        self._marked: dict[str, frozenset[int]] = {}

    def suppression(self, path: str, lines: Iterable[int]) -> Suppression | None:
        """The suppression for a finding on `lines` of `path`, if the marker stands on one of them."""
        if path not in self._marked:
            self._marked[path] = self._lines(path)
        marked = self._marked[path]
        return Suppression("inSource", self._name) if marked and not marked.isdisjoint(lines) else None

    def _lines(self, path: str) -> frozenset[int]:
        try:
            text = sources.text(self._target, path)
        except (OSError, ValueError):
            return frozenset()
        if self._word not in text.lower():
            return frozenset()
        lines = enumerate(text.splitlines(), 1)
        return frozenset([at for at, line in lines if self._word in line.lower() and self._pattern.search(line)])

"""What several checks share: argument lists that fit the system's limit, and markers in the source that silence a tool."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from vallum import artifacts
from vallum.finding import Suppression
from vallum.target import Target

ARGUMENT_BYTES = 1 << 20
"""Of the 2 MiB that Linux gives argv and environment together (execve(2)), half."""


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


class Markers:
    """Finds a silencing comment on the lines of a finding. Tools run with their markers off; the policy judges these."""

    def __init__(self, target: Target, pattern: re.Pattern[str], name: str) -> None:
        self._target = target
        self._pattern = pattern
        self._name = name
        self._marked: dict[str, frozenset[int]] = {}

    def suppression(self, path: str, lines: Iterable[int]) -> Suppression | None:
        """The suppression for a finding on `lines` of `path`, if the marker stands on one of them."""
        if path not in self._marked:
            self._marked[path] = self._lines(path)
        marked = self._marked[path]
        return Suppression("inSource", self._name) if marked and not marked.isdisjoint(lines) else None

    def _lines(self, path: str) -> frozenset[int]:
        try:
            text = artifacts.read(self._target.root / path, 16 << 20).decode("utf-8", "replace")
        except (OSError, ValueError):
            return frozenset()
        return frozenset(number for number, line in enumerate(text.splitlines(), 1) if self._pattern.search(line))

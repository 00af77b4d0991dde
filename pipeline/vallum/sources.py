"""The text of a target's files, for those who look into one after the other: a file is read once while it stays as it is."""

from __future__ import annotations

import os

from vallum import artifacts
from vallum.target import Target

MAX_SOURCE = 16 << 20
"""Bytes of a source file that we read ourselves."""
KEPT = 32 << 20
"""Characters of all files together that are kept."""


class _Kept:
    def __init__(self) -> None:
        self.texts: dict[str, tuple[tuple[int, int, int], str]] = {}
        self.size = 0


_kept = _Kept()


def text(target: Target, path: str) -> str:
    """The text of `path`, which is relative to the target; what is no UTF-8 is replaced.

    Raises OSError where it cannot be read, ValueError where it is no regular file, too large or outside the target.
    """
    place = f"{target.base}/{target.relative(path)}"
    status = os.lstat(place)
    now = (status.st_mtime_ns, status.st_size, status.st_ino)
    known = _kept.texts.get(place)
    if known is not None and known[0] == now:
        return known[1]
    read = artifacts.read(place, MAX_SOURCE).decode("utf-8", "replace")
    if _kept.size + len(read) > KEPT:
        _kept.texts.clear()
        _kept.size = 0
    _kept.texts[place] = (now, read)
    _kept.size += len(read)
    return read

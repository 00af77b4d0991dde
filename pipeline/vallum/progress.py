"""What a person sees while they wait: one line for each thing that begins or ends."""

from __future__ import annotations

import os
import re
import sys

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_through: list[int] = []


def clean(text: str) -> str:
    """`text` without control characters and direction marks: what a tool says must not steer the terminal."""
    return _CONTROL.sub("\ufffd", text.replace("\r", " "))


def speak_through(descriptor: int) -> None:
    """From now on `say` writes to this open file, whatever becomes of stderr."""
    _through[:] = [descriptor]


def say(text: str) -> None:
    """One line for the person, in one piece: to stderr, or where `speak_through` says."""
    line = clean(text.replace("\n", " ")) + "\n"
    if _through:
        os.write(_through[0], line.encode("utf-8", "replace"))
        return
    sys.stderr.write(line)
    sys.stderr.flush()

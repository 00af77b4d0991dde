"""What a person sees while they wait. Sessions run in nox's workers, whose output nox holds back until they end: so they
write their lines to a file that the pipeline follows."""

from __future__ import annotations

import os
import re
import sys

VARIABLE = "VALLUM_PROGRESS"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """`text` without control characters and direction marks: what a tool says must not steer the terminal."""
    return _CONTROL.sub("\ufffd", text.replace("\r", " "))


def say(text: str) -> None:
    """One line for the person: to the file that VALLUM_PROGRESS names, else to stderr."""
    line = clean(text.replace("\n", " ")) + "\n"
    path = os.environ.get(VARIABLE)
    if not path:
        sys.stderr.write(line)
        sys.stderr.flush()
        return
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW, 0o644)
    try:
        os.write(handle, line.encode("utf-8", "replace"))
    finally:
        os.close(handle)

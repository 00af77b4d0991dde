"""What answers say of a limit: the headers of RateLimit drafts of the IETF, and the older X-RateLimit ones."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime

BELIEVED = 100_000
"""Requests in a window above which a stated limit is none."""
_REMAINING = re.compile(r"\br\s*=\s*(\d{1,12})")
_NUMBER = re.compile(r"\s*(\d{1,12})")


def remaining(headers: Mapping[str, str]) -> int | None:
    """How many requests are left: `RateLimit: "name";r=9;t=5`, `RateLimit: limit=10, remaining=9`, `RateLimit-Remaining`,
    `X-RateLimit-Remaining`, `X-Rate-Limit-Remaining`. None where nothing is said."""
    value = headers.get("ratelimit", "")
    match = _REMAINING.search(value) or re.search(r"\bremaining\s*=\s*(\d{1,12})", value)
    if match:
        return int(match[1])
    for name in ("ratelimit-remaining", "x-ratelimit-remaining", "x-rate-limit-remaining"):
        if match := _NUMBER.match(headers.get(name, "")):
            return int(match[1])
    return None


def counts_down(left: Sequence[int | None]) -> bool:
    """Whether a limit is stated that can be reached: nearly each answer says what is left, and less than the one before.

    A new window may begin once in between.
    """
    said = [number for number in left if number is not None]
    if len(said) < 3 or len(said) < 0.9 * len(left) or max(said) > BELIEVED:
        return False
    falls = sum(after < before for before, after in itertools.pairwise(said))
    return falls >= len(said) - 2


def retry_after(headers: Mapping[str, str]) -> bool:
    """Whether the answer says when to come back: seconds, or a date (RFC 9110, section 10.2.3)."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return True
    try:
        return bool(parsedate_to_datetime(value))
    except ValueError:
        return False

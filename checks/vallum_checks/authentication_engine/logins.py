"""Wrong passwords, few of them: whether a login stops somebody who guesses, and whether it tells which users there are.

Two names take turns: one that was made up, and one of a seeded user. The same answers then speak of a limit (does the
answer change, does it slow down), of enumeration by answer (does it differ between the names), and by time.
"""

from __future__ import annotations

import json
import re
import secrets
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, quote, quote_plus, urlencode

from vallum_checks._logins import PASSWORD, USERNAME, stranger

if TYPE_CHECKING:
    from vallum.stage.calls import Answer

LIMITED = (429, 423, 403)
"""Too many requests, locked, forbidden: where the first answer was another one."""
SLOWED = (4.0, 0.5)
"""A growing delay: the last three answers take this many times as long as the first three, and this many seconds longer."""
PAIRS = 8
"""Pairs below which time says nothing."""
APART = 0.025
"""Seconds between the medians that count: bcrypt at cost 10 and scrypt at 2^14 take 40 to 100 ms, a query on an index below 2."""
RECOVERY = re.compile(r"(reset|forgot|recover|remind)", re.IGNORECASE)
"""Paths of operations that take the name of a user who has lost the password."""
_CHANGING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}"
    r"|\d{4}-\d\d-\d\d[T ][\d:.,+Z-]*"
    r"|(?<![A-Za-z])[A-Za-z0-9_+/=-]{20,}"  # tokens against forgery, identifiers of requests
    r"|\d+"
)
_QUIET = {
    "date",
    "content-length",
    "connection",
    "keep-alive",
    "server",
    "set-cookie",
    "etag",
    "age",
    "expires",
    "retry-after",
}
"""Headers whose value, or length, differs without telling anything. Those of rate limits are left out by their names."""


@dataclass
class Tried:
    """The answers for both names, in order; `made_up` belongs to nobody."""

    made_up: list[Answer] = field(default_factory=list)
    seeded: list[Answer] = field(default_factory=list)
    names: tuple[str, str] = ("", "")

    def named(self) -> tuple[tuple[list[Answer], str], tuple[list[Answer], str]]:
        """Both lists with their names, the made-up one first."""
        return (self.made_up, self.names[0]), (self.seeded, self.names[1])


def filled(body: bytes, kind: str, username: str, password: str) -> bytes | None:
    """An example body with another user and password in it. None where it has no field for a user's name."""
    fields: dict[str, Any]
    if "json" in kind:
        try:
            fields = json.loads(body)
        except ValueError:
            return None
    elif "urlencoded" in kind:
        fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    else:
        return None
    if not isinstance(fields, dict) or not any(USERNAME.match(name) for name in fields):
        return None
    for name in fields:
        if USERNAME.match(name):
            fields[name] = f"{username}@shop.example" if "@" in str(fields[name]) and "@" not in username else username
        elif PASSWORD.match(name):
            fields[name] = password
    return json.dumps(fields).encode() if "json" in kind else urlencode(fields).encode()


def attempt(send: Callable[[str, str], Answer], name: str, pairs: int) -> Tried:
    """Send at most `pairs` wrong passwords for each name, in turns; ends early where both are refused as too many."""
    made_up = stranger(name)
    tried = Tried(names=(made_up, name))
    for number in range(pairs):
        turns = [(made_up, tried.made_up), (name, tried.seeded)]
        for username, answers in turns if number % 2 == 0 else reversed(turns):
            answers.append(send(username, f"vallum-{secrets.token_hex(8)}"))
        if all(limited_at(answers, username) for username, answers in turns):
            break
    return tried


def limited_at(answers: Sequence[Answer], name: str) -> int:
    """The number of the answer, from 1, from which on this name was refused as too many, or slowed down; 0: never."""
    if not answers:
        return 0
    if answers[0].status in {429, 423}:
        return 1
    for number, answer in enumerate(answers, 1):
        if answer.status != answers[0].status and answer.status in LIMITED:
            return number
        if answer.why and not answers[0].why:
            return number  # a login of several pages that does not ask for the password any more
    if len(answers) >= 5:
        bodies = [masked(_text(answer), (name,)) for answer in answers]
        if bodies[0] == bodies[1] != bodies[-1] == bodies[-2]:
            return bodies.index(bodies[-1]) + 1
    if len(answers) >= 6:
        seconds = [answer.seconds for answer in answers]
        first, last = statistics.median(seconds[:3]), statistics.median(seconds[-3:])
        if last >= SLOWED[0] * first and last >= first + SLOWED[1]:
            return len(answers) - 2
    return 0


def difference(tried: Tried) -> str:
    """How the answers tell a user's name from one that was made up; empty where they do not, or are never the same twice."""
    made_up, known = (_stable(_before(answers, name), name) for answers, name in tried.named())
    if made_up is None or known is None:
        return ""
    for word, index in (("the status", 0), ("the body", 1), ("the headers", 2)):
        if made_up[index] != known[index]:
            seen = f" ({made_up[0]} for an unknown name, {known[0]} for a known one)" if index == 0 else ""
            return f"{word} of the answer{seen}"
    return ""


def slower(tried: Tried) -> float:
    """By how many seconds (the median of the pairs) a known name takes longer than a made-up one, where that is beyond doubt:
    the middle halves of both lie apart, and nine of ten pairs say so; negative where the made-up one takes longer, else 0."""
    pairs = list(zip(*([a.seconds for a in _before(answers, name)] for answers, name in tried.named()), strict=False))
    if len(pairs) < PAIRS:
        return 0.0
    gap = statistics.median(known - made_up for made_up, known in pairs)
    agree = sum((known - made_up) * gap > 0 for made_up, known in pairs)
    low, high = sorted(([p[0] for p in pairs], [p[1] for p in pairs]), key=statistics.median)
    apart = statistics.quantiles(high, n=4)[0] - statistics.quantiles(low, n=4)[2]
    return gap if abs(gap) >= APART and agree >= 0.9 * len(pairs) and apart >= APART / 2 else 0.0


def masked(text: str, names: Sequence[str]) -> str:
    """A text without the user's name and without what changes from answer to answer: numbers, moments, random texts."""
    said = [part for name in names for part in (name, name.partition("@")[0]) if len(part) > 2]
    forms = {form for part in said for form in (part, escape(part), quote(part, safe=""), quote_plus(part))}
    if forms:
        longest_first = sorted(forms, key=len, reverse=True)
        text = re.sub("|".join(map(re.escape, longest_first)), "NAME", text, flags=re.IGNORECASE)
    return _CHANGING.sub("#", text)


def _before(answers: Sequence[Answer], name: str) -> Sequence[Answer]:
    """Those before a limit."""
    number = limited_at(answers, name)
    return answers[: number - 1] if number else answers


def _stable(answers: Sequence[Answer], name: str) -> tuple[int, str, str] | None:
    """Status, body and headers where at least two answers agree in all three."""
    seen = {(answer.status, masked(_text(answer), (name,)), _headers(answer, name)) for answer in answers}
    return seen.pop() if len(seen) == 1 and len(answers) >= 2 else None


def _text(answer: Answer) -> str:
    return answer.body.decode("utf-8", "replace")


def _headers(answer: Answer, user: str) -> str:
    kept = {
        name: masked(value, (user,))
        for name, value in answer.headers.items()
        if name not in _QUIET
        and "ratelimit" not in name.replace("-", "")
        and "request" not in name
        and "trace" not in name
    }
    return "\n".join(f"{name}: {kept[name]}" for name in sorted(kept))

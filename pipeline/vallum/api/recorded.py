"""What recorded requests (Postman, HAR) have in common: paths with their values taken out, and nothing secret kept.

A recording holds the credentials of whoever made it. None is sent or written: of headers only the Content-Type is taken, and
values whose names or shapes are those of credentials are replaced.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

from vallum.api.document import Document, Place
from vallum.api.model import LATE, PASSWORD, Definition, Known, Operation, Request, segments

MAX_OPERATIONS = 5_000
STAND_IN = "vallum"
_KEPT = re.compile(r"\d+|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}|[0-9a-f]{24}", re.IGNORECASE)
"""Segments that name an object and open nothing: a number, a UUID, a MongoDB ObjectId."""
_TAKEN = re.compile(
    r"[0-9a-f]{16,}|(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z0-9_-]{20,}={0,2}|eyJ[\w.-]{10,}", re.IGNORECASE
)
"""Segments that could open something: a hash, a random word, a JWT."""
_SECRET_NAME = re.compile(
    r"token|secret|passw|pwd|api-?_?key|auth|session|signature|^sig$|^code$|credential|otp|^pin$|jwt|cookie",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"eyJ[\w-]{8,}\.|^(Bearer|Basic) |-----BEGIN|[0-9a-f]{32,}|AKIA[0-9A-Z]{12,}")
_OF_FORM = "application/x-www-form-urlencoded"


@dataclass(frozen=True)
class Recorded:
    """One request of a recording. `path` is decoded no further than it was; a segment `{name}` is a parameter already, whose
    value may be in `values`."""

    method: str
    path: str
    line: int
    secured: bool = False
    statuses: frozenset[str] = frozenset()
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""
    values: dict[str, str] = field(default_factory=dict)


class Lines:
    """Where requests stand in a recording. Only lines that hold nothing but a brace: a finding quotes its line."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._texts = document.text.split("\n")

    def at(self, place: Place) -> int:
        """The line, from 1, or 0."""
        line = self._document.lines.get(place, 0)
        return line if line and self._texts[line - 1].strip() in {"{", "[{", "}, {", "},{"} else 0


def template_of(path: str) -> tuple[str, dict[str, str]]:
    """The path with parameters for its values, and the values that may be used again, by parameter."""
    parts, values, number = [], {}, 0
    for part in path.split("/"):
        plain = unquote(part)
        if _KEPT.fullmatch(plain) or _TAKEN.fullmatch(plain):
            number += 1
            name = "id" if number == 1 else f"id{number}"
            parts.append("{" + name + "}")
            if _KEPT.fullmatch(plain):
                values[name] = plain
        else:
            parts.append(part)
    return "/".join(parts), values


def body_of(text: str, content_type: str) -> tuple[bytes, str]:
    """A body without its credentials: JSON and forms. Any other is left out, because nobody can tell what is in it."""
    kind = content_type.partition(";")[0].strip().lower()
    if "json" in kind or (not kind and text.lstrip()[:1] in {"{", "["}):
        try:
            return json.dumps(without_secrets(json.loads(text))).encode(), kind or "application/json"
        except (ValueError, RecursionError):
            return b"", ""
    if kind == _OF_FORM:
        return form_of(parse_qsl(text, keep_blank_values=True, max_num_fields=1000)), kind
    return b"", ""


def form_of(pairs: Iterable[tuple[str, str]]) -> bytes:
    """Fields as a form, without credentials."""
    return "&".join(f"{quote(name)}={quote(_safe(name, value))}" for name, value in pairs).encode()


def query_of(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """A query without credentials."""
    return tuple((name, _safe(name, value)) for name, value in pairs)


def without_secrets(value: Any, name: str = "") -> Any:
    """A JSON value in which whatever looks like a credential is replaced."""
    if isinstance(value, dict):
        return {key: without_secrets(inner, key) for key, inner in value.items()}
    if isinstance(value, list):
        return [without_secrets(inner, name) for inner in value]
    return _safe(name, value) if isinstance(value, str) else value


def _safe(name: str, value: str) -> str:
    return STAND_IN if _SECRET_NAME.search(name) or _SECRET_VALUE.search(value) else value


def operations(requests: Iterable[Recorded]) -> dict[Operation, Recorded]:
    """The distinct operations of recorded requests in their order, each with the first request of it."""
    found: dict[tuple[str, str], tuple[Recorded, set[str], bool]] = {}
    for one in requests:
        key = (one.method, one.path)
        if key in found:
            found[key][1].update(one.statuses)
        elif len(found) < MAX_OPERATIONS:
            found[key] = (one, set(one.statuses), one.secured)
        else:
            raise ValueError(f"it has over {MAX_OPERATIONS} different operations")
    made = {}
    for one, statuses, secured in found.values():
        login = any(PASSWORD.match(name) for name in _names(one))
        operation = Operation(
            method=one.method,
            template=one.path,
            line=one.line,
            secured=secured and not login,
            declared=frozenset(statuses),
            late=one.method == "DELETE" or bool(LATE.search(one.path)),
            login=login,
        )
        made[operation] = one
    return made


def build(requests: dict[Operation, Recorded]) -> Any:
    """What makes requests of these operations, for vallum.api.model.Definition."""

    def request(definition: Definition, operation: Operation, known: Known, prefix: str) -> Request:
        del definition
        one = requests[operation]
        path = prefix + one.path
        for name in {name for _, name in segments(one.path)}:
            before = one.path[: one.path.index("{" + name + "}")]
            value = one.values.get(name) or known(before, name) or "1"
            path = path.replace("{" + name + "}", quote(value, safe=""))
        names = tuple(name for name, _ in one.query)
        return Request(
            operation,
            path,
            one.query,
            (),
            one.body,
            one.content_type,
            segments(prefix + one.path),
            names,
        )

    return request


def _names(one: Recorded) -> set[str]:
    names = {name for name, _ in one.query}
    if "json" in one.content_type:
        value = json.loads(one.body or b"null")
        names |= set(value) if isinstance(value, dict) else set()
    elif one.content_type == _OF_FORM:
        names |= {part.partition("=")[0] for part in one.body.decode().split("&")}
    return names

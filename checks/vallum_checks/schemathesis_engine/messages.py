"""The requests and answers in schemathesis's events: what they give away, and what is kept of them as evidence."""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

import msgspec

from vallum.finding import Exchange

EVIDENCE = 2000
"""Characters of a request or a response that are kept as evidence."""
_DEBUGGER = re.compile(r"EVALEX\s*=\s*true|__debugger__=yes")
_TRACE = re.compile(
    r"Traceback \(most recent call last\)"
    r"|^\s+at [^\n(]{1,200}\([^\n)]{1,300}:\d+:\d+\)"  # Node.js
    r"|^\s+at [\w.$<>]{1,200}\([\w$]{1,100}\.(?:java|kt|scala):\d+\)"
    r"|^goroutine \d+ \[running\]:",
    re.MULTILINE,
)


class _Bytes(msgspec.Struct):
    base64: str = msgspec.field(name="$base64", default="")


class Request(msgspec.Struct):
    """A request that schemathesis sent."""

    method: str
    uri: str
    headers: dict[str, list[str]] = {}
    body: _Bytes | None = None


class Response(msgspec.Struct):
    """An answer to it."""

    status_code: int
    headers: dict[str, list[str]] = {}
    content: _Bytes | None = None


class Interaction(msgspec.Struct):
    """A request, and its answer where one came."""

    request: Request
    response: Response | None = None


def leak(response: Response) -> str:
    """What an error answer gives away: `debugger`, `stack-trace`, or nothing."""
    if response.status_code < 400 or response.content is None:
        return ""
    text = _decode(response.content)
    if _DEBUGGER.search(text):
        return "debugger"
    return "stack-trace" if _TRACE.search(text) else ""


def _decode(content: _Bytes) -> str:
    try:
        return base64.b64decode(content.base64, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def exchange(interaction: Interaction) -> Exchange:
    """Both messages as text, without the host and the port, which differ in each run."""
    request, response = interaction.request, interaction.response
    parts = urlsplit(request.uri)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = _message(f"{request.method} {path}", request.headers, request.body)
    got = _message(f"{response.status_code}", response.headers, response.content) if response else "(no answer)"
    return Exchange(sent, got)


def _message(first: str, headers: dict[str, list[str]], body: _Bytes | None) -> str:
    lines = [first, *(f"{name}: {value}" for name, values in headers.items() for value in values)]
    text = "\n".join(lines) + ("\n\n" + _decode(body) if body is not None and body.base64 else "")
    return text if len(text) <= EVIDENCE else text[:EVIDENCE] + "\n[cut]"

"""HAR 1.2: the operations that a browser's or proxy's recording used. It declares nothing: what it does not hold is not known."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vallum.api import recorded
from vallum.api.document import Document
from vallum.api.model import MISSHAPEN, Definition, misshapen

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"})
_RESOURCES = ("image/", "font/", "text/css", "javascript", "video/", "audio/", "wasm")
"""Content types of what belongs to a page."""


def belongs(document: Mapping[str, Any]) -> bool:
    """Whether a document is a HAR."""
    log = document.get("log")
    return isinstance(log, dict) and isinstance(log.get("entries"), list)


def of(document: Document, path: Path, root: Path, origin: str = "") -> Definition:
    """The definition that a recording is: its requests to `origin`, or to that of the first one. Raises Inconclusive."""
    del root
    left: Counter[str] = Counter()
    try:
        found = recorded.operations(_requests(document, origin, left))
    except MISSHAPEN as error:
        raise misshapen(document.name, "log.entries", error) from None
    notes = tuple(f"{document.name}: {count} {what}" for what, count in sorted(left.items()))
    return Definition(path, "", "", tuple(found), {}, "har", recorded.build(found), notes=notes)


def _requests(document: Document, origin: str, left: Counter[str]) -> Iterator[recorded.Recorded]:
    lines = recorded.Lines(document)
    for number, entry in enumerate(document.data["log"]["entries"]):
        asked = entry["request"]
        parts = urlsplit(str(asked["url"]))
        here = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}".lower()
        if parts.scheme not in {"http", "https"}:
            left["requests that are no HTTP were left out"] += 1
            continue
        origin = origin or here
        answer = entry.get("response") or {}
        method = str(asked["method"]).upper()
        kind = str((answer.get("content") or {}).get("mimeType") or "")
        if here != origin.rstrip("/").lower():
            left["requests to other origins were left out"] += 1
            continue
        if method not in _METHODS or (method == "GET" and any(word in kind for word in _RESOURCES)):
            left["requests for parts of pages, or with methods of browsers, were left out"] += 1
            continue
        template, values = recorded.template_of(parts.path or "/")
        body, content_type = _body(asked.get("postData") or {})
        status = int(answer.get("status") or 0)
        yield recorded.Recorded(
            method=method,
            path=template,
            line=lines.at(("log", "entries", number)),
            statuses=frozenset({str(status)} if 0 < status < 500 else ()),
            query=recorded.query_of(parse_qsl(parts.query, keep_blank_values=True, max_num_fields=1000)),
            body=body,
            content_type=content_type,
            values=values,
        )


def _body(data: Mapping[str, Any]) -> tuple[bytes, str]:
    kind = str(data.get("mimeType") or "")
    text = str(data.get("text") or "")
    params = data.get("params")
    if not text and isinstance(params, list) and params:
        pairs = [(str(each["name"]), str(each.get("value") or "")) for each in params]
        return recorded.form_of(pairs), "application/x-www-form-urlencoded"
    return recorded.body_of(text, kind) if text else (b"", "")

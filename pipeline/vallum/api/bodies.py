"""Values as text in paths, queries, forms, multipart and XML."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode
from xml.sax.saxutils import escape

BOUNDARY = "vallum-boundary"


def text(value: Any) -> str:
    """A value as it stands in a path, a header or a form."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return "" if value is None else str(value)


def as_json(value: Any) -> bytes:
    """A value as a JSON body."""
    return json.dumps(value, default=str).encode()


def form(values: Mapping[str, Any]) -> bytes:
    """`application/x-www-form-urlencoded`."""
    return urlencode({name: text(item) for name, item in values.items()}).encode()


def multipart(values: Mapping[str, Any], files: set[str]) -> bytes:
    """`multipart/form-data` with BOUNDARY; the fields in `files` are uploads."""
    lines = []
    for name, value in values.items():
        extra = '; filename="vallum.txt"\r\nContent-Type: text/plain' if name in files else ""
        lines.append(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{text(value)}\r\n')
    return ("".join(lines) + f"--{BOUNDARY}--\r\n").encode()


def xml(name: str, value: Any) -> str:
    """A value as an XML element."""
    if isinstance(value, dict):
        return f"<{name}>{''.join(xml(key, item) for key, item in value.items())}</{name}>"
    if isinstance(value, list):
        return "".join(xml(name, item) for item in value)
    return f"<{name}>{escape(text(value))}</{name}>"

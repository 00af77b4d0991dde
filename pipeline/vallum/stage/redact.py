"""Keeping the run's secrets out of everything that is written: logs, evidence, raw outputs."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from html import escape
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote, quote_plus

import msgspec

from vallum import artifacts

MARK = "[redacted]"
SHORTEST = 6
"""Characters a value needs before it is replaced everywhere: `admin` as a password must not blank every word admin."""
_JWT = re.compile(rb"eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{2,}\.[A-Za-z0-9_-]*")
"""Any JSON Web Token (RFC 7519: three base64url parts, the first begins with `{"`), ours or another user's."""
_HEADERS = re.compile(rb"(?im)^((?:proxy-)?authorization:|cookie:|x-api-key:)([ \t]*)([^\r\n]+)")
_SET_COOKIE = re.compile(rb"(?im)^(set-cookie:[^=\r\n;]*=)()([^\r\n;]+)")
"""Credential headers of a raw HTTP message. Of Set-Cookie only the value goes: findings are about its attributes."""
_BETWEEN = b"\xff"
"""A byte that no text holds in UTF-8."""
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Redactor:
    """Replaces known secrets, tokens and credential headers. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[bytes, ...] = ()
        self._codes: dict[bytes, re.Pattern[bytes]] = {}

    def add(self, secret: str) -> None:
        """From now on, replace `secret` as it is, URL-quoted, and as it stands inside JSON and HTML."""
        if len(secret) < SHORTEST:
            return
        html = escape(secret)
        forms = {secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1], html}
        forms |= {
            secret.replace("/", "\\/"),
            html.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"),
        }  # PHP; Jinja and Go
        with self._lock:
            known = {*self._forms, *(form.encode("utf-8", "replace") for form in forms)}
            self._forms = tuple(sorted(known, key=lambda form: (-len(form), form)))

    def add_code(self, code: str) -> None:
        """From now on, replace a one-time code, where it is not a part of a longer number: six digits are soon met."""
        with self._lock:
            once = code.encode()
            self._codes = {**self._codes, once: re.compile(rb"(?<![0-9.])%s(?![0-9])" % re.escape(once))}

    @property
    def longest(self) -> int:
        """Bytes of the longest known secret: what a reader of a stream must hold back."""
        return max((len(form) for form in self._forms), default=0)

    def data(self, content: bytes) -> bytes:
        """`content` without the secrets."""
        for form in self._forms:
            if form in content:
                content = content.replace(form, MARK.encode())
        for code, pattern in self._codes.items():
            if code in content:
                content = pattern.sub(MARK.encode(), content)
        return _JWT.sub(MARK.encode(), content) if b"eyJ" in content else content

    def text(self, content: str) -> str:
        """`content` without the secrets, and without the values of credential headers in a raw HTTP message."""
        hidden = content.encode("utf-8", "replace")
        for header in (_HEADERS, _SET_COOKIE):
            hidden = header.sub(rb"\1\2" + MARK.encode(), hidden)
        return self.data(hidden).decode("utf-8", "replace")

    def struct(self, value: _Struct) -> _Struct:
        """The same struct (a Run, an Outcome) with every text in it redacted; numbers and the words of enums stay."""
        texts: list[bytes] = []

        def collect(text: str) -> str:
            texts.append(text.encode("utf-8", "surrogatepass"))
            return text

        _walk(value, collect)
        before = _BETWEEN.join(texts)  # at once: an outcome has 100,000 texts, and there may be 50 secrets
        after = self.data(before)
        if after == before:
            return value
        parts = iter(after.split(_BETWEEN))
        redacted: _Struct = _walk(value, lambda _: next(parts).decode("utf-8", "surrogatepass"))
        return redacted

    def sweep(self, folder: Path) -> int:
        """Rewrite the files below `folder` that hold a secret; returns how many did. Links are not followed."""
        changed = 0
        for path in sorted(folder.rglob("*")):
            if path.is_symlink() or not path.is_file():
                continue
            before = path.read_bytes()
            after = self.data(before)
            if after != before:
                artifacts.write(path, after)
                changed += 1
        return changed


def _walk(value: Any, change: Callable[[str], str]) -> Any:
    """`value` with every text in it changed; what stays the same stays the same object."""
    if type(value) is str:
        return change(value)
    if isinstance(value, msgspec.Struct):
        before = {name: getattr(value, name) for name in value.__struct_fields__}
        after = {name: _walk(one, change) for name, one in before.items()}
        changed = {name: one for name, one in after.items() if one is not before[name] and one != before[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    if isinstance(value, dict):
        return {_walk(name, change): _walk(one, change) for name, one in value.items()}
    if isinstance(value, list | tuple):
        after_all = [_walk(one, change) for one in value]
        if all(one is other for one, other in zip(after_all, value, strict=True)):
            return value
        return type(value)(after_all)
    return value

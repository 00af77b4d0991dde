"""Keeping the run's secrets out of everything that is written: logs, evidence, raw outputs."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

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
_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Redactor:
    """Replaces known secrets, tokens and credential headers. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._forms: tuple[bytes, ...] = ()

    def add(self, secret: str) -> None:
        """From now on, replace `secret` as it is, URL-quoted, and as it stands inside JSON."""
        if len(secret) < SHORTEST:
            return
        forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1]}
        with self._lock:
            known = {*self._forms, *(form.encode() for form in forms)}
            self._forms = tuple(sorted(known, key=lambda form: (-len(form), form)))

    @property
    def longest(self) -> int:
        """Bytes of the longest known secret: what a reader of a stream must hold back."""
        return max((len(form) for form in self._forms), default=0)

    def data(self, content: bytes) -> bytes:
        """`content` without the secrets."""
        for form in self._forms:
            if form in content:
                content = content.replace(form, MARK.encode())
        return _JWT.sub(MARK.encode(), content) if b"eyJ" in content else content

    def text(self, content: str) -> str:
        """`content` without the secrets, and without the values of credential headers in a raw HTTP message."""
        hidden = content.encode("utf-8", "replace")
        for header in (_HEADERS, _SET_COOKIE):
            hidden = header.sub(rb"\1\2" + MARK.encode(), hidden)
        return self.data(hidden).decode("utf-8", "replace")

    def struct(self, value: _Struct) -> _Struct:
        """The same struct (a Run, an Outcome) with every string in it redacted."""
        return msgspec.json.decode(self.data(msgspec.json.encode(value)), type=type(value))

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

"""Single requests whose certificates are not checked: a wrong one is what we look for, and must not keep us from looking."""

from __future__ import annotations

import functools
import http.client
import re
import socket
import ssl
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum.finding import Exchange
from vallum.stage import certificates
from vallum.stage.scope import Scope, origin_of

DEADLINE = 15.0
"""Seconds for one answer."""
MAX = 1 << 18
"""Bytes of an answer that are read."""
EVIDENCE = 2000
"""Characters of a message that are kept."""
_COOKIE = re.compile(r",\s*(?=[!#$%&'*+.^_`|~0-9A-Za-z-]+=)")


@dataclass(frozen=True)
class Reply:
    """What came back. `status` 0: nothing, and `why` says the reason. `headers` keep their order, names in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    why: str = ""
    exchange: Exchange | None = field(default=None, repr=False)

    def header(self, name: str) -> str:
        """The header's value, of several the first; empty where there is none."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def cookies(self) -> list[str]:
        """Every Set-Cookie header's value."""
        return [part for key, value in self.headers if key == "set-cookie" for part in _COOKIE.split(value)]


Identity = tuple[bytes, bytes]
"""A certificate and its key, PEM."""


def unchecked(identity: Identity | None = None) -> ssl.SSLContext:
    """A client's TLS that takes any certificate and every version that this OpenSSL still speaks; it shows `identity`."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    context.set_ciphers("ALL:@SECLEVEL=0")
    if identity is not None:
        certificates.load(context, *identity)
    return context


class Line:
    """The way to the deployment: nothing but its hosts is asked, at the addresses that its scope holds; requests are counted.

    Another port or scheme of a host is allowed: whether plain HTTP is answered beside https is what is asked for.
    """

    def __init__(self, scope: Scope, urls: Iterable[str], identity: Identity | None = None) -> None:
        self._scope = scope
        self._identity = identity
        self._hosts = {urlsplit(url).hostname for url in urls}
        self.requests = 0

    def address(self, url: str) -> str:
        """The address of `url`'s host. Raises Inconclusive for a host that is not the deployment's."""
        origin = origin_of(url)
        if origin[1] not in self._hosts:
            raise Inconclusive(f"{origin[1]}:{origin[2]} is outside the deployment: not requested")
        return self._scope.addresses(origin)[0]

    def ask(
        self, method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"", *, bare: bool = False
    ) -> Reply:
        """Send one request; see `ask`. `bare`: without our certificate."""
        address = self.address(url)
        if self._scope.allows(url):
            self._scope.admit(origin_of(url))
        self.requests += 1
        return ask(method, url, headers, body, address, None if bare else self._identity)


def ask(
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    address: str = "",
    identity: Identity | None = None,
) -> Reply:
    """Send one request to the host of `url` (at `address`, where that is given), past proxies, redirects not followed."""
    deadline = DEADLINE
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection: http.client.HTTPConnection
    if parts.scheme == "https":
        connection = http.client.HTTPSConnection(host, port, timeout=deadline, context=unchecked(identity))
    else:
        connection = http.client.HTTPConnection(host, port, timeout=deadline)
    if address:  # the name stays in Host and SNI
        opened = functools.partial(_open, address)
        connection._create_connection = opened  # type: ignore[attr-defined]  # noqa: SLF001 - the library's one place for it
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    given = {"Accept": "*/*", "User-Agent": "vallum", **(headers or {})}
    request = _message(f"{method} {path} HTTP/1.1", given.items(), body)
    end = time.monotonic() + deadline
    try:
        connection.request(method, path, body=body or None, headers=given)
        answer = connection.getresponse()
        content = b""
        while len(content) < MAX and time.monotonic() < end and (part := answer.read1(65536)):
            content += part
        found = tuple((name.lower(), value) for name, value in answer.getheaders())
        response = _message(f"HTTP/1.1 {answer.status}", found, content)
        return Reply(answer.status, found, content, exchange=Exchange(request, response))
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Reply(0, why=_why(error), exchange=Exchange(request, ""))
    finally:
        connection.close()


def _open(address: str, at: tuple[str, int], *given: Any) -> socket.socket:
    return socket.create_connection((address, at[1]), *given)


def _why(error: Exception) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or type(error).__name__}"
    return type(error).__name__


def _message(first: str, headers: Iterable[tuple[str, str]], body: bytes) -> str:
    rows = [f"{name}: {value}" for name, value in headers]
    return ("\r\n".join([first, *rows]) + "\r\n\r\n" + body[:EVIDENCE].decode("utf-8", "replace"))[:EVIDENCE]

"""What a dynamic check may request: the origins of the deployment, and nothing else.

One Scope stands behind both ways out: `client()`, for our own requests, and the proxy (vallum.stage.proxy), which the tools
that we start must use. It says what is allowed, where it is, how quickly, and counts.
"""

from __future__ import annotations

import ipaddress
import ssl
import threading
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum.stage.traffic import Traffic

if TYPE_CHECKING:
    import httpx

    from vallum.stage.login import Session

TIMEOUT = 20.0
"""Seconds for one request."""
_PORTS = {"http": 80, "https": 443}
Origin = tuple[str, str, int]


class OutOfScope(Inconclusive):
    """A request would have left the deployment; it was not sent."""


class Scope:
    """The origins (scheme, host, port) that may be requested, by the service's name where a mapping is given.

    `pinned` holds the addresses of hosts that were resolved once: nothing else is connected to under their names. `trust`
    checks the certificates of https services, by their name where it is a mapping (else: the system's authorities).
    """

    def __init__(
        self,
        origins: Mapping[str, str] | Iterable[str],
        *,
        pinned: Mapping[str, tuple[str, ...]] | None = None,
        trust: ssl.SSLContext | Mapping[str, ssl.SSLContext] | None = None,
    ) -> None:
        named = origins if isinstance(origins, Mapping) else {url: url for url in origins}
        self._origins: dict[Origin, str] = {}
        for name, url in named.items():
            self._origins.setdefault(origin_of(url), name)
        self._pinned = dict(pinned or {})
        self._trust = trust
        self._public: ssl.SSLContext | None = None
        self._lock = threading.Lock()
        self._every = 0.0
        self._next: dict[str, float] = {}
        self.traffic = Traffic()
        self.sessions: tuple[Session, ...] = ()
        self.proxy = ""
        """The address of the proxy for tools, while an attack is on."""

    def allows(self, url: str) -> bool:
        """Whether `url` belongs to one of the origins."""
        try:
            return origin_of(url) in self._origins
        except ValueError:
            return False

    def with_also(self, origins: Iterable[str]) -> Scope:
        """Another scope with more origins, for what a login needs besides the services; it counts for itself."""
        also = Scope(origins, pinned=self._pinned, trust=self._trust)
        also._origins |= self._origins
        return also

    def admit(self, origin: Origin) -> str:
        """The name of the service at `origin`, once its turn has come. Raises OutOfScope, and counts it."""
        service = self._origins.get(origin)
        if service is None:
            self.traffic.refuse(f"{origin[1]}:{origin[2]}")
            raise OutOfScope(f"{origin[1]}:{origin[2]} is outside the deployment: not requested")
        if self._every:
            self._await_turn(service)
        return service

    def limit(self, requests_per_second: float | None) -> None:
        """From now on send at most so many requests a second to each service (a bucket of one second's worth)."""
        self._every = 1 / requests_per_second if requests_per_second else 0.0

    def _await_turn(self, service: str) -> None:
        now = time.monotonic()
        with self._lock:
            due = max(self._next.get(service, 0.0), now)
            self._next[service] = due + self._every
        wait = due - max(0.0, 1.0 - self._every) - now
        if wait > 0:
            time.sleep(wait)

    def addresses(self, origin: Origin) -> tuple[str, ...]:
        """Where to connect to for `origin`: the pinned addresses, else its host."""
        return self._pinned.get(origin[1], (origin[1],))

    @property
    def shared_hosts(self) -> bool:
        """Whether a Host header could reach somebody else's service: where a host is not this machine."""
        return any(not _is_loopback(host) for _, host, _ in self._origins)

    def tls(self, origin: Origin) -> ssl.SSLContext:
        """What checks the certificate of the https service at `origin`."""
        trust = self._trust
        if isinstance(trust, Mapping):
            trust = trust.get(self._origins.get(origin, ""))
        if trust is None:
            trust = self._public = self._public or ssl.create_default_context()
        return trust

    def logged_in(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers (names in lower case) carries the login of one of our users."""
        for session in self.sessions:
            for name, value in session.header().items():
                secret = session.token if session.token and session.token in value else value
                if secret in headers.get(name.lower(), ""):
                    return True
        return False

    def client(self, *, counted: bool = True, **options: Any) -> httpx.Client:
        """A client whose every request, redirects included, raises Inconclusive where it would leave the scope.

        `counted`: whether its requests stand in `traffic`.
        Neither proxies nor credentials of our environment are used; redirects are not followed unless asked for.
        """
        import httpx

        from vallum.stage.transport import ScopedTransport

        settings: dict[str, Any] = {"trust_env": False, "timeout": TIMEOUT, "follow_redirects": False, **options}
        return httpx.Client(transport=ScopedTransport(self, counted=counted), **settings)


def origin_of(url: str) -> Origin:
    """Scheme, host and port, lower case. Raises ValueError for what is no http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in _PORTS or not parts.hostname:
        raise ValueError(f"no http URL: {url[:100]}")
    port = parts.port if parts.port is not None else _PORTS[parts.scheme.lower()]
    return parts.scheme.lower(), parts.hostname.lower().rstrip("."), port


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

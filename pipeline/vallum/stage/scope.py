"""What a dynamic check may request: the origins of the deployment, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.errors import Inconclusive

if TYPE_CHECKING:
    import httpx

TIMEOUT = 20.0
"""Seconds for one request."""
_PORTS = {"http": 80, "https": 443}


class Scope:
    """The origins (scheme, host, port) that may be requested."""

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin_of(url) for url in origins)

    def allows(self, url: str) -> bool:
        """Whether `url` belongs to one of the origins."""
        try:
            return origin_of(url) in self._origins
        except ValueError:
            return False

    def client(self, **options: Any) -> httpx.Client:
        """A client whose every request, redirects included, raises Inconclusive where it would leave the scope.

        Neither proxies nor credentials of our environment are used; redirects are not followed unless asked for.
        """
        import httpx

        def guard(request: httpx.Request) -> None:
            if not self.allows(str(request.url)):
                raise Inconclusive(f"{request.url.host}:{request.url.port} is outside the deployment: not requested")

        settings: dict[str, Any] = {"trust_env": False, "timeout": TIMEOUT, "follow_redirects": False}
        return httpx.Client(**{**settings, **options}, event_hooks={"request": [guard]})


def origin_of(url: str) -> tuple[str, str, int]:
    """Scheme, host and port, lower case. Raises ValueError for what is no http(s) URL."""
    parts = urlsplit(url)
    if parts.scheme.lower() not in _PORTS or not parts.hostname:
        raise ValueError(f"no http URL: {url[:100]}")
    return parts.scheme.lower(), parts.hostname.lower(), parts.port or _PORTS[parts.scheme.lower()]

"""The way out of our own requests: httpx below the scope. Imported by Scope.client only, because httpx is slow to import."""

from __future__ import annotations

import ssl

import httpx

from vallum.stage.scope import Scope, origin_of


class ScopedTransport(httpx.BaseTransport):
    """Sends what the scope admits, to the address that the scope names, and counts it."""

    def __init__(self, scope: Scope, *, counted: bool = True) -> None:
        self._scope = scope
        self._counted = counted
        self._inner: dict[ssl.SSLContext | None, httpx.HTTPTransport] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Raises OutOfScope, or what httpx raises where no answer came."""
        origin = origin_of(str(request.url))
        scope = self._scope
        service = scope.admit(origin)
        path = request.url.raw_path.decode("ascii", "replace").partition("?")[0]
        headers = {name.lower(): value for name, value in request.headers.items()}
        with_login = self._counted and scope.logged_in(headers)
        status = 0
        try:
            answer = self._send(request, origin)
            status = answer.status_code
            return answer
        finally:
            if self._counted:
                scope.traffic.record(service, request.method, path, status, with_login=with_login)

    def _send(self, request: httpx.Request, origin: tuple[str, str, int]) -> httpx.Response:
        tls = self._scope.tls(origin) if origin[0] == "https" else None
        inner = self._inner.get(tls)
        if inner is None:  # no certificates are loaded where there is no https
            inner = self._inner[tls] = httpx.HTTPTransport(verify=tls or False, trust_env=False)
        address = self._scope.addresses(origin)[0]
        if address != origin[1]:
            # The name stays in the Host header and in the certificate's check; only the connection goes to the pinned address.
            request = httpx.Request(
                request.method,
                request.url.copy_with(host=address),
                headers=request.headers,
                stream=request.stream,
                extensions={**request.extensions, "sni_hostname": origin[1]},
            )
        return inner.handle_request(request)

    def close(self) -> None:
        """Close the connections."""
        for inner in self._inner.values():
            inner.close()

"""One connection of a tool to the proxy (vallum.stage.proxy): request by request, on to a service and back."""

from __future__ import annotations

import contextlib
import socket
import ssl

from vallum.stage.renewal import Keeper
from vallum.stage.scope import Origin, OutOfScope, Scope, origin_of
from vallum.stage.upstream import EXCHANGE, IDLE, Track, Upstream, status_of
from vallum.stage.wire import Body, Hangup, Head, Stream

REPLAYED = 64 << 10
"""Bytes of a request's body that are kept to send it again after a renewed login."""
_IDEMPOTENT = frozenset({b"GET", b"HEAD", b"OPTIONS", b"PUT", b"DELETE", b"TRACE"})
_HOP_ANSWER = frozenset({b"connection", b"proxy-connection", b"keep-alive", b"proxy-authenticate", b"upgrade"})
_SAY = {
    400: b"Bad Request",
    403: b"Forbidden",
    501: b"Not Implemented",
}


class _Refused(Exception):
    """A request that gets an answer of ours."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Connection:
    """One connection of a tool."""

    def __init__(
        self, scope: Scope, keeper: Keeper, answer_as: dict[str, ssl.SSLContext], peer: socket.socket, track: Track
    ) -> None:
        self._scope = scope
        self._keeper = keeper
        self._answer_as = answer_as
        self._track = track
        self._client = Stream(peer, IDLE)
        self._inside: Origin | None = None
        self._upstream = Upstream(scope, track)

    def serve(self) -> None:
        """Answer requests until either side has had enough."""
        try:
            while self._one():
                pass
        except (Hangup, OSError):
            pass  # whoever asked sees the connection end; what was asked is counted
        except _Refused as refused:
            self._refuse(refused)
        finally:
            self._upstream.drop()
            self._client.close()

    def _one(self) -> bool:
        """One request and its answer. Returns whether another may follow."""
        client = self._client
        client.until = float("inf")
        try:
            head = client.head()
        except Hangup as hangup:
            if str(hangup).startswith("nothing came"):
                raise
            raise _Refused(400, str(hangup)) from None
        if head is None:
            return False
        client.within(EXCHANGE)
        method, _, rest = head.first.partition(b" ")
        target, _, version = rest.rpartition(b" ")
        if version not in (b"HTTP/1.1", b"HTTP/1.0") or not target:
            raise _Refused(400, "no HTTP/1.1")
        if method == b"CONNECT":
            self._tunnel(target)
            return True
        origin, path = self._aim(target)
        try:
            service = self._scope.admit(origin)
        except OutOfScope as error:
            raise _Refused(403, error.reason) from None
        self._check(head, origin)
        return self._exchange(service, origin, method, path, version, head)

    def _aim(self, target: bytes) -> tuple[Origin, bytes]:
        """Where a request goes, and its path with the query. Raises _Refused for what is no address."""
        if self._inside is not None and target.startswith(b"/"):
            return self._inside, target
        scheme, found, rest = target.partition(b"://")
        cut = min((at for mark in b"/?#" if (at := rest.find(bytes([mark]))) >= 0), default=len(rest))
        try:
            origin = origin_of((scheme + found + rest[:cut]).decode("ascii"))
        except (ValueError, UnicodeDecodeError):
            raise _Refused(400, "a proxy is asked for http://HOST/PATH") from None
        path = rest[cut:]
        return origin, path if path.startswith(b"/") else b"/" + path

    def _check(self, head: Head, origin: Origin) -> None:
        """Refuse websockets, and a Host that would reach somebody else's service on a host that is not this machine."""
        if b"websocket" in head.get(b"upgrade").lower():
            raise _Refused(501, "websockets are not passed on")
        host = head.get(b"host").decode("latin-1")
        if host and self._scope.shared_hosts:
            try:
                same = origin_of(f"{origin[0]}://{host}") == origin
            except ValueError:
                same = False
            if not same:
                self._scope.traffic.refuse(host[:100])
                raise _Refused(403, "the Host header names something else than the address")

    def _tunnel(self, target: bytes) -> None:
        """CONNECT: from now on this connection is the inside of one to `target`, if that is in the scope."""
        host, _, port = target.decode("latin-1").rpartition(":")
        authority = f"{host}:{port}"
        origin = next(
            (f"{scheme}://{authority}" for scheme in ("https", "http") if self._allows(scheme, authority)), ""
        )
        if not origin:
            self._scope.traffic.refuse(authority[:100])
            raise _Refused(403, f"{authority[:100]} is outside the deployment: not requested")
        self._inside = origin_of(origin)
        context = self._answer_as.get(self._inside[1])
        if self._inside[0] == "https" and context is None:
            raise _Refused(501, "there is no certificate to answer with")
        self._client.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
        if self._inside[0] == "https" and context is not None:
            before = self._client.sock
            inner = context.wrap_socket(before, server_side=True)
            self._track(before, opened=False)
            self._track(inner, opened=True)
            self._client = Stream(inner, IDLE)

    def _allows(self, scheme: str, authority: str) -> bool:
        return self._scope.allows(f"{scheme}://{authority}")

    def _exchange(self, service: str, origin: Origin, method: bytes, path: bytes, version: bytes, head: Head) -> bool:
        """Send a request on, and its answer back; count it."""
        client, keeper = self._client, self._keeper
        try:
            chunked, length = head.chunked(), head.length()
        except Hangup as hangup:
            raise _Refused(400, str(hangup)) from None
        if chunked and length is not None:
            raise _Refused(400, "both Content-Length and chunks")
        said = head.get(b"connection") + b"," + head.get(b"proxy-connection")
        closing = version == b"HTTP/1.0" or b"close" in said.lower()
        if head.get(b"expect"):
            client.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        head = keeper.current(head)
        carried = keeper.carried(head)
        keep = REPLAYED if method in _IDEMPOTENT else 0
        status, why = 0, ""
        try:
            line = method + b" " + path + b" " + version
            answer, body = self._upstream.ask(client, origin, line, head, (chunked, length), keep)
            status = status_of(answer)
            again = carried is not None and keeper.ended(carried, status)
            if again and keep and body is not None:
                self._upstream.drop()
                self._scope.traffic.retry()
                status = 0
                answer, _ = self._upstream.ask(client, origin, line, keeper.current(head), body, keep)
                status = status_of(answer)
        except Hangup as hangup:
            why = str(hangup)
            raise
        finally:  # before the answer is passed on: who has it may look at what was counted
            name = path.partition(b"?")[0].decode("latin-1")
            self._scope.traffic.record(
                service, method.decode("latin-1"), name, status, with_login=carried is not None, why=why
            )
        return self._reply(answer, status, method, closing=closing)

    def _reply(self, answer: Head, status: int, method: bytes, *, closing: bool) -> bool:
        """Pass the answer on. Returns whether the client's connection may be used again."""
        service = self._upstream.stream
        said = answer.get(b"connection").lower()
        last = b"close" in said or (answer.first.startswith(b"HTTP/1.0") and b"keep-alive" not in said)
        empty = method == b"HEAD" or status in (204, 304)
        chunked = not empty and answer.chunked()
        length = 0 if empty else answer.length()
        endless = not chunked and length is None
        closing = closing or endless
        fields = answer.without(_HOP_ANSWER | {b"content-length"} if chunked else _HOP_ANSWER)
        if closing:
            fields.append(b"Connection: close")
        first = b"HTTP/1.1" + answer.first[8:]
        body = Body(service, self._client.send, b"\r\n".join([first, *fields, b"", b""]))
        if chunked:
            body.chunks()
        elif endless:
            body.rest()
        elif length:
            body.sized(length)
        else:
            body.nothing()
        if last or endless:
            self._upstream.drop()
        else:
            self._upstream.used()
        return not closing

    def _refuse(self, refused: _Refused) -> None:
        """An answer of our own, and the end of the connection; what is still being sent is read, or it would not arrive."""
        text = f"vallum: {refused.why}\n".encode("utf-8", "replace")
        head = b"HTTP/1.1 %d %s\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        with contextlib.suppress(Hangup, OSError):
            self._client.send(head % (refused.status, _SAY[refused.status], len(text)) + text)
            self._client.sock.shutdown(socket.SHUT_WR)
            self._client.within(1.0)
            for _ in range(64):
                if not self._client.receive():
                    break

"""The connection of the proxy (vallum.stage.proxy) to a service: requests go on over it, and it is used again for a while."""

from __future__ import annotations

import socket
import time
from typing import Protocol

from vallum.stage.scope import Origin, Scope
from vallum.stage.wire import Body, Hangup, Head, Stream

CONNECT = 10.0
"""Seconds for a connection to a service."""
IDLE = 60.0
"""Seconds without a byte on either side: above every tool's own time-out, which is what counts."""
EXCHANGE = 300.0
"""Seconds for a request and its answer as a whole."""
REUSED = 2.0
"""Seconds for which an unused connection to a service is used again: below every server's keep-alive time."""
_HOP_REQUEST = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"proxy-authorization", b"upgrade", b"expect"}
)


class Track(Protocol):
    """Told of every socket, so that all end with the proxy."""

    def __call__(self, sock: socket.socket, *, opened: bool) -> None:
        """`sock` was opened, or is closed."""


class Upstream:
    """At most one connection at a time, to the service that was asked last."""

    def __init__(self, scope: Scope, track: Track) -> None:
        self._scope = scope
        self._track = track
        self._service: Stream | None = None
        self._at: Origin | None = None
        self._since = 0.0

    @property
    def stream(self) -> Stream:
        """The connection in use, once something was asked."""
        assert self._service is not None  # noqa: S101 - `ask` sets it or raises
        return self._service

    def used(self) -> None:
        """An answer was read to its end: from now on the connection may be used again."""
        self._since = time.monotonic()

    def ask(
        self, client: Stream, origin: Origin, line: bytes, head: Head, body: tuple[bool, int | None] | bytes, keep: int
    ) -> tuple[Head, bytes | None]:
        """Send a request, its body from the client or as it was kept; the head of the answer, and the body where it was kept."""
        fields = head.without(_HOP_REQUEST)
        kept: bytes | None = body if isinstance(body, bytes) else None
        while True:
            reused = self._connect(origin, again=bool(keep))
            service = self.stream
            begin = b"\r\n".join([line, *fields, b"", b""])
            try:
                if kept is not None:
                    service.send(begin + kept)
                elif isinstance(body, tuple):
                    passed = Body(client, service.send, begin, keep)
                    if body[0]:
                        passed.chunks()
                    elif body[1]:
                        passed.sized(body[1])
                    else:
                        passed.nothing()
                    kept = passed.kept
                service.wait(client)
                answer = service.head()
            except Hangup as hangup:
                answer = None
                if not reused or kept is None:
                    answer = self._early(service, hangup)
            if answer is not None:
                status = status_of(answer)
                while 100 <= status < 200:
                    if status == 101:
                        raise Hangup("it switched protocols")
                    answer = service.head()
                    if answer is None:
                        raise Hangup("it ended before its answer")
                    status = status_of(answer)
                return answer, kept
            self.drop()
            if not reused or kept is None:
                raise Hangup("it ended the connection without an answer")

    @staticmethod
    def _early(service: Stream, hangup: Hangup) -> Head:
        """The answer of a service that did not want the whole request; raises `hangup` where there is none."""
        if not str(hangup).startswith("cannot send"):
            raise hangup
        answer = service.head()
        if answer is None:
            raise hangup
        answer.fields.append((b"connection", b"close", b"Connection: close"))
        return answer

    def _connect(self, origin: Origin, *, again: bool) -> bool:
        """Have a connection to `origin`; whether it was used before. Raises Hangup.

        A request that must not be sent twice gets one of its own, not `again` the last: a service may end that at any
        moment, and whether it took the request cannot be told (RFC 9110, section 9.2.2).
        """
        service = self._service
        if service is not None:
            if again and self._at == origin and time.monotonic() - self._since < REUSED and not service.stale():
                service.within(EXCHANGE)
                return True
            self.drop()
        failed = "it has no address"
        for address in self._scope.addresses(origin):
            try:
                sock = socket.create_connection((address, origin[2]), CONNECT)
            except OSError as error:
                failed = f"cannot connect: {error.strerror or type(error).__name__}"
                continue
            if origin[0] == "https":
                try:
                    sock = self._scope.tls(origin).wrap_socket(sock, server_hostname=origin[1])
                except OSError as error:
                    sock.close()
                    raise Hangup(f"TLS failed: {error}"[:300]) from None
            self._service, self._at = Stream(sock, IDLE), origin
            self._service.within(EXCHANGE)
            self._track(sock, opened=True)
            return False
        raise Hangup(failed)

    def drop(self) -> None:
        """End the connection to the service."""
        if self._service is not None:
            self._track(self._service.sock, opened=False)
            self._service.close()
            self._service = None


def status_of(answer: Head) -> int:
    """The status of an answer. Raises Hangup for what is none."""
    parts = answer.first.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or len(parts[1]) != 3 or not parts[1].isdigit():
        raise Hangup("what answers speaks no HTTP/1")
    return int(parts[1])

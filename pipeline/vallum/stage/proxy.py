"""The forward proxy that every tool of a dynamic check must use: on loopback, and open to the deployment only.

It refuses with 403 what is outside the scope, keeps to the requests per second, counts, replaces tokens that have expired
(vallum.stage.renewal), and otherwise passes everything on as it came. Where a service does not answer, it ends the connection
without an answer, so that the tool sees what it would have seen without a proxy, and does not take our words for the service's.
TLS is ended here, with a certificate of the run's own, and begun anew: what is inside is held to the same scope.

One thread a connection with blocking sockets: each byte waits for exactly one peer, so backpressure, deadlines and renewal are
plain sequential code, and it costs less than an event loop (docs/scope.md has the figures).
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Self

from vallum.stage.exchange import Connection
from vallum.stage.renewal import Keeper
from vallum.stage.scope import Scope
from vallum.stage.sockets import LOOPBACK
from vallum.stage.upstream import CONNECT

MAX_CONNECTIONS = 512


class Proxy:
    """The proxy, for the length of a `with`. `certificates` gives the TLS context that answers in a host's name."""

    def __init__(self, scope: Scope, keeper: Keeper, answer_as: dict[str, ssl.SSLContext] | None = None) -> None:
        self._scope = scope
        self._keeper = keeper
        self._answer_as = answer_as or {}
        self._lock = threading.Lock()
        self._room = threading.Semaphore(MAX_CONNECTIONS)
        self._open: set[socket.socket] = set()
        self._threads: set[threading.Thread] = set()
        self._closing = threading.Event()
        self._server = socket.create_server((LOOPBACK, 0), backlog=256)
        self._thread = threading.Thread(target=self._accept, name="vallum-proxy", daemon=True)

    @property
    def address(self) -> str:
        """Such as `http://127.0.0.1:40123`."""
        host, port = self._server.getsockname()[:2]
        return f"http://{host}:{port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End all connections. Returns when the threads have ended."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._server.close()
        with self._lock:
            left = list(self._open)
            threads = list(self._threads)
        for each in left:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(CONNECT)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            while not self._room.acquire(timeout=0.1):
                if self._closing.is_set():
                    peer.close()
                    return
            thread = threading.Thread(target=self._serve, args=(peer,), name="vallum-proxy-peer", daemon=True)
            with self._lock:
                self._open.add(peer)
                self._threads.add(thread)
            thread.start()

    def _serve(self, peer: socket.socket) -> None:
        try:
            connection = Connection(self._scope, self._keeper, self._answer_as, peer, self._track)
            connection.serve()
        finally:
            peer.close()
            with self._lock:
                self._open.discard(peer)
                self._threads.discard(threading.current_thread())
            self._room.release()

    def _track(self, sock: socket.socket, *, opened: bool) -> None:
        """Connections to services too must end with the proxy."""
        with self._lock:
            (self._open.add if opened else self._open.discard)(sock)

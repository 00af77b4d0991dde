"""A port of the loopback that leads to one address: how a container on an internal network is reached from this machine.

An engine publishes no port of a container that has no way out, and giving it a way out is what the compose file forbids. The
relay listens on 127.0.0.1 only and dies with the process that holds it.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

from vallum.stage.sockets import LOOPBACK

_CHUNK = 64 << 10
_CONNECT = 5.0
MOST = 256
"""Connections at a time; more wait in the kernel's queue."""


class Relay:
    """Forwards connections to `port` of the loopback to `address`, until `close`."""

    def __init__(self, address: tuple[str, int]) -> None:
        self._address = address
        self._listener = socket.create_server((LOOPBACK, 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._room = threading.Semaphore(MOST)
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._accept, name=f"relay-{self.port}", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        self._listener.settimeout(0.2)
        while not self._closing.is_set():
            if not self._room.acquire(timeout=0.2):
                continue
            try:
                client, _ = self._listener.accept()
            except OSError:  # a timeout too: look whether we are closing
                self._room.release()
                continue
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.closing(client):
            try:
                client.settimeout(None)
                with socket.create_connection(self._address, timeout=_CONNECT) as service:
                    service.settimeout(None)
                    self._pump(client, service)
            except OSError:
                pass  # either end is gone: the other sees its connection closed, as it would without us
            finally:
                self._room.release()

    def _pump(self, client: socket.socket, service: socket.socket) -> None:
        """Copy both ways until both ends have said all; an end of one way is handed on as such."""
        other = {client: service, service: client}
        with selectors.DefaultSelector() as selector:
            for end in other:
                selector.register(end, selectors.EVENT_READ)
            while selector.get_map() and not self._closing.is_set():
                for key, _ in selector.select(timeout=0.5):
                    end = client if key.fileobj is client else service
                    data = end.recv(_CHUNK)
                    if data:
                        other[end].sendall(data)
                        continue
                    selector.unregister(end)
                    with contextlib.suppress(OSError):
                        other[end].shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Stop listening; open connections end within half a second. Safe to call twice."""
        self._closing.set()
        self._thread.join()
        self._listener.close()

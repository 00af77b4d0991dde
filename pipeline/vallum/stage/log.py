"""The services' output, taken through pipes: bounded on disk, redacted before it is written, its end kept at hand."""

from __future__ import annotations

import contextlib
import os
import selectors
import threading
from collections.abc import Iterator
from pathlib import Path

from vallum.stage.redact import Redactor

HEAD = 1 << 20
"""Bytes of a log that are kept from its beginning."""
TAIL = 256 << 10
"""Bytes that are kept of its end, once the head is full. What lies between is counted and dropped."""
_CHUNK = 64 << 10


class _Log:
    def __init__(self, path: Path, redactor: Redactor) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb", buffering=0)
        self._redactor = redactor
        self._held = b""
        self._written = 0
        self._dropped = 0
        self._tail = b""
        self.holding = True

    def feed(self, data: bytes) -> None:
        """Whole lines go on; a line without an end goes on too when it is long, but for what could be half a secret."""
        self._held += data
        if self.holding and len(self._held) < HEAD:
            return
        cut = self._held.rfind(b"\n") + 1
        if not cut and len(self._held) > _CHUNK:
            cut = len(self._held) - self._redactor.longest
        if cut > 0:
            whole, self._held = self._held[:cut], self._held[cut:]
            self._keep(self._redactor.data(whole))

    def _keep(self, data: bytes) -> None:
        room = max(0, HEAD - self._written)
        if room:
            self._file.write(data[:room])
            self._written += len(data[:room])
        self._tail += data
        if len(self._tail) > 2 * TAIL:
            self._tail = self._tail[-TAIL:]
        self._dropped += len(data[room:])

    def tail(self) -> bytes:
        """The end of what was written so far."""
        return self._tail + self._redactor.data(self._held)

    def close(self) -> None:
        """Write what was held back, and the end of a log that was cut."""
        self._keep(self._redactor.data(self._held))
        self._held = b""
        if self._dropped:
            end = self._tail[-min(TAIL, self._dropped) :]
            self._file.write(b"\n[vallum: %d bytes left out]\n" % (self._dropped - len(end)) + end)
        self._file.close()


class Logs:
    """One thread reads the pipes of all services, so that none blocks on a full one. `close` ends it.

    Until `release`, what the services print is held in memory: one that logs the token it just gave us does so before we
    can know it.
    """

    def __init__(self, redactor: Redactor) -> None:
        self._redactor = redactor
        self._lock = threading.Lock()
        self._logs: dict[str, _Log] = {}
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        self._closing = False
        self._holding = 0
        self._thread = threading.Thread(target=self._pump, name="vallum-logs", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def pipe(self, service: str, path: Path) -> Iterator[Path]:
        """A file name for `vallum.process.start(stdout=…)`: the writing end of a pipe that ends up in `path`."""
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        with self._lock:
            self._logs[service] = _Log(path, self._redactor)
            self._selector.register(reader, selectors.EVENT_READ, service)
        os.write(self._woken, b"+")
        try:
            yield Path(f"/dev/fd/{writer}")
        finally:
            os.close(writer)

    def tail(self, service: str, characters: int = 2000) -> str:
        """The end of a service's output so far, redacted. Waits a moment for what is still in the pipe."""
        self._thread.join(0.1)
        with self._lock:
            log = self._logs.get(service)
            return log.tail().decode("utf-8", "replace")[-characters:].strip() if log else ""

    def release(self) -> None:
        """All secrets are known to the redactor by now: write what was held, and from now on at once."""
        with self._lock:
            if self._holding:
                return
            for log in self._logs.values():
                log.holding = False
                log.feed(b"")

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Hold in memory again what the services print, for as long as a login is renewed."""
        with self._lock:
            self._holding += 1
            for log in self._logs.values():
                log.holding = True
        try:
            yield
        finally:
            with self._lock:
                self._holding -= 1
            self.release()

    def _pump(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.data is None:
                    os.read(key.fd, _CHUNK)
                    continue
                self._read(key.fd, key.data)
            if self._closing:
                return

    def _read(self, reader: int, service: str) -> None:
        try:
            data = os.read(reader, _CHUNK)
        except BlockingIOError:
            return
        with self._lock:
            if data:
                self._logs[service].feed(data)
                return
            self._selector.unregister(reader)
        os.close(reader)

    def close(self) -> None:
        """Take what is left in the pipes and close the files, after the services have ended. Safe to call twice."""
        if self._closing:
            return
        self._closing = True
        os.write(self._woken, b".")
        self._thread.join()
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                for _ in range(16):  # a pipe holds at most 1 MiB; a process that got away may still write
                    if key.fd not in self._selector.get_map():
                        break
                    self._read(key.fd, str(key.data))
                if key.fd in self._selector.get_map():
                    self._selector.unregister(key.fd)
                    os.close(key.fd)
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)
        for log in self._logs.values():
            log.close()

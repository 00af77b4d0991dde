"""HTTP/1.1 messages as they are on the wire: heads taken apart and put together again, bodies passed on without being kept.

RFC 9112. What a scanner sends and a weak service answers is passed on byte for byte, but for the fields that belong to one
connection only (RFC 9110, 7.6.1): a proxy that tidied up would hide the weaknesses that are being looked for.
"""

from __future__ import annotations

import re
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

MAX_HEAD = 256 << 10
"""Bytes of a message's head."""
MAX_LINE = 8 << 10
"""Bytes of the line that begins a chunk."""
CHUNK = 64 << 10
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
_GONE = select.POLLERR | select.POLLHUP | getattr(select, "POLLRDHUP", 0)


class Hangup(Exception):
    """The peer ended the connection, took too long, or sent what is no HTTP."""


@dataclass(slots=True)
class Head:
    """The first line, and the fields as (name in lower case, value, the line as it came)."""

    first: bytes
    fields: list[tuple[bytes, bytes, bytes]]

    @classmethod
    def parse(cls, raw: bytes) -> Head:
        """Take a head apart. Raises Hangup for a field without a colon."""
        lines = raw.replace(b"\r\n", b"\n").split(b"\n")
        fields: list[tuple[bytes, bytes, bytes]] = []
        for line in lines[1:]:
            if not line:
                continue
            if (
                line[:1] in b" \t" and fields
            ):  # a folded line: obsolete, but passed on with the field that it belongs to
                name, value, before = fields[-1]
                fields[-1] = (name, value + b" " + line.strip(), before + b"\r\n" + line)
                continue
            name, colon, value = line.partition(b":")
            if not colon:
                raise Hangup("a header field without a colon")
            fields.append((name.strip().lower(), value.strip(), line))
        return cls(lines[0], fields)

    def get(self, name: bytes) -> bytes:
        """The value of the first field of that name; empty where there is none."""
        return next((value for field, value, _ in self.fields if field == name), b"")

    def all(self, name: bytes) -> list[bytes]:
        """The values of all fields of that name."""
        return [value for field, value, _ in self.fields if field == name]

    def without(self, names: frozenset[bytes]) -> list[bytes]:
        """The lines of all fields but those named, and those that `Connection` names."""
        listed = self.get(b"connection").lower()
        own = names | {word.strip() for word in listed.split(b",")} if listed else names
        return [line for name, _, line in self.fields if name not in own]

    def chunked(self) -> bool:
        """Whether the body comes in chunks. Raises Hangup for a coding that we cannot find the end of."""
        codings = b",".join(self.all(b"transfer-encoding")).lower().replace(b" ", b"")
        if not codings:
            return False
        if codings.split(b",")[-1] != b"chunked":
            raise Hangup("an unknown transfer coding")
        return True

    def length(self) -> int | None:
        """Content-Length. Raises Hangup for one that is no number, or two that differ."""
        values = {part.strip() for value in self.all(b"content-length") for part in value.split(b",")}
        if not values:
            return None
        value = values.pop()
        if values or not value.isdigit() or len(value) > 15:
            raise Hangup("a wrong Content-Length")
        return int(value)


QUICK: int | None = getattr(socket, "TCP_QUICKACK", None)
"""Linux: acknowledge at once. It holds for a moment only, so it is said again after each read."""


class Stream:
    """A socket with what was read from it and not yet used. `idle` seconds without a byte, and `until`, end it."""

    def __init__(self, sock: socket.socket, idle: float) -> None:
        self.sock = sock
        self.idle = idle
        self.until = float("inf")
        self.buffer = b""
        sock.settimeout(idle)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def within(self, seconds: float) -> None:
        """What follows may take so long as a whole."""
        self.until = time.monotonic() + seconds
        self.sock.settimeout(self.idle)

    def close(self) -> None:
        """Close the socket. Safe to call twice."""
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all. Raises Hangup."""
        try:
            self.sock.sendall(data)
        except OSError as error:
            raise Hangup(f"cannot send: {type(error).__name__}") from None

    def receive(self) -> bytes:
        """Some bytes; none where the peer has ended. Raises Hangup where nothing comes."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise Hangup("it took too long")
        if left < self.idle:
            self.sock.settimeout(left)
        try:
            data = self.sock.recv(CHUNK)
            if data and QUICK is not None:
                # a peer that sends head and body apart waits for this (Nagle): 40 ms where it is left to the kernel
                self.sock.setsockopt(socket.IPPROTO_TCP, QUICK, 1)
            return data
        except OSError as error:
            raise Hangup(f"nothing came: {type(error).__name__}") from None

    def head(self) -> Head | None:
        """The next head; None where the peer ended before its first byte. Raises Hangup."""
        self.buffer = self.buffer.lstrip(b"\r\n")
        looked = 0
        while True:
            end = _END_OF_HEAD.search(self.buffer, max(0, looked - 3))
            if end is not None and end.start() <= MAX_HEAD:
                raw, self.buffer = self.buffer[: end.start()], self.buffer[end.end() :]
                return Head.parse(raw)
            looked = len(self.buffer)
            if looked > MAX_HEAD:
                raise Hangup("the head is too large")
            data = self.receive()
            if not data:
                if self.buffer:
                    raise Hangup("it ended inside a head")
                return None
            self.buffer += data

    def stale(self) -> bool:
        """Whether an idle connection was ended meanwhile, or has said what nobody asked for."""
        return bool(self.buffer) or self._readable(0)

    def _readable(self, milliseconds: int) -> bool:
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return True
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        return bool(poller.poll(milliseconds))

    def wait(self, asker: Stream) -> None:
        """Wait until something comes. Raises Hangup when `asker`, for whom it is, has gone, or nothing came in time."""
        if self.buffer or (isinstance(self.sock, ssl.SSLSocket) and self.sock.pending()):
            return
        poller = select.poll()
        poller.register(self.sock, select.POLLIN)
        poller.register(asker.sock, _GONE & ~(select.POLLERR | select.POLLHUP))
        for fd, _ in poller.poll(max(0.0, min(self.idle, self.until - time.monotonic())) * 1000):
            if fd == self.sock.fileno():
                return
            raise Hangup("who asked has gone")
        raise Hangup("no answer in time")


class Body:
    """Passes one body from a stream on. `begin` goes out with its first bytes; `keep` bytes are kept as they passed."""

    def __init__(self, source: Stream, send: Callable[[bytes], None], begin: bytes = b"", keep: int = 0) -> None:
        self._source = source
        self._send = send
        self._out = begin
        self._keep = keep
        self.kept: bytes | None = b"" if keep else None

    def _pass(self, data: bytes) -> None:
        if self.kept is not None:
            self.kept = self.kept + data if len(self.kept) + len(data) <= self._keep else None
        self._out += data
        if len(self._out) >= CHUNK:
            self._flush()

    def _flush(self) -> None:
        if self._out:
            self._send(self._out)
            self._out = b""

    def _more(self) -> bytes:
        """What is at hand, else what comes next, with all that is at hand sent before."""
        source = self._source
        if not source.buffer:
            self._flush()
            source.buffer = source.receive()
            if not source.buffer:
                raise Hangup("it ended inside a body")
        return source.buffer

    def nothing(self) -> None:
        """There is no body."""
        self._flush()

    def sized(self, length: int) -> None:
        """A body of `length` bytes."""
        self._exactly(length)
        self._flush()

    def chunks(self) -> None:
        """A body in chunks, with its trailer."""
        while True:
            line = self._line()
            size = _SIZE.fullmatch(line)
            if size is None:
                raise Hangup("no chunk begins here")
            self._pass(line)
            length = int(size[1], 16)
            if not length:
                break
            self._exactly(length)
            end = self._line()
            if end.strip(b"\r\n"):
                raise Hangup("a chunk is longer than it says")
            self._pass(end)
        while True:
            line = self._line()
            self._pass(line)
            if not line.strip(b"\r\n"):
                break
        self._flush()

    def _exactly(self, length: int) -> None:
        while length:
            data = self._more()
            self._source.buffer = data[length:]
            self._pass(data[:length])
            length -= min(length, len(data))

    def _line(self) -> bytes:
        line = b""
        while True:
            data = self._more()
            cut = data.find(b"\n") + 1
            line += data[:cut] if cut else data
            self._source.buffer = data[cut:] if cut else b""
            if cut:
                return line
            if len(line) > MAX_LINE:
                raise Hangup("a line is too long")

    def rest(self) -> None:
        """A body that ends with the connection."""
        while True:
            self._pass(self._source.buffer)
            self._flush()
            self._source.buffer = self._source.receive()
            if not self._source.buffer:
                return

"""Loopback sockets: free ports, who listens, and one HTTP GET whose whole time is bounded."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = "127.0.0.1"
_TICK = 0.05


def free_ports(count: int) -> list[int]:
    """`count` different ports that were free a moment ago (bound to 0, closed). One may be taken before it is used."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind((LOOPBACK, 0))
        return [each.getsockname()[1] for each in held]


def get_status(
    port: int, path: str, deadline: float, tick: Callable[[], None], tls: ssl.SSLContext | None = None
) -> int:
    """The status of `GET path` on the loopback `port`, or 0 where there is none by `deadline` (of time.monotonic).

    With `tls` it is asked by https. Redirects are not followed. `tick` is called about every 50 ms and may raise to give up: a
    server that sends one byte at a time, or none, can hold nothing up. Raises ssl.SSLError where the service is not what
    `tls` trusts, or speaks another protocol.
    """
    line = b""
    try:
        patience = max(_TICK, min(1.0, deadline - time.monotonic()))
        with contextlib.ExitStack() as stack:
            peer = stack.enter_context(socket.create_connection((LOOPBACK, port), timeout=patience))
            if tls is not None:
                peer = stack.enter_context(_secured(peer, tls, deadline, tick))
            peer.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode())
            peer.settimeout(_TICK)
            while b"\n" not in line and len(line) < 512:
                tick()
                if time.monotonic() > deadline:
                    return 0
                with contextlib.suppress(TimeoutError):
                    data = peer.recv(512)
                    if not data:
                        break
                    line += data
    except ssl.SSLEOFError:
        return 0  # it ended the connection, as a service that is starting may
    except ssl.SSLError:
        raise
    except OSError:
        return 0
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/") or not words[1].isdigit():
        return 0
    return int(words[1])


def _secured(peer: socket.socket, tls: ssl.SSLContext, deadline: float, tick: Callable[[], None]) -> ssl.SSLSocket:
    """The connection after its handshake. Raises TimeoutError where there was none by `deadline`."""
    secured = tls.wrap_socket(peer, server_hostname=LOOPBACK, do_handshake_on_connect=False)
    secured.settimeout(_TICK)
    try:
        while True:
            tick()
            try:
                secured.do_handshake()
                return secured
            except TimeoutError:
                if time.monotonic() > deadline:
                    raise
    except BaseException:
        secured.close()
        raise


@dataclass(frozen=True)
class Listener:
    """A listening TCP socket: its address for a person, whether it is loopback, and the inode that says whose it is."""

    address: str
    loopback: bool
    inode: str


def listeners(port: int) -> list[Listener]:
    """Who listens on `port`. Empty where the system cannot say (no /proc: unverified there).

    Linux: /proc/net/tcp and tcp6, proc(5); state 0A is LISTEN, addresses are hexadecimal words in host byte order.
    """
    found = []
    for name in ("tcp", "tcp6"):
        try:
            lines = Path("/proc/net", name).read_text("ascii").splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            address, _, number = fields[1].partition(":")
            if fields[3] != "0A" or int(number, 16) != port:
                continue
            raw = bytes.fromhex(address)
            words = [int.from_bytes(raw[i : i + 4], sys.byteorder) for i in range(0, len(raw), 4)]
            found.append(Listener(_shown(words), _is_loopback(words), fields[9]))
    return found


def held_by(listener: Listener, pids: Iterable[int]) -> bool:
    """Whether one of the processes has the listening socket open."""
    wanted = f"socket:[{listener.inode}]"
    for pid in pids:
        with contextlib.suppress(OSError):
            folder = f"/proc/{pid}/fd"
            for name in os.listdir(folder):
                with contextlib.suppress(OSError):
                    if os.readlink(f"{folder}/{name}") == wanted:
                        return True
    return False


def _is_loopback(words: list[int]) -> bool:
    """127.0.0.0/8, ::1 and ::ffff:127.0.0.0/8, as 32-bit words."""
    if len(words) == 1:
        return words[0] >> 24 == 127
    return words == [0, 0, 0, 1] or (words[:3] == [0, 0, 0xFFFF] and words[3] >> 24 == 127)


def _shown(words: list[int]) -> str:
    family = socket.AF_INET if len(words) == 1 else socket.AF_INET6
    return socket.inet_ntop(family, b"".join(word.to_bytes(4, "big") for word in words))

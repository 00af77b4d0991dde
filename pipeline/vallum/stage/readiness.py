"""Waiting until a service is ready: an HTTP path that answers 2xx, a port that is open, or a command that ends with 0.

For every kind of environment: `probe` makes the question from the `ready` table, `wait` asks it until the answer is yes.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vallum.environments import Ready
from vallum.errors import Inconclusive, UserError
from vallum.process import start, stop, tail
from vallum.stage import sockets

ATTEMPT = 5.0
"""Seconds for one HTTP request or connection."""
COMMAND = 30.0
"""Seconds for one run of the command."""
PAUSE = 0.03

Probe = Callable[[float, Callable[[], None]], str]
"""Ask once: until a time of time.monotonic(), calling the second argument now and then. Empty: ready; else why not."""


@dataclass(frozen=True)
class Command:
    """How a `ready.command` is run: placeholders filled in, `env` the whole environment, its output in the file `out`."""

    argv: Sequence[str]
    cwd: Path
    env: Mapping[str, str]
    out: Path


def check(key: str, ready: Ready) -> None:
    """Raise UserError where the table says more than one thing."""
    if sum((ready.path != "/", ready.tcp, bool(ready.command))) > 1:
        raise UserError(f"{key}: `path`, `tcp` and `command` exclude each other", "keep one of them")


def probe(
    ready: Ready,
    port: int,
    command: Command | None = None,
    host: str = sockets.LOOPBACK,
    tls: ssl.SSLContext | None = None,
) -> Probe:
    """The question that `ready` asks of the service at `port`. `command` is needed where `ready.command` is set, `tls` where the
    service speaks https: it checks the certificate."""
    if ready.command:
        if command is None:
            raise ValueError("ready.command without a Command")
        return _command(command)
    if ready.tcp:
        return _tcp(host, port)
    return _http(port, ready.path, tls)


def wait(name: str, seconds: float, ask: Probe, alive: Callable[[], None], log_tail: Callable[[], str]) -> None:
    """Return as soon as the service is ready. Raises Inconclusive after `seconds`, or whatever `alive` raises.

    `alive` is called about every 50 ms and raises when a service has ended; `log_tail` is the end of the service's log.
    """
    deadline = time.monotonic() + seconds
    why = ""
    while time.monotonic() < deadline:
        alive()
        said = ask(deadline, alive)
        if not said:
            return
        if not why or time.monotonic() < deadline:  # else the deadline cut it short: what was said before tells more
            why = said
        time.sleep(PAUSE)
    raise Inconclusive(f"the service {name} was not ready within {seconds:g} s: {why}", log_tail())


def _http(port: int, path: str, tls: ssl.SSLContext | None) -> Probe:
    def ask(deadline: float, tick: Callable[[], None]) -> str:
        try:
            status = sockets.get_status(port, path, min(deadline, time.monotonic() + ATTEMPT), tick, tls)
        except ssl.SSLCertVerificationError as error:  # waiting does not make it another one
            why = getattr(error, "verify_message", "") or error.args[-1]
            raise Inconclusive(f"what answers at port {port} has a certificate that is not trusted: {why}") from None
        except ssl.SSLError as error:
            return f"GET {path}: TLS failed: {error.reason or error}"
        if 200 <= status < 300:
            return ""
        return f"GET {path} " + (f"answered {status}" if status else "did not answer")

    return ask


def _tcp(host: str, port: int) -> Probe:
    def ask(deadline: float, _tick: Callable[[], None]) -> str:
        try:
            with socket.create_connection((host, port), timeout=max(0.05, min(1.0, deadline - time.monotonic()))):
                return ""
        except OSError as error:
            return f"port {port} is not open ({error.strerror or type(error).__name__})"

    return ask


def _command(command: Command) -> Probe:
    def ask(deadline: float, tick: Callable[[], None]) -> str:
        code = run(command, min(deadline, time.monotonic() + COMMAND), tick)
        if code == 0:
            return ""
        said = tail(command.out, 300)
        how = "did not end in time" if code is None else f"ended with exit code {code}"
        return f"{command.argv[0]} {how}" + (f": {said.splitlines()[-1]}" if said else "")

    return ask


def run(command: Command, deadline: float, tick: Callable[[], None]) -> int | None:
    """Run a command of the configuration until `deadline`: its exit code, or None where it had to be ended.

    Raises Inconclusive where it cannot be started, and whatever `tick` raises.
    """
    process = start(command.argv, cwd=command.cwd, env=command.env, stdout=command.out)
    try:
        while process.poll() is None:
            tick()
            if time.monotonic() > deadline:
                return None
            time.sleep(0.02)
        return process.returncode
    finally:
        stop(process, 1.0 if process.poll() is None else 0.1)

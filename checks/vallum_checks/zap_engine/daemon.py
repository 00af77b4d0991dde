"""One ZAP of our own: started, proved to be ours, ended. Every way in which its start is known to fail is told apart.

A missing mandatory add-on and a port in use both end with exit code 0; a broken add-on or a wrong option leaves the JVM
alive without ever listening; on a port in use somebody else's ZAP may answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen  # noqa: TID251 - the type only; vallum.process starts it

from vallum.errors import Inconclusive
from vallum.process import clean_environment, start, stop
from vallum.stage.sockets import free_ports
from vallum_checks.zap_engine.client import Zap, ZapGone

BOOT = 120.0
"""Seconds until ZAP must listen. Measured: 3 to 10 assembled, 8 to 20 with all add-ons; 35 on two cores with a load of 10."""
SHUTDOWN = 3.0


@dataclass(frozen=True)
class Daemon:
    """A running ZAP that is ours."""

    zap: Zap
    process: Popen[bytes]
    home: Path
    log: Path
    version: str

    def alive(self) -> None:
        """Raise ZapGone where the process ended."""
        code = self.process.poll()
        if code is not None:
            raise ZapGone(f"ZAP ended in mid-scan (exit code {code})", _tail(self.log))


@contextlib.contextmanager
def running(
    command: Sequence[str],
    *,
    install: Path | None,
    home: Path,
    log: Path,
    boot: float = BOOT,
    port: int = 0,
    read: float = 30.0,
    settings: Mapping[str, str] | None = None,
) -> Iterator[Daemon]:
    """Run `command` as a ZAP daemon on loopback for as long as the `with` lasts.

    `home` must not exist. `settings` are ZAP's own, by their dotted names. `command` is everything before ZAP's own
    options. Raises Inconclusive where it does not come up within `boot` seconds.
    """
    key = secrets.token_hex(16)
    port = port or free_ports(1)[0]
    home.parent.mkdir(parents=True, exist_ok=True)
    file_of_settings = home.with_name(home.name + ".properties")
    # In a file, so that the process list does not show the key. addresses: left alone, the client's own is among them.
    handle = os.open(file_of_settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        given = {"api.key": key, "api.reportpermerrors": "true", **(settings or {})}
        file.write("".join(f"{name}={value}\n" for name, value in given.items()))
    argv = [*command, "-daemon", "-silent", *(("-installdir", str(install)) if install else ())]
    argv += ["-dir", str(home), "-host", "127.0.0.1", "-port", str(port), "-configfile", str(file_of_settings)]
    process = start(argv, cwd=home.parent, env=clean_environment({"TMPDIR": str(home.parent)}), stdout=log)
    try:
        zap = Zap(f"http://127.0.0.1:{port}", key, read=read)
        version = _wait(zap, process, home, log, boot)
        yield Daemon(zap, process, home, log, version)
        with contextlib.suppress(Inconclusive):
            Zap(zap.address, key, read=SHUTDOWN).api.core.shutdown()
    finally:
        stop(process, SHUTDOWN)
        file_of_settings.unlink(missing_ok=True)


def _wait(zap: Zap, process: Popen[bytes], home: Path, log: Path, boot: float) -> str:
    """The version, once ZAP listens and proves to be ours. A short read deadline, so that a hang is a hang."""
    probe = Zap(zap.address, zap._key, read=3.0)  # noqa: SLF001
    end = time.monotonic() + boot
    while True:
        code = process.poll()
        if code is not None:
            raise Inconclusive(f"ZAP ended while it started (exit code {code}): {_why(log)}", _tail(log))
        try:
            where = probe.api.core.zap_home_path
            if os.path.realpath(str(where)) != os.path.realpath(home):
                raise Inconclusive("another ZAP answers at the port that was meant for ours", str(where))
            return str(probe.api.core.version)
        except ZapGone:
            if time.monotonic() > end:
                raise Inconclusive(f"ZAP did not listen within {boot:.0f} s: {_why(log)}", _tail(log)) from None
            time.sleep(0.1)
        except Inconclusive as error:
            if "bad_api_key" in error.reason:
                raise Inconclusive(
                    "another ZAP answers at the port that was meant for ours (it knows another key)"
                ) from None
            raise


def _tail(log: Path) -> str:
    with contextlib.suppress(OSError):
        return log.read_text("utf-8", "replace")[-4000:]
    return ""


def _why(log: Path) -> str:
    """The line of the log that says most."""
    lines = [line.strip() for line in _tail(log).splitlines() if line.strip()]
    for word in (
        "in use",
        "not found",
        "Failed to start",
        "already in use",
        "Unsupported option",
        "Exception",
        "ERROR",
    ):
        for line in lines:
            if word in line:
                return line[-300:]
    return lines[-1][-300:] if lines else "it wrote nothing"

"""Finding and ending the processes of a deployment, and only those, even after the one that started them was killed.

Every staged process inherits the environment variable VALLUM_STAGE, which names the stage folder: that is the label. A
recorded pid alone proves nothing (the kernel reuses it), so it counts only with the start time recorded beside it.
Linux: read from /proc. Elsewhere the start time comes from `ps` and there is no label (unverified).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess  # noqa: TID251 - only its type; vallum.process starts
import sys
import tempfile
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from vallum.process import run

LABEL = "VALLUM_STAGE"
_PROC = Path("/proc")
_LINUX = sys.platform.startswith("linux")


@dataclass(frozen=True)
class Seen:
    """A live process. `started` is in clock ticks since boot on Linux, else what `ps` prints."""

    pid: int
    group: int
    started: str


def started(pid: int) -> str:
    """When the process `pid` began, or an empty string where there is none (a zombie counts as none)."""
    if _LINUX:
        seen = _read(pid)
        return seen.started if seen else ""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        argv = ["ps", "-o", "lstart=", "-p", str(pid)]
        done = run(argv, cwd=folder, deadline=10, stdout=folder / "out", stderr=folder / "err")
        return done.output().decode("utf-8", "replace").strip()


def _read(pid: int) -> Seen | None:
    """/proc/PID/stat, proc(5): after the parenthesised name come state (3), ppid, pgrp (5) … starttime (22)."""
    try:
        fields = (_PROC / str(pid) / "stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return None
    if len(fields) < 20 or fields[0] in (b"Z", b"X"):
        return None
    return Seen(pid, int(fields[2]), fields[19].decode())


def _all() -> Iterator[Seen]:
    if not _LINUX:
        return
    for name in os.listdir(_PROC):
        if name.isdigit() and (seen := _read(int(name))) is not None:
            yield seen


def labelled(folder: Path) -> list[Seen]:
    """The live processes that carry the label of the stage folder, whatever group or session they moved to."""
    wanted = f"{LABEL}={folder}".encode()
    found = []
    for seen in _all():
        try:
            environment = (_PROC / str(seen.pid) / "environ").read_bytes()
        except OSError:
            continue
        if seen.pid != os.getpid() and wanted in environment.split(b"\0"):
            found.append(seen)
    return found


def of_groups(groups: Collection[int]) -> list[Seen]:
    """The live processes of the process groups that we started and whose leaders we have not reaped yet."""
    return [seen for seen in _all() if seen.group in groups]


def end(processes: Collection[Seen], grace: float) -> None:
    """SIGTERM, `grace` seconds, SIGKILL; each only while pid and start time still match."""
    alive = [seen for seen in processes if started(seen.pid) == seen.started]
    for number in (signal.SIGTERM, signal.SIGKILL):
        for seen in alive:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(seen.pid, number)
        deadline = time.monotonic() + (grace if number == signal.SIGTERM else 5.0)
        while alive and time.monotonic() < deadline:
            time.sleep(0.02)
            alive = [seen for seen in alive if started(seen.pid) == seen.started]


def end_groups(running: Collection[subprocess.Popen[bytes]], grace: float) -> None:
    """End whole process groups together: SIGTERM to each, one `grace` for all, SIGKILL. Zombies are not waited for."""
    for process in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGTERM)
    deadline = time.monotonic() + grace
    while time.monotonic() < deadline and any(_group_lives(process) for process in running):
        time.sleep(0.02)
    for process in running:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    for process in running:
        process.wait()


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    if process.poll() is None:
        return True
    if _LINUX:
        return bool(of_groups({process.pid}))
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True

"""Run pieces of work in copies of this process, a few at a time: they start with all that is loaded here, in a millisecond.

A nox of its own for each check took a third of a second of both cores, and a look at the whole target (ADR 6).
"""

from __future__ import annotations

import contextlib
import functools
import gc
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vallum.process import ended_by_signals, fork
from vallum.progress import speak_through

BUG = 70
"""The exit code of a copy whose work raised (EX_SOFTWARE of sysexits.h)."""
ENDING = 15.0
"""Seconds that a copy has to take down what it started (a deployment stops its services in up to 5)."""


def run_all(
    works: Mapping[str, Callable[[], None]],
    at_once: int,
    log: Path,
    meanwhile: Callable[[], None],
    ended: Callable[[str], None],
) -> list[str]:
    """Do all `works` in their order, `at_once` at a time, each in a process group of its own; `meanwhile` once they run, and
    `ended` after each, with its name, while others run.

    What they print goes to `log`, but for what they `say`. Whatever ends this, ends them. Returns those that did not end
    well, each with how: proof of nothing, but it explains what is missing.
    """
    waiting = list(works.items())
    running: dict[int, str] = {}
    bad = []
    log.unlink(missing_ok=True)  # a target may bring a link of that name: nothing is written through it
    with log.open("xb", buffering=0) as out:
        try:
            while waiting or running:
                while waiting and len(running) < at_once:
                    name, work = waiting.pop(0)
                    running[_copy(work, out.fileno())] = name
                meanwhile()
                meanwhile = _nothing
                pid, status = os.wait()
                if pid not in running:
                    continue
                name = running.pop(pid)
                if status:
                    bad.append(f"{name}: {_said(os.waitstatus_to_exitcode(status))}")
                meanwhile = functools.partial(ended, name)
            meanwhile()
        finally:
            _end(running)
    return bad


def _nothing() -> None:
    pass


def _said(code: int) -> str:
    if code < 0:
        return f"its process was killed by signal {-code}"
    return "its process ended with an error" if code == BUG else f"its process ended with code {code}"


def _copy(work: Callable[[], None], log: int) -> int:
    """Start one, with its output to the open file `log`; returns its process id in this process, and never in the copy."""
    sys.stdout.flush()
    sys.stderr.flush()
    parent = os.getpid()
    pid = fork()
    if pid:
        return pid
    code = BUG
    gc.enable()  # the original may do without while it judges
    try:
        os.setsid()
        speak_through(os.dup(2))
        with open(os.devnull, "rb") as empty:
            for number, descriptor in enumerate((empty.fileno(), log, log)):
                os.dup2(descriptor, number)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, errors="backslashreplace", closefd=False)
        with ended_by_signals():  # also when the parent ends
            if os.getppid() == parent:
                work()
                code = 0
    except KeyboardInterrupt:
        code = 128 + signal.SIGTERM
    except BaseException:  # noqa: BLE001 - nothing of the copy may go on above this
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _end(running: Iterable[int]) -> None:
    """End all that run: SIGTERM, ENDING seconds for what they take down, SIGKILL."""
    left = set(running)
    _signal(left, signal.SIGTERM)
    until = time.monotonic() + ENDING
    while left:
        if time.monotonic() > until:
            _signal(left, signal.SIGKILL)
        for pid in list(left):
            with contextlib.suppress(ChildProcessError):
                if os.waitpid(pid, os.WNOHANG)[0] == 0:
                    continue
            left.discard(pid)
        time.sleep(0.01 if left else 0)


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)  # what it started has groups of its own, and ends with it

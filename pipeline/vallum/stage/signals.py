"""What a signal does to a deployment: it ends what is going on, but not the taking down."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from vallum.process import ended_by_signals


@contextlib.contextmanager
def interrupting() -> Iterator[None]:
    """SIGTERM and SIGHUP as KeyboardInterrupt, where we are in the main thread (elsewhere handlers cannot be set)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with ended_by_signals():
        yield


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """A second Ctrl-C waits until the (bounded) teardown is done, and then counts."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        came.append(number)

    before: dict[int, Callable[[int, FrameType | None], Any] | int | None] = {
        number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
    if came:
        raise KeyboardInterrupt(signal.Signals(came[0]).name)

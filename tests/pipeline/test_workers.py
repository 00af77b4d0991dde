"""Copies of this process: what they leave, how their ends are told, and that all end with whoever started them."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from tests.conftest import ROOT

from vallum.progress import say
from vallum.workers import run_all


def leave(path: Path, text: str) -> None:
    path.write_text(text)


def nothing() -> None:
    pass


def none(_: str) -> None:
    pass


def test_all_run_and_what_they_print_is_kept(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def loud() -> None:
        print("printed")
        os.write(2, b"a library's warning\n")
        say("said")

    works: dict[str, Callable[[], None]] = {
        f"work {n}": partial(leave, tmp_path / str(n), f"{os.getpid()}") for n in range(5)
    }
    called, ended = [], []
    bad = run_all({**works, "loud": loud}, 2, tmp_path / "log", lambda: called.append(os.getpid()), ended.append)
    assert bad == []
    assert [(tmp_path / str(n)).read_text() for n in range(5)] == [str(os.getpid())] * 5
    assert called == [os.getpid()]
    assert sorted(ended) == sorted([*works, "loud"])
    assert (tmp_path / "log").read_text().splitlines() == ["printed", "a library's warning"]
    assert capfd.readouterr() == ("", "said\n")


def test_nothing_is_written_through_a_link_of_the_targets(tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("kept")
    (tmp_path / "log").symlink_to(tmp_path / "theirs")
    assert run_all({"loud": partial(print, "printed")}, 1, tmp_path / "log", nothing, none) == []
    assert ((tmp_path / "theirs").read_text(), (tmp_path / "log").read_text()) == ("kept", "printed\n")


def test_what_the_original_had_is_not_collected_in_a_copy(tmp_path: Path) -> None:
    """A gRPC channel that is ended in a copy waits forever for threads that only the original has."""

    class Circle:
        def __init__(self) -> None:
            self.itself = self

        def __del__(self) -> None:
            if os.getpid() != original:
                (tmp_path / "collected").touch()

    original = os.getpid()
    gc.collect()
    gc.disable()
    try:
        Circle()
        assert (
            run_all({"collects": lambda: print(gc.isenabled(), gc.collect())}, 1, tmp_path / "log", nothing, none) == []
        )
    finally:
        gc.enable()
    assert (tmp_path / "log").read_text().startswith("True ")
    assert not (tmp_path / "collected").exists()


def test_no_more_at_once_than_asked_for(tmp_path: Path) -> None:
    def work(number: int) -> None:
        mark = tmp_path / f"at work {number}"
        mark.touch()
        time.sleep(0.05)
        (tmp_path / f"seen {number}").write_text(str(len(list(tmp_path.glob("at work *")))))
        mark.unlink()

    assert run_all({str(n): partial(work, n) for n in range(6)}, 2, tmp_path / "log", nothing, none) == []
    assert {path.read_text() for path in tmp_path.glob("seen *")} <= {"1", "2"}


def test_how_each_ended_is_told(tmp_path: Path) -> None:
    def bug() -> None:
        raise KeyError("a bug")

    def killed() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    works = {"bug": bug, "killed": killed, "exits": lambda: sys.exit(0), "well": partial(leave, tmp_path / "w", "")}
    assert run_all(works, 1, tmp_path / "log", nothing, none) == [
        "bug: its process ended with an error",
        "killed: its process was killed by signal 9",
        "exits: its process ended with an error",
    ]
    assert "KeyError: 'a bug'" in (tmp_path / "log").read_text()
    assert (tmp_path / "w").exists()


PARENT = """
import os, signal, sys, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from vallum.process import ended_by_signals
from vallum.workers import run_all
root = Path(sys.argv[2])
def work():
    (root / "child").write_text(str(os.getpid()))
    try:
        time.sleep(600)
    finally:
        (root / "ended").touch()
with ended_by_signals():
    run_all({"work": work}, 1, root / "log", lambda: None, print)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_they_end_in_good_order_with_whoever_started_them(tmp_path: Path, number: signal.Signals) -> None:
    argv = [sys.executable, "-c", PARENT, str(ROOT / "pipeline"), str(tmp_path)]
    parent = subprocess.Popen(argv, stderr=subprocess.DEVNULL)
    child = tmp_path / "child"
    _wait(lambda: child.exists() and child.read_text() != "")
    os.kill(parent.pid, number)
    assert parent.wait(60) != 0
    _wait((tmp_path / "ended").exists)
    _wait(lambda: not Path(f"/proc/{child.read_text()}").exists())


def _wait(true: Callable[[], bool]) -> None:
    until = time.monotonic() + 60
    while not true():
        assert time.monotonic() < until
        time.sleep(0.02)

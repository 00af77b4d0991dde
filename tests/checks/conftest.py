"""What the tests of the checks share: a check run by the real runner on a real folder, and ways to make its tool fail."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum import runner
from vallum.check import Check
from vallum.finding import Finding
from vallum.outcome import Outcome
from vallum.target import discover
from vallum.tools import ToolEnv, prepare

RUN = "0123456789abcdef"


@dataclass(frozen=True)
class Ran:
    """An outcome and where it lies."""

    outcome: Outcome
    root: Path
    folder: Path

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What was found, also by an incomplete run."""
        run = getattr(self.outcome, "run", None)
        return () if run is None else run.findings

    @property
    def reason(self) -> str:
        """Why it is incomplete; empty where it is not."""
        return getattr(self.outcome, "reason", "")

    def written(self) -> str:
        """All that lies in the outcome's folder, as one text."""
        return "\n".join(
            path.read_text("utf-8", "replace") for path in sorted(self.folder.rglob("*")) if path.is_file()
        )


@pytest.fixture
def check_context(tmp_path: Path) -> Callable[..., Ran]:
    """Run a check on `files` through vallum.runner; what is read back from the disk must be what was given back."""

    def run(check: Check, files: Mapping[str, str | bytes] | None = None, config_text: str = "") -> Ran:
        root = tmp_path / "target"
        root.mkdir(exist_ok=True)
        for name, content in (files or {}).items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        if config_text:
            (root / "vallum.toml").write_text(config_text, "utf-8")
        config = configuration.load(root)
        target = discover(root, config)
        outcome = runner.run_unit(check, target, config, RUN)
        assert runner.read(root, check.id, "_", RUN) == outcome
        return Ran(outcome, root, root / ".vallum" / "outcomes" / check.id / "_")

    return run


def _children(parent: int) -> Iterator[int]:
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == parent and fields[0] != "Z":
                yield int(folder.name)


@pytest.fixture
def killer() -> Iterator[Callable[[str], None]]:
    """Kill -9 the next child of ours whose command line holds a word, as the kernel does when memory runs out."""
    stop = threading.Event()
    threads: list[threading.Thread] = []

    def watch(word: str) -> None:
        while not stop.is_set():
            for pid in _children(os.getpid()):
                try:
                    line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
                except OSError:
                    continue
                if word in line and "uv" not in line.split(" ")[0]:
                    time.sleep(0.05)
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.005)

    def start(word: str) -> None:
        thread = threading.Thread(target=watch, args=(word,), daemon=True)
        thread.start()
        threads.append(thread)

    yield start
    stop.set()
    for thread in threads:
        thread.join(5)


@pytest.fixture
def no_tools(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty tool cache and no index to fill it from: the tool cannot be installed."""
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "empty-cache"))
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "empty-uv-cache"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.delenv("UV_FIND_LINKS", raising=False)


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """A program that writes rubbish in the place of a tool; for rubbish only, everything else is done by the real one."""

    def put(name: str, script: str) -> None:
        folder = tmp_path / "stand-in" / name
        (folder / "bin").mkdir(parents=True)
        program = folder / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        program.chmod(0o755)
        environment = ToolEnv(name, folder, "0", "0" * 64)
        monkeypatch.setattr("vallum.check.prepare", lambda asked: environment if asked == name else prepare(asked))

    return put

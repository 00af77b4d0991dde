"""What all tests share. Nothing here replaces a tool, a process or a file by a stand-in."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import hypothesis
import pytest

# The same inputs in every run, however slow: no change is refused for what was there before it. For more: --hypothesis-profile random
hypothesis.settings.register_profile("steady", derandomize=True, deadline=None)
hypothesis.settings.register_profile("random", derandomize=False, deadline=None)
hypothesis.settings.load_profile("steady")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts what runs in its background deaf to Ctrl-C, and children inherit that: the tests send it
    signal.signal(signal.SIGINT, signal.default_int_handler)

ROOT = Path(__file__).resolve().parents[1]
MAIN = ROOT / "pipeline" / "vallum" / "__main__.py"

Vallum = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(autouse=True)
def _own_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not inherit the run of a vallum that started pytest."""
    for name in (
        *("VALLUM_RUN", "VALLUM_ROOT", "VALLUM_BASE", "VALLUM_TRUST_CHANGE", "GITHUB_ACTIONS"),
        *("GITHUB_STEP_SUMMARY", "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "GITHUB_BASE_REF"),
    ):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def make_tree(tmp_path: Path) -> Callable[[Mapping[str, str | bytes]], Path]:
    """Write files into a folder and give it back."""

    def make(files: Mapping[str, str | bytes]) -> Path:
        root = tmp_path / "target"
        root.mkdir(exist_ok=True)
        for name, content in files.items():
            path = root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return root

    return make


@pytest.fixture
def vallum() -> Vallum:
    """Start vallum as a person does; returns exit code and both streams."""

    def call(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None, timeout: float = 300):
        return subprocess.run(
            [sys.executable, "-I", str(MAIN), *arguments],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return call

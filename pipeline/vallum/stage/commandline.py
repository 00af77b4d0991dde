"""One question to a program of the command line, such as podman or kubectl: what it printed, and its exit code."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vallum.process import MAX_FILE, run

MAX_OUTPUT = 16 << 20


@dataclass(frozen=True)
class Answer:
    """What a command of the engine printed, and its exit code."""

    exit_code: int
    output: str
    error: str

    @property
    def reason(self) -> str:
        """The last line of what it complained of."""
        lines = [line.strip() for line in self.error.splitlines() if line.strip()]
        return lines[-1][:300] if lines else f"exit code {self.exit_code}"


def ask(argv: Sequence[str], deadline: float, cwd: Path | None = None, max_file: int = MAX_FILE) -> Answer:
    """Run `argv` to its end. Raises Inconclusive where it cannot start or does not end within `deadline` seconds."""
    with tempfile.TemporaryDirectory(prefix="vallum-") as name:
        folder = Path(name)
        done = run(
            argv, cwd=cwd or folder, deadline=deadline, stdout=folder / "out", stderr=folder / "err", max_file=max_file
        )
        return Answer(done.exit_code, done.output(MAX_OUTPUT).decode("utf-8", "replace"), done.tail(4000))

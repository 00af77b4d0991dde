"""What the benchmarks share: time, memory, and a tree with as many findings as one wants."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-I", str(ROOT / "pipeline" / "vallum" / "__main__.py")]
sys.path[:0] = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]

LINE = "subprocess.call('run %s' % name_{n}, shell=True)\n"


def timed(argv: list[str], repeat: int = 3, cwd: Path | None = None) -> tuple[float, float]:
    """The least wall time of `repeat` runs and the CPU time of that run, in seconds."""
    best = (float("inf"), 0.0)
    for _ in range(repeat):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.perf_counter()
        subprocess.run(argv, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        wall = time.perf_counter() - began
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        best = min(best, (wall, cpu))
    return best


def peak(argv: list[str]) -> int:
    """Peak resident memory in MB of the largest process of our own that `argv` starts (itself included)."""
    done = subprocess.run(["/usr/bin/env", "python3", "-c", PEAK, *argv], capture_output=True, text=True, check=False)
    return int(done.stdout.split()[-1]) // 1024


PEAK = (
    "import resource, subprocess, sys\n"
    "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
    "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n"
)


def tree(folder: Path, files: int, findings: int) -> Path:
    """A repository of `files` Python files with `findings` calls that bandit reports."""
    each = max(1, findings // files)
    for number in range(files):
        path = folder / f"service_{number % 20}" / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        body = "".join(LINE.format(n=n) for n in range(each)) if number * each < findings else ""
        path.write_text("import subprocess  # nosec\n\n\ndef work():\n    return 1\n\n\n" + body)
    return folder

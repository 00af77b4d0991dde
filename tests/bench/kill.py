"""Kill -9 at random moments: no run ends green, no half-written file is read, the next run works."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MAIN = [sys.executable, "-I", str(ROOT / "pipeline" / "vallum" / "__main__.py")]
TOOL = """
import json, pathlib, sys, time
weak = "eval(" in pathlib.Path("a.py").read_text()
place = {"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 1}}}
one = {"ruleId": "R", "level": "error", "message": {"text": "eval"}, "locations": [place]}
run = {"tool": {"driver": {"name": "t", "version": "1.0"}}, "results": [one] * 300 if weak else []}
with open(sys.argv[1], "w") as file:
    for char in json.dumps({"version": "2.1.0", "runs": [run]}):
        file.write(char)
time.sleep(0.1)
"""
CHECK = """[[check]]
id = "tool-{n}"
summary = "a tool"
files = ["*.py"]
argv = [{python}, "tool.txt", "{{raw}}/r.sarif"]
sarif = "r.sarif"
"""


def target(root: Path) -> list[str]:
    """A repository that passes, with three declared checks; gives the command that runs them."""
    (root / "a.py").write_text("print(1)\n")
    (root / "tool.txt").write_text(TOOL)
    (root / "vallum.toml").write_text("".join(CHECK.format(n=n, python=json.dumps(sys.executable)) for n in range(3)))
    return [*MAIN, "-C", str(root), "-s", "declared"]


def strike(root: Path, times: int, seed: int) -> Counter[str]:
    """Let it pass once, make the source weak, then kill `times` runs. Asserts after each; gives what was met."""
    dice = random.Random(seed)
    command = target(root)
    assert _run(command) == 0, "the sound repository must pass"
    (root / "a.py").write_text("eval(input())\n")
    began = time.monotonic()
    assert _run(command) == 1, "the weak repository must fail"
    whole = time.monotonic() - began
    met: Counter[str] = Counter()
    for _ in range(times):
        (root / "a.py").write_text("print(1)\n")  # a green verdict lies there, for a killed run to be mistaken for
        if dice.random() < 0.1:
            assert _run(command) == 0, "the next run works, and sees the sound source"
        (root / "a.py").write_text("eval(input())\n")
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(dice.uniform(0.0, whole * 1.05))
        process.send_signal(signal.SIGKILL)
        code = process.wait()
        assert code in {-signal.SIGKILL, 1}, f"ended with {code}"
        met["killed" if code < 0 else "ended before"] += 1
        seen = _look(root)
        met[seen] += 1
        if seen != "verdict pass" and dice.random() < 0.3:  # a pass: killed while Python started, the run before stands
            gate = _run([*MAIN, "-C", str(root), "-s", "gate"])
            assert gate in {1, 2, 3}, f"judged {gate}"
            met[f"gate {gate}"] += 1
    assert _run(command) == 1, "the next run works"
    return met


def _run(command: list[str]) -> int:
    return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False).returncode


def _status(root: Path) -> str:
    path = root / ".vallum" / "verdict.json"
    return str(json.loads(path.read_bytes())["status"]) if path.exists() else "none"


def _look(root: Path) -> str:
    """Every file that is read is whole, and no green verdict lies there once the killed run has begun its plan."""
    folder = root / ".vallum"
    time.sleep(0.05)  # what dies with its parent may take a moment
    plan = folder / "plan.json"
    for path in [
        *([plan] if plan.exists() else []),
        *folder.glob("outcomes/*/*/record.json"),
        *folder.glob("outcomes/*/*/result.sarif"),
    ]:
        json.loads(path.read_bytes())
    verdict = folder / "verdict.json"
    if not verdict.exists():
        return "no verdict"
    run = json.loads(verdict.read_bytes())["run"]
    assert plan.exists(), "a verdict without its plan"
    assert run == json.loads(plan.read_bytes())["run"], "a verdict of an earlier run beside the plan of this one"
    return f"verdict {_status(root)}"


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as temporary:
        print(strike(Path(temporary), int(sys.argv[1]), int(os.environ.get("SEED", "1"))))

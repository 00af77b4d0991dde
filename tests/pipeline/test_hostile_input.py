"""Outcomes come from other machines: until they are parsed strictly they are an attacker's. Each of these is red, and cheap."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from vallum import runner
from vallum.artifacts import outcome_folder
from vallum.check import Check, Planned, Stage
from vallum.config import Config
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Completed, Coverage, Incomplete, Run, Tool
from vallum.severity import Severity
from vallum.target import Target

ROOTS = [str(Path(__file__).resolve().parents[2] / name) for name in ("pipeline", "checks", "templates")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A target with one whole outcome of one finding."""
    finding = Finding(rule="R", severity=Severity.LOW, message="m", location=Location("a.py", 1))
    run = Run(tool=Tool("t", "1"), coverage=(Coverage("files", 1, 1),), rules=(Rule("R", "r"),), findings=(finding,))
    check = Check("demo", Stage.SOURCE, "s", lambda _t, _c: Planned(), lambda _c: Completed(run))
    (tmp_path / "a.py").write_text("x\n")
    runner.run_unit(check, Target(tmp_path, "t", ("a.py",), ()), Config(), "run")
    assert isinstance(runner.read(tmp_path, "demo", "_", "run"), Completed)
    return tmp_path


def reason(root: Path, limit: int = 512 << 20) -> str:
    outcome = runner.read(root, "demo", "_", "run", limit)
    assert isinstance(outcome, Incomplete)
    return outcome.reason


def change(root: Path, edit: Callable[[dict[str, Any]], None]) -> None:
    path = outcome_folder(root, "demo", "_") / "record.json"
    record = json.loads(path.read_bytes())
    edit(record)
    path.write_text(json.dumps(record))


def replace_sarif(root: Path, data: bytes) -> None:
    """As an attacker does who can write both files: the digest fits."""
    (outcome_folder(root, "demo", "_") / "result.sarif").write_bytes(data)
    change(root, lambda record: record.update(sarif=hashlib.sha256(data).hexdigest()))


def test_two_gigabytes_are_refused_unread(root):
    for name in ("result.sarif", "record.json"):
        path = outcome_folder(root, "demo", "_") / name
        kept = path.read_bytes()
        with path.open("wb") as file:
            file.truncate(2 << 30)
        assert "2147483648 bytes, more than the limit of" in reason(root)
        path.write_bytes(kept)
    assert "more than the limit of 10" in reason(root, 10)


MEASURED = """
import re, sys
from pathlib import Path
from vallum import gather, plan, runner
root = Path(sys.argv[1])
target, config = gather.open_target(root)
(check,) = [c for c in gather.all_checks(config) if c.id == "mine"]
outcome = runner.run_unit(check, target, config, "r")
# not getrusage: its peak is inherited from the process that started this one
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(outcome.reason, int(peak) // 1024, sep="|")
"""


def test_a_tool_that_writes_two_gigabytes_costs_no_memory(make_tree):
    """The report is real bytes, not a hole: written by the declared tool under the limit that every tool has."""
    write = "import sys; f = open(sys.argv[1] + '/r', 'wb'); [f.write(b' ' * (1 << 20)) for _ in range(300)]"
    argv = json.dumps([sys.executable, "-c", write, "{raw}"])
    text = f'[[check]]\nid = "mine"\nsummary = "s"\nfiles = ["*"]\nargv = {argv}\nsarif = "r"\n'
    root = make_tree({"a.py": "", "vallum.toml": text + "[limits]\nreport-mb = 64\n"})
    done = measured(root)
    assert "314572800 bytes, more than the limit of 67108864" in done[0]
    assert int(done[1]) < 200
    (root / "vallum.toml").write_text(text.replace("range(300)", "range(2048)"))
    done = measured(root)
    assert "File too large" in done[0]  # the system ends its writing at RLIMIT_FSIZE, 1 GiB
    assert int(done[1]) < 200


def measured(root: Path) -> list[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(ROOTS)}
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(root)], env=env, capture_output=True, text=True, check=True
    )
    shutil.rmtree(root / ".vallum")
    return done.stdout.strip().split("|")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "cannot be read"),
        (b"[" * 200_000, "cannot be read"),
        (b'{"a":' * 100_000 + b"1" + b"}" * 100_000, "cannot be read"),
        (b'{"version":"2.1.0","runs":[]}', "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
        (b"\x00" * 1000, "cannot be read"),
        (b'{"$schema":NaN}', "cannot be read"),
    ],
    ids=range(7),
)
def test_a_sarif_that_is_none(root, data, why):
    replace_sarif(root, data)
    assert why in reason(root)


@pytest.mark.parametrize(
    "edit",
    [
        (b'"results":', b'"results":[],"results":'),
        (b'"level":"note"', b'"level":"error","level":"note"'),
        (b'"text":"m"', b'"text":"\\ud800"'),
        (b'"text":"m"', b'"text":"\xed\xa0\x80"'),
        (b'"text":"m"', b'"text":' + b"[" * 5000 + b"]" * 5000),
        (b'"startLine":1', b'"startLine":1e999'),
        (b'"startLine":1', b'"startLine":1.5'),
        (b'"severity":"low"', b'"severity":"none"'),
        (b'"level":"note"', b'"level":"none"'),
    ],
    ids=range(9),
)
def test_a_sarif_that_was_edited_with_a_digest_that_fits(root, edit):
    path = outcome_folder(root, "demo", "_") / "result.sarif"
    data = path.read_bytes()
    assert edit[0] in data
    replace_sarif(root, data.replace(*edit))
    assert "cannot be read" in reason(root)


@pytest.mark.parametrize(
    "uri", ["../../etc/passwd", "/etc/passwd", "%2e%2e/x", "a%00b", "file:///etc/passwd", "%5c%5chost%5cx"]
)
def test_a_place_outside_of_the_target_is_never_opened_nor_shown_as_one(root, uri):
    path = outcome_folder(root, "demo", "_") / "result.sarif"
    replace_sarif(root, path.read_bytes().replace(b'"uri":"a.py"', b'"uri":"' + uri.encode() + b'"'))
    assert "cannot be read" in reason(root)


def test_the_record_is_bounded(root):
    change(root, lambda record: record["outcome"]["run"].update(notes=["n"] * 1_000_000))
    assert "1000000 notes, more than" in reason(root)
    change(root, lambda record: record["outcome"]["run"].update(notes=[], argv=["a"] * 20_000))
    assert "20000 arguments" in reason(root)
    missed = [{"target": "a", "why": "b"}] * 2_000
    coverage = [{"unit": "files", "expected": 9_000, "seen": 1, "missed": missed}]
    change(root, lambda record: record["outcome"]["run"].update(argv=[], coverage=coverage))
    assert "2000 missed targets" in reason(root)
    path = outcome_folder(root, "demo", "_") / "record.json"
    path.write_bytes(b" " * (20 << 20))
    assert "more than the limit" in reason(root)


def test_a_record_that_says_it_twice(root):
    path = outcome_folder(root, "demo", "_") / "record.json"
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"status": "completed"', b'"status": "incomplete", "status": "completed"'))
    assert "stands twice" in reason(root)
    for strange in (b"\xff", b'{"run": NaN}', b"[" * 100_000, b"{}", b"null", data[: len(data) // 2], data + data):
        path.write_bytes(strange)
        assert "cannot be read" in reason(root)


def test_coverage_that_contradicts_itself(root):
    def edit(**coverage: Any) -> None:
        change(root, lambda record: record["outcome"]["run"].update(coverage=[{"unit": "files", **coverage}]))

    for coverage in ({"expected": 1, "seen": 0}, {"expected": 5, "seen": 1}, {"expected": -1, "seen": -1}):
        edit(**coverage)
        assert reason(root)
    change(root, lambda record: record["outcome"]["run"].update(coverage=[]))
    assert reason(root)


@pytest.mark.parametrize("place", ["outcomes/demo", "outcomes/demo/_", "outcomes"])
def test_an_outcome_behind_a_link_is_not_read(root, place):
    path = root / ".vallum" / place
    path.rename(root / "moved")
    path.symlink_to(root / "moved")
    assert "behind a link" in reason(root)


@pytest.mark.parametrize("name", ["record.json", "result.sarif"])
@pytest.mark.parametrize("kind", ["link", "pipe", "folder"])
def test_a_file_of_an_outcome_that_is_none(root, name, kind):
    path = outcome_folder(root, "demo", "_") / name
    if kind == "link":
        path.rename(root / "moved")
        path.symlink_to(root / "moved")
    else:
        path.unlink()
        os.mkfifo(path) if kind == "pipe" else path.mkdir()
    assert "cannot be read" in reason(root)


@pytest.mark.parametrize("place", ["demo", "demo/_"])
@pytest.mark.parametrize("kind", ["link", "pipe", "file"])
def test_a_run_writes_and_removes_nothing_through_what_the_target_brought(root, tmp_path_factory, place, kind):
    outside = tmp_path_factory.mktemp("outside")
    (outside / "_").mkdir()
    (outside / "_" / "precious").write_text("x")
    (outside / "precious").write_text("x")
    path = root / ".vallum" / "outcomes" / place
    shutil.rmtree(path)
    if kind == "link":
        path.symlink_to(outside)
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.write_text("x")
    run = Run(tool=Tool("t", "1"), coverage=(Coverage("files", 1, 1),))
    check = Check("demo", Stage.SOURCE, "s", lambda _t, _c: Planned(), lambda _c: Completed(run))
    assert isinstance(runner.run_unit(check, Target(root, "t", (), ()), Config(), "run"), Completed)
    assert isinstance(runner.read(root, "demo", "_", "run"), Completed)
    assert (outside / "precious").exists()
    assert sorted(path.name for path in (outside / "_").iterdir()) == ["precious"]


def test_ten_thousand_rules(root):
    finding = Finding(rule="R9999", severity=Severity.LOW, message="m")
    rules = tuple(Rule(f"R{n}", "r" * 100, "d" * 1000) for n in range(10_000))
    run = Run(tool=Tool("t", "1"), coverage=(Coverage("files", 1, 1),), rules=rules, findings=(finding,))
    check = Check("demo", Stage.SOURCE, "s", lambda _t, _c: Planned(), lambda _c: Completed(run))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    runner.run_unit(check, Target(root, "t", (), ()), Config(), "run")
    outcome = runner.read(root, "demo", "_", "run")
    assert isinstance(outcome, Completed)
    assert len(outcome.run.rules) == 10_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_utime - before < 20

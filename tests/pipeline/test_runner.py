"""The runner: whatever a check does, an outcome is left; and what was left is read with suspicion."""

from __future__ import annotations

import json
import os
import sys

import msgspec
import pytest

from vallum import runner
from vallum.artifacts import outcome_folder
from vallum.check import Check, Planned, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Finding, Location
from vallum.outcome import Completed, Coverage, Database, Incomplete, Missed, NotApplicable, Run, Tool
from vallum.severity import Severity
from vallum.target import discover

FINDING = Finding(rule="r", severity=Severity.HIGH, message="m", location=Location("svc/a.py", 2), cwe=(798,))


def completed(**more) -> Completed:
    fields = {"tool": Tool("t", "1"), "coverage": (Coverage("files", 1, 1),), "findings": (FINDING,), **more}
    return Completed(Run(**fields))


def run(root, body, run_id="r1"):
    check = Check("demo", Stage.SOURCE, "a check", lambda _t, _c: Planned(), body)
    config = Config()
    return runner.run_unit(check, discover(root, config), config, run_id)


@pytest.fixture
def root(make_tree):
    return make_tree({"svc/Dockerfile": "FROM x\n", "svc/a.py": 'import os\npassword = "hunter2hunter2"\n'})


def test_what_is_stored_is_what_is_read(root):
    outcome = run(root, lambda _: completed())
    assert isinstance(outcome, Completed)
    assert runner.read(root, "demo", "_", "r1") == outcome
    finding = outcome.run.findings[0]
    assert finding.service == "svc"
    assert finding.checks == ("demo",)
    assert finding.id


def test_a_secret_is_masked_in_everything_that_is_stored(root):
    run(root, lambda _: completed())
    stored = b"".join(p.read_bytes() for p in outcome_folder(root, "demo", "_").rglob("*") if p.is_file())
    assert b"hunter2hunter2" not in stored
    assert "…ter2".encode() in stored


def raises(error):
    def body(_ctx):
        raise error

    return body


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (raises(Inconclusive("no database")), "no database"),
        (raises(UserError("bad", "do this")), "bad (do this)"),
        (raises(ZeroDivisionError("x")), "a bug in vallum's check demo: ZeroDivisionError"),
        (lambda _: sys.exit(0), "a bug in vallum's check demo: SystemExit"),
        (lambda _: completed(coverage=()), "does not say what it looked at"),
        (lambda _: completed(coverage=(Coverage("files", 3, 0),)), "looked at no files of 3 expected"),
        (lambda _: completed(coverage=(Coverage("files", 0, 0),)), "looked at no files"),
        (
            lambda _: completed(coverage=(Coverage("files", 3, 2, (Missed("x.py", "unparsable"),)),)),
            "looked at 2 of 3 files: x.py (unparsable)",
        ),
        (lambda _: completed(databases=(Database("osv", "local", 0),)), "the database osv is empty"),
        (lambda ctx: ctx.run(["sleep", "30"], deadline=0.3), "sleep passed its deadline"),
        (lambda ctx: ctx.run(["/no/such/tool"]), "cannot start /no/such/tool"),
        (lambda ctx: ctx.tool("no-such-tool"), "no lock file"),
        (lambda _: None, "a bug in vallum"),
    ],
)
def test_whatever_happens_the_outcome_is_incomplete_with_its_reason(root, body, reason):
    outcome = run(root, body)
    assert isinstance(outcome, Incomplete)
    assert reason in outcome.reason
    assert runner.read(root, "demo", "_", "r1") == outcome


def test_a_session_that_kills_itself_leaves_no_green_outcome(root):
    run(root, lambda _: completed())
    pid = os.fork()
    if pid == 0:
        run(root, lambda _: os._exit(0), "r2")
    os.waitpid(pid, 0)
    outcome = runner.read(root, "demo", "_", "r2")
    assert isinstance(outcome, Incomplete)
    assert "left no outcome" in outcome.reason


def test_an_outcome_of_another_run_does_not_count(root):
    run(root, lambda _: completed(), "r1")
    outcome = runner.read(root, "demo", "_", "r2")
    assert isinstance(outcome, Incomplete)
    assert "earlier run" in outcome.reason


def damage(name, change):
    def do(folder):
        path = folder / name
        change(path)

    return do


@pytest.mark.parametrize(
    "change",
    [
        damage("record.json", lambda p: p.write_bytes(p.read_bytes()[:-20])),
        damage("record.json", lambda p: p.write_bytes(b"\xff\xfe{}")),
        damage("record.json", lambda p: p.write_bytes(b"[" * 100_000)),
        damage("record.json", lambda p: p.unlink()),
        damage("result.sarif", lambda p: p.unlink()),
        damage("result.sarif", lambda p: p.write_bytes(p.read_bytes().replace(b"high", b"info"))),
        damage("result.sarif", lambda p: (p.unlink(), p.symlink_to("/etc/passwd"))),
        damage("record.json", lambda p: p.write_bytes(p.read_bytes().replace(b'"demo"', b'"other"'))),
        damage("record.json", lambda p: p.write_bytes(p.read_bytes().replace(b'"seen": 1', b'"seen": 0'))),
        damage("record.json", lambda p: p.write_bytes(p.read_bytes().replace(b'"completed"', b'"fine"'))),
    ],
)
def test_a_damaged_or_forged_outcome_is_incomplete(root, change):
    run(root, lambda _: completed())
    change(outcome_folder(root, "demo", "_"))
    assert isinstance(runner.read(root, "demo", "_", "r1"), Incomplete)


def test_not_applicable_at_run_time_is_kept_as_said(root):
    assert run(root, lambda _: NotApplicable("nothing")) == NotApplicable("nothing")
    assert runner.read(root, "demo", "_", "r1") == NotApplicable("nothing")


def test_scratch_is_gone_and_so_is_what_a_tool_said_of_the_source(root):
    places = {}

    def body(ctx):
        places["scratch"] = ctx.scratch
        (ctx.scratch / "x").write_text("x")
        assert ctx.run(["echo", "hello"], name="echo").stdout.read_text() == "hello\n"
        return completed()

    run(root, body)
    assert not places["scratch"].exists()
    assert not (outcome_folder(root, "demo", "_") / "raw").exists()


def test_the_record_names_no_folder_of_this_machine(root):
    run(root, lambda ctx: completed(argv=("/opt/x/bin/tool", str(ctx.raw / "o"), str(ctx.target.root / "a.py"))))
    record = json.loads((outcome_folder(root, "demo", "_") / "record.json").read_bytes())
    assert record["outcome"]["run"]["argv"] == ["tool", "raw/o", "./a.py"]
    assert msgspec.json.encode(record).find(str(root).encode()) == -1

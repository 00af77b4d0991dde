"""What was there before: states, what is gone, and `new-only` with the real bandit."""

from __future__ import annotations

import json

import msgspec
import pytest
from tests.pipeline.test_cli import WEAK, only, verdict
from tests.pipeline.test_gate import make_run, plan

from vallum import baseline
from vallum.config import Policy
from vallum.errors import UserError
from vallum.finding import Finding, Location
from vallum.gate import judge
from vallum.outcome import Completed, Incomplete
from vallum.policy import Facts
from vallum.severity import Severity
from vallum.verdict import Disposition, Status, Verdict


def found(name: str, severity: Severity = Severity.HIGH) -> Finding:
    return Finding(rule=name, severity=severity, message=name, location=Location("x.py", 1, snippet=name))


def judged(
    *findings: Finding, whole: bool = True, policy: Policy | None = None, before: baseline.Baseline | None = None
) -> Verdict:
    run = make_run("bandit", list(findings))
    outcome = Completed(run) if whole else Incomplete("half", run)
    return judge(policy or Policy(), plan(checks=("bandit",)), {("bandit", "_"): outcome}, Facts(baseline=before))


def states(verdict: Verdict) -> dict[str, str]:
    return {each.finding.rule: each.state for each in verdict.findings}


def test_each_state():
    before = baseline.of(judged(found("a"), found("b", Severity.LOW), found("gone")))
    now = judged(found("a"), found("b"), found("c"), before=before)
    assert states(now) == {"a": "unchanged", "b": "updated", "c": "new"}
    assert now.compared is not None
    assert (now.compared.new, now.compared.unchanged, now.compared.updated) == (1, 1, 1)
    assert [each.rule for each in now.compared.absent] == ["gone"]


def test_incomplete_on_either_side_introduces_and_repairs_nothing():
    half = baseline.of(judged(found("a"), found("gone"), whole=False))
    now = judged(found("a"), found("c"), before=half)
    assert states(now) == {"a": "unchanged", "c": ""}
    assert now.compared is not None
    assert now.compared.absent == ()
    whole = baseline.of(judged(found("a"), found("gone")))
    now = judged(found("c"), whole=False, before=whole)
    assert states(now) == {"c": ""}
    assert now.compared is not None
    assert now.compared.absent == ()


def test_new_only_lets_through_what_was_there_and_no_more():
    policy = Policy(new_only=True)
    before = baseline.of(judged(found("a"), found("b", Severity.MEDIUM)))
    assert judged(found("a"), policy=policy, before=before).status is Status.PASS
    assert judged(found("a"), found("c"), policy=policy, before=before).status is Status.FAIL
    worse = judged(found("b"), policy=policy, before=before)
    assert worse.status is Status.FAIL, "the same finding, now high, was not there before"
    milder = judged(found("a", Severity.LOW), policy=policy, before=before)
    assert milder.status is Status.PASS
    could_not_tell = baseline.of(judged(whole=False))
    assert judged(found("c"), policy=policy, before=could_not_tell).status is Status.FAIL
    assert judged(found("a"), policy=policy).status is Status.FAIL, "without a baseline all is new"


@pytest.mark.parametrize("known", [Severity.MEDIUM, Severity.CRITICAL])
def test_unknown_severity_is_not_taken_for_a_known_one(known):
    before = baseline.of(judged(found("a", known)))
    assert judged(found("a", Severity.UNKNOWN), policy=Policy(new_only=True), before=before).status is Status.FAIL


def test_round_trip_and_first_day():
    first = baseline.of(judged(found("a")))
    assert msgspec.structs.replace(baseline.decode(baseline.encode(first)), source="") == first
    later = baseline.of(
        msgspec.structs.replace(judged(found("a"), found("b")), started="2026-05-01T00:00:00Z"), before=first
    )
    assert {known.rule: known.seen for known in later.findings.values()} == {"a": "2026-01-01", "b": "2026-05-01"}


@pytest.mark.parametrize("data", [b"", b"[]", b"{", b'{"schema": 2}', b"\xff", b"[" * 100_000, b'{"status": "pass"}'])
def test_what_is_no_baseline_is_refused(data):
    with pytest.raises(UserError, match=r"no baseline|schema"):
        baseline.decode(data)


def test_the_command_and_the_gate_with_the_real_bandit(make_tree, vallum):
    extra = "[policy]\nnew-only = true\n"
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit")})
    assert vallum("-C", str(root)).returncode == 1
    stored = (root / ".vallum" / "verdict.json").read_bytes()
    assert vallum("-C", str(root), "-s", "baseline").returncode == 0
    first = (root / baseline.FILE).read_bytes()
    assert vallum("-C", str(root), "-s", "baseline").returncode == 0
    assert (root / baseline.FILE).read_bytes() == first
    (root / "vallum.toml").write_text(only("bandit", extra=extra))
    (root / "a.py").write_text("import subprocess\n\n\nsubprocess.call(input(),   shell=True)\n")
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    assert "unchanged" in done.stderr
    sarif = json.loads((root / ".vallum" / "report" / "vallum.sarif").read_text())
    assert {r["baselineState"] for run in sarif["runs"] for r in run["results"]} == {"unchanged"}
    (root / "b.py").write_text("import os\nos.system(input())\n" + WEAK)
    assert vallum("-C", str(root)).returncode == 1
    assert {j["state"] for j in verdict(root)["findings"] if j["disposition"] == Disposition.BLOCKS} == {"new"}
    # a stored verdict of the merge base serves as well
    (root / "b.py").unlink()
    (root / baseline.FILE).unlink()
    done = vallum("-C", str(root), "-s", "plan")
    assert done.returncode == 2
    assert "there is no baseline" in done.stderr
    (root / "base.json").write_bytes(stored)
    (root / "vallum.toml").write_text(only("bandit", extra=extra + '[baseline]\nfile = "base.json"\n'))
    assert vallum("-C", str(root)).returncode == 0
    (root / "a.py").write_text("print(1)\n")
    assert vallum("-C", str(root)).returncode == 0
    compared = verdict(root)["compared"]
    assert compared["source"] == "base.json"
    assert any(each["path"] == "a.py" for each in compared["absent"])

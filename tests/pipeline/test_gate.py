"""The judge's laws: nothing added turns red into green, order does not matter, judging twice says the same."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum import baseline
from vallum.baseline import Baseline
from vallum.config import Policy
from vallum.finding import Finding, Location, Package, Suppression
from vallum.fingerprint import identify, merge
from vallum.gate import judge
from vallum.outcome import Completed, Coverage, Incomplete, NotApplicable, Run, Tool
from vallum.plan import Plan, PlannedCheck
from vallum.policy import Facts
from vallum.severity import Severity
from vallum.verdict import Disposition, Status, Verdict
from vallum.waivers import Match, Waiver

TODAY = dt.date(2026, 6, 1)
CHECKS = ("bandit", "semgrep", "image")
REDNESS = {Status.PASS: 0, Status.INCOMPLETE: 1, Status.FAIL: 2}

findings = st.builds(
    Finding,
    rule=st.sampled_from(["a", "b", "c"]),
    severity=st.sampled_from(list(Severity)),
    message=st.sampled_from(["m", "n"]),
    cwe=st.sampled_from([(), (89,), (78,)]),
    location=st.builds(Location, path=st.sampled_from(["x.py", "y.py"]), line=st.integers(1, 3), snippet=st.just("s")),
    suppression=st.sampled_from([None, Suppression("inSource", "# nosec")]),
)


def make_run(check: str, found: list[Finding], seen: int = 1) -> Run:
    named = [msgspec.structs.replace(finding, checks=(check,)) for finding in found]
    return Run(tool=Tool(check, "1"), coverage=(Coverage("files", 1, seen),), findings=tuple(identify(named)))


runs = st.lists(findings, max_size=4)
outcomes = st.one_of(
    runs.map(lambda f: ("completed", f)),
    runs.map(lambda f: ("incomplete", f)),
    st.just(("missing", [])),
    st.just(("not-applicable", [])),
)
sets = st.fixed_dictionaries(dict.fromkeys(CHECKS, outcomes))
policies = st.builds(
    Policy,
    block=st.lists(st.sampled_from(list(Severity)), unique=True).map(tuple),
    unknown=st.sampled_from(["block", "warn"]),
    suppressions=st.sampled_from(["count", "forbid"]),
    new_only=st.booleans(),
)
requires = st.sampled_from(["required", "optional"])


def build(described):
    built = {}
    for check, (kind, found) in described.items():
        match kind:
            case "completed":
                built[check, "_"] = Completed(make_run(check, found))
            case "incomplete":
                built[check, "_"] = Incomplete("why", make_run(check, found))
            case "not-applicable":
                built[check, "_"] = NotApplicable("why")
    return built


def plan(require: str = "required", checks=CHECKS) -> Plan:
    return Plan(
        run="r",
        target="t",
        vallum="0",
        started="2026-01-01T00:00:00Z",
        checks=tuple(
            PlannedCheck(check=check, stage="source", summary=check, require=require, units=("_",)) for check in checks
        ),
    )


@given(policies, sets, requires)
def test_judging_is_idempotent_and_free_of_order(policy, described, require):
    built = build(described)
    first = judge(policy, plan(require), built)
    assert judge(policy, plan(require), dict(reversed(built.items()))) == first
    assert judge(policy, plan(require), built) == first


@given(policies, sets, requires, st.integers(1, 4), st.randoms(use_true_random=False))
def test_it_does_not_matter_over_how_many_units_a_check_is_spread(policy, described, require, shards, dice):
    """The findings of each outcome dealt out over units, one of which is as incomplete as the whole was."""
    whole = judge(policy, plan(require), build(described))
    units = tuple(f"u{number}" for number in range(shards))
    spread = {}
    for (check, _), outcome in build(described).items():
        if isinstance(outcome, NotApplicable):
            spread |= {(check, unit): outcome for unit in units}
            continue
        dealt = {unit: [] for unit in units}
        for finding in outcome.run.findings:
            dealt[dice.choice(units)].append(finding)
        lost = dice.choice(units) if isinstance(outcome, Incomplete) else ""
        for unit, found in dealt.items():
            run = msgspec.structs.replace(outcome.run, findings=tuple(found))
            spread[check, unit] = Incomplete(outcome.reason, run) if unit == lost else Completed(run)
    planned = plan(require)
    checks = tuple(msgspec.structs.replace(each, units=units) for each in planned.checks)
    sharded = judge(policy, msgspec.structs.replace(planned, checks=checks), spread)
    if require == "required" or all(kind in {"completed", "incomplete"} for kind, _ in described.values()):
        # an optional check of which one unit ran whole has proved something: only then more units can be greener
        assert sharded.status is whole.status or (require == "optional" and whole.status is Status.INCOMPLETE)
    assert [(j.finding, j.disposition, j.why) for j in sharded.findings] == [
        (j.finding, j.disposition, j.why) for j in whole.findings
    ]
    blocked = [reason for reason in whole.reasons if reason.kind == "blocked"]
    assert [reason for reason in sharded.reasons if reason.kind == "blocked"] == blocked


@given(policies, sets, st.sampled_from(CHECKS), findings, requires)
def test_one_more_finding_never_makes_it_greener(policy, described, check, finding, require):
    before = judge(policy, plan(require), build(described))
    kind, found = described[check]
    if kind not in {"completed", "incomplete"}:
        return
    # a marker in the source lets a finding through by policy; an unmarked one only adds
    more = msgspec.structs.replace(finding, suppression=None)
    after = judge(policy, plan(require), build({**described, check: (kind, [*found, more])}))
    assert REDNESS[after.status] >= REDNESS[before.status]


@given(policies, sets, st.sampled_from(CHECKS), st.sampled_from(["incomplete", "missing"]), requires)
def test_one_more_incomplete_never_makes_it_greener(policy, described, check, worse, require):
    _kind, found = described[check]
    before = judge(policy, plan(require), build(described))
    after = judge(policy, plan(require), build({**described, check: (worse, found if worse == "incomplete" else [])}))
    if before.status is not Status.PASS:
        # what it had found may be lost with it, but then it is red for being lost, or was another's finding
        assert after.status is not Status.PASS or require == "optional"
    elif require == "required":
        assert after.status is Status.INCOMPLETE


@given(policies, sets, requires)
def test_a_pass_has_no_reason_and_a_red_has_one(policy, described, require):
    verdict = judge(policy, plan(require), build(described))
    assert (verdict.status is Status.PASS) == (not verdict.reasons)
    blocking = verdict.total(Disposition.BLOCKS)
    assert (verdict.status is Status.FAIL) == (blocking > 0)
    assert sum(reason.count for reason in verdict.reasons if reason.kind == "blocked") == blocking


@given(policies, sets, requires)
def test_the_verdict_survives_its_own_file(policy, described, require):
    verdict = judge(policy, plan(require), build(described))
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


@given(st.lists(findings, max_size=8).flatmap(lambda found: st.tuples(st.just(found), st.permutations(found))))
def test_merging_is_free_of_order(pair):
    given_order, other = (
        merge(msgspec.structs.replace(f, id=f"{f.rule}{f.cwe}", checks=(f.message,)) for f in found) for found in pair
    )
    assert {(f.id, f.checks, f.severity, f.cwe) for f in given_order} == {
        (f.id, f.checks, f.severity, f.cwe) for f in other
    }


def test_an_empty_plan_is_not_a_pass():
    assert judge(Policy(), plan(checks=()), {}).status is Status.INCOMPLETE


def test_all_optional_and_none_ran_is_not_a_pass():
    assert judge(Policy(), plan("optional"), {}).status is Status.INCOMPLETE


def test_an_unplanned_outcome_does_not_count():
    outside = {("other", "_"): Completed(make_run("other", []))}
    verdict = judge(Policy(), plan(checks=("bandit",)), outside)
    assert verdict.status is Status.INCOMPLETE
    assert "left no outcome" in verdict.reasons[0].text


def test_what_a_check_says_it_did_not_test_is_a_line_of_the_report():
    run = msgspec.structs.replace(make_run("bandit", []), notes=("not tested: Python 2", "another note"))
    verdict = judge(Policy(), plan(checks=("bandit",)), {("bandit", "_"): Completed(run)})
    assert verdict.status is Status.PASS
    assert [(each.what, each.why, each.required) for each in verdict.not_tested] == [("bandit", "Python 2", False)]


def test_unknown_severity_blocks_unless_the_policy_says_otherwise():
    found = {
        ("bandit", "_"): Completed(make_run("bandit", [Finding(rule="a", severity=Severity.UNKNOWN, message="m")]))
    }
    assert judge(Policy(), plan(checks=("bandit",)), found).status is Status.FAIL
    assert judge(Policy(unknown="warn"), plan(checks=("bandit",)), found).status is Status.PASS


def test_what_two_tools_see_is_counted_once_and_says_so():
    place = Location("x.py", 3, snippet="eval(x)")
    one = Finding(rule="B307", severity=Severity.MEDIUM, message="eval", cwe=(95,), location=place)
    two = Finding(rule="v.eval", severity=Severity.CRITICAL, message="code injection", cwe=(95,), location=place)
    built = {
        ("bandit", "_"): Completed(make_run("bandit", [one])),
        ("semgrep", "_"): Completed(make_run("semgrep", [two])),
    }
    verdict = judge(Policy(), plan(checks=("bandit", "semgrep")), built)
    assert [j.finding.checks for j in verdict.findings] == [("bandit", "semgrep")]
    assert verdict.findings[0].finding.severity is Severity.CRITICAL


def test_two_aliases_of_one_advisory_are_one_finding():
    package = Package("flask", "1.0", "pkg:pypi/flask@1.0")
    one = Finding(rule="PYSEC-1", severity=Severity.HIGH, message="m", package=package, aliases=("CVE-1", "GHSA-1"))
    two = Finding(rule="GHSA-1", severity=Severity.HIGH, message="m", package=package, aliases=("CVE-1",))
    assert len({finding.id for finding in identify([one, two])}) == 1


@pytest.mark.parametrize("line", [3, 300])
def test_an_identity_survives_a_moved_and_reindented_line(line):
    first, moved = identify(
        [Finding(rule="a", severity=Severity.LOW, message="m", location=Location("x", 1, snippet="a = b"))]
    ) + identify(
        [Finding(rule="a", severity=Severity.LOW, message="m", location=Location("x", line, snippet="  a  =  b"))]
    )
    assert first.id == moved.id


days = st.dates(min_value=TODAY - dt.timedelta(days=30), max_value=TODAY + dt.timedelta(days=30))
matches = st.one_of(
    st.builds(Match, rule=st.sampled_from(["a", "b", "*", "c*"])),
    st.builds(Match, path=st.sampled_from(["x.py", "*"])),
    st.builds(Match, check=st.sampled_from(CHECKS), rule=st.sampled_from(["a", "*"])),
)
waiver_lists = st.lists(
    st.builds(
        Waiver,
        match=matches,
        status=st.just("affected"),
        reason=st.just("r"),
        owner=st.just("o"),
        until=days,
        line=st.integers(1, 9),
    ),
    max_size=3,
).map(tuple)
baselines = st.one_of(
    st.none(),
    sets.map(lambda described: baseline_of(judge(Policy(), plan(), build(described)))),
)
all_facts = st.builds(Facts, today=st.just(TODAY), waivers=waiver_lists, baseline=baselines)


def baseline_of(verdict: Verdict) -> Baseline:
    return baseline.of(verdict)


@given(policies, sets, requires, all_facts)
def test_with_facts_judging_is_idempotent_and_free_of_order(policy, described, require, facts):
    built = build(described)
    first = judge(policy, plan(require), built, facts)
    assert judge(policy, plan(require), dict(reversed(built.items())), facts) == first
    turned = msgspec.structs.replace(facts, waivers=facts.waivers[::-1])
    other = judge(policy, plan(require), built, turned)
    assert (other.status, other.reasons) == (first.status, first.reasons)
    assert [j.disposition for j in other.findings] == [j.disposition for j in first.findings]


@given(policies, sets, all_facts)
def test_no_waiver_and_no_baseline_turns_a_required_incomplete_green(policy, described, facts):
    verdict = judge(policy, plan(), build(described), facts)
    if any(kind != "completed" for kind, _ in described.values()):
        assert verdict.status is not Status.PASS
    bare = judge(policy, plan(), build(described))
    kinds = [reason for reason in bare.reasons if reason.kind == "incomplete"]
    assert [reason for reason in verdict.reasons if reason.kind == "incomplete"] == kinds


@given(policies, sets, requires, all_facts, matches, st.integers(1, 900))
def test_a_waiver_that_has_ended_changes_nothing(policy, described, require, facts, match, ago):
    ended = Waiver(match=match, status="affected", reason="r", owner="o", until=TODAY - dt.timedelta(days=ago), line=99)
    before = judge(policy, plan(require), build(described), facts)
    more = msgspec.structs.replace(facts, waivers=(*facts.waivers, ended))
    after = judge(policy, plan(require), build(described), more)
    assert msgspec.structs.replace(after, notices=()) == msgspec.structs.replace(before, notices=())
    assert any(notice.line == 99 and "ended on" in notice.text for notice in after.notices)


@given(policies, sets, st.sampled_from(CHECKS), findings, requires, all_facts)
def test_with_facts_one_more_finding_never_makes_it_greener(policy, described, check, finding, require, facts):
    kind, found = described[check]
    if kind not in {"completed", "incomplete"}:
        return
    before = judge(policy, plan(require), build(described), facts)
    more = msgspec.structs.replace(finding, suppression=None)
    after = judge(policy, plan(require), build({**described, check: (kind, [*found, more])}), facts)
    assert REDNESS[after.status] >= REDNESS[before.status]


@given(policies, sets, requires, all_facts)
def test_facts_only_let_findings_through(policy, described, require, facts):
    bare = judge(policy, plan(require), build(described))
    verdict = judge(policy, plan(require), build(described), facts)
    assert REDNESS[verdict.status] <= REDNESS[bare.status]
    assert {j.finding.id for j in verdict.findings} == {j.finding.id for j in bare.findings}
    for judged in verdict.findings:
        assert (judged.waiver is not None) == (judged.disposition is Disposition.WAIVED)


@given(policies, sets, requires, all_facts)
def test_the_verdict_with_facts_survives_its_own_file(policy, described, require, facts):
    verdict = judge(policy, plan(require), build(described), facts)
    assert msgspec.json.decode(msgspec.json.encode(verdict), type=Verdict) == verdict


def test_a_waiver_must_fit_every_sighting():
    """A waiver for one tool's words must not let through what another tool says."""
    place = Location("x.py", 3, snippet="eval(x)")
    one = Finding(rule="B307", severity=Severity.HIGH, message="eval", cwe=(95,), location=place)
    two = Finding(rule="v.eval", severity=Severity.CRITICAL, message="code injection", cwe=(95,), location=place)
    waiver = Waiver(match=Match(rule="v.eval"), status="affected", reason="r", owner="o", until=TODAY, line=1)
    facts = Facts(today=TODAY, waivers=(waiver,))
    alone = {("semgrep", "_"): Completed(make_run("semgrep", [two]))}
    assert judge(Policy(), plan(checks=("semgrep",)), alone, facts).status is Status.PASS
    both = {**alone, ("bandit", "_"): Completed(make_run("bandit", [one]))}
    assert judge(Policy(), plan(checks=("bandit", "semgrep")), both, facts).status is Status.FAIL

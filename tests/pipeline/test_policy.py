"""The policy's clauses, one by one and as laws; rules in CEL; an organisation's policy under the repository's."""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import http.server
import importlib.util
import json
import threading

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.test_cli import WEAK, only, verdict
from tests.pipeline.test_gate import (
    CHECKS,
    REDNESS,
    TODAY,
    all_facts,
    build,
    findings,
    make_run,
    plan,
    policies,
    sets,
)

from vallum import baseline, config, expressions, organisation, runner
from vallum.config import Config, Policy, PolicyRule, Quorum, Service, Thresholds
from vallum.coverage import sufficient
from vallum.errors import UserError
from vallum.finding import Finding, Location, Package, Suppression
from vallum.gate import judge
from vallum.intelligence import Exploited, Intelligence
from vallum.outcome import Completed, Coverage, Database, Incomplete, Missed, Run, Tool
from vallum.policy import Facts
from vallum.severity import Severity
from vallum.verdict import Status, Verdict


def found(severity: Severity = Severity.HIGH, **rest) -> Finding:
    given = {"rule": "a", "message": "m", "location": Location("x.py", 1, snippet="s"), **rest}
    return Finding(severity=severity, **given)


def one(policy: Policy, finding: Finding, facts: Facts | None = None) -> Verdict:
    done = {("bandit", "_"): Completed(make_run("bandit", [finding]))}
    return judge(policy, plan(checks=("bandit",)), done, facts or Facts(today=TODAY))


# thresholds


def test_a_ring_has_its_own_threshold():
    policy = Policy(stages={"source": Thresholds(block=(Severity.LOW,))})
    assert one(policy, found(Severity.LOW)).status is Status.FAIL
    assert one(policy, found(Severity.HIGH)).status is Status.PASS
    other = Policy(stages={"staged": Thresholds(block=())})
    assert one(other, found(Severity.HIGH)).status is Status.FAIL
    assert one(policy, found(Severity.UNKNOWN)).status is Status.FAIL, "unknown has its own clause"


def test_a_tier_only_adds():
    policy = Policy(tiers={"critical": Thresholds(block=(Severity.MEDIUM,))})
    facts = Facts(today=TODAY, services={"orders": Service(path="o", tier="critical"), "docs": Service(path="d")})
    medium = found(Severity.MEDIUM, service="orders")
    assert one(policy, medium, facts).status is Status.FAIL
    assert "tier critical" in one(policy, medium, facts).findings[0].why
    assert one(policy, found(Severity.MEDIUM, service="docs"), facts).status is Status.PASS
    assert one(policy, found(Severity.HIGH, service="orders"), facts).status is Status.FAIL


def test_markers_over_the_cap_block_and_are_counted_before_merging():
    policy = Policy(max_suppressions=0)
    marked = found(Severity.LOW, suppression=Suppression("inSource", "# nosec"))
    red = one(policy, marked)
    assert red.status is Status.FAIL
    assert "1 findings carry a marker" in red.reasons[0].text
    assert one(Policy(max_suppressions=1), marked).status is Status.PASS
    both = {
        ("bandit", "_"): Completed(make_run("bandit", [marked])),
        ("semgrep", "_"): Completed(make_run("semgrep", [found(Severity.LOW)])),
    }
    # that another tool sees it without the marker does not take the marker away
    assert judge(policy, plan(checks=("bandit", "semgrep")), both, Facts(today=TODAY)).status is Status.FAIL


def test_the_deadline_for_repair_counts_from_the_first_day():
    policy = Policy(block=(), sla={Severity.HIGH: 30})
    (id_,) = (j.finding.id for j in one(policy, found()).findings)
    for days, status in ((30, Status.PASS), (31, Status.FAIL)):
        seen = {id_: TODAY - dt.timedelta(days=days)}
        assert one(policy, found(), Facts(today=TODAY, first_seen=seen)).status is status
    assert one(policy, found()).status is Status.PASS, "seen for the first time today"
    before = baseline.of(one(policy, found()))
    assert one(policy, found(), Facts(today=TODAY, baseline=before)).status is Status.FAIL, "since 2026-01-01"
    lax = Policy(new_only=True, sla={Severity.HIGH: 30})
    assert one(lax, found(), Facts(today=TODAY, baseline=before)).status is Status.FAIL, "known, but overdue"


# coverage


def gap(seen: int, expected: int, why: str = "unparsable") -> Run:
    missed = tuple(Missed(f"f{n}.py", why) for n in range(expected - seen))
    return Run(tool=Tool("bandit", "1"), coverage=(Coverage("files", expected, seen, missed),))


def covered(policy: Policy, outcome) -> Status:
    return judge(policy, plan(checks=("bandit",)), {("bandit", "_"): outcome}, Facts(today=TODAY)).status


def test_a_floor_makes_do_with_what_the_runner_calls_a_gap_of_coverage():
    outcome = runner.prove(Completed(gap(98, 100)))
    assert isinstance(outcome, Incomplete)
    assert covered(Policy(), outcome) is Status.INCOMPLETE
    assert covered(Policy(coverage_min=0.98), outcome) is Status.PASS
    assert covered(Policy(coverage_min=0.99), outcome) is Status.INCOMPLETE
    kept = judge(Policy(coverage_min=0.5), plan(checks=("bandit",)), {("bandit", "_"): outcome}, Facts(today=TODAY))
    assert "98 of 100 files" in kept.checks[0].notes[-1]


@pytest.mark.parametrize(
    "reason",
    [
        "the tool crashed",
        "looked at 98 of 100 files, and the tool crashed",
        "looked at 97 of 100 files: f0.py (unparsable)",
    ],
)
def test_a_floor_excuses_nothing_else(reason):
    policy = Policy(coverage_min=0.01)
    assert covered(policy, Incomplete(reason, gap(98, 100))) is Status.INCOMPLETE
    assert covered(policy, Incomplete("left no outcome")) is Status.INCOMPLETE
    empty = msgspec.structs.replace(gap(98, 100), databases=(Database("osv", "s", 0),))
    outcome = runner.prove(Completed(empty))
    assert sufficient(policy, outcome) == outcome
    nothing = runner.prove(Completed(gap(0, 2)))
    assert covered(policy, nothing) is Status.INCOMPLETE


def test_the_checks_own_words_for_a_gap_count_too():
    from vallum_checks.common import conclude

    outcome = conclude("bandit", gap(99, 100))
    assert isinstance(outcome, Incomplete)
    assert covered(Policy(coverage_min=0.9), outcome) is Status.PASS


# quorum


@given(policies, sets, st.integers(1, 3))
def test_a_quorum_is_required_and_its_members_are_not(policy, described, least):
    quorate = msgspec.structs.replace(policy, quorum=(Quorum(least=least, of=CHECKS),))
    verdict = judge(quorate, plan(), build(described), Facts(today=TODAY))
    whole = sum(kind == "completed" for kind, _ in described.values())
    incomplete = [reason for reason in verdict.reasons if reason.kind == "incomplete"]
    if whole >= least:
        assert not incomplete
    else:
        assert any(f"asks for {least}" in reason.text for reason in incomplete)
        assert verdict.status is not Status.PASS
    assert {result.require for result in verdict.checks} == {"quorum"}


def test_a_quorum_whose_checks_are_off_is_not_met():
    policy = Policy(quorum=(Quorum(least=1, of=("trivy",)),))
    made = plan(checks=("bandit",))
    off = msgspec.structs.replace(made.checks[0], check="trivy", require="off", units=(), reason="switched off")
    made = msgspec.structs.replace(made, checks=(*made.checks, off))
    done = {("bandit", "_"): Completed(make_run("bandit", []))}
    assert judge(policy, made, done, Facts(today=TODAY)).status is Status.INCOMPLETE
    idle = msgspec.structs.replace(off, require="required", reason="there are no images")
    made = msgspec.structs.replace(made, checks=(made.checks[0], idle))
    assert judge(policy, made, done, Facts(today=TODAY)).status is Status.PASS


# laws with every clause

rich = st.builds(
    Policy,
    block=st.lists(st.sampled_from(list(Severity)), unique=True).map(tuple),
    unknown=st.sampled_from(["block", "warn"]),
    suppressions=st.sampled_from(["count", "forbid"]),
    new_only=st.booleans(),
    max_suppressions=st.none() | st.integers(0, 2),
    coverage_min=st.sampled_from([1.0, 0.5]),
    stages=st.sampled_from([{}, {"source": Thresholds(block=(Severity.LOW,))}]),
    sla=st.sampled_from([{}, {Severity.LOW: 3}]),
    quorum=st.sampled_from([(), (Quorum(least=2, of=CHECKS),)]),
)


@given(rich, sets, all_facts)
def test_with_every_clause_order_is_free_and_judging_idempotent(policy, described, facts):
    built = build(described)
    first = judge(policy, plan(), built, facts)
    assert judge(policy, plan(), dict(reversed(built.items())), facts) == first
    assert msgspec.json.decode(msgspec.json.encode(first), type=Verdict) == first
    assert (first.status is Status.PASS) == (not first.reasons)


@given(rich, sets, st.sampled_from(CHECKS), findings, all_facts)
def test_with_every_clause_one_more_finding_never_makes_it_greener(policy, described, check, finding, facts):
    kind, seen = described[check]
    if kind not in {"completed", "incomplete"}:
        return
    before = judge(policy, plan(), build(described), facts)
    after = judge(policy, plan(), build({**described, check: (kind, [*seen, finding])}), facts)
    if finding.suppression is None:
        assert REDNESS[after.status] >= REDNESS[before.status]


# rules in CEL

needs_cel = pytest.mark.skipif(
    importlib.util.find_spec("cel_expr_python") is None, reason="cel-expr-python is not installed here"
)


def rule(when: str, action: str = "block", name: str = "ours") -> PolicyRule:
    return PolicyRule(name=name, when=when, action=action, message="because we say so")


@needs_cel
@pytest.mark.parametrize(
    ("when", "status"),
    [
        ("finding.severity >= LOW", Status.FAIL),
        ("finding.severity >= HIGH", Status.PASS),
        ("finding.cwe.exists(n, n == 89)", Status.FAIL),
        ('finding.path.startsWith("x") && finding.stage == "source"', Status.FAIL),
        ('finding.service == "" && service.tier == "critical"', Status.PASS),
        ("finding.is_new && finding.fix_available", Status.FAIL),
        ('"CVE-2020-1234" in finding.aliases', Status.FAIL),
        ("finding.cvss > 9.0", Status.FAIL),
        ("1 / finding.age_days > 0", Status.FAIL),
        ("finding.cwe[5] == 1", Status.FAIL),
    ],
)
def test_a_rule_blocks(when, status):
    low = found(
        Severity.LOW,
        cwe=(89,),
        aliases=("CVE-2020-1234",),
        cvss="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
        package=Package("p", "1", "pkg:pypi/p@1", ("2",)),
    )
    red = one(Policy(rule=(rule(when),)), low)
    assert red.status is status
    if status is Status.FAIL:
        assert "rule `ours`" in red.findings[0].why
    if "age_days" in when:
        assert "cannot tell: divide by zero" in red.findings[0].why


@needs_cel
def test_a_rule_lets_through_only_what_a_threshold_blocks():
    passing = rule('finding.path.startsWith("x")', "pass", "tests")
    assert one(Policy(rule=(passing,)), found()).status is Status.PASS
    assert "because we say so" in one(Policy(rule=(passing,)), found()).findings[0].why
    both = Policy(rule=(passing, rule("finding.severity >= HIGH")))
    assert one(both, found()).status is Status.FAIL
    broken = Policy(rule=(rule("finding.cwe[0] == 1", "pass"),))
    assert one(broken, found(Severity.LOW)).status is Status.FAIL, "it cannot tell"


@needs_cel
def test_a_rule_about_kev_without_kev_is_incomplete():
    policy = Policy(rule=(rule("finding.kev || finding.epss > 0.5"),))
    red = one(policy, found(Severity.LOW))
    assert red.status is Status.INCOMPLETE
    assert any("finding.kev" in reason.text for reason in red.reasons)
    assert any("finding.epss" in reason.text for reason in red.reasons)
    known = Intelligence(kev={"CVE-2020-1234": Exploited(TODAY, TODAY)}, kev_date=TODAY, epss_date=TODAY)
    facts = Facts(today=TODAY, intelligence=known)
    assert one(policy, found(Severity.LOW), facts).status is Status.PASS
    assert one(policy, found(Severity.LOW, aliases=("CVE-2020-1234",)), facts).status is Status.FAIL


@needs_cel
@pytest.mark.parametrize(
    ("when", "says"),
    [
        ("finding.kevv", "column 8: unknown name `finding.kevv`, did you mean `finding.kev`?"),
        ('finding.severity >= "high"', "no matching overload"),
        ("finding.severity >", "Syntax error"),
        ("finding.severity + 1", "it gives INT, and must be true or false"),
        ("", "Syntax error"),
        ("true " * 2000, "characters"),
        ("(" * 500 + "true" + ")" * 500, "recursion"),
    ],
)
def test_a_rule_that_does_not_compile_is_refused_with_its_line(tmp_path, when, says):
    head = '[policy]\nblock = ["high"]\n\n[[policy.rule]]\nname = "fine"\nmessage = "m"\nwhen = "true"\n'
    text = f'{head}[[policy.rule]]\nname = "ours"\nmessage = "m"\nwhen = {json.dumps(when)}\n'
    (tmp_path / "vallum.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        config.load(tmp_path)
    assert caught.value.message.startswith("vallum.toml:11: rule `ours`: ")
    assert says in caught.value.message


@needs_cel
@given(st.text(max_size=40))
def test_any_text_either_compiles_or_says_why(text):
    with contextlib.suppress(expressions.DoesNotCompile):
        assert callable(expressions.compiled(text))


@needs_cel
def test_names_in_strings_are_not_asked_for():
    assert expressions.named('finding.rule == "finding.kev"') == {"finding.rule"}
    assert "finding.epss" in expressions.named("finding .\n epss > 0.1")


@needs_cel
def test_a_wrong_rule_is_said_before_anything_runs_and_a_right_one_is_quoted(make_tree, vallum):
    text = '[[policy.rule]]\nname = "no shells"\nwhen = "finding.kevv"\nmessage = "we do not start shells"\n'
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit", extra=text)})
    done = vallum("-C", str(root))
    assert done.returncode == 2
    assert "did you mean `finding.kev`?" in done.stderr
    assert not list((root / ".vallum").rglob("record.json"))
    right = text.replace("finding.kevv", "78 in finding.cwe") + '[policy]\nblock = []\nunknown = "warn"\n'
    (root / "vallum.toml").write_text(only("bandit", extra=right))
    assert vallum("-C", str(root)).returncode == 1
    assert any("no shells" in j["why"] and "we do not start shells" in j["why"] for j in verdict(root)["findings"])
    assert "we do not start shells" in (root / ".vallum/report/index.html").read_text()


# configuration


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('[[policy.quorum]]\nleast = 2\nof = ["bandit", "trivvy"]\n', "unknown check `trivvy`"),
        ('[[policy.quorum]]\nleast = 3\nof = ["bandit", "trivy"]\n', "a quorum of 3 of 2 checks"),
        ('[[policy.quorum]]\nleast = 2\nof = ["bandit", "bandit"]\n', "a quorum of 2 of 1 checks"),
        ("[policy.stages.sauce]\nblock = []\n", "vallum.toml"),
        ("[policy.sla]\nhihg = 3\n", "vallum.toml"),
        ("[policy]\ncoverage-min = 0\n", "vallum.toml:2"),
        ("[policy]\nmax-supressions = 0\n", "vallum.toml:2: unknown key `max-supressions`"),
        ("[services.a]\npath = 'a'\ntier = 'high'\n", "vallum.toml:3"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path, text, says):
    (tmp_path / "vallum.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        config.load(tmp_path, frozenset({"bandit", "trivy"}))
    assert says in caught.value.message


# an organisation's policy

THEIRS = """
[policy]
block = ["critical", "high", "medium"]
suppressions = "forbid"
max-waiver-days = 90
[policy.sla]
high = 30
[checks.bandit]
require = "required"
[organisation]
allow = ["policy.sla", "checks.bandit.exclude"]
"""


def load_under(tmp_path, own: str, theirs: str = THEIRS) -> Config:
    (tmp_path / "organisation.toml").write_text(theirs)
    (tmp_path / "vallum.toml").write_text(own + '\n[organisation]\nfile = "organisation.toml"\n')
    return config.load(tmp_path)


def test_theirs_holds_where_the_repository_says_nothing(tmp_path):
    policy = load_under(tmp_path, "").policy
    assert policy.block == (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
    assert (policy.suppressions, policy.max_waiver_days, policy.sla) == ("forbid", 90, {Severity.HIGH: 30})


@pytest.mark.parametrize(
    "own",
    [
        'policy.block = ["critical", "high", "medium", "low"]',
        "policy.max-waiver-days = 30",
        "policy.max-suppressions = 0",
        "policy.sla = { high = 90 }",
        "policy.sla = { critical = 3 }",
        'policy.stages.staged.block = ["critical", "high", "medium", "low"]',
        'checks.semgrep.require = "optional"',
        'policy.tiers.critical.block = ["low"]',
        'checks.bandit.exclude = ["fixtures/**"]',
    ],
)
def test_the_repository_may_tighten_and_loosen_what_is_allowed(tmp_path, own):
    assert load_under(tmp_path, own) is not None


@pytest.mark.parametrize(
    ("own", "key"),
    [
        ('policy.block = ["critical"]', "policy.block"),
        ('policy.suppressions = "count"', "policy.suppressions"),
        ("policy.max-waiver-days = 91", "policy.max-waiver-days"),
        ("policy.new-only = true", "policy.new-only"),
        ("policy.stages.source.block = []", "policy.stages"),
        ('policy.vex = ["x.json"]', "policy.vex"),
        ('policy.quorum = [{ least = 1, of = ["bandit"] }]', "policy.quorum"),
        ('checks.bandit.require = "off"', "checks.bandit.require"),
        ('checks.bandit.require = "optional"', "checks.bandit.require"),
        ('exclude = ["legacy/**"]', "exclude"),
        ('checks.semgrep.exclude = ["legacy/**"]', "checks.semgrep.exclude"),
    ],
)
def test_the_repository_may_not_loosen_the_rest(tmp_path, own, key):
    with pytest.raises(UserError, match="looser than organisation") as caught:
        load_under(tmp_path, own)
    assert caught.value.message.startswith("vallum.toml:1: ")
    assert f"`{key}`" in caught.value.message
    assert "policy.sla" in caught.value.hint


@pytest.mark.parametrize(
    "theirs",
    [
        "[polcy]\n",
        "[organisation]\nallow = 3\n",
        "[policy]\nblok = []\n",
        "[checks.a]\ndeadline = 3\n",
        "[",
        "checks = 3\n",
    ],
)
def test_a_wrong_file_of_theirs_is_refused(tmp_path, theirs):
    with pytest.raises(UserError, match=r"organisation\.toml"):
        load_under(tmp_path, "", theirs)


severities = st.lists(st.sampled_from([str(s) for s in Severity]), unique=True)
tables = st.fixed_dictionaries(
    {},
    optional={
        "block": severities,
        "unknown": st.sampled_from(["block", "warn"]),
        "suppressions": st.sampled_from(["count", "forbid"]),
        "max-waiver-days": st.integers(1, 300),
        "coverage-min": st.sampled_from([0.5, 0.9, 1.0]),
        "sla": st.dictionaries(st.sampled_from([str(s) for s in Severity]), st.integers(0, 9)),
        "stages": st.dictionaries(st.sampled_from(["source"]), st.fixed_dictionaries({"block": severities})),
        "tiers": st.dictionaries(st.sampled_from(["critical"]), st.fixed_dictionaries({"block": severities})),
    },
)


@given(tables, tables, sets)
def test_what_is_combined_is_never_laxer_than_theirs(own, theirs, described):
    try:
        both = organisation.combine({"policy": own}, {"policy": theirs}, lambda key, why: UserError(f"{key} {why}"))
    except UserError:
        return
    built = build(described)
    strict = judge(msgspec.convert(theirs, Policy), plan(), built, Facts(today=TODAY))
    combined = judge(msgspec.convert(both["policy"], Policy), plan(), built, Facts(today=TODAY))
    if set(theirs) >= {"block", "unknown", "suppressions", "coverage-min"}:
        assert REDNESS[combined.status] >= REDNESS[strict.status]
    assert organisation.combine(both, {"policy": theirs}, lambda key, why: UserError(key))["policy"] == both["policy"]


@pytest.fixture
def served():
    """A real server on this machine that gives out one file; counts what it was asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data = THEIRS.encode() if self.path == "/policy.toml" else b"x" * (2 << 20)
            self.send_response(302 if self.path == "/moved" else 200)
            self.end_headers()
            with contextlib.suppress(OSError):  # whoever had enough hangs up
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    asked: list[str] = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", asked
    server.shutdown()
    thread.join()
    server.server_close()


def pinned(url: str, digest: str) -> str:
    return f'[organisation]\nurl = "{url}"\nsha256 = "{digest}"\n'


def test_a_pinned_address_is_fetched_once_and_its_digest_counts(tmp_path, served, monkeypatch):
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    url, asked = served
    digest = hashlib.sha256(THEIRS.encode()).hexdigest()
    (tmp_path / "vallum.toml").write_text(pinned(f"{url}/policy.toml", digest))
    for _ in range(2):
        assert config.load(tmp_path).policy.suppressions == "forbid"
    assert asked == ["/policy.toml"]
    (kept,) = (tmp_path / "cache" / "organisation").iterdir()
    kept.write_text("[policy]\nblock = []\n")
    assert config.load(tmp_path).policy.suppressions == "forbid", "a changed copy is not used"
    assert len(asked) == 2
    for path, sha, says in (
        ("/policy.toml", "0" * 64, "is not the file"),
        ("/large", "2" * 64, "over 1048576 bytes"),
        ("/moved", "1" * 64, "answers 302"),
    ):
        (tmp_path / "vallum.toml").write_text(pinned(url + path, sha))
        with pytest.raises(UserError, match=says):
            config.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (pinned("http://example.invalid/p.toml", "0" * 64), "only https"),
        (pinned("https://127.0.0.1:9/p.toml", "0" * 64), "cannot be fetched"),
        ('[organisation]\nurl = "https://127.0.0.1/p"\n', "needs its `sha256`"),
        ('[organisation]\nfile = "a"\nurl = "https://127.0.0.1/p"\n', "either"),
        ("[organisation]\n", "either"),
        (pinned("https://127.0.0.1/p", "abc"), "no SHA-256"),
        ('[organisation]\nfile = "absent.toml"\n', "cannot be read"),
    ],
)
def test_an_organisation_that_cannot_be_had_is_refused(tmp_path, monkeypatch, text, says):
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "vallum.toml").write_text(text)
    with pytest.raises(UserError, match=says):
        config.load(tmp_path)


def test_the_verdict_says_the_policy_that_judged():
    shown = one(Policy(sla={Severity.HIGH: 3}, coverage_min=0.5), found()).policy
    assert shown == {
        "block": "critical, high",
        "unknown": "block",
        "suppressions": "count",
        "coverage-min": "0.5",
        "sla": '{"high":3}',
    }

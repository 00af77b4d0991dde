"""What is read is what was written, for every finding; and what nobody here wrote is refused."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.finding import Exchange, Finding, Location, Operation, Package, Rule, Suppression
from vallum.outcome import Coverage, Database, Missed, Run, Tool
from vallum.sarif import read_run, write_run
from vallum.severity import Severity

TEXT = st.text(max_size=40)
NUMBER = st.integers(min_value=-3, max_value=10**9)
LOCATION = st.builds(Location, path=TEXT, line=NUMBER, column=NUMBER, end_line=NUMBER, snippet=TEXT)
FINDING = st.builds(
    Finding,
    rule=st.sampled_from(("a", "b/c", "unlisted")) | TEXT,
    severity=st.sampled_from(Severity),
    message=TEXT,
    location=st.none() | LOCATION,
    service=TEXT,
    cwe=st.lists(st.integers(0, 2000), max_size=3).map(tuple),
    owasp=st.lists(TEXT, max_size=2).map(tuple),
    confidence=st.sampled_from(("", "high", "medium", "low")),
    fix=TEXT,
    package=st.none() | st.builds(Package, name=TEXT, version=TEXT, purl=TEXT, fixed=st.lists(TEXT).map(tuple)),
    aliases=st.lists(TEXT, max_size=3).map(tuple),
    cvss=TEXT,
    operation=st.none() | st.builds(Operation, method=TEXT, path=TEXT, parameter=TEXT),
    exchange=st.none() | st.builds(Exchange, request=TEXT, response=TEXT),
    suppression=st.none()
    | st.builds(Suppression, kind=st.sampled_from(("inSource", "external")), by=TEXT, reason=TEXT),
    id=TEXT,
    checks=st.lists(TEXT, max_size=3).map(tuple),
)
RULE = st.builds(Rule, id=st.sampled_from(("a", "b/c")) | TEXT, name=TEXT, description=TEXT, help=TEXT, uri=TEXT)


def a_run(**values: object) -> Run:
    fields = {"tool": Tool("bandit", "1.9.4", "ab"), "coverage": (Coverage("files", 1, 1),), **values}
    return Run(**fields)  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None)
@given(st.lists(RULE, max_size=4).map(tuple), st.lists(FINDING, max_size=5).map(tuple))
def test_read_is_the_inverse_of_write(rules: tuple[Rule, ...], findings: tuple[Finding, ...]) -> None:
    data = write_run("bandit", a_run(rules=rules, findings=findings), True)
    assert read_run(data) == (rules, findings)


def test_a_file_name_that_is_no_utf8_survives() -> None:
    path = b"caf\xe9.py".decode("utf-8", "surrogateescape")
    found = (Finding(rule="a", severity=Severity.LOW, message="m", location=Location(path, line=1)),)
    assert read_run(write_run("c", a_run(findings=found), True))[1] == found


def test_a_lone_surrogate_in_a_text_is_escaped_not_lost() -> None:
    found = (Finding(rule="a", severity=Severity.LOW, message="m\udce9", location=Location("x\ud800", line=1)),)
    (read,) = read_run(write_run("c", a_run(findings=found), True))[1]
    assert read.message == "m\\udce9"
    assert read.location == Location("x\\ud800", line=1)


def test_an_incomplete_run_says_so_and_what_it_did_not_look_at() -> None:
    run = a_run(
        coverage=(Coverage("files", 2, 1, (Missed("b.py", "unparsable"),)),),
        databases=(Database("osv", "folder", 3, "2026-01-01"),),
        notes=("3 nosec markers",),
        argv=("bandit", "-r", "."),
        exit_code=1,
        started="2026-11-22T21:00:00Z",
        seconds=1.5,
    )
    (written,) = json.loads(write_run("bandit", run, False, "one file could not be parsed"))["runs"]
    (invocation,) = written["invocations"]
    assert invocation["executionSuccessful"] is False
    assert invocation["exitCode"] == 1
    assert invocation["startTimeUtc"] == "2026-11-22T21:00:00Z"
    assert invocation["endTimeUtc"] == "2026-11-22T21:00:01.500Z"
    notifications = [(each["level"], each["message"]["text"]) for each in invocation["toolExecutionNotifications"]]
    assert notifications == [
        ("error", "one file could not be parsed"),
        ("note", "3 nosec markers"),
        ("warning", "not looked at: b.py (unparsable)"),
    ]
    assert written["properties"]["databases"][0]["date"] == "2026-01-01"


def test_an_incomplete_run_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="needs its reason"):
        write_run("bandit", a_run(), False)


def test_rules_carry_level_score_and_cwe_of_their_worst_finding() -> None:
    findings = tuple(
        Finding(rule="a", severity=severity, message="m", cwe=(number,), id="f")
        for severity, number in ((Severity.LOW, 79), (Severity.CRITICAL, 89), (Severity.INFO, 79))
    )
    written = json.loads(write_run("c", a_run(rules=(Rule("a", "A"), Rule("b", "B")), findings=findings), True))
    first, second = written["runs"][0]["tool"]["driver"]["rules"]
    assert first["defaultConfiguration"] == {"level": "error"}
    assert first["properties"]["security-severity"] == "9.5"
    assert first["properties"]["tags"] == ["security", "external/cwe/cwe-079", "external/cwe/cwe-089"]
    assert "properties" not in second
    result = written["runs"][0]["results"][0]
    assert result["ruleIndex"] == 0
    assert result["partialFingerprints"] == {"vallum/v1": "f", "primaryLocationLineHash": "f:1"}


GOOD = write_run("c", a_run(findings=(Finding(rule="a", severity=Severity.HIGH, message="m"),)), True)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (b'"version":"2.1.0"', b'"version":"2.0.0"', "version"),
        (b'"runs":[', b'"extra":1,"runs":[', "extra"),
        (b'"ruleId":"a"', b'"ruleId":3', "ruleId"),
        (b'"ruleId":"a"', b'"ruleId":"a","kind":"pass"', "kind"),
        (b'"severity":"high"', b'"severity":"awful"', "awful"),
        (b'"level":"error"', b'"level":"note"', "contradicts"),
        (b'"severity":"high"', b'"confidence":"high"', "severity"),
        (b"}]}", b"}]", "JSON"),
        (b'"message":{"text":"m"}', b'"message":{"text":"\xff"}', "utf-8"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(old: bytes, new: bytes, says: str) -> None:
    assert old in GOOD
    with pytest.raises(ValueError, match=says):
        read_run(GOOD.replace(old, new))


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b'{"runs":[]}', b"[" * 100_000, b"<html>"])
def test_rubbish_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a SARIF file"):
        read_run(data)


def test_two_runs_are_refused() -> None:
    log = json.loads(GOOD)
    log["runs"] *= 2
    with pytest.raises(ValueError, match="exactly one"):
        read_run(json.dumps(log).encode())


@pytest.mark.parametrize(
    "data",
    [
        GOOD.replace(b'"severity":"high"', b'"severity":"high","later":{"a":1}'),
        GOOD.replace(b'"severity":"high"', b'"severity":"low","severity":"high"'),
        GOOD.replace(b'"results":', b'"results":[],"results":'),
        GOOD + b"\n",
    ],
)
def test_what_two_readers_could_read_differently_is_refused(data: bytes) -> None:
    assert data != GOOD
    with pytest.raises(ValueError, match=r"byte for byte|contradicts|not a SARIF"):
        read_run(data)

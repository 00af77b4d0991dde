"""VEX in and out: what a statement lets through and what it does not; what we state can be read back."""

from __future__ import annotations

import datetime as dt
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.test_cli import WEAK, only, verdict
from tests.pipeline.test_gate import TODAY, make_run, plan

from vallum import vex
from vallum.config import Policy
from vallum.errors import UserError
from vallum.finding import Finding, Package
from vallum.gate import judge
from vallum.outcome import Completed
from vallum.policy import Facts
from vallum.reports import vex as report
from vallum.severity import Severity
from vallum.verdict import Disposition, Status, Verdict
from vallum.waivers import Match, Waiver

PURL = "pkg:pypi/flask@1.0"
FOUND = Finding(
    rule="PYSEC-1",
    severity=Severity.HIGH,
    message="m",
    package=Package("flask", "1.0", PURL),
    aliases=("CVE-2023-1111", "GHSA-1"),
)


def openvex(at: str = "2026-05-01T00:00:00Z", author: str = "Ada", **rest) -> dict:
    statement = {
        "vulnerability": {"name": "CVE-2023-1111"},
        "products": [{"@id": PURL}],
        "status": "not_affected",
        "justification": "vulnerable_code_not_present",
        **rest,
    }
    context = "https://openvex.dev/ns/v0.2.0"
    return {
        "@context": context,
        "@id": "urn:x",
        "author": author,
        "timestamp": at,
        "version": 1,
        "statements": [statement],
    }


def cyclonedx(state: str = "not_affected", **rest) -> dict:
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "metadata": {"timestamp": "2026-05-01T00:00:00Z", "authors": [{"name": "Ada"}]},
        "components": [{"type": "library", "bom-ref": "f", "name": "flask", "purl": PURL}],
        "vulnerabilities": [
            {
                "id": "CVE-2023-1111",
                "analysis": {"state": state, "justification": "code_not_present"},
                "affects": [{"ref": "f"}],
            }
        ],
        **rest,
    }


def judged(*documents: dict, today: dt.date = TODAY, days: int = 180, finding: Finding = FOUND) -> Verdict:
    said = tuple(
        each for document in documents for each in vex.parse(json.dumps(document).encode(), "x.json", today, days)
    )
    done = {("pip-audit", "_"): Completed(make_run("pip-audit", [finding]))}
    return judge(Policy(), plan(checks=("pip-audit",)), done, Facts(today=today, statements=said))


def test_without_a_statement_it_blocks():
    assert judged().status is Status.FAIL


@pytest.mark.parametrize(
    ("document", "status"),
    [
        (openvex(), Status.PASS),
        (openvex(status="fixed"), Status.PASS),
        (openvex(status="affected"), Status.FAIL),
        (openvex(status="under_investigation"), Status.FAIL),
        (openvex(vulnerability={"name": "X", "aliases": ["GHSA-1"]}), Status.PASS),
        (openvex(vulnerability={"name": "CVE-2023-2222"}), Status.FAIL),
        (openvex(products=[{"@id": "pkg:pypi/flask"}]), Status.PASS),
        (openvex(products=[{"@id": "urn:a", "identifiers": {"purl": PURL}}]), Status.PASS),
        (openvex(products=[{"@id": "pkg:pypi/flask@1.1"}]), Status.FAIL),
        (openvex(products=[{"@id": "pkg:npm/flask@1.0"}]), Status.FAIL),
        (openvex(products=[{"@id": "pkg:pypi/flask@1.0?os=x"}]), Status.FAIL),
        (openvex(products=[{"@id": "pkg:oci/shop@1", "subcomponents": [{"@id": PURL}]}]), Status.FAIL),
        (openvex(products=[{"@id": PURL, "subcomponents": [{"@id": "pkg:pypi/werkzeug@1"}]}]), Status.FAIL),
        (openvex(products=[]), Status.FAIL),
        (openvex(at="2025-12-01T00:00:00Z"), Status.FAIL),
        (cyclonedx(), Status.PASS),
        (cyclonedx("false_positive"), Status.PASS),
        (cyclonedx("exploitable"), Status.FAIL),
        (cyclonedx("in_triage"), Status.FAIL),
        (cyclonedx(components=[]), Status.FAIL),
    ],
)
def test_what_lets_through(document, status):
    verdict = judged(document)
    assert verdict.status is status
    if status is Status.PASS:
        waiver = verdict.findings[0].waiver
        assert waiver is not None
        assert (waiver.owner, waiver.file, waiver.until) == ("Ada", "x.json", dt.date(2026, 10, 28))


def test_the_latest_statement_counts_and_it_holds_to_its_last_day():
    later = openvex(at="2026-05-02T00:00:00Z", status="affected")
    assert judged(openvex(), later).status is Status.FAIL
    assert judged(later, openvex()).status is Status.FAIL
    assert judged(openvex(at="2026-05-03T00:00:00Z"), later).status is Status.PASS
    assert judged(openvex(), days=31).status is Status.PASS
    assert judged(openvex(), days=30).status is Status.FAIL


def test_a_finding_without_a_package_is_named_by_its_identity():
    plain = msgspec.structs.replace(FOUND, package=None)
    (id_,) = (each.finding.id for each in judged(finding=plain).findings)
    assert judged(openvex(products=[{"@id": vex.URN + id_}]), finding=plain).status is Status.PASS
    assert judged(openvex(products=[{"@id": vex.URN}]), finding=plain).status is Status.FAIL
    assert judged(openvex(), finding=plain).status is Status.FAIL


@pytest.mark.parametrize(
    ("document", "says"),
    [
        ({}, "no VEX"),
        ([], "no VEX"),
        (openvex() | {"@context": "https://example.org"}, "no OpenVEX"),
        (openvex(author=" "), "author"),
        (openvex(status="fine"), "unknown status"),
        (openvex(justification=""), "justification"),
        (openvex(at="2026-06-03T00:00:00Z"), "future"),
        (openvex(at="yesterday"), "no VEX"),
        (cyclonedx() | {"specVersion": "1.9"}, "is CycloneDX 1.9"),
        (cyclonedx() | {"metadata": {"timestamp": "2026-05-01T00:00:00Z"}}, "author"),
        (cyclonedx("perhaps"), "unknown status"),
    ],
)
def test_a_wrong_file_is_refused(document, says):
    with pytest.raises(UserError, match=says):
        vex.parse(json.dumps(document).encode(), "x.json", TODAY, 180)


@given(st.binary(max_size=60) | st.just(b"[" * 100_000))
def test_any_bytes_are_refused_in_words(data):
    with pytest.raises(UserError):
        vex.parse(data, "x.json", TODAY, 180)


@given(
    st.lists(st.sampled_from(["not_affected", "fixed", "affected", "under_investigation"]), max_size=3),
    st.lists(st.integers(0, 200), min_size=3, max_size=3),
)
def test_a_statement_that_has_ended_changes_nothing_but_what_is_older(statuses, ages):
    documents = [
        openvex(at=f"{TODAY - dt.timedelta(days=age)}T00:00:00Z", status=status)
        for status, age in zip(statuses, ages, strict=False)
    ]
    before = judged(*documents, days=201)
    ended = openvex(at=f"{TODAY - dt.timedelta(days=202)}T00:00:00Z")
    assert judged(*documents, ended, days=201) == before
    assert judged(*documents[::-1], days=201) == before


def test_what_we_state_can_be_read_back():
    until = TODAY + dt.timedelta(days=9)
    waiver = Waiver(
        match=Match(package="flask"),
        status="not_affected",
        justification="vulnerable_code_not_in_execute_path",
        reason="sessions are not used",
        owner="ada",
        until=until,
        line=1,
    )
    done = {("pip-audit", "_"): Completed(make_run("pip-audit", [FOUND]))}
    made = plan(checks=("pip-audit",))
    waived = judge(Policy(), made, done, Facts(today=TODAY, waivers=(waiver,)))
    files = report.render(waived, None)
    assert set(files) == {"openvex.json", "vex.cdx.json"}
    document = json.loads(files["openvex.json"])
    (statement,) = document["statements"]
    assert statement["vulnerability"] == {"name": "CVE-2023-1111", "aliases": ["GHSA-1", "PYSEC-1"]}
    assert (statement["status"], statement["justification"]) == ("not_affected", "vulnerable_code_not_in_execute_path")
    (entry,) = json.loads(files["vex.cdx.json"])["vulnerabilities"]
    assert entry["analysis"] == {
        "state": "not_affected",
        "detail": "sessions are not used",
        "justification": "code_not_reachable",
    }
    for name, data in files.items():
        said = vex.parse(data, name, TODAY, 180)
        again = judge(Policy(), made, done, Facts(today=TODAY, statements=said))
        assert again.findings[0].disposition is Disposition.WAIVED
    blocked = judge(Policy(), made, done, Facts(today=TODAY))
    for name, data in report.render(blocked, None).items():
        said = vex.parse(data, name, TODAY, 180)
        assert judge(Policy(), made, done, Facts(today=TODAY, statements=said)).status is Status.FAIL
    assert report.render(judged(finding=msgspec.structs.replace(FOUND, package=None)), None) == {}


def test_a_file_named_in_the_policy_counts_and_a_missing_one_is_said(make_tree, vallum):
    """With the real bandit: its finding is named by identity."""
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit", extra='[policy]\nvex = ["x.json"]\n')})
    done = vallum("-C", str(root))
    assert done.returncode == 2
    assert "x.json does not exist" in done.stderr
    (root / "vallum.toml").write_text(only("bandit"))
    assert vallum("-C", str(root)).returncode == 1
    now = f"{dt.datetime.now(dt.UTC).date()}T00:00:00Z"
    blocking = [j["finding"] for j in verdict(root)["findings"] if j["disposition"] == "blocks"]
    document = openvex(at=now)
    document["statements"] = [
        openvex(vulnerability={"name": each["rule"]}, products=[{"@id": vex.URN + each["id"]}])["statements"][0]
        for each in blocking
    ]
    (root / "x.json").write_text(json.dumps(document))
    (root / "vallum.toml").write_text(only("bandit", extra='[policy]\nvex = ["x.json"]\n'))
    done = vallum("-C", str(root), "-s", "gate")
    assert done.returncode == 0, done.stderr
    assert f"{len(blocking)} waived" in done.stderr

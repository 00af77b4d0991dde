"""write_all: every report or its reason, nothing stale, nothing lost; the parts lists; the formats' own laws."""

from __future__ import annotations

import json
import os
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import CHECKS, FINDINGS, NOT_TESTED, judged, shop
from vallum import reports
from vallum.reports import junit, markdown
from vallum.verdict import CheckResult, Reason, Status

PARTS = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "version": 1,
    "components": [{"type": "library", "name": "flask", "version": "1.1.4", "purl": "pkg:pypi/flask@1.1.4"}],
}


def parts_list(root: Path, check: str, unit: str, content: bytes) -> None:
    path = root / ".vallum" / "outcomes" / check / unit / "raw" / "sbom.cdx.json"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)


def test_every_report_is_written_or_its_reason_said(tmp_path: Path) -> None:
    written = reports.write_all(shop(), tmp_path)
    folder = tmp_path / ".vallum" / "report"
    errors = {each.path.name: each.error for each in written if each.error}
    assert errors == {"sbom.cdx.json": "no check of this run left a parts list (SBOM)"}
    for path, error in written:
        assert path.is_file() is (error is None)
    assert {name for name in reports.REPORTS if (folder / name).is_file()} == set(reports.REPORTS) - {"sbom.cdx.json"}


def test_a_report_that_fails_is_said_and_loses_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> dict[str, bytes]:
        raise KeyError("oops")

    monkeypatch.setitem(reports.REPORTS, "junit.xml", broken)
    written = {each.path.name: each.error for each in reports.write_all(shop(), tmp_path)}
    assert written["junit.xml"] == "KeyError: 'oops'"
    assert written["index.html"] is None
    assert written["summary.md"] is None


def test_nothing_of_an_earlier_run_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports.write_all(shop(), tmp_path)
    folder = tmp_path / ".vallum" / "report"
    (folder / "sbom.cdx.json").write_text("stale")
    (folder / "vallum-7.sarif").write_text("stale")
    (folder / "mine.txt").write_text("a person's")
    monkeypatch.setitem(reports.REPORTS, "index.html", lambda *_: 1 / 0)  # type: ignore[arg-type, return-value]
    reports.write_all(shop(findings=(), checks=()), tmp_path)
    assert sorted(os.listdir(folder)) == ["findings.json", "junit.xml", "mine.txt", "summary.md", "vallum.sarif"]


def test_a_link_in_place_of_the_folder_leads_nowhere(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "keep.sarif").write_text("x")
    folder = tmp_path / "root" / ".vallum" / "report"
    folder.mkdir(parents=True)
    (folder / "sarif").symlink_to(outside)
    reports.write_all(shop(), tmp_path / "root")
    assert (outside / "keep.sarif").read_text() == "x"
    assert os.listdir(outside) == ["keep.sarif"]


def test_parts_lists_of_this_run_are_merged(tmp_path: Path) -> None:
    parts_list(tmp_path, "image", "orders", json.dumps(PARTS).encode())
    parts_list(tmp_path, "image", "gone", b"of an earlier plan: not read")
    errors = [each.error for each in reports.write_all(shop(), tmp_path) if each.error]
    assert errors == []
    merged = json.loads((tmp_path / ".vallum" / "report" / "sbom.cdx.json").read_bytes())
    assert merged["bomFormat"] == "CycloneDX"
    assert "pkg:pypi/flask@1.1.4" in json.dumps(merged)


def test_a_parts_list_that_is_a_link_is_not_followed(tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text(json.dumps(PARTS))
    raw = tmp_path / ".vallum" / "outcomes" / "image" / "orders" / "raw"
    raw.mkdir(parents=True)
    (raw / "sbom.cdx.json").symlink_to(secret)
    (error,) = [each.error for each in reports.write_all(shop(), tmp_path) if each.error]
    assert error is not None
    assert "cannot be read" in error


def test_a_target_whose_every_text_is_no_unicode(tmp_path: Path) -> None:
    odd = msgspec.structs.replace(FINDINGS[1], message="caf\udce9", service="s\udce9")
    verdict = shop(target="t\udce9", findings=(judged(odd),), reasons=(Reason("blocked", "r\udce9"),))
    errors = [each.error for each in reports.write_all(verdict, tmp_path) if each.error]
    assert errors == ["no check of this run left a parts list (SBOM)"]


def test_junit_is_linear() -> None:
    """Ten times the findings may take twenty times the time at most; the closest peer's writer takes a hundred."""

    def cost(number: int) -> float:
        verdict = shop(findings=tuple(judged(FINDINGS[0]) for _ in range(number)))
        began = time.process_time()
        junit.render(verdict, Path())
        return time.process_time() - began

    cost(100)
    assert cost(20_000) < 20 * max(cost(2_000), 0.02)


def test_junit_has_a_case_for_each_unit() -> None:
    suites = ET.fromstring(b"".join(junit.render(shop(), Path())["junit.xml"]))
    images = next(suite for suite in suites if suite.get("name") == "image")
    assert [case.get("name") for case in images][:3] == ["accounts", "gateway", "orders"]
    skipped = CheckResult(
        check="x", stage="source", unit="_", status="not-applicable", require="required", reason="nothing here"
    )
    suites = ET.fromstring(b"".join(junit.render(shop(checks=(skipped,), findings=()), Path())["junit.xml"]))
    (case,) = next(suite for suite in suites if suite.get("name") == "x")
    assert case.find("skipped") is not None


def test_the_summary_stays_under_the_limit_of_github() -> None:
    def texts(number: int) -> str:
        return f"{number} " + "&<|*[]`" * 200

    verdict = shop(
        status=Status.INCOMPLETE,
        reasons=tuple(Reason("incomplete", texts(n)) for n in range(3_000)),
        not_tested=tuple(msgspec.structs.replace(NOT_TESTED[0], what=texts(n), why=texts(n)) for n in range(3_000)),
        checks=tuple(msgspec.structs.replace(CHECKS[0], check=texts(n), unit=texts(n)) for n in range(3_000)),
        findings=tuple(judged(msgspec.structs.replace(FINDINGS[0], message=texts(n))) for n in range(3_000)),
        scope=tuple(texts(n) for n in range(3_000)),
    )
    data = markdown.render(verdict, Path())["summary.md"]
    assert len(data) <= markdown.LIMIT
    assert b"more, in the report" in data


def test_the_summary_says_how_many_more_there_are() -> None:
    found = tuple(judged(msgspec.structs.replace(FINDINGS[0], id=str(number))) for number in range(100))
    text = markdown.render(shop(findings=found), Path())["summary.md"].decode()
    assert "The worst 20 of 100 findings" in text
    assert text.count("<code>40018</code>") == 20


def test_many_findings_are_written_by_two_processes_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = {each.path.name: each.error for each in reports.write_all(shop(), tmp_path)}
    before = {path.name: path.read_bytes() for path in (tmp_path / ".vallum" / "report").rglob("*.*")}
    monkeypatch.setattr(reports, "MANY", 1)
    many = {each.path.name: each.error for each in reports.write_all(shop(), tmp_path)}
    assert many == few
    assert {path.name: path.read_bytes() for path in (tmp_path / ".vallum" / "report").rglob("*.*")} == before
    monkeypatch.setitem(reports.REPORTS, "vallum.sarif", lambda *_: os._exit(9))
    lost = {each.path.name: each.error for each in reports.write_all(shop(), tmp_path)}
    assert "was not written whole" in lost["vallum.sarif"]
    assert lost["junit.xml"] is None

"""Every report takes its numbers and identities from the verdict, so that no two of them can disagree."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import FINDINGS, judged, shop
from vallum.finding import Suppression
from vallum.reports import console, findings, github, html, junit, markdown, sarif, text
from vallum.severity import Severity
from vallum.verdict import Disposition, Status, Verdict


def many() -> Verdict:
    """90 findings of all kinds, in the verdict's order."""
    found = [
        msgspec.structs.replace(
            FINDINGS[n % 10],
            id=f"{n:032x}",
            severity=list(Severity)[n % 6],
            suppression=Suppression("inSource", "# nosec") if n % 7 == 0 else None,
        )
        for n in range(90)
    ]
    order = list(Disposition)
    return shop(
        findings=tuple(sorted(map(judged, found), key=lambda j: (order.index(j.disposition), -j.finding.severity.rank)))
    )


VERDICTS = [
    shop(),
    many(),
    shop(findings=(), status=Status.INCOMPLETE),
    shop(findings=(), reasons=(), status=Status.PASS),
]
ROOT = Path("/nonexistent")


@pytest.fixture(params=VERDICTS, ids=["shop", "many", "incomplete", "pass"])
def verdict(request: pytest.FixtureRequest) -> Verdict:
    return request.param


def totals(verdict: Verdict) -> dict[str, int]:
    return {str(each): verdict.total(each) for each in Disposition}


def test_findings_json(verdict: Verdict) -> None:
    document = json.loads(b"".join(findings.render(verdict, ROOT)["findings.json"]))
    assert {name: sum(inner.values()) for name, inner in document["counts"].items()} == totals(verdict)
    assert [each["finding"]["id"] for each in document["findings"]] == [j.finding.id for j in verdict.findings]
    assert document["status"] == verdict.status


def test_html(verdict: Verdict) -> None:
    page = html.render(verdict, ROOT)["index.html"].decode()
    shown = re.findall(r'<details id="f-([^"]+)">', page)
    assert shown == [j.finding.id for j in verdict.findings]
    cells = re.findall(r'<th scope="row"><span class="sev \w+">(\w+)</span></th>((?:<td[^>]*>[\d,]+</td>)+)', page)
    table = {name: [int(n) for n in re.findall(r">(\d+)<", rest)] for name, rest in cells}
    assert table == {str(s): [verdict.counts[d][s] for d in Disposition] for s in Severity}
    tally = re.findall(r"<div><dt>([^<]+)</dt><dd>(\d+)</dd></div>", page)
    assert [int(number) for _, number in tally] == list(text.tally(verdict).values())


def test_operations(verdict: Verdict) -> None:
    """Page, summary and terminal show the verdict's figures of every service, and every gap."""
    expected = {each.service: list(text.operations(each)) for each in verdict.operations}
    assert expected
    page = html.render(verdict, ROOT)["index.html"].decode()
    table = page[page.index('<table class="counts operations">') :].split("</table>")[0]
    rows = re.findall(r'<tr><th scope="row">(\w+)[^\n]*?</th>(.*?)</tr>', table)
    assert {name: [int(n) for n in re.findall(r">(\d+)<", cells)] for name, cells in rows} == expected
    summary = markdown.render(verdict, ROOT)["summary.md"].decode()
    part = summary[summary.index("## Operations") :].split("\n## ")[0]
    lines = [line.strip("| ").split(" | ") for line in part.splitlines() if line.startswith("| <code>")]
    assert {re.sub(r"<.*?>", "", cells[0]): [int(n) for n in cells[1:]] for cells in lines} == expected
    terminal = console.render(verdict)
    for each in verdict.operations:
        words = zip(expected[each.service], text.OPERATIONS, strict=True)
        assert f"  {each.service}  {', '.join(f'{number} {word}' for number, word in words)}" in terminal
    shown, read = Text(), Text()
    shown.feed(page)
    read.feed(part)
    for gap in [gap for each in verdict.operations for gap in text.gaps(each)]:
        assert gap in shown.text
        assert gap in read.text


def test_junit(verdict: Verdict) -> None:
    suites = ET.fromstring(b"".join(junit.render(verdict, ROOT)["junit.xml"]))
    own, *rest = suites.findall("testsuite")
    assert sum(int(suite.get("failures", "")) for suite in rest) == totals(verdict)["blocks"]
    assert sum(len(suite.findall("testcase/failure")) for suite in rest) == totals(verdict)["blocks"]
    assert sum(int(suite.get("errors", "")) for suite in rest) == text.tally(verdict)["incomplete"]
    for suite in (own, *rest):
        assert int(suite.get("tests", "")) == len(suite.findall("testcase"))
        assert int(suite.get("failures", "")) == len(suite.findall("testcase/failure"))
        assert int(suite.get("errors", "")) == len(suite.findall("testcase/error"))
        assert int(suite.get("skipped", "")) == len(suite.findall("testcase/skipped"))
    ids = [f"id: {judged.finding.id}" for judged in verdict.findings]
    text_of_all = "\n".join("".join(case.itertext()) for case in suites.iter("testcase"))
    assert all(each in text_of_all for each in ids)
    red = own.find("testcase/failure") is not None or own.find("testcase/error") is not None
    assert red == (verdict.status is not Status.PASS)


def test_summary(verdict: Verdict) -> None:
    lines = markdown.render(verdict, ROOT)["summary.md"].decode().splitlines()
    assert lines[0].startswith(f"# {verdict.status.upper()}: ")
    row = lines[lines.index("| ---: | ---: | ---: | ---: |") + 1]
    assert [int(cell) for cell in row.strip("| ").split(" | ")] == list(text.tally(verdict).values())


def test_console(verdict: Verdict) -> None:
    last = console.render(verdict)[-1]
    for word, number in text.tally(verdict).items():
        assert f"{number} {word}" in last
    assert last.startswith(verdict.status.upper())


def test_annotations(verdict: Verdict) -> None:
    notice = github.commands(verdict)[-1]
    assert notice.startswith("::notice")
    for word, number in text.tally(verdict).items():
        assert f"{number} {word}" in notice


def test_code_scanning(verdict: Verdict) -> None:
    """What is uploaded and what is said to be left out is all there is, of the categories that ran whole."""
    files = dict(sarif.render(verdict, ROOT))
    uploaded = set()
    left = 0
    for name, data in files.items():
        if not name.startswith("sarif/"):
            continue
        (run,) = json.loads(data)["runs"]
        uploaded |= {result["partialFingerprints"]["vallum/v1"] for result in run.get("results", ())}
        reasons = run["properties"].get("leftOut", {})
        left += sum(number for why, number in reasons.items() if "could not tell" not in why)
    incomplete = {check.check for check in verdict.checks if check.status == "incomplete"}
    sound = [j for j in verdict.findings if j.finding.checks[0] not in incomplete]
    assert len(uploaded) + left == len(sound)
    assert uploaded == {
        j.finding.id for j in sound if j.finding.location and j.disposition is not Disposition.SUPPRESSED
    }


class Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.text = ""

    def handle_data(self, data: str) -> None:
        self.text += data


def test_all_say_the_reasons_and_what_was_not_tested() -> None:
    verdict = shop()
    page = Text()
    page.feed(html.render(verdict, ROOT)["index.html"].decode())
    summary = Text()
    summary.feed(markdown.render(verdict, ROOT)["summary.md"].decode())
    terminal = "\n".join(console.render(verdict))
    suites = ET.fromstring(b"".join(junit.render(verdict, ROOT)["junit.xml"]))
    first = "".join(suites[0].itertext())
    for reason in verdict.reasons:
        assert reason.text in page.text
        assert reason.text in summary.text
        assert reason.text in terminal
        assert reason.text in first
    for each in verdict.not_tested:
        assert each.what in page.text
        assert each.why in page.text
        assert each.what.replace("#", "#\u2060") in summary.text
        assert each.why in terminal

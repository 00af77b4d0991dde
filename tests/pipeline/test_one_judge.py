"""One judge: the real chain on small trees, and then console, annotations, HTML, SARIF, JUnit, Markdown, findings.json and the
exit code are held to verdict.json, number by number, severity by severity, identity by identity."""

from __future__ import annotations

import datetime as dt
import html
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter

import msgspec
import pytest
from tests.pipeline.test_cli import only

from vallum.severity import Severity
from vallum.verdict import EXIT, Disposition, Status, Verdict

APP = """\
import os
import pickle
import subprocess

import flask

app = flask.Flask(__name__)


@app.route("/run")
def run():
    name = flask.request.args["name"]
    os.system("echo " + name)
    subprocess.call(name, shell=True)
    subprocess.call("date", shell=True)  # nosec
    return str(eval(name)) + str(pickle.loads(flask.request.data))


assert app
app.run(host="0.0.0.0", debug=True)
"""
WEAK = {
    "services/orders/app.py": APP,
    "services/orders/Dockerfile": "FROM python:latest\nRUN curl http://example.invalid | sh\nCMD python app.py\n",
    "services/mail/app.py": "import subprocess\nsubprocess.call(input(), shell=True)\n",
    "services/mail/Dockerfile": "FROM python:3.12-slim\nUSER 1000\nCMD python app.py\n",
}
BROKEN = {"services/mail/broken.py": "def (:\n"}
CLEAN = {"a.py": "print('hello')\n"}


def numbers(line: str) -> dict[str, int]:
    """`3 blocked (1 high), 2 warned` as numbers by word."""
    bare = re.sub(r" \([^)]*\)", "", line)
    return {word: int(number.replace(",", "")) for number, word in re.findall(r"(\d[\d,]*) (\w+)", bare)}


def hold_together(root, done, stdout_commands: bool = False) -> Verdict:
    """Compare every output of that run with verdict.json; returns it."""
    report = root / ".vallum" / "report"
    verdict = msgspec.json.decode((root / ".vallum" / "verdict.json").read_bytes(), type=Verdict)
    by_id = {each.finding.id: each for each in verdict.findings}
    assert len(by_id) == len(verdict.findings), "one identity, one finding"
    blocked, warned, waived, suppressed = (verdict.total(each) for each in Disposition)
    incomplete = sum(check.status == "incomplete" for check in verdict.checks)
    tally = {"blocked": blocked, "warned": warned, "suppressed": suppressed, "incomplete": incomplete}
    if waived:
        tally["waived"] = waived
    # the exit code, and the verdict within itself
    assert done.returncode == EXIT[verdict.status]
    assert sum(reason.count for reason in verdict.reasons) == blocked
    assert (verdict.status is Status.FAIL) == bool(blocked)
    assert sum(service.blocking for service in verdict.services) == blocked
    for severity in Severity:
        total = sum(service.counts[severity] for service in verdict.services)
        assert total == sum(each.finding.severity is severity for each in verdict.findings)
    # console
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = next(line for line in reversed(lines) if line.startswith(verdict.status.upper()))
    assert numbers(last.split("  ")[1]) == tally
    detail = re.search(r"blocked \(([^)]*)\)", last)
    said = {word: int(n) for n, word in re.findall(r"(\d+) (\w+)", detail[1])} if detail else {}
    assert said == {str(s): n for s, n in verdict.counts[Disposition.BLOCKS].items() if n}
    for reason in verdict.reasons:
        assert any(reason.text in line for line in lines)
    # findings.json
    document = json.loads((report / "findings.json").read_bytes())
    assert document["status"] == verdict.status
    assert document["run"] == verdict.run
    assert document["counts"] == {str(d): {str(s): n for s, n in inner.items()} for d, inner in verdict.counts.items()}
    assert (
        msgspec.convert(document["findings"], tuple[type(verdict.findings[0]), ...] if by_id else tuple)
        == verdict.findings
    )
    # HTML: every finding in order, with its severity and disposition
    page = (report / "index.html").read_text("utf-8")
    cards = re.findall(
        r'<li class="finding (\w+)" data-sev="(\w+)" data-disp="(\w+)".*?\n<details id="f-([0-9a-f]+)">', page
    )
    assert [(disp, sev, id_) for disp, sev, _, id_ in cards] == [
        (str(each.disposition), str(each.finding.severity), each.finding.id) for each in verdict.findings
    ]
    assert re.search(r'<span class="word">(\w+)</span>', page)[1] == verdict.status.upper()
    shown = [int(n.replace(",", "")) for n in re.findall(r"<div><dt>[^<]+</dt><dd>([\d,]+)</dd></div>", page)]
    assert Counter(shown) == Counter(tally.values())
    cells = re.findall(r'<th scope="row"><span class="sev \w+">(\w+)</span></th>((?:<td[^>]*>[\d,]+</td>)+)', page)
    table = {name: [int(n) for n in re.findall(r">(\d+)<", rest)] for name, rest in cells}
    assert table == {str(s): [verdict.counts[d][s] for d in Disposition] for s in Severity}
    # Markdown
    summary = html.unescape((report / "summary.md").read_text("utf-8"))
    assert summary.startswith(f"# {verdict.status.upper()}: ")
    rows = [
        [cell.strip() for cell in row.strip("| ").split(" | ")] for row in summary.splitlines() if row.startswith("| ")
    ]
    heads = next(number for number, row in enumerate(rows) if row[0] == "blocked")
    named = dict(zip(rows[heads], rows[heads + 2], strict=True))
    assert {word.removeprefix("checks "): int(n) for word, n in named.items()} == tally
    # JUnit
    suites = ET.fromstring((report / "junit.xml").read_bytes())
    own, *rest = suites.findall("testsuite")
    assert (own.find("testcase/failure") is not None) == (verdict.status is Status.FAIL)
    assert (own.find("testcase/error") is not None) == (verdict.status is Status.INCOMPLETE)
    cases = {}
    for case in (case for suite in rest for case in suite.findall("testcase")):
        named_id = re.search(r"^id: ([0-9a-f]{32})$", "".join(case.itertext()), re.MULTILINE)
        if named_id:
            cases[named_id[1]] = (case.get("name").split()[0], case.find("failure") is not None)
    assert cases == {
        id_: (str(each.finding.severity), each.disposition is Disposition.BLOCKS) for id_, each in by_id.items()
    }
    assert sum(int(suite.get("errors")) for suite in rest) == incomplete
    assert sum(int(suite.get("failures")) for suite in rest) == blocked
    assert sum(int(suite.get("tests")) for suite in rest) == len(by_id) + len(verdict.checks)
    # SARIF: what is there, and what is said to be left out, is all of the checks that ran whole
    whole = {check.check for check in verdict.checks} - {c.check for c in verdict.checks if c.status == "incomplete"}
    results, left_out = {}, Counter()
    for run in json.loads((report / "vallum.sarif").read_bytes())["runs"]:
        left_out.update(run["properties"].get("leftOut", {}))
        for result in run.get("results", ()):
            bag = result["properties"]
            results[result["partialFingerprints"]["vallum/v1"]] = (bag["severity"], bag["disposition"], result["level"])
    for id_, (severity, disposition, level) in results.items():
        each = by_id[id_]
        assert (severity, disposition) == (each.finding.severity, each.disposition)
        assert level == each.finding.severity.sarif_level
    hidden = {Disposition.WAIVED, Disposition.SUPPRESSED}
    assert set(results) == {
        id_
        for id_, each in by_id.items()
        if each.finding.checks[0] in whole and each.finding.location and each.disposition not in hidden
    }
    assert left_out["waived"] == sum(
        each.disposition is Disposition.WAIVED and each.finding.checks[0] in whole for each in verdict.findings
    )
    if stdout_commands:
        notice = next(line for line in done.stdout.splitlines() if line.startswith("::notice"))
        assert numbers(notice.partition(": ")[2].partition(";")[0]) == tally
        errors = [line for line in done.stdout.splitlines() if line.startswith("::error")]
        reds = blocked + sum(reason.kind == "incomplete" for reason in verdict.reasons)
        assert len(errors) == min(10, reds)
    return verdict


@pytest.mark.slow
def test_a_weak_tree(make_tree, vallum):
    root = make_tree(WEAK | BROKEN | {"vallum.toml": only("bandit", "semgrep", "dockerfile")})
    github = {"GITHUB_ACTIONS": "true"}
    verdict = hold_together(root, vallum("-C", str(root), env=github), stdout_commands=True)
    assert verdict.status is Status.FAIL
    assert any(reason.kind == "incomplete" for reason in verdict.reasons), "broken.py cannot be parsed"
    assert {each.disposition for each in verdict.findings} >= {Disposition.BLOCKS, Disposition.WARNS}
    assert any(len(each.finding.checks) > 1 for each in verdict.findings), "bandit and semgrep agree on something"
    # now with a waiver, a marker and a baseline: the same outcomes, judged anew
    assert vallum("-C", str(root), "-s", "baseline").returncode == 0
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)).isoformat()
    first = verdict.findings[0].finding.id
    waive = ("--reason", "a demo", "--owner", "ada", "--until", until)
    assert vallum("-C", str(root), "-s", "waive", "--", first, *waive).returncode == 0
    again = hold_together(root, vallum("-C", str(root), "-s", "gate", env=github), stdout_commands=True)
    assert again.total(Disposition.WAIVED) == 1
    assert again.total(Disposition.BLOCKS) == verdict.total(Disposition.BLOCKS) - 1
    assert {each.state for each in again.findings} <= {"unchanged", ""}
    assert {each.finding.id for each in again.findings} == {each.finding.id for each in verdict.findings}


@pytest.mark.parametrize(
    ("files", "status"),
    [(CLEAN, Status.PASS), (CLEAN | BROKEN, Status.INCOMPLETE), (WEAK, Status.FAIL)],
    ids=["pass", "incomplete", "fail"],
)
def test_each_verdict(make_tree, vallum, files, status):
    root = make_tree({**files, "vallum.toml": only("bandit")})
    assert hold_together(root, vallum("-C", str(root))).status is status
    uploaded = (root / ".vallum" / "report" / "vallum.sarif").read_text()
    assert ('"disposition":"blocks"' in uploaded) == (status is Status.FAIL)


def test_a_report_that_cannot_be_written_loses_neither_the_verdict_nor_the_exit_code(make_tree, vallum):
    root = make_tree({**CLEAN, "vallum.toml": only("bandit")})
    blocked = root / ".vallum" / "report" / "index.html"
    (blocked / "in the way").mkdir(parents=True)
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    assert "index.html" in done.stderr
    assert "not written" in done.stderr
    verdict = json.loads((root / ".vallum" / "verdict.json").read_bytes())
    assert verdict["status"] == "pass"
    assert (root / ".vallum" / "report" / "junit.xml").is_file()


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("vallum.toml", "[checks.bandti]\n", "did you mean `bandit`?"),
        ("vallum.toml", "[polcy]\n", "did you mean `policy`?"),
        ("vallum.toml", '[policy]\nbolck = ["high"]\n', "did you mean `block`?"),
        (
            "vallum-waivers.toml",
            '[[waiver]]\nmatch = { service = "ordres" }\nstatus = "affected"\nreason = "r"\nowner = "o"\nuntil = {today}\n',
            "did you mean 'orders'?",
        ),
    ],
)
def test_a_misspelt_word_is_answered_with_the_right_one(make_tree, vallum, file, content, says):
    content = content.replace("{today}", dt.datetime.now(dt.UTC).date().isoformat())
    root = make_tree({"services/orders/Dockerfile": "FROM python\n", "services/orders/a.py": "", file: content})
    done = vallum("-C", str(root), "-s", "plan")
    assert done.returncode == 2
    assert says in done.stderr

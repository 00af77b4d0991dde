"""Nothing that a tool, a target or another machine says becomes markup, a command or a control sequence in any report.

Every text field of a verdict is replaced by hostile text; the shape of each report must stay what harmless text gives.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.reports.verdicts import FINDINGS, judged, shop
from tests.sarif.schema import problems
from vallum.reports import console, findings, github, html, junit, markdown, sarif, text
from vallum.verdict import Disposition, Verdict

ROOT = Path("/nonexistent")
KEPT = frozenset({"status", "severity", "disposition", "stage", "require", "kind", "schema"})
"""Keys of enumerations: no free text."""
HOSTILE = {
    "html": "\"'><img src=x onerror=alert(1)><script>alert(1)</script></style><!--",
    "template": "{{ 7*7 }}{% raw %}{# x #}",
    "markdown": "x | y\n\n# head\n- item\n1. one\n[a](http://evil.example)![i](http://evil.example/i)`c` ``` **b** ~~s~~ \\| @someone "
    "www.evil.example a@evil.example <b>#1 &lt;b&gt; <http://evil.example>",
    "terminal": "\x1b[31mred\x1b]0;title\x07\x1b]8;;http://evil.example\x07 \x9b31m \rover\x08\x7f\u202egnp\u2028two",
    "workflow": "\n::error::boo\r\n::set-env name=A::b%0A::x ##[error]boo ::stop-commands::t",
    "formula": "=cmd|' /C calc'!A0,\"\t@SUM(1)",
    "xml": "]]>&<x/>\x00\x0b\ufffe\udc80",
    "script": "javascript:alert(1)",
    "path": "../../etc/passwd\x00",
    "long": "A" * 60_000,
}
LINKS = re.compile(r"https://(cwe\.mitre\.org/data/definitions/\d+\.html|example\.invalid/x)|#[\w-]+|data:,")


def poisoned(payload: str) -> Verdict:
    """The shop with every free text replaced."""

    def replace(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return value if key in KEPT or not value else payload
        if isinstance(value, dict) and key == "counts":
            return value
        if isinstance(value, dict) and key == "rules":
            return {name: replace(inner) for name, inner in value.items()}
        if isinstance(value, dict):
            return {name: replace(inner, name) for name, inner in value.items()}
        if isinstance(value, list | tuple):
            return [replace(inner, key) for inner in value]
        return value

    verdict = msgspec.convert(replace(msgspec.to_builtins(shop())), Verdict)
    rules = {f"{payload}/{payload}": next(iter(verdict.rules.values()))}
    with_ids = tuple(
        msgspec.structs.replace(each, finding=msgspec.structs.replace(each.finding, id=f"{payload}{number}"))
        for number, each in enumerate(verdict.findings)
    )
    return msgspec.structs.replace(verdict, rules=rules, findings=with_ids)


@pytest.fixture(params=HOSTILE, scope="module")
def payload(request: pytest.FixtureRequest) -> str:
    return HOSTILE[request.param]


@pytest.fixture(scope="module")
def hostile(payload: str) -> Verdict:
    return poisoned(payload)


class Shape(HTMLParser):
    """The tags with their attributes' names, in order, and the values of some."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, tuple[str, ...]]] = []
        self.values: dict[str, list[str]] = {}
        self.comments: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, tuple(name for name, _ in attrs)))
        for name, value in attrs:
            self.values.setdefault(name, []).append(value or "")

    def handle_comment(self, data: str) -> None:
        self.comments.append(data)


def shape(page: bytes) -> Shape:
    parser = Shape()
    parser.feed(page.decode("utf-8"))
    return parser


def test_html(hostile: Verdict) -> None:
    page = html.render(hostile, ROOT)["index.html"]
    found, harmless = shape(page), shape(html.render(poisoned("harmless"), ROOT)["index.html"])
    names = {tag for tag, _ in found.tags}
    assert [tag for tag, _ in found.tags if tag != "option"] == [tag for tag, _ in harmless.tags if tag != "option"]
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on") or name == "style"]
    assert not found.comments
    assert names.isdisjoint({"img", "iframe", "object", "embed", "base", "b:x"})
    assert "src" not in found.values
    assert all(LINKS.match(value) for value in found.values["href"])
    body = page.split(b"<body>")[1].rsplit(b"<script>", 1)[0]
    assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", body)
    assert not re.search("[\x80-\x9f\u202a-\u202e\u2066-\u2069]", body.decode())


def test_template_text_is_not_evaluated() -> None:
    page = html.render(poisoned(HOSTILE["template"]), ROOT)["index.html"].decode()
    assert "{{ 7*7 }}{% raw %}" in page


def test_only_web_links_become_links() -> None:
    verdict = shop()
    rules = {name: msgspec.structs.replace(rule, uri="javascript:alert(1)") for name, rule in verdict.rules.items()}
    page = html.render(msgspec.structs.replace(verdict, rules=rules), ROOT)["index.html"]
    assert b"javascript:" not in page.split(b"<body>")[1].rsplit(b"<script>", 1)[0]


def test_junit(hostile: Verdict) -> None:
    data = b"".join(junit.render(hostile, ROOT)["junit.xml"])
    suites = ET.fromstring(data)
    assert {element.tag for element in suites.iter()} <= {
        *("testsuites", "testsuite", "testcase", "failure", "error", "skipped", "system-out")
    }
    assert len(suites.findall("testsuite/testcase/failure")) == hostile.total(Disposition.BLOCKS) + 1


def test_sarif(hostile: Verdict) -> None:
    checks = tuple(msgspec.structs.replace(each, status="completed") for each in hostile.checks)
    files = dict(sarif.render(msgspec.structs.replace(hostile, checks=checks), ROOT))
    assert sum(len(run.get("results", ())) for run in json.loads(files[sarif.NAME])["runs"]) == 7
    for name, data in files.items():
        assert re.fullmatch(r"vallum(-\d+)?\.sarif|sarif/[A-Za-z0-9_][\w.-]*\.sarif", name)
        log = json.loads(data)
        assert list(problems(log)) == []
        for run in log["runs"]:
            assert re.fullmatch(r"svc/[\w.-]+/[\w.-]+/", run["automationDetails"]["id"])
            for result in run.get("results", ()):
                assert not re.search(r"(?<!\\)[\[\]]", result["message"]["text"])
                uri = result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"]
                assert re.fullmatch(r"[A-Za-z0-9/._~%-]+", uri)


def test_findings_json(hostile: Verdict, payload: str) -> None:
    document = json.loads(b"".join(findings.render(hostile, ROOT)["findings.json"]))
    assert len(document["findings"]) == len(hostile.findings)
    expected = payload.encode("utf-8", "backslashreplace").decode()
    assert document["findings"][0]["finding"]["message"] == expected


def without_references(line: str) -> str:
    return re.sub(r"&#\d+;", "", line)


def test_summary(hostile: Verdict) -> None:
    lines = markdown.render(hostile, ROOT)["summary.md"].decode().split("\n")
    harmless = markdown.render(poisoned("harmless"), ROOT)["summary.md"].decode().split("\n")
    assert [re.match(r"[#|-]*", line)[0] for line in lines] == [re.match(r"[#|-]*", line)[0] for line in harmless]  # type: ignore[index]
    for line, other in zip(lines, harmless, strict=True):
        bare, plain = without_references(line), without_references(other)
        for mark in ("|", "<", ">", "`", "*", "[", "]", "(", "!", "_", "\\", "~", "#", "http:", "://"):
            assert bare.count(mark) == plain.count(mark), (mark, line)
        assert not re.search("@(?!\u2060)", bare)
        assert "www." not in bare


def test_summary_in_a_real_markdown_reader(hostile: Verdict) -> None:
    markdown_it = pytest.importorskip("markdown_it", reason="the structural test above needs no reader")
    reader = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")

    def tags(verdict: Verdict) -> list[str]:
        return re.findall(r"</?\w+", reader.render(markdown.render(verdict, ROOT)["summary.md"].decode()))

    assert tags(hostile) == tags(poisoned("harmless"))


def test_terminal(hostile: Verdict) -> None:
    lines = console.render(hostile, Path("/x/index.html"), ["\x1b[2J\n::error::x"], colour=False)
    assert len(lines) == len(console.render(poisoned("harmless"), Path("/x/index.html"), ["y"], colour=False))
    for line in lines:
        assert not re.search("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2028]", line)
        assert not line.lstrip().startswith("::")
        assert "##[" not in line
        assert len(line) < 1_000


def test_workflow_commands(hostile: Verdict) -> None:
    commands = github.commands(hostile)
    assert len(commands) == len(github.commands(poisoned("harmless")))
    for command in commands:
        assert re.fullmatch(
            r"::(error|warning|notice) ((title|file|line|endLine|col)=[^:,\r\n]*,?)+::[^\r\n]*", command
        )
        assert not re.search("[\x00-\x1f\x7f-\x9f]", command)
        assert not re.search("%(?!25|0D|0A|3A|2C)", command)


@pytest.mark.parametrize("value", HOSTILE.values(), ids=list(HOSTILE))
def test_cleaned_text_has_no_control(value: str) -> None:
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\ud800-\udfff]", text.plain(value))
    assert "\n" not in text.line(value)
    assert len(text.line(value, 50)) <= 50


def test_paths_of_uploads_are_percent_encoded() -> None:
    found = msgspec.structs.replace(
        FINDINGS[1], location=msgspec.structs.replace(FINDINGS[1].location, path="a b/ü#1?x:y/50%.py")
    )
    data = dict(sarif.render(shop(findings=(judged(found),)), ROOT))[sarif.NAME]
    (uri,) = re.findall(rb'"uri":"([^"]+)"', data)
    assert uri == b"a%20b/%C3%BC%231%3Fx%3Ay/50%25.py"

"""SARIF and JUnit of anybody: what is refused, what is kept, and that no place leaves the target."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vallum.sarif.foreign import MAX_TEXT, inside, read_sarif, strict_json
from vallum.sarif.junit import read_junit
from vallum.severity import Severity


def sarif(*results: dict[str, Any], rules: list[dict[str, Any]] | None = None, **run: Any) -> bytes:
    driver = {"name": "thing", "semanticVersion": "1.2.3", "rules": rules or []}
    return json.dumps(
        {"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]}
    ).encode()


def at(uri: str, **extra: Any) -> dict[str, Any]:
    place = {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": 3, "startColumn": 2}}}
    return {"ruleId": "R1", "message": {"text": "bad"}, "locations": [place], **extra}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    target = tmp_path / "target"
    (target / "src").mkdir(parents=True)
    (target / "src" / "a.py").write_text("x\n")
    (target / "ä b.py").write_text("x\n")
    (tmp_path / "secret").write_text("x\n")
    (target / "out").symlink_to(tmp_path / "secret")
    (target / "folder").symlink_to(tmp_path)
    return target.resolve()


def test_a_result_keeps_its_words_its_rule_and_its_place(root):
    rule = {
        "id": "R1",
        "shortDescription": {"text": "short"},
        "helpUri": "https://example.invalid/r1",
        "properties": {"tags": ["security", "external/cwe/cwe-089"], "security-severity": "9.8"},
    }
    read = read_sarif(sarif(at("src/a.py"), rules=[rule]), root)
    (finding,) = read.findings
    assert (read.tool, read.version, read.failed) == ("thing", "1.2.3", ())
    assert (finding.rule, finding.severity, finding.message, finding.cwe) == ("R1", Severity.CRITICAL, "bad", (89,))
    assert finding.location is not None
    assert (finding.location.path, finding.location.line, finding.location.column) == ("src/a.py", 3, 2)
    assert read.rules[0].name == "short"


@pytest.mark.parametrize(
    ("result", "severity"),
    [
        ({"level": "error"}, Severity.HIGH),
        ({"level": "note"}, Severity.LOW),
        ({}, Severity.MEDIUM),  # 3.27.10: no level and no rule is a warning
        ({"level": "whatever"}, Severity.UNKNOWN),
        ({"kind": "review", "level": "none"}, Severity.UNKNOWN),
        ({"properties": {"security-severity": "seven"}}, Severity.UNKNOWN),
        ({"properties": {"security-severity": "inf"}}, Severity.UNKNOWN),
        ({"properties": {"security-severity": 7.5}, "level": "note"}, Severity.HIGH),
    ],
)
def test_a_severity_is_the_score_else_the_level_else_unknown(root, result, severity):
    assert read_sarif(sarif(at("src/a.py", **result)), root).findings[0].severity is severity


def test_the_owner_may_say_what_a_level_is_worth(root):
    read = read_sarif(sarif(at("src/a.py", level="error")), root, {"error": Severity.LOW})
    assert read.findings[0].severity is Severity.LOW


@pytest.mark.parametrize(
    "uri",
    [
        "../secret",
        "src/../../secret",
        "%2e%2e/secret",
        "%2E%2E%2Fsecret",
        "src/..%2f..%2fsecret",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://fileserver/share/a.py",
        "//fileserver/share/a.py",
        "\\\\fileserver\\share\\a.py",
        "file:////fileserver/share",
        "C:/windows/a.py",
        "c:\\windows\\a.py",
        "http://evil.example/src/a.py",
        "javascript:alert(1)",
        "out",
        "folder/secret",
        "src/a%00.py",
        "src/a%0a::error::x",
        "src/%ff.py",
        "",
        ".",
        "src/..",
        "http://[",
        "a" * 5000,
        "…/../../secret",
    ],
)
def test_no_place_leaves_the_target_and_the_finding_stays(root, uri):
    assert inside(root, uri) == ""
    (finding,) = read_sarif(sarif(at(uri)), root).findings
    assert finding.location is None
    assert "point to no place in the target" in " ".join(read_sarif(sarif(at(uri)), root).notes)


def test_ways_to_write_a_good_place(root):
    assert inside(root, "src/a.py") == inside(root, "./src/a.py") == inside(root, "src/x/../a.py") == "src/a.py"
    assert inside(root, f"file://{root}/src/a.py") == inside(root, f"file://localhost{root}/src/a.py") == "src/a.py"
    assert inside(root, f"{root}/src/a.py") == "src/a.py"
    assert inside(root, "%C3%A4%20b.py") == "ä b.py"
    assert inside(root, "a.py", f"file://{root}/src/") == "src/a.py"
    assert inside(root, "a.py", "file:///etc/") == inside(root, "a.py", "https://example.invalid/") == ""


def test_places_by_base_and_by_index(root):
    by_base = at("a.py")
    by_base["locations"][0]["physicalLocation"]["artifactLocation"]["uriBaseId"] = "SRC"
    by_index = at("x")
    by_index["locations"][0]["physicalLocation"]["artifactLocation"] = {"index": 0}
    data = sarif(
        by_base,
        by_index,
        originalUriBaseIds={"SRC": {"uri": f"file://{root}/src/"}},
        artifacts=[{"location": {"uri": "src/a.py"}, "roles": ["analysisTarget"]}],
    )
    read = read_sarif(data, root)
    assert [finding.location.path for finding in read.findings if finding.location] == ["src/a.py", "src/a.py"]
    assert read.listed == {"src/a.py"}


def test_what_the_tool_says_of_itself_is_believed_when_it_is_bad(root):
    told = {
        "executionSuccessful": False,
        "toolExecutionNotifications": [
            {"level": "error", "message": {"text": "cannot parse"}, "locations": at("src/a.py")["locations"]},
            {"level": "note", "message": {"text": "by the way"}},
        ],
    }
    read = read_sarif(sarif(invocations=[told]), root)
    assert read.failed == ("cannot parse", "by its own words it did not run to its end")
    assert read.missed == {"src/a.py": "cannot parse"}
    assert "by the way" in read.notes
    assert read_sarif(b'{"version":"2.1.0","runs":[{"tool":{"driver":{"name":"x"}}}]}', root).failed  # no `results`


def test_passes_and_suppressions(root):
    accepted, asked = [{"kind": "inSource"}], [{"kind": "external", "status": "underReview"}]
    read = read_sarif(
        sarif(
            at("src/a.py", kind="pass"),
            at("src/a.py", baselineState="absent"),
            at("src/a.py", suppressions=accepted),
            at("src/a.py", suppressions=asked),
        ),
        root,
    )
    assert [finding.suppression is not None for finding in read.findings] == [True, False]
    assert sum(int(note.split()[0]) for note in read.notes) == 2


DEEP = b"[" * 200_000 + b"]" * 200_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "Expecting value"),
        (b"{}", "not SARIF"),
        (b'{"version":"2.1.0","runs":[]}', "without a run"),
        (b'{"version":"2.0.0","runs":[]}', "not SARIF 2.1.0"),
        (b'{"version":"2.1.0","version":"2.1.0","runs":[]}', "stands twice"),
        (sarif(at("a")).replace(b'"ruleId"', b'"kind":"pass","kind":"fail","ruleId"'), "stands twice"),
        (sarif(at("a")).replace(b'"startLine": 3', b'"startLine": NaN'), "NaN is no JSON"),
        (sarif(at("a")).replace(b'"startLine": 3', b'"startLine": -Infinity'), "Infinity is no JSON"),
        (sarif(at("a")).replace(b'"startLine": 3', b'"startLine": 1' + b"0" * 5000), "digit"),
        (sarif(at("a")).replace(b'"startLine": 3', b'"startLine": 1' + b"0" * 50), "not SARIF"),
        (sarif(at("a")).replace(b'"bad"', b'"b\xffd"'), "not UTF-8"),
        (sarif(at("a")).replace(b'"bad"', b'"\\ud800"'), "not SARIF|surrogate"),
        (sarif(at("a")).replace(b'"bad"', DEEP), "nested too deeply"),
        (sarif(at("a"), properties={"x": 1}).replace(b'"x": 1', b'"x": ' + DEEP), "nested too deeply"),
        (sarif(at("a"))[:-20], "delimiter|Expecting|Unterminated"),
        (sarif(at("a")) + b"{}", "Extra data"),
        (b"\xef\xbb\xbf" + sarif(at("a")), "BOM"),
    ],
    ids=range(17),
)
def test_what_is_refused(root, data, reason):
    with pytest.raises(ValueError, match=reason):
        read_sarif(data, root)


def test_runs_of_two_tools_are_refused(root):
    both = json.loads(sarif())
    both["runs"].append({"tool": {"driver": {"name": "other"}}, "results": []})
    with pytest.raises(ValueError, match="more than one tool"):
        read_sarif(json.dumps(both).encode(), root)


def test_ten_thousand_rules_and_long_texts(root):
    rules = [{"id": f"R{n}", "help": {"text": "h" * 10_000}} for n in range(10_000)]
    read = read_sarif(sarif(at("src/a.py", message={"text": "m" * 1_000_000}), rules=rules), root)
    assert len(read.rules) == 10_000
    assert len(read.findings[0].message) == len(read.rules[0].help) == MAX_TEXT


def test_arguments_are_put_in_once(root):
    message = {"text": "{0} and {1} and {7}", "arguments": ["{1}", "two"]}
    assert read_sarif(sarif(at("src/a.py", message=message)), root).findings[0].message == "{1} and two and {7}"


def test_strict_json_keeps_nothing_of_what_it_reads():
    strict_json(b'{"a": [1, 2.5, null, true, {"b": "c"}]}')


JUNIT = b"""<testsuites><testsuite name="src/a.py"><testcase name="t1" classname="c" line="4"><failure message="bad" type="T">more
</failure></testcase><testcase name="t2"/><testcase name="t3"><skipped/></testcase></testsuite></testsuites>"""


def test_a_failed_test_is_a_finding(root):
    read = read_junit(JUNIT, root)
    (finding,) = read.findings
    assert (finding.rule, finding.message, finding.severity) == ("T", "t1: bad", Severity.UNKNOWN)
    assert finding.location is not None
    assert (finding.location.path, finding.location.line) == ("src/a.py", 4)
    assert read.notes == ("3 test cases", "1 test cases were skipped")
    assert read_junit(JUNIT.replace(b"failure", b"error"), root).failed == ("bad",)
    away = JUNIT.replace(b"src/a.py", b"../secret").replace(b'classname="c"', b'file="/etc/passwd"')
    assert read_junit(away, root).findings[0].location is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not XML"),
        (b"<html/>", "not JUnit"),
        (b"<testsuites/>", "without a test case"),
        (b'<!DOCTYPE t [<!ENTITY a "b">]><testsuite><testcase name="&a;"/></testsuite>', "document type"),
        (b'<!DOCTYPE t SYSTEM "file:///etc/passwd"><testsuite><testcase/></testsuite>', "document type"),
        (b"<testsuite>" * 50 + b"</testsuite>" * 50, "nested too deeply"),
        (b"<testsuite>" * 400_000, "nested too deeply"),
        (b"<testsuite><testcase>\xff</testcase></testsuite>", "not XML"),
        (b"<testsuite><testcase a='1' a='2'/></testsuite>", "not XML"),
        (b"<testsuite><testcase/>", "not XML"),
    ],
)
def test_what_junit_is_refused(root, data, reason):
    with pytest.raises(ValueError, match=reason):
        read_junit(data, root)

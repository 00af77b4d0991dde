"""semgrep with vallum's rules: what it finds, what cannot silence it, and every way in which it cannot tell."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml

from vallum.errors import Inconclusive
from vallum.outcome import Completed, Incomplete
from vallum.process import Finished
from vallum.severity import Severity
from vallum_checks import _rulepack, semgrep
from vallum_checks.common import decode
from vallum_checks.semgrep import CHECK

DATA = Path(__file__).parent / "data"
WEAK = "import jwt\n\n\ndef who(token):\n    return jwt.decode(token, verify=False)\n"
RULE = """rules:
  - id: own.no-print
    languages: [python]
    severity: WARNING
    message: A print.
    metadata: {cwe: ["CWE-532: x"], confidence: LOW, fix: Log it.}
    pattern: print(...)
"""
OWN = '[checks.semgrep]\noptions = { rules = ["rules/own.yaml"] }\n'


def test_it_finds_and_says_with_what(check_context) -> None:
    ran = check_context(
        CHECK, {"api/auth.py": WEAK, "tests/test_a.py": WEAK, "node/a.js": "eval(req.query.x);\n", "b.pyi": "x: int\n"}
    )
    assert isinstance(ran.outcome, Completed)
    assert [(part.expected, part.seen) for part in ran.outcome.run.coverage] == [(4, 4)]
    found = {(finding.location.path, finding.rule): finding for finding in ran.findings}
    finding = found["api/auth.py", "vallum.python.jwt-verification-disabled"]
    assert ("tests/test_a.py", "vallum.python.jwt-verification-disabled") in found
    assert (finding.severity, finding.confidence, finding.location.line) == (Severity.CRITICAL, "high", 5)
    assert 347 in finding.cwe
    assert finding.fix
    (rules,) = ran.outcome.run.databases
    assert (rules.name, rules.records) == ("vallum rules", len(_rulepack.own_pack().rules))
    assert "requires login" not in repr(ran.outcome)


def test_nothing_in_the_target_silences_it(check_context) -> None:
    hidden = WEAK.replace("verify=False)", "verify=False)  # nosemgrep")
    above = WEAK.replace("    return", "    # nosem: vallum.python.jwt-verification-disabled\n    return")
    ran = check_context(
        CHECK,
        {
            "a.py": hidden,
            "b.py": above,
            "vendor/c.py": WEAK,
            ".semgrepignore": "*\n",
            ".gitignore": "*.py\n",
            ".semgrep.yml": "rules: []\n",
            ".git/info/exclude": "*\n",
        },
    )
    found = {
        finding.location.path: finding for finding in ran.findings if finding.rule.endswith("verification-disabled")
    }
    assert isinstance(ran.outcome, Completed)
    assert found["a.py"].suppression.by == found["b.py"].suppression.by == "nosemgrep"
    assert found["vendor/c.py"].suppression is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"import jwt\njwt.decode(t, verify=False)\n\0\0", "not text"),
        ((WEAK + "\n" * 5_000_000).encode(), "has more than 4194304 bytes"),
        (b"import jwt\ndef f(:\n  x = = jwt.decode(]\n}}", "PartialParsing"),
    ],
    ids=["binary", "large", "unparsable"],
)
def test_a_file_that_it_cannot_read_is_incomplete(check_context, content: bytes, why: str) -> None:
    ran = check_context(CHECK, {"a.py": WEAK, "b.py": content})
    assert isinstance(ran.outcome, Incomplete)
    assert f"1 of 2 files: b.py: {why}" in ran.reason
    assert any(finding.location.path == "a.py" for finding in ran.findings)


def test_a_pipe_is_no_source(check_context, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "a.py")
    assert "a.py: cannot be read" in check_context(CHECK).reason


def test_rules_of_the_target(check_context) -> None:
    ran = check_context(CHECK, {"a.py": "print(1)\n", "rules/own.yaml": RULE}, OWN)
    assert isinstance(ran.outcome, Completed)
    assert [(data.name, data.records) for data in ran.outcome.run.databases][1] == ("rules of the target", 1)
    (finding,) = [finding for finding in ran.findings if finding.rule == "own.no-print"]
    assert (finding.severity, finding.cwe, finding.fix) == (Severity.MEDIUM, (532,), "Log it.")


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        (RULE.replace("print(...)", "exec(((("), "Rule parse error"),
        (RULE.replace("    pattern: print(...)\n", ""), "semgrep"),
        ("rules: [\n", "not a readable rule file"),
        ("other: 1\n", "not a readable rule file"),
        (RULE + RULE.removeprefix("rules:\n"), "stands twice"),
        (RULE.replace("python", "cobol"), "cobol"),
    ],
    ids=["pattern", "no-pattern", "yaml", "no-rules", "twice", "language"],
)
def test_a_broken_rule_is_incomplete(check_context, rule: str, reason: str) -> None:
    ran = check_context(CHECK, {"a.py": WEAK, "rules/own.yaml": rule}, OWN)
    assert isinstance(ran.outcome, Incomplete)
    assert reason in ran.reason


@pytest.mark.parametrize("name", ["nowhere.yaml", "../outside.yaml"])
def test_a_rule_file_that_is_not_there(check_context, name: str) -> None:
    ran = check_context(CHECK, {"a.py": WEAK}, OWN.replace("rules/own.yaml", name))
    assert f"there is no file {name} in the target" in ran.reason


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install semgrep" in check_context(CHECK, {"a.py": WEAK}).reason


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {"a.py": WEAK}, "[checks.semgrep]\ndeadline = 0.1\n")
    assert "semgrep passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/semgrep")
    assert "semgrep was killed by signal 9" in check_context(CHECK, {"a.py": WEAK * 2000}).reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo rubbish", "no readable report"),
        ("exit 0", "semgrep ended with 0"),
        ('echo \'{"results": [], "errors": [], "paths": {"scanned": ["a.py"]}}\'', "semgrep loaded 0 of"),
    ],
)
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("semgrep", program)
    assert reason in check_context(CHECK, {"a.py": WEAK}).reason


def test_nothing_to_look_at() -> None:
    from vallum.config import Config
    from vallum.target import Target

    assert CHECK.applies(Target(Path("/"), "t", ("README.md",), ()), Config()).reason.startswith("no source")


def test_the_count_of_rules_is_the_files() -> None:
    """Counted once more in another way: by lines."""
    pack = _rulepack.own_pack()
    ids = [
        name for path in pack.paths for name in re.findall(r"^  - id: (\S+)$", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert sorted(ids) == sorted(pack.rules)
    assert all(spoken <= _rulepack.LANGUAGES.keys() | _rulepack.ANYTHING for spoken in pack.rules.values())
    first = yaml.safe_load(pack.paths[0].read_text("utf-8"))["rules"][0]
    assert first["id"] in pack.rules


def test_a_rule_that_was_dropped_is_named() -> None:
    errors = [semgrep._Error("Rule parse error", "bad pattern", "", "b")]
    with pytest.raises(Inconclusive, match="loaded 1 of 2 rules, not b: Rule parse error: bad pattern"):
        semgrep._all_loaded(frozenset("ab"), frozenset("a"), errors)


def test_recorded_reports(tmp_path: Path) -> None:
    done = Finished(("semgrep",), 0, 0.1, tmp_path / "out", tmp_path / "err")
    (error,) = decode((DATA / "semgrep-timeout.json").read_bytes(), semgrep._Report, "semgrep", done).errors
    assert semgrep._said(error).startswith("Timeout: Timeout when running")
    (error,) = decode((DATA / "semgrep-bad-pattern.json").read_bytes(), semgrep._Report, "semgrep", done).errors
    assert error.rule_id == "rules.bp"
    report = decode((DATA / "semgrep-findings.json").read_bytes(), semgrep._Report, "semgrep", done)
    assert report.results[0].extra.metadata["cwe"] == ["CWE-614"]

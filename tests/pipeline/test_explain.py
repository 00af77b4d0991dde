"""`vallum -s explain -- ID` on verdicts that bandit really led to, and on findings of every shape."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from vallum import explain
from vallum.errors import UserError
from vallum.finding import Exchange, Finding, Location, Operation, Package, Rule, Suppression
from vallum.severity import Severity
from vallum.verdict import Disposition, Judged, Status, Verdict

WEAK = "import subprocess\n\n\ndef run(name):\n    subprocess.call('echo ' + name, shell=True)\n"


def verdict(*judged: Judged, rules: dict[str, Rule] | None = None) -> Verdict:
    return Verdict(
        status=Status.FAIL,
        target="t",
        run="r",
        vallum="0",
        started="2026-01-01T00:00:00Z",
        findings=judged,
        rules=rules or {},
    )


def shown(finding: Finding, disposition: Disposition = Disposition.BLOCKS, rules: dict[str, Rule] | None = None) -> str:
    judged = Judged(finding, disposition, "policy: high blocks")
    return "\n".join(explain.lines(verdict(judged, rules=rules), judged))


def test_a_finding_of_a_real_run_is_told_in_full(make_tree, vallum) -> None:
    root = make_tree({"app.py": WEAK})
    assert vallum("-C", str(root), "-s", "bandit").returncode == 1
    found = json.loads((root / ".vallum" / "verdict.json").read_text("utf-8"))["findings"]
    identity = next(each["finding"]["id"] for each in found if each["finding"]["rule"] == "B602")
    done = vallum("-C", str(root), "-s", "explain", "--", identity[:8])
    assert done.returncode == 0, done.stderr
    for part in (
        identity,
        "HIGH, blocks: B602",
        "app.py:5",
        "CWE-78",
        "shell=True)",
        "policy: high blocks",
        "https://",
    ):
        assert part in done.stdout


def test_an_unknown_id_is_the_persons_mistake(make_tree, vallum) -> None:
    root = make_tree({"app.py": WEAK})
    none_yet = vallum("-C", str(root), "-s", "explain", "--", "abcd")
    assert none_yet.returncode == 2
    assert "run `vallum` first" in none_yet.stderr
    assert vallum("-C", str(root), "-s", "bandit").returncode == 1
    unknown = vallum("-C", str(root), "-s", "explain", "--", "zzzz")
    assert unknown.returncode == 2
    assert "for example" in unknown.stderr


def test_too_short_or_ambiguous_is_refused() -> None:
    findings = [Finding(rule="r", severity=Severity.LOW, message="m", id=f"abcdef{number}") for number in range(2)]
    held = verdict(*(Judged(finding, Disposition.WARNS, "") for finding in findings))
    assert explain.find(held, "ABCDEF1").finding.id == "abcdef1"
    for wanted in ("abcdef", "abc", "", "ffff"):
        with pytest.raises(UserError):
            explain.find(held, wanted)


def test_no_id_or_two_is_refused(tmp_path: Path) -> None:
    (tmp_path / ".vallum").mkdir()
    (tmp_path / ".vallum" / "verdict.json").write_bytes(msgspec.json.encode(verdict()))
    for arguments in ((), ("a", "b")):
        with pytest.raises(UserError):
            explain.explain(tmp_path, arguments)


def test_a_package_an_attack_and_a_marker_are_told() -> None:
    package = Package("flask", "1.0", "pkg:pypi/flask@1.0", ("2.3.2",))
    text = shown(
        Finding(
            rule="GHSA-1",
            severity=Severity.HIGH,
            message="m",
            package=package,
            aliases=("CVE-1",),
            cvss="CVSS:3.1/AV:N",
        )
    )
    for part in ("flask 1.0 (pkg:pypi/flask@1.0)", "2.3.2", "CVE-1", "CVSS:3.1/AV:N"):
        assert part in text
    attack = Finding(
        rule="40018",
        severity=Severity.HIGH,
        message="m",
        operation=Operation("GET", "/orders/{id}", "id"),
        exchange=Exchange("GET /orders/1' HTTP/1.1", "HTTP/1.1 500\nsqlite3.OperationalError"),
    )
    text = shown(attack)
    for part in ("GET /orders/{id}, parameter id", "| GET /orders/1'", "| sqlite3.OperationalError"):
        assert part in text
    marked = Finding(
        rule="B1", severity=Severity.HIGH, message="m", suppression=Suppression("inSource", "# nosec", "why")
    )
    assert "suppressed: B1" in shown(marked, Disposition.SUPPRESSED)
    assert "# nosec in the source: why" in shown(marked, Disposition.SUPPRESSED)


def test_the_rules_help_stands_in_where_the_finding_has_no_fix() -> None:
    finding = Finding(rule="B1", severity=Severity.HIGH, message="m", checks=("bandit",))
    rules = {"bandit/B1": Rule("B1", "n", description="what it is", help="do this", uri="https://example.invalid/B1")}
    text = shown(finding, rules=rules)
    for part in ("do this", "what it is", "https://example.invalid/B1"):
        assert part in text


def test_what_a_target_wrote_cannot_steer_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    finding = Finding(
        rule="r",
        severity=Severity.HIGH,
        message="a\x1b[31mb\u202e",
        id="abcdef",
        location=Location("x\x1b]0;y", 1, snippet="\x07"),
    )
    (tmp_path / ".vallum").mkdir()
    held = verdict(Judged(finding, Disposition.BLOCKS, ""))
    (tmp_path / ".vallum" / "verdict.json").write_bytes(msgspec.json.encode(held))
    assert explain.explain(tmp_path, ("abcdef",)) == ""
    said = capsys.readouterr().out
    assert not set(said) & {"\x1b", "\x07", "\u202e"}

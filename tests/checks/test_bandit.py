"""bandit: what it finds, what cannot silence it, and every way in which it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum.outcome import Completed, Incomplete
from vallum.severity import Severity
from vallum_checks.bandit import CHECK

WEAK = "import subprocess\n\n\ndef run(command):\n    subprocess.call(command, shell=True)\n"


def test_nothing_in_the_target_silences_it(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            "a.py": WEAK.replace("shell=True)", "shell=True)  # nosec B602"),
            "tests/b.py": WEAK,
            ".bandit": "[bandit]\nskips = B602\nexclude = tests\n",
            "setup.cfg": "[bandit]\nskips = B602\n",
            "pyproject.toml": '[tool.bandit]\nskips = ["B602"]\nexclude_dirs = ["tests"]\n',
            "bandit.yaml": "skips: [B602]\n",
        },
    )
    assert isinstance(ran.outcome, Completed)
    found = {finding.location.path: finding for finding in ran.findings if finding.rule == "B602"}
    assert (found["tests/b.py"].severity, found["tests/b.py"].cwe, found["tests/b.py"].location.line) == (
        Severity.HIGH,
        (78,),
        5,
    )
    assert found["tests/b.py"].suppression is None
    assert found["a.py"].suppression.by == "# nosec"


@pytest.mark.parametrize("broken", [b"def f(:\n", b"\0\1\2", b"x = '\xff'\n"], ids=["syntax", "binary", "encoding"])
def test_a_file_that_it_cannot_parse_is_incomplete(check_context, broken: bytes) -> None:
    ran = check_context(CHECK, {"a.py": WEAK, "b.py": broken})
    assert isinstance(ran.outcome, Incomplete)
    assert "1 of 2 files: b.py: " in ran.reason
    assert ran.findings


def test_a_pipe_is_no_source(check_context, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "a.py")
    assert "a.py: cannot be read" in check_context(CHECK).reason


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install bandit" in check_context(CHECK, {"a.py": WEAK}).reason


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {"a.py": WEAK}, "[checks.bandit]\ndeadline = 0.05\n")
    assert "bandit passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/bandit")
    assert "bandit was killed by signal 9" in check_context(CHECK, {"a.py": WEAK * 2000}).reason


@pytest.mark.parametrize(("program", "reason"), [("exit 0", "no readable report"), ("exit 2", "bandit ended with 2")])
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("bandit", program)
    assert reason in check_context(CHECK, {"a.py": WEAK}).reason

"""zizmor: what it finds, what cannot silence it, and every way in which it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum.outcome import Completed, Incomplete
from vallum.process import Finished
from vallum.severity import Severity
from vallum_checks import workflows
from vallum_checks.common import decode
from vallum_checks.workflows import CHECK

DATA = Path(__file__).parent / "data"
WEAK = """name: weak
on: pull_request_target
permissions: {}
jobs:
  greet:
    runs-on: ubuntu-latest
    steps:
      - run: echo "${{ github.event.pull_request.title }}"
"""
ACTION = """name: act
description: an action
runs:
  using: composite
  steps:
    - run: echo ${{ github.head_ref }}
      shell: bash
"""


def test_it_finds_them_wherever_they_lie(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            ".github/workflows/a.yml": WEAK,
            "services/cart/.github/workflows/b.yaml": WEAK,
            "tools/act/action.yml": ACTION,
            "playbook/action.yml": "- hosts: all\n",  # not an action: no `runs`
        },
    )
    assert isinstance(ran.outcome, Completed)
    assert [(part.expected, part.seen) for part in ran.outcome.run.coverage] == [(3, 3)]
    places = {(finding.location.path, finding.rule) for finding in ran.findings}
    assert (".github/workflows/a.yml", "template-injection") in places
    assert ("services/cart/.github/workflows/b.yaml", "dangerous-triggers") in places
    assert ("tools/act/action.yml", "template-injection") in places
    injection = next(
        finding for finding in ran.findings if finding.location.path.endswith("a.yml") and finding.location.line == 8
    )
    assert (injection.severity, injection.cwe, injection.location.line) == (Severity.HIGH, (94,), 8)


def test_nothing_in_the_target_silences_it(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            ".github/workflows/a.yml": WEAK.replace('title }}"', 'title }}" # zizmor: ignore[template-injection]'),
            ".github/zizmor.yml": "rules:\n  dangerous-triggers:\n    disable: true\n",
            "zizmor.yml": "rules:\n  template-injection:\n    disable: true\n",
            ".gitignore": ".github\n*.yml\n",
        },
    )
    found = {finding.rule: finding for finding in ran.findings}
    assert found["dangerous-triggers"].suppression is None
    assert found["template-injection"].suppression.by == "# zizmor: ignore"


@pytest.mark.parametrize("broken", ["on: [push\n", "", "a: 1\n"], ids=["yaml", "empty", "schema"])
def test_a_file_that_it_cannot_read_is_incomplete(check_context, broken: str) -> None:
    ran = check_context(CHECK, {".github/workflows/a.yml": WEAK, ".github/workflows/b.yml": broken})
    assert isinstance(ran.outcome, Incomplete)
    assert "1 of 2 workflow files: .github/workflows/b.yml: " in ran.reason
    assert ran.findings


def test_no_file_that_it_can_read(check_context) -> None:
    ran = check_context(CHECK, {".github/workflows/b.yml": "on: [push\n"})
    assert "1 of 1 workflow files" in ran.reason


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install zizmor" in check_context(CHECK, {".github/workflows/a.yml": WEAK}).reason


LONG = WEAK + '      - run: echo "${{ github.event.pull_request.title }}"\n' * 4000


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {".github/workflows/a.yml": LONG}, "[checks.workflows]\ndeadline = 0.05\n")
    assert "zizmor passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/zizmor")
    assert "zizmor was killed by signal 9" in check_context(CHECK, {".github/workflows/a.yml": LONG}).reason


def test_a_pipe_is_no_workflow(check_context, tmp_path: Path) -> None:
    folder = tmp_path / "target" / ".github" / "workflows"
    folder.mkdir(parents=True)
    os.mkfifo(folder / "a.yml")
    assert "1 of 1 workflow files: .github/workflows/a.yml: cannot be read" in check_context(CHECK).reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo rubbish; exit 14", "no readable report"),
        ("exit 0", "no readable report"),
        ("echo '[]'", "1 of 1 workflow files"),
        ("echo oh no >&2; exit 1", "zizmor ended with 1: oh no"),
    ],
)
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("zizmor", program)
    assert reason in check_context(CHECK, {".github/workflows/a.yml": WEAK}).reason


def test_a_recorded_report(tmp_path: Path) -> None:
    done = Finished(("zizmor",), 14, 0.1, tmp_path / "out", tmp_path / "err")
    results = decode((DATA / "zizmor.json").read_bytes(), list[workflows._Result], "zizmor", done)
    first = results[0]
    assert (first.ident, first.determinations.severity, first.ignored) == ("artipacked", "Low", False)

"""hadolint: what it finds, what cannot silence it, and every way in which it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum.outcome import Completed, Incomplete
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks import dockerfile
from vallum_checks.dockerfile import CHECK

WEAK = "FROM python:latest\nRUN apk add curl\nUSER root\n"


def test_it_finds_and_judges(check_context) -> None:
    ran = check_context(CHECK, {"api/Dockerfile": WEAK, "Dockerfile.dev": "FROM python:3.12.1\nUSER 10001\n"})
    assert isinstance(ran.outcome, Completed)
    assert [(part.expected, part.seen) for part in ran.outcome.run.coverage] == [(2, 2)]
    found = {finding.rule: finding for finding in ran.findings}
    assert found["DL3002"].severity == Severity.HIGH
    assert found["DL3002"].cwe == (250,)
    assert found["DL3007"].severity == Severity.MEDIUM
    assert found["DL3007"].location.path == "api/Dockerfile"
    assert {rule.id for rule in ran.outcome.run.rules} == set(found)
    assert "canary" not in ran.outcome.run.__repr__()


def test_nothing_in_the_target_silences_it(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            "Dockerfile": "# hadolint global ignore=DL3007\n" + WEAK.replace("RUN", "# hadolint ignore=DL3018\nRUN"),
            ".hadolint.yaml": "ignored: [DL3002, DL3007]\n",
        },
    )
    found = {finding.rule: finding for finding in ran.findings}
    assert {"DL3002", "DL3007", "DL3018"} <= found.keys()
    assert found["DL3002"].suppression is None
    assert found["DL3007"].suppression.by == "# hadolint ignore"
    assert found["DL3018"].suppression.by == "# hadolint ignore"


def test_a_secret_in_env_is_not_shown(check_context) -> None:
    ran = check_context(
        CHECK, {"Dockerfile": "FROM a:1\nENV DB_PASSWORD=Winter-2019-shop\nENV API_TOKEN Summer-2020-shop\n"}
    )
    assert {finding.location.line for finding in ran.findings if finding.rule == "DL3064"} == {2, 3}
    assert "2019" not in ran.written()
    assert "2020" not in ran.written()


@pytest.mark.parametrize("broken", [b"FROM a\nRUNX b\n", bytes(range(128, 256))], ids=["syntax", "junk"])
def test_a_file_that_it_cannot_parse_is_incomplete(check_context, broken: bytes) -> None:
    ran = check_context(CHECK, {"a/Dockerfile": WEAK, "b/Dockerfile": broken})
    assert isinstance(ran.outcome, Incomplete)
    assert "1 of 2 Dockerfiles: b/Dockerfile" in ran.reason
    assert {finding.location.path for finding in ran.findings} == {"a/Dockerfile"}


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install hadolint" in check_context(CHECK, {"Dockerfile": WEAK}).reason


LONG = "FROM a:1\n" + "RUN apt-get install foo && cd /x && sudo curl -k https://a | sh\n" * 20_000


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {"Dockerfile": LONG}, "[checks.dockerfile]\ndeadline = 0.5\n")
    assert "hadolint passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/hadolint")
    assert "hadolint was killed by signal 9" in check_context(CHECK, {"Dockerfile": LONG}).reason


def test_a_pipe_is_no_dockerfile(check_context, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "Dockerfile")
    assert (
        "0 of 1" in (reason := check_context(CHECK).reason)
        or "1 of 1 Dockerfiles: Dockerfile: cannot be read" in reason
    )


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo rubbish; exit 1", "no readable report"),
        ("exit 0", "hadolint ended with 0"),
        ("echo '[]'", "did not report the known mistake"),
        ("echo '{\"code\": 1}'; exit 1", "no readable report"),
    ],
)
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("hadolint", program)
    assert reason in check_context(CHECK, {"Dockerfile": WEAK}).reason


def test_names() -> None:
    names = (
        "Dockerfile",
        "a/Dockerfile.dev",
        "api.dockerfile",
        "Containerfile",
        "Dockerfile.md",
        "docker.py",
        "x.dockerignore",
    )
    assert dockerfile.files(Target(Path("/"), "t", names, ())) == list(names[:4])

"""Secrets: what is found, that none is written down, what cannot hide one, and every way in which it cannot tell.

The keys here are made up and put together at run time, so that no scanner stops at this file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from vallum.outcome import Completed, Incomplete
from vallum.process import Finished
from vallum.severity import Severity
from vallum_checks import secrets
from vallum_checks._texts import masked
from vallum_checks.common import decode, judgements
from vallum_checks.secrets import CHECK

DATA = Path(__file__).parent / "data"
AWS = "AKIA" + "Z7QXW3N5RTBVLM2K"
GITHUB = "ghp_" + "k3J9xQ2mW8vB4nZ7tR1yL6pD0sF5hG3cA9eU"
PASSWORD = "Winter-2019-" + "registry"
PEM = "-----BEGIN RSA PRIVATE KEY-----\\nMIIEowIBAAKCAQEA7Zq" + "x" * 40 + "\\n-----END RSA PRIVATE KEY-----"


def test_it_finds_and_judges_and_writes_none_down(check_context) -> None:
    files = {
        "notes.md": f"the key is {AWS} or so\n",
        "deploy/env": f"TOKEN={GITHUB}\n",
        "app.py": f'DB_PASSWORD = "{PASSWORD}"\nKEY = "{PEM}"\n',
        "clean.py": "x = 1\n",
    }
    ran = check_context(CHECK, files)
    assert isinstance(ran.outcome, Completed)
    assert [(part.expected, part.seen) for part in ran.outcome.run.coverage] == [(4, 4)]
    found = {(finding.location.path, finding.rule): finding for finding in ran.findings}
    assert found["notes.md", "aws-access-key"].severity == Severity.HIGH
    assert found["deploy/env", "github-token"].confidence == "high"
    assert found["app.py", "secret-keyword"].severity == Severity.MEDIUM
    assert 321 in found["app.py", "private-key"].cwe
    assert found["notes.md", "aws-access-key"].location.snippet == f"the key is …{AWS[-4:]} or so"
    written = ran.written()
    for secret in (AWS, GITHUB, PASSWORD, PEM[40:70]):
        for start in range(len(secret) - 8):
            assert secret[start : start + 8] not in written, secret[start : start + 8]


def test_nothing_in_the_target_hides_one(check_context) -> None:
    baseline = '{"version": "1.5.0", "plugins_used": [], "filters_used": [], "results": {}}'
    ran = check_context(
        CHECK,
        {
            "a.py": f'a = "{AWS}"  # pragma: allowlist secret\n',
            "b.py": f'# pragma: allowlist nextline secret\nb = "{AWS}"\n',
            "package-lock.json": f'{{"token": "{GITHUB}"}}\n',
            "swagger/c.yaml": f"key: {AWS}\n",
            "d.lock": f"{AWS}\n",
            "e.svg": f"<svg>{AWS}</svg>\n",
            "latin.txt": f"caf\xe9 {AWS}\n".encode("latin-1"),
            "wide.txt": f"{AWS}\n".encode("utf-16"),
            ".secrets.baseline": baseline,
            ".gitignore": "*\n",
        },
    )
    assert isinstance(ran.outcome, Completed)
    found = {finding.location.path: finding for finding in ran.findings}
    assert set(found) == {
        "a.py",
        "b.py",
        "package-lock.json",
        "swagger/c.yaml",
        "d.lock",
        "e.svg",
        "latin.txt",
        "wide.txt",
    }
    assert {path for path, finding in found.items() if finding.suppression} == {"a.py", "b.py"}


def test_noise_is_left_out(check_context) -> None:
    digest = hashlib.sha256(b"x").hexdigest()
    ran = check_context(
        CHECK,
        {
            "requirements.txt": f"a==1 --hash=sha256:{digest}\n",
            "package-lock.json": '{"integrity": "sha512-' + "Zm9vYmFyYmF6cXV4MTIzNDU2Nzg5MGFiY2RlZg==" + '"}\n',
            "openapi.yaml": "password: { type: string }\ntoken: string\n",
            "ci.yml": "secrets: inherit\n",
            "logo.png": b"\x89PNG\0" + AWS.encode(),
        },
    )
    assert isinstance(ran.outcome, Completed)
    assert ran.findings == ()
    assert ran.outcome.run.coverage[0].expected == 4
    assert ran.outcome.run.notes == ("1 binary files were not looked at",)


def test_a_file_that_is_too_large_is_incomplete(check_context) -> None:
    ran = check_context(
        CHECK, {"a.txt": f"{AWS}\n", "b.txt": "x\n" * 1000}, "[checks.secrets]\noptions = { max-bytes = 1000 }\n"
    )
    assert isinstance(ran.outcome, Incomplete)
    assert "1 of 3 text files: b.txt: has more than 1000 bytes" in ran.reason
    assert ran.findings


def test_a_pipe_is_no_text(check_context, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "a")
    assert "a: cannot be read" in check_context(CHECK, {"b": "x\n"}).reason


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install detect-secrets" in check_context(CHECK, {"a": "x\n"}).reason


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {"a": "x\n"}, "[checks.secrets]\ndeadline = 0.05\n")
    assert "detect-secrets passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/detect-secrets")
    assert "detect-secrets was killed by signal 9" in check_context(CHECK, {"a": "password = 1\n" * 20_000}).reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo rubbish", "no readable report"),
        ("exit 0", "no readable report"),
        ("exit 3", "detect-secrets ended with 3"),
        ('echo \'{"results": {}, "plugins_used": []}\'', "used 0 plugins, not 26"),
    ],
)
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("detect-secrets", program)
    assert reason in check_context(CHECK, {"a": "x\n"}).reason


def test_an_unknown_tool_is_the_users_mistake(check_context) -> None:
    ran = check_context(CHECK, {"a": "x\n"}, '[checks.secrets]\noptions = { tool = "grep" }\n')
    assert "neither detect-secrets nor gitleaks" in ran.reason


def test_gitleaks_that_is_missing(check_context, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    ran = check_context(CHECK, {"a": "x\n"}, '[checks.secrets]\noptions = { tool = "gitleaks" }\n')
    assert "gitleaks is not on PATH" in ran.reason


@pytest.mark.skipif(shutil.which("gitleaks") is None, reason="gitleaks is the user's own program, and not on this PATH")
def test_gitleaks(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            "a.py": f'a = "{AWS}"  # gitleaks:allow\n',
            "b.txt": f"{AWS}\n",
            ".gitleaksignore": "b.txt:aws-access-token:1\n",
            ".gitleaks.toml": "[allowlist]\npaths = ['.*']\n",
        },
        '[checks.secrets]\noptions = { tool = "gitleaks" }\n',
    )
    found = {finding.location.path: finding for finding in ran.findings}
    assert set(found) == {"a.py", "b.txt"}
    assert found["a.py"].suppression.by == "gitleaks:allow"
    assert AWS[:12] not in ran.written()
    assert ".gitleaks.toml: gitleaks takes it for its own settings" in ran.reason


@pytest.mark.parametrize(
    ("line", "secret", "shown"),
    [
        (f"key {AWS}", AWS, f"key …{AWS[-4:]}"),
        ('password = "hunter2"', "hunter2", 'password = "…"'),
        ("x" * 1200, "x" * 1200, "(a long line, not shown)"),
        ("nothing of the kind", "elsewhere", "(not shown: it holds a secret)"),
        (PEM, "BEGIN RSA PRIVATE KEY", "-----BEGIN … PRIVATE KEY-----…"),
    ],
)
def test_a_line_is_shown_without_its_secret(line: str, secret: str, shown: str) -> None:
    assert masked(line, {hashlib.sha1(secret.encode(), usedforsecurity=False).hexdigest()}) == shown


def test_a_recorded_report(tmp_path: Path) -> None:
    done = Finished(("detect-secrets",), 0, 0.1, tmp_path / "out", tmp_path / "err")
    report = decode((DATA / "detect-secrets.json").read_bytes(), secrets._Report, "detect-secrets", done)
    assert {secret.type for found in report.results.values() for secret in found} <= judgements("detect-secrets").keys()
    missing = decode((DATA / "detect-secrets-missing.json").read_bytes(), secrets._Report, "detect-secrets", done)
    assert missing.results == {}  # what a missing folder looks like: the coverage must tell, the report does not

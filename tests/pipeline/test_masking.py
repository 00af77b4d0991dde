"""A secret in the source: never more than its last four characters anywhere below .vallum, whichever tool quotes the line."""

from __future__ import annotations

import json
import random
import string
from pathlib import Path

import pytest

from vallum import runner
from vallum.check import Check, Planned, Stage
from vallum.config import Config
from vallum.finding import Finding, Location
from vallum.masking import Masker, values
from vallum.outcome import Completed, Coverage, Run, Tool
from vallum.severity import Severity
from vallum.target import discover

DICE = random.Random(4)


def made_up(length: int, letters: str = string.ascii_letters + string.digits) -> str:
    return "".join(DICE.choice(letters) for _ in range(length))


SECRETS = {
    "aws": "AKIA" + made_up(16, string.ascii_uppercase + "234567"),
    "aws_secret": made_up(40),
    "github": "ghp_" + made_up(36),
    "password": "Tr0ub4dor-" + made_up(6),
    "jwt": f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.{made_up(43)}",
    "database": "S3cr3tDb" + made_up(5),
    "slack": f"xoxb-123456789012-123456789012-{made_up(24)}",
    "default": "hunter2" + made_up(4),
    "key": made_up(64),
}
FILES = {
    "svc/app.py": f"""import hashlib, subprocess, jwt
AWS_ACCESS_KEY_ID = "{SECRETS["aws"]}"
aws_secret_access_key = "{SECRETS["aws_secret"]}"
TOKEN = "{SECRETS["github"]}"
password = "{SECRETS["password"]}"
def connect(password="{SECRETS["default"]}"):
    subprocess.call("mysql -p{SECRETS["password"]} " + password, shell=True)
    hashlib.md5(b"{SECRETS["password"]}")
    jwt.encode({{}}, "{SECRETS["password"]}", algorithm="HS256")
    return "postgres://admin:{SECRETS["database"]}@db/x", "{SECRETS["jwt"]}"
app.config["SECRET_KEY"] = "{SECRETS["password"]}"
if password == "{SECRETS["password"]}":
    eval("{SECRETS["github"]}" + password)
KEY = '''-----BEGIN RSA PRIVATE KEY-----
{SECRETS["key"]}
-----END RSA PRIVATE KEY-----'''
""",
    "svc/broken.py": f'password = "{SECRETS["password"]}\ndef (\n',
    "svc/app.js": f"""const jwt = require("jsonwebtoken"); const password = "{SECRETS["password"]}";
jwt.sign({{}}, "{SECRETS["password"]}"); eval("{SECRETS["github"]}" + x); const u = "https://u:{SECRETS["database"]}@host/";
""",
    "svc/Dockerfile": f"""FROM python:latest
ENV DB_PASSWORD={SECRETS["database"]}
ARG TOKEN={SECRETS["github"]}
RUN curl -u admin:{SECRETS["password"]} http://x/ | sh
""",
    "k8s/d.yaml": f"""apiVersion: apps/v1
kind: Deployment
metadata: {{name: a}}
spec:
  selector: {{matchLabels: {{a: b}}}}
  template:
    metadata: {{labels: {{a: b}}}}
    spec:
      containers:
        - name: a
          image: a:latest
          securityContext: {{privileged: true}}
          env:
            - name: PASSWORD
              value: "{SECRETS["password"]}"
            - name: AWS_SECRET_ACCESS_KEY
              value: {SECRETS["aws_secret"]}
""",
    ".github/workflows/a.yml": f"""on: pull_request_target
jobs:
  a:
    runs-on: ubuntu-latest
    container: {{image: "x:1", credentials: {{username: u, password: "{SECRETS["password"]}"}}}}
    steps:
      - run: curl -H "Authorization=token {SECRETS["github"]}" ${{{{ github.event.issue.title }}}}
        env: {{SLACK: "{SECRETS["slack"]}"}}
""",
    ".env": f"DB_PASSWORD={SECRETS['database']}\nSLACK_TOKEN={SECRETS['slack']}\n",
}


def leaks(root: Path) -> list[str]:
    """Which secrets stand where, by any eight characters of them that are not in the last four."""
    found = []
    for path in sorted((root / ".vallum").rglob("*")):
        text = path.read_bytes().decode("utf-8", "replace") if path.is_file() and not path.is_symlink() else ""
        for name, secret in SECRETS.items():
            hidden = (
                secret[:-4].removeprefix("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.").removeprefix("xoxb-123456789012-")
            )
            if any(hidden[at : at + 8] in text for at in range(max(1, len(hidden) - 7))):
                found.append(f"{name} in {path.relative_to(root)}")
    return found


@pytest.mark.slow
def test_no_static_check_shows_a_secret(make_tree, vallum):
    root = make_tree(FILES)
    done = vallum("-C", str(root), "-t", "source")
    assert done.returncode == 1, done.stderr  # that of the findings, and the report is there to be searched
    assert (root / ".vallum" / "report" / "index.html").exists()
    assert leaks(root) == []
    for name, secret in SECRETS.items():
        assert secret not in done.stdout + done.stderr, name


@pytest.mark.slow
def test_no_dependency_check_shows_a_secret(make_tree, vallum):
    index = f"https://ci:{SECRETS['database']}@packages.example"
    lock = {
        "name": "a",
        "lockfileVersion": 3,
        "packages": {
            "": {"dependencies": {"lodash": "4.17.20"}},
            "node_modules/lodash": {"version": "4.17.20", "resolved": f"{index}/lodash-4.17.20.tgz"},
        },
    }
    advisory = {
        "id": "GHSA-1",
        "modified": "2026-01-01T00:00:00Z",
        "affected": [{"package": {"ecosystem": "npm", "name": "lodash"}, "versions": ["4.17.20"]}],
    }
    files = {
        "web/package-lock.json": json.dumps(lock),
        "web/.npmrc": f"//packages.example/:_authToken={SECRETS['github']}\n",
        "api/requirements.txt": f"--extra-index-url {index}/simple\nflask==2.0.1\n",
        "advisories/GHSA-1.json": json.dumps(advisory),
        "vallum.toml": '[advisories]\nsource = "advisories"\nmax-age-days = 36500\n',
    }
    root = make_tree(files)
    done = vallum("-C", str(root), "-t", "dependencies")
    said = json.loads((root / ".vallum" / "verdict.json").read_bytes())
    assert "GHSA-1" in str(said["findings"])
    assert {check["check"] for check in said["checks"]} == {"packages", "pip-audit"}
    assert leaks(root) == []
    for name, secret in SECRETS.items():
        assert secret not in done.stdout + done.stderr, name


@pytest.mark.parametrize("stage", [Stage.SOURCE, Stage.DEPENDENCIES, Stage.IMAGES])
def test_what_a_tool_left_is_masked_or_gone(make_tree, stage):
    root = make_tree({".npmrc": f"//packages.example/:_authToken={SECRETS['github']}\n", ".env": FILES[".env"]})
    address = f"https://ci:{SECRETS['password']}@packages.example/a"

    def body(ctx):
        (ctx.raw / "deep").mkdir()
        said = f"asked {address} with {SECRETS['slack']}\nand {SECRETS['database']}\n"
        (ctx.raw / "deep" / "out.txt").write_bytes(said.encode() + b"\xff\x00")
        ctx.log.append(said)
        finding = Finding(rule="r", severity=Severity.LOW, message=said, fix=said)
        return Completed(
            Run(tool=Tool("t", "1"), coverage=(Coverage("files", 1, 1),), findings=(finding,), notes=(said,))
        )

    check = Check("a", stage, "a check", lambda _t, _c: Planned(), body)
    runner.run_unit(check, discover(root, Config()), Config(), "r")
    raw = root / ".vallum" / "outcomes" / "a" / "_" / "raw" / "deep" / "out.txt"
    assert raw.exists() is (stage is not Stage.SOURCE)
    if raw.exists():
        assert raw.read_bytes().startswith("asked https://ci:…".encode())
        assert raw.read_bytes().endswith(b"\xff\x00")
    assert leaks(root) == []


@pytest.mark.parametrize(
    ("line", "secret"),
    [
        ('password = "correct horse 1"', "correct horse 1"),
        ("db.connect(user='u', passwd='s3cret99')", "s3cret99"),
        ('"api_key": "abcd-1234-efgh"', "abcd-1234-efgh"),
        ('config["SECRET_KEY"] = "django-insecure-1"', "django-insecure-1"),
        ("DB_PASSWORD=abc123def", "abc123def"),
        ("url = 'amqp://guest:gu3stpw@mq:5672/'", "gu3stpw"),
        ("curl -u admin:adm1nadm1n http://x", "adm1nadm1n"),
        ("Authorization: Bearer abcdefghijklmnop", "abcdefghijklmnop"),
        ('token == "tok-123456"', "tok-123456"),
        ("- name: API_TOKEN\n  value: plainvalue", "plainvalue"),
        ("glpat-abcdefghijklmnopqrst", "glpat-abcdefghijklmnopqrst"),
    ],
)
def test_forms_of_a_secret(line, secret):
    assert secret in set(values(line))
    assert Masker(()).text(line).count(secret) == 0
    assert secret[-4:] in Masker(()).text(line)


@pytest.mark.parametrize(
    "line",
    [
        'password = os.environ["DB_PASSWORD"]',
        "token = request.headers.get(name)",
        "password: ${{ secrets.PASSWORD }}",
        "def login(user, password):",
        'requests.get("https://example.invalid/path")',
        "eval(x)",
        "const secret = process.env.SECRET",
    ],
)
def test_what_is_no_secret_stays_readable(line):
    assert Masker(()).text(line) == line


def test_a_value_is_masked_wherever_it_stands_again():
    masker = Masker(['password = "correct-horse-9"\n'])
    finding = Finding(
        rule="r",
        severity=Severity.LOW,
        message="compares with correct-horse-9",
        location=Location("a.py", 1, snippet="if given == 'correct-horse-9':"),
        fix="remove correct-horse-9",
    )
    masked = masker.finding(finding, secret=False)
    assert "correct" not in repr(masked)
    assert masked.location is not None
    assert masked.location.snippet == "if given == '…se-9':"


def test_a_message_about_a_secret_quotes_nothing():
    finding = Finding(
        rule="B105", severity=Severity.LOW, message="Possible hardcoded password: 'unusual words'", cwe=(259,)
    )
    assert Masker(()).finding(finding, secret=True).message == "Possible hardcoded password: '…ords'"


def test_masking_is_quick_on_a_long_line():
    Masker(["password" * 20_000, "a" * 500_000, "://" * 100_000, "-u " * 100_000]).text("token " * 20_000)

"""The real schemathesis against a small API with known defects, and against targets that are not there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import pytest
from tests.checks.attacked import Staged, attack, context

from vallum import config as configuration
from vallum.api.formats import read
from vallum.api.model import Definition, Operation
from vallum.check import Planned, Skipped
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Incomplete
from vallum.severity import Severity
from vallum.stage.calls import Surface
from vallum.target import discover
from vallum_checks import dast, schemathesis
from vallum_checks.schemathesis_engine.report import read as read_report
from vallum_checks.schemathesis_engine.rules import rules

DATA = Path(__file__).parent / "data" / "schemathesis"

API = """
import json, os, sys, traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

mode, secret = os.environ["MODE"], os.environ["PASSWORD"]
token = "token-for-" + secret
asked = 0

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global asked
        asked += 1
        parts = urlsplit(self.path)
        logged_in = self.headers.get("Authorization") == f"Bearer {token}"
        if parts.path == "/ready":
            return self.answer(200, {})
        if mode == "dies" and asked > 12:
            print("out of memory", flush=True)
            os._exit(9)
        if mode == "hangs" and parts.path == "/sum":
            import time
            time.sleep(30)
        if parts.path == "/me":
            if mode == "expires" and asked > 12:
                return self.answer(401, {})
            return self.answer(200 if logged_in else 401, {"name": "alice"} if logged_in else {})
        if parts.path == "/open":
            return self.answer(200, {"name": "alice"})
        if parts.path == "/sum":
            try:
                return self.answer(200, {"sum": 100 // (10 - len(parse_qs(parts.query).get("n", [""])[0]) * 10)})
            except ZeroDivisionError:
                return self.answer(500, {"trace": traceback.format_exc(), "token": token})
        self.answer(404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/login":
            try:
                given = json.loads(body)["password"]
            except (ValueError, TypeError, KeyError):
                return self.answer(400, {})
            return self.answer(200, {"access_token": token}) if given == secret else self.answer(401, {})
        self.refuse()

    def refuse(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(405)
        self.send_header("Allow", "GET")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_DELETE = do_PATCH = do_TRACE = do_HEAD = do_OPTIONS = refuse

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
OPENAPI = """
openapi: 3.0.3
info: { title: small, version: "1" }
components:
  securitySchemes: { bearer: { type: http, scheme: bearer } }
  schemas:
    Name: { type: object, required: [name], properties: { name: { type: string } } }
paths:
  /me:
    get:
      security: [{ bearer: [] }]
      responses:
        "200": { description: ok, content: { application/json: { schema: { $ref: "#/components/schemas/Name" } } } }
        "401": { description: no, content: { application/json: { schema: { type: object } } } }
  /open:
    get:
      security: [{ bearer: [] }]
      responses:
        "200": { description: ok, content: { application/json: { schema: { $ref: "#/components/schemas/Name" } } } }
        "401": { description: no, content: { application/json: { schema: { type: object } } } }
  /sum:
    get:
      parameters: [{ name: n, in: query, required: true, schema: { type: string, maxLength: 5 } }]
      responses:
        "200": { description: ok, content: { application/json: { schema: { type: object } } } }
"""
TOML = """
[environment.secrets]
alice = "generate"
[environment.services.api]
directory = "api"
runtime = "python"
command = ["{python}", "service.py", "{port}"]
env = { MODE = "MODE_HERE", PASSWORD = "{secret.alice}" }
ready = { path = "/ready", seconds = 30 }
[environment.login]
service = "api"
path = "/login"
json = { password = "{secret.alice}" }
probe = "/me"
"""


@pytest.fixture
def api(tmp_path: Path) -> Callable[..., Staged]:
    def make(mode: str = "", *, definition: str = OPENAPI, deadline: float = 300, extra: str = "") -> Staged:
        root = tmp_path / "target"
        (root / "api").mkdir(parents=True)
        (root / "api" / "service.py").write_text(API)
        (root / "api" / "openapi.yaml").write_text(definition)
        (root / "vallum.toml").write_text(TOML.replace("MODE_HERE", mode) + extra)
        return context(root, deadline)

    return make


@pytest.mark.slow
def test_defects_are_found_and_nothing_secret_is_kept(api: Callable[..., Staged], tmp_path: Path) -> None:
    target, config, ctx = api()
    assert schemathesis.CHECK.applies(target, config) == Planned()
    outcome = attack("schemathesis", (target, config, ctx))
    assert isinstance(outcome, Completed), outcome
    run = outcome.run
    assert (run.coverage[0].unit, run.coverage[0].expected, run.coverage[0].seen) == ("operations", 3, 3)
    found = {(f.operation.path, f.rule.partition(".")[2]): f for f in run.findings if f.operation is not None}
    assert {key for key, f in found.items() if f.severity.rank >= Severity.MEDIUM.rank} == {
        ("/open", "ignored-auth"),
        ("/sum", "server-error"),
        ("/sum", "stack-trace"),
    }
    door = found["/open", "ignored-auth"]
    assert (door.severity, door.cwe, door.owasp[0], door.service) == (Severity.HIGH, (306,), "API2:2023", "api")
    assert door.location is not None
    assert (door.location.path, door.location.line) == ("api/openapi.yaml", OPENAPI.splitlines().index("  /open:") + 2)
    evidence = found["/sum", "stack-trace"].exchange
    assert evidence is not None
    assert "Traceback (most recent call last)" in evidence.response
    assert '"token": "[redacted]"' in evidence.response
    assert "127.0.0.1" not in evidence.request.split("\n")[0]
    assert {f.rule for f in run.findings} <= {rule.id for rule in run.rules}
    token = b"token-for-"
    assert token.decode() not in " ".join(run.argv)
    for folder in (tmp_path / "outcome", tmp_path / "raw", target.root / ".vallum"):
        for path in folder.rglob("*"):
            assert not path.is_file() or token not in path.read_bytes(), path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("mode", "reason"),
    [
        ("dies", r"the service api ended with exit code 9 while it was in use: out of memory"),
        ("expires", r"after the attack: not logged in: api GET /me answers 401 with the token"),
    ],
)
def test_a_target_that_does_not_last(api: Callable[..., Staged], mode: str, reason: str) -> None:
    target, config, ctx = api(mode)
    outcome = attack("schemathesis", (target, config, ctx))
    assert isinstance(outcome, Incomplete)
    assert reason in outcome.reason


@pytest.mark.slow
def test_a_deadline_keeps_what_was_found(api: Callable[..., Staged]) -> None:
    target, config, ctx = api("hangs", deadline=20)
    outcome = attack("schemathesis", (target, config, ctx))
    assert isinstance(outcome, Incomplete)
    assert "schemathesis passed its deadline of 20 s at api" in outcome.reason
    assert outcome.run is not None


def test_a_deployment_that_fails_is_every_checks_outcome(api: Callable[..., Staged]) -> None:
    target, config, ctx = api()
    (target.root / "api" / "service.py").write_text("raise SystemExit('no database')")
    outcomes = dast.run_staged(target, config, "run-1", {"zap": ctx, "schemathesis": ctx, "unheard-of": ctx})
    assert outcomes.keys() == {"zap", "schemathesis", "unheard-of"}
    assert all(isinstance(outcome, Incomplete) for outcome in outcomes.values())
    for name in ("zap", "schemathesis"):
        outcome = outcomes[name]
        assert isinstance(outcome, Incomplete)
        assert outcome.reason == (
            "the deployment did not come up: the service api ended with exit code 1 during its start: no database"
        )


@pytest.mark.parametrize(
    ("definition", "reason"),
    [
        ("openapi: [", "cannot read the API definition api/openapi.yaml"),
        ("openapi: 3.0.3\npaths: {}\n", "declares no operation"),
        (OPENAPI.replace("#/components/schemas/Name", "https://example.com/x.yaml"), "refers to another host"),
    ],
)
def test_a_definition_that_cannot_be_used(api: Callable[..., Staged], definition: str, reason: str) -> None:
    target, _, _ = api(definition=definition)
    with pytest.raises(Inconclusive, match=reason):
        read(target, "api/openapi.yaml")


def test_lines_of_operations_in_every_style(api: Callable[..., Staged]) -> None:
    text = json.dumps(
        {"openapi": "3.1.0", "paths": {"/a": {"get": {}, "parameters": []}, "/b": {"POST": {}}}}, indent=1
    )
    target, _, _ = api(definition=text)
    lines = text.splitlines()
    assert {(each.method, each.template): each.line for each in read(target, "api/openapi.yaml").operations} == {
        ("GET", "/a"): next(n for n, line in enumerate(lines, 1) if '"get"' in line),
        ("POST", "/b"): next(n for n, line in enumerate(lines, 1) if '"POST"' in line),
    }


def test_what_is_not_configured_is_not_planned(tmp_path: Path) -> None:
    config = configuration.Config()
    said = schemathesis.CHECK.applies(discover(tmp_path, config), config)
    assert isinstance(said, Skipped)
    assert "no [environment] is configured" in said.reason


def test_no_definition_and_wrong_options(api: Callable[..., Staged]) -> None:
    target, config, _ = api(extra="[checks.schemathesis.options]\nexamples = true\n")
    with pytest.raises(UserError, match=r"options\.examples cannot be True"):
        schemathesis.CHECK.applies(target, config)
    (target.root / "api" / "openapi.yaml").unlink()
    (target.root / "vallum.toml").write_text(TOML)
    config = configuration.load(target.root)
    said = schemathesis.CHECK.applies(discover(target.root, config), config)
    assert isinstance(said, Skipped)
    assert "OpenAPI definition" in said.reason


OPERATIONS = (
    *("GET /", "GET /createdb", "GET /me", "GET /users/v1", "GET /users/v1/_debug", "POST /users/v1/register"),
    *("POST /users/v1/login", "GET /users/v1/{username}", "DELETE /users/v1/{username}", "GET /books/v1"),
    *("PUT /users/v1/{username}/email", "PUT /users/v1/{username}/password", "POST /books/v1"),
    "GET /books/v1/{book_title}",
)


@pytest.fixture
def vampi() -> Surface:
    def build(*_: object) -> NoReturn:
        raise AssertionError

    operations = (
        Operation(*label.split(" ", 1), number, False, frozenset()) for number, label in enumerate(OPERATIONS, 1)
    )
    definition = Definition(DATA / "none", "", "", tuple(operations), {}, "openapi", build)
    return Surface("vampi", "http://127.0.0.1:1", "openapi.yaml", definition)


def test_a_recorded_run(vampi: Surface) -> None:
    tested = read_report(vampi, DATA / "vampi.json", DATA / "vampi.ndjson")
    assert tested.broken == ""
    assert tested.reached >= set(OPERATIONS)
    assert (tested.seen, tested.refused) == (14, 5)
    assert tested.notes[0].startswith("vampi: 5 operations answered 401 or 403 only: DELETE /users/v1/{username}")
    rules = [finding.rule for finding in tested.findings]
    assert (len(rules), rules.count("schemathesis.undefined-content-type")) == (9, 6)  # as its own JSON report counts
    assert rules.count("schemathesis.allow-header-mismatch") == 3
    assert all(finding.severity is Severity.INFO for finding in tested.findings)


def test_a_recorded_run_on_a_target_that_was_down(vampi: Surface, tmp_path: Path) -> None:
    events = tmp_path / "none.ndjson"
    events.touch()
    tested = read_report(vampi, DATA / "target-down.json", events)
    assert tested.broken == "0 of 14 operations were tested, 14 failed: Network Error (14 times)"
    assert tested.reached == set()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"complete": False}, "stopped early (completed)"),
        ({"stop_reason": "server_unavailable"}, "stopped early (server_unavailable)"),
        ({"operations": None}, "stopped early"),
        ({"operations": {"total": 14, "selected": 14, "tested": 13, "errored": 0}}, "13 of 14 operations were tested"),
        ({"operations": {"total": 9, "selected": 9, "tested": 9, "errored": 0}}, "saw 9 of 14 declared operations"),
        ({"test_cases": {"generated": 100, "errored": 11}}, "11 of 100 requests got no answer"),
        ({"operations": "many"}, "report cannot be read"),
    ],
)
def test_a_report_that_does_not_prove_a_whole_run(vampi: Surface, tmp_path: Path, change: dict, reason: str) -> None:
    report = tmp_path / "report.json"
    report.write_text(json.dumps(json.loads((DATA / "vampi.json").read_text()) | change))
    assert reason in read_report(vampi, report, DATA / "vampi.ndjson").broken


def test_events_that_were_cut_off(vampi: Surface, tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    shutil.copy(DATA / "vampi.ndjson", events)
    events.write_bytes(events.read_bytes()[:-40])
    tested = read_report(vampi, DATA / "vampi.json", events)
    assert tested.broken == "its events cannot be read: the last event is cut off"
    assert tested.findings == []


def test_missing_files(vampi: Surface, tmp_path: Path) -> None:
    tested = read_report(vampi, tmp_path / "none", tmp_path / "none")
    assert tested.broken == "schemathesis wrote no report"


def test_an_unknown_kind_of_failure_is_of_unknown_severity(vampi: Surface, tmp_path: Path) -> None:
    events = tmp_path / "events.ndjson"
    events.write_text((DATA / "vampi.ndjson").read_text().replace("UndefinedContentType", "NewInTheNextVersion"))
    tested = read_report(vampi, DATA / "vampi.json", events)
    assert sum(finding.severity is Severity.UNKNOWN for finding in tested.findings) == 6
    assert {f.rule for f in tested.findings} <= {rule.id for rule in rules(tested.findings)}

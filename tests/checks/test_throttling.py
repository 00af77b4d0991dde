"""The check throttling against a small service with and without limits, and its readers of headers and pages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.checks.attacked import attack as alone
from tests.checks.attacked import context

from vallum import config as configuration
from vallum.check import Planned
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.outcome import Completed, Outcome
from vallum.target import discover
from vallum_checks import throttling
from vallum_checks.throttling_engine import pages, stated

API = r"""
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

modes = set(os.environ["MODE"].split())
logins = reads = 0
until = None

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        global reads, until
        parts = urlsplit(self.path)
        if parts.path == "/health":
            return self.answer(200, {})
        reads += 1
        said = {}
        if "states" in modes:
            said = {"RateLimit": f'"client";r={max(0, 1000 - reads)};t=60'}
        if "stuck" in modes:
            said = {"X-RateLimit-Remaining": "99"}
        if reads > 12 and {"limits", "mute"} & modes:
            until = until or time.monotonic() + 1.5
            if time.monotonic() > until:
                reads, until = 0, None
        if reads > 12 and "limits" in modes:
            return self.answer(429, {}, {"Retry-After": "1"})
        if reads > 12 and "mute" in modes:
            return self.answer(503, {}, said)
        if parts.path in ("/me", "/secret") and self.headers.get("Authorization") != "Bearer token-of-alice":
            return self.answer(401, {}, said)
        if parts.path == "/items":
            size = int(parse_qs(parts.query).get("limit", ["10"])[0])
            if "refuses" in modes and size > 100:
                return self.answer(422, {}, said)
            most = 2000 if "boundless" in modes else 50
            return self.answer(200, {"data": {"items": list(range(min(size, most)))}}, said)
        self.answer(200, {"name": "x"}, said)

    def do_POST(self):
        global logins
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if body["password"] == os.environ["PASSWORD"]:
            return self.answer(200, {"access_token": "token-of-alice"})
        logins += 1
        if logins > 10 and "logins" in modes:
            return self.answer(429, {}, {} if "mute" in modes else {"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
        self.answer(401, {})

    def answer(self, status, what, headers={}):
        body = json.dumps(what).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
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
  parameters:
    Limit: { name: limit, in: query, schema: { type: integer MAXIMUM }, example: 10 }
paths:
  /health: { get: { responses: { "200": { description: ok } } } }
  /items:
    get:
      parameters: [{ $ref: "#/components/parameters/Limit" }]
      responses: { "200": { description: ok } }
  /picture:
    get:
      parameters: [{ name: size, in: query, required: true, schema: { type: string }, example: large }]
      responses: { "200": { description: ok } }
  /secret: { get: { security: [{ bearer: [] }], responses: { "200": { description: ok } } } }
"""
TOML = """
[environment.secrets]
alice = "generate"
[environment.services.api]
directory = "api"
command = [PYTHON, "service.py", "{port}"]
env = { MODE = "MODES", PASSWORD = "{secret.alice}" }
ready = { path = "/health", seconds = 30 }
[environment.login]
service = "api"
path = "/login"
json = { username = "alice", password = "{secret.alice}" }
probe = "/me"
"""


@pytest.fixture
def attack(tmp_path: Path) -> Callable[..., Outcome]:
    def run(modes: str = "", *, maximum: str = "", extra: str = "") -> Outcome:
        (tmp_path / "target" / "api").mkdir(parents=True)
        (tmp_path / "target" / "api" / "service.py").write_text(API)
        (tmp_path / "target" / "api" / "openapi.yaml").write_text(OPENAPI.replace("MAXIMUM", maximum))
        text = TOML.replace("MODES", modes).replace("PYTHON", json.dumps(sys.executable))
        (tmp_path / "target" / "vallum.toml").write_text(text + extra)
        return alone("throttling", context(tmp_path / "target", 120))

    return run


def found(outcome: Outcome) -> dict[tuple[str, str], Finding]:
    assert isinstance(outcome, Completed), outcome
    assert all(part.expected == part.seen for part in outcome.run.coverage), outcome.run.coverage
    places = [(each.rule.partition(".")[2], each.operation, each) for each in outcome.run.findings]
    return {(rule, f"{place.method} {place.path}"): each for rule, place, each in places if place is not None}


def test_nothing_is_limited(attack: Callable[..., Outcome]) -> None:
    outcome = attack("stuck boundless")
    every = found(outcome)
    assert every.keys() == {
        ("login-no-limit", "POST /login"),
        ("no-limit", "GET /items"),
        ("no-limit", "GET /secret"),
        ("page-size", "GET /items"),
    }
    login = every["login-no-limit", "POST /login"]
    assert (login.severity, login.cwe, login.owasp) == ("high", (799,), ("API2:2023", "API4:2023"))
    assert login.location is not None
    assert login.location.path == "vallum.toml", "no definition declares this login"
    page = every["page-size", "GET /items"]
    assert (
        page.message == "GET /items returns 2000 items with `limit=1000000` instead of 10, and no maximum is declared"
    )
    assert page.operation is not None
    assert page.operation.parameter == "limit"
    assert page.exchange is not None
    assert "limit=1000000" in page.exchange.request
    assert isinstance(outcome, Completed)
    assert [(part.unit, part.expected) for part in outcome.run.coverage] == [("limits", 3), ("paged operations", 1)]
    assert any(note.startswith("63 requests: 2 for pages, 61 in bursts") for note in outcome.run.notes), (
        outcome.run.notes
    )


def test_limits_that_are_met_or_stated(attack: Callable[..., Outcome]) -> None:
    outcome = attack("limits logins", maximum=", maximum: 100")
    assert found(outcome) == {}
    assert isinstance(outcome, Completed)
    assert any("within the declared maximum" in note for note in outcome.run.notes)
    assert any("api logins: request 11 was refused with 429" in note for note in outcome.run.notes)


def test_a_limit_is_believed_where_it_counts_down(attack: Callable[..., Outcome]) -> None:
    outcome = attack("states logins refuses")
    assert found(outcome) == {}
    assert isinstance(outcome, Completed)
    assert any("each said how many are left" in note for note in outcome.run.notes)
    assert any("is refused with 422" in note for note in outcome.run.notes)


def test_refusals_that_do_not_say_so(attack: Callable[..., Outcome]) -> None:
    every = found(attack("mute logins refuses", extra='[checks.throttling]\noptions = { demand = ["login", "api"] }\n'))
    assert every.keys() == {("limit-answer", "GET /items"), ("limit-answer", "POST /login")}
    assert every["limit-answer", "GET /items"].message.endswith("without status 429")
    assert every["limit-answer", "POST /login"].message.endswith("without Retry-After")
    assert every["limit-answer", "POST /login"].severity == "low"


def test_only_what_is_demanded_is_asked(attack: Callable[..., Outcome]) -> None:
    outcome = attack("refuses logins", extra='[checks.throttling]\noptions = { demand = ["login"], burst = 20 }\n')
    assert found(outcome) == {}
    assert isinstance(outcome, Completed)
    assert [part.expected for part in outcome.run.coverage] == [1, 1]


def test_options(tmp_path: Path) -> None:
    (tmp_path / "api").mkdir()

    def applies(options: str) -> object:
        text = TOML.replace("PYTHON", json.dumps(sys.executable))
        (tmp_path / "vallum.toml").write_text(f"{text}\n[checks.throttling]\noptions = {{ {options} }}\n")
        config = configuration.load(tmp_path)
        return throttling.CHECK.applies(discover(tmp_path, config), config)

    assert applies("burst = 30, demand = ['login', 'api']") == Planned()
    for options in ("burst = 9", "burst = true", "demand = ['app']", "demand = 'login'", "bursts = 30"):
        with pytest.raises(UserError, match=r"checks\.throttling\.options"):
            applies(options)


@pytest.mark.parametrize(
    ("headers", "left"),
    [
        ({"ratelimit": '"client";r=9;t=5'}, 9),
        ({"ratelimit": "limit=100, remaining=7, reset=5"}, 7),
        ({"ratelimit-remaining": "3"}, 3),
        ({"x-ratelimit-remaining": "0"}, 0),
        ({"x-rate-limit-remaining": "12, 12;w=60"}, 12),
        ({"x-ratelimit-limit": "100"}, None),
        ({"x-ratelimit-remaining": "many"}, None),
        ({}, None),
    ],
)
def test_what_headers_say_is_left(headers: dict[str, str], left: int | None) -> None:
    assert stated.remaining(headers) == left


def test_a_count_that_goes_down() -> None:
    assert stated.counts_down([9, 8, 7, 6])
    assert stated.counts_down([2, 1, 0, 99, 98, 97]), "a new window"
    assert not stated.counts_down([9, 9, 9, 9])
    assert not stated.counts_down([9, 8])
    assert not stated.counts_down([None, None, 9, 8, 7])
    assert not stated.counts_down([10**6, 10**6 - 1, 10**6 - 2]), "no limit that anybody reaches"
    assert not stated.counts_down([])


def test_when_to_come_back() -> None:
    assert stated.retry_after({"retry-after": "120"})
    assert stated.retry_after({"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"})
    assert not stated.retry_after({"retry-after": "soon"})
    assert not stated.retry_after({})


def test_items_are_counted_where_they_are() -> None:
    assert pages.items([1, 2]) == 2
    assert pages.items({"items": [1], "links": []}) == 1
    assert pages.items({"data": {"orders": [1, 2, 3]}, "total": 3}) == 3
    assert pages.items({"total": 3}) is None
    assert pages.items("text") is None
    for name in (
        "limit",
        "pageSize",
        "page_size",
        "per_page",
        "perPage",
        "$top",
        "max_results",
        "page[size]"[:4] + "_limit",
    ):
        assert pages.SIZE.match(name), name
    for name in ("page", "offset", "limited", "q", "id"):
        assert not pages.SIZE.match(name), name

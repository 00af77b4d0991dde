"""Seeding a real service by a command and by requests, before and after the login; what fails is told."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vallum import stage
from vallum.errors import Inconclusive, UserError

from .conftest import Shop

API = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

users, orders = {}, []

class Handler(BaseHTTPRequestHandler):
    def who(self):
        given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
        return next((name for name, word in users.items() if given and given == "token-" + word), None)

    def do_GET(self):
        if self.path == "/ready":
            return self.answer(200, {})
        if self.path == "/me":
            return self.answer(200 if self.who() else 401, {"name": self.who()})
        self.answer(200, {"users": sorted(users), "orders": orders})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        if self.path == "/users":
            if body["name"] in users:
                return self.answer(409, {})
            users[body["name"]] = body["word"]
            return self.answer(201, {})
        if self.path == "/login":
            good = users.get(body["name"]) == body["word"]
            return self.answer(200, {"access_token": "token-" + body["word"]}) if good else self.answer(401, {})
        if self.who() is None:
            return self.answer(401, {"given": body})
        if self.path == "/text":
            return self.answer(200, "no object")
        orders.append({"path": self.path, "by": self.who(), "body": body, "x": self.headers.get("X-Order")})
        self.answer(201, {"data": [{"id": len(orders), "code": "a/b"}]})

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
LOGIN = """
[environment.login]
service = "api"
path = "/login"
json = { name = "{username}", word = "{password}" }
probe = "/me"
[environment.users.alice]
username = "alice"
password = "{secret.alice}"
"""
MAKE = """
import json, os, sys, urllib.request
body = json.dumps({"name": sys.argv[2], "word": os.environ["WORD"]}).encode()
urllib.request.urlopen(urllib.request.Request(sys.argv[1] + "/users", body))
print("made", sys.argv[2], "with", os.environ["WORD"], sorted(os.environ), os.getcwd())
if len(sys.argv) > 3:
    sys.exit(int(sys.argv[3]))
"""
COMMAND = """
[environment.seed]
command = ["PYTHON", "make.py", "{url.api}", "alice"]
env = { WORD = "{secret.alice}" }
"""
REGISTER = """
[[environment.seed.request]]
service = "api"
path = "/users"
json = { name = "alice", word = "{secret.alice}" }
expect = [201, 409]
"""


@pytest.fixture
def api(shop: Shop) -> Shop:
    import sys

    (shop.root / "api").mkdir()
    (shop.root / "api" / "service.py").write_text(API)
    (shop.root / "make.py").write_text(MAKE)
    shop.lines = [
        (
            f'[environment.secrets]\nalice = "generate"\n[environment.services.api]\ndirectory = "api"\n'
            f'runtime = "python"\ncommand = ["{{python}}", "service.py", "{{port}}"]\n'
            f'env = {{ JOURNAL = "{shop.journal}" }}\nready = {{ path = "/ready", seconds = 30 }}'
        )
    ]
    shop.python = sys.executable  # type: ignore[attr-defined]
    return shop


def add(shop: Shop, *texts: str) -> None:
    shop.lines += [text.replace("PYTHON", shop.python) for text in texts]  # type: ignore[attr-defined]


def state(url: str) -> dict:
    import httpx

    return httpx.get(url + "/", trust_env=False).json()


def test_a_command_makes_the_user_who_then_logs_in(api: Shop) -> None:
    add(api, LOGIN, COMMAND)
    target, config = api.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        assert state(deployment.urls["api"])["users"] == ["alice"]
        word = deployment.secrets["alice"].encode()
    for path in (api.root / ".vallum").rglob("*"):
        assert not path.is_file() or word not in path.read_bytes(), path


def test_requests_before_and_after_the_login_with_saved_values(api: Shop) -> None:
    again = REGISTER  # answers 409, which it says it expects
    mine = """
[[environment.seed.request]]
service = "api"
path = "/orders"
user = "alice"
json = { lines = [{ amount = 2 }], to = "{url.api}" }
headers = { X-Order = "first" }
save = { order = "data.0.id", code = "data.0.code" }
[[environment.seed.request]]
service = "api"
path = "/orders/{saved.code}"
method = "POST"
user = "alice"
json = { order = "{saved.order}", note = "of {saved.order}", code = "{saved.code}" }
"""
    add(api, LOGIN, mine, REGISTER, again)  # the order of the file does not put a user's requests before the login
    target, config = api.load()
    with stage.deploy(target, config, "r") as deployment:
        orders = state(deployment.urls["api"])["orders"]
        assert orders == [
            {
                "path": "/orders",
                "by": "alice",
                "body": {"lines": [{"amount": 2}], "to": deployment.urls["api"]},
                "x": "first",
            },
            {"path": "/orders/a%2Fb", "by": "alice", "body": {"order": 1, "note": "of 1", "code": "a/b"}, "x": None},
        ]
        assert deployment.traffic.services == {}  # the seed is no attack


@pytest.mark.parametrize(
    ("seed", "reason"),
    [
        (
            COMMAND.replace('"alice"]', '"alice", "3"]'),
            r"seeding failed: .*python ended with exit code 3: made alice with \[redacted\]",
        ),
        ('[environment.seed]\ncommand = ["sleep", "600"]\nseconds = 0.5', "sleep did not end within 0.5 s"),
        ('[environment.seed]\ncommand = ["no-such-program"]', "cannot start no-such-program"),
        (REGISTER + REGISTER.replace(", 409", ""), "seeding failed: api POST /users answered 409, expected 201"),
        (REGISTER + 'save = { x = "nothing.here" }', "the answer of api POST /users has no value at `nothing.here`"),
        (
            REGISTER
            + REGISTER.replace("/users", "/text").replace("201, 409", "200")
            + 'user = "alice"\nsave = { x = "y" }',
            "the answer of api POST /text has no value at `y`",
        ),
        (REGISTER.replace('"/users"', '"/orders"'), "api POST /orders answered 401, expected 201, 409"),
    ],
)
def test_a_seed_that_fails_is_told(api: Shop, seed: str, reason: str) -> None:
    add(api, LOGIN, seed)
    target, config = api.load()
    with pytest.raises(Inconclusive) as caught, stage.deploy(target, config, "r"):
        pytest.fail("it came up")
    assert re.search(reason, caught.value.reason), caught.value.reason
    assert "[redacted]" in caught.value.detail or "given" not in caught.value.detail
    assert api.processes() == []


@pytest.mark.parametrize(
    ("seed", "message"),
    [
        (REGISTER.replace('"api"', '"apy"'), "request[0].service: there is no service `apy`"),
        (REGISTER + 'user = "bob"', "request[0].user: there is no user `bob`"),
        (REGISTER.replace('"/users"', '"users"'), "request[0].path: 'users' is not a path"),
        (REGISTER.replace("{secret.alice}", "{secret.bob}"), "request[0].json: unknown placeholder {secret.bob}"),
        (REGISTER.replace("/users", "/{saved.x}"), "request[0].path: unknown placeholder {saved.x}"),
        (REGISTER + 'method = "GET / HTTP/1.1"', "request[0].method"),
        (REGISTER + 'headers = { "a b" = "" }', "request[0].headers: 'a b' cannot be a header"),
        (REGISTER + 'save = { "a b" = "" }', "request[0].save: 'a b'"),
        ('[environment.seed]\ncommand = ["x", "{port}"]', "seed.command[1]: unknown placeholder {port}"),
    ],
)
def test_mistakes_are_told_before_anything_starts(api: Shop, seed: str, message: str) -> None:
    add(api, LOGIN, seed)
    target, config = api.load()
    with pytest.raises(UserError, match=re.escape(message)), stage.deploy(target, config, "r"):
        pytest.fail("it came up")
    assert not Path(api.root / ".vallum/stage/process/api").exists()


def test_the_command_sees_nothing_of_ours(api: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret-of-the-ci")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    add(api, LOGIN, COMMAND.replace('"alice"]', '"alice", "1"]'))
    target, config = api.load()
    with pytest.raises(Inconclusive) as caught, stage.deploy(target, config, "r"):
        pytest.fail("it came up")
    assert "GITHUB_TOKEN" not in caught.value.detail
    assert "HTTP_PROXY" not in caught.value.detail
    assert f"{json.dumps(str(api.root))[1:-1]}" in caught.value.detail

"""Wrong passwords at the logins that take more than one request: an HTML form, OAuth 2 with a password, OpenID Connect."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tests.checks.attacked import attack, context
from tests.stage.staged import staged

from vallum import stage
from vallum.finding import Finding
from vallum.outcome import Completed, Incomplete, Run

PORTAL = r"""
import os, secrets, sys, time
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote

modes = set(os.environ["MODE"].split())
users = {"alice": os.environ["ALICE"], "bob@shop.example": os.environ["BOB"]}
failures, forms, sessions = {}, {}, set()

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def cookie(self, name):
        found = SimpleCookie(self.headers.get("Cookie", "")).get(name)
        return found.value if found else ""

    def do_GET(self):
        path, _, query = self.path.partition("?")
        if path == "/ready":
            return self.answer(200, "")
        if path == "/me":
            return self.answer(200, "hello") if self.cookie("session") in sessions else self.answer(302, "", "/login")
        if self.path == "/back?ticket=shared":
            return self.enter("/")
        if path != "/login":
            return self.answer(200, "welcome")
        if os.environ["IDP"].startswith("http"):
            return self.answer(302, "", f"{os.environ['IDP']}/login?next=http://{self.headers['Host']}/back")
        half, token = secrets.token_hex(8), secrets.token_hex(5)
        forms[half] = token
        if "gone" in modes and max(failures.values(), default=0) >= 4:
            return self.answer(200, "<p>The login is closed for now.</p>")
        said, name, following = (escape(dict(parse_qsl(query)).get(key, "")) for key in ("said", "name", "next"))
        self.answer(200, f'<p>{said}</p><form method="post" action="/session"><input type="hidden" name="csrf" value="{token}">'
                    f'<input type="hidden" name="next" value="{following}"><input name="user" value="{name}"><input type="password" name="pass"></form>', cookie=f"half={half}")

    def do_POST(self):
        form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
        name, password = form["user"], form["pass"]
        if forms.pop(self.cookie("half"), "") != form["csrf"]:
            return self.answer(400, "the form has expired")
        with open(os.environ["JOURNAL"], "a") as journal:
            journal.write(f"{name} {password}\n")
        if "slow" in modes and name in users:
            time.sleep(0.12)
        wrong = failures.get(name, 0)
        limited = wrong >= 5 and "limitless" not in modes
        if limited and "silent" not in modes:
            if "notice" in modes:
                return self.again("Too many attempts", name)
            return self.answer(429, "Too many attempts")
        if "anybody" in modes or users.get(name) == password and not limited:
            return self.enter(form["next"] + "?ticket=shared" if form.get("next") else "/")
        failures[name] = wrong + 1
        self.again("No such user" if "tells" in modes and name not in users else "Wrong name or password", name)

    def enter(self, location):
        token = secrets.token_urlsafe(24)
        sessions.add(token)
        self.answer(303, "", location, f"session={token}")

    def again(self, said, name):
        self.answer(303, "", f"/login?said={quote(said)}&name={quote(name)}")

    def answer(self, status, html, location="", cookie=""):
        body = html.encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for key, value in (("Location", location), ("Set-Cookie", cookie and cookie + "; Path=/; HttpOnly")):
            if value:
                self.send_header(key, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TOML = """
[environment.secrets]
alice = "generate"
bob = "generate"
[environment.services.portal]
directory = "portal"
command = [PYTHON, "service.py", "{port}"]
env = { MODE = "MODES", JOURNAL = "JOURNAL_HERE", IDP = "ELSEWHERE", ALICE = "{secret.alice}", BOB = "{secret.bob}" }
ready = { path = "/ready", seconds = 60 }
[environment.login]
kind = "form"
service = "portal"
path = "/login"
form = { user = "{username}", pass = "{password}" }
probe = "/me"
[environment.users.alice]
username = "alice"
password = "{secret.alice}"
[environment.users.bob]
username = "bob@shop.example"
password = "{secret.bob}"
"""
PASSWORD = """kind = "oauth2"
[environment.login.oauth]
token-url = "/token"
client-id = "shop"
client-secret = "{secret.key}"
grant = "password"
"""
OIDC = """kind = "oidc"
form = { username = "{username}", password = "{password}", code = "1", consent = "yes" }
[environment.login.oauth]
issuer = "{url.a}"
client-id = "shop"
client-secret = "{secret.key}"
redirect-uri = "/callback"
"""


def run_of(outcome: object) -> Run:
    assert isinstance(outcome, Completed), outcome
    assert all(part.expected == part.seen for part in outcome.run.coverage), outcome.run.coverage
    return outcome.run


def found(run: Run) -> dict[str, Finding]:
    return {each.rule.partition(".")[2]: each for each in run.findings}


def written(folder: Path, modes: str, extra: str = "") -> tuple[Path, Path]:
    """A target that is the portal, and the file in which it writes down the name and password of each login."""
    root, journal = folder / "target", folder / "journal"
    (root / "portal").mkdir(parents=True)
    (root / "portal" / "service.py").write_text(PORTAL)
    text = TOML.replace("MODES", modes).replace("PYTHON", json.dumps(sys.executable))
    (root / "vallum.toml").write_text(text.replace("JOURNAL_HERE", str(journal)) + extra)
    return root, journal


def portal(folder: Path, modes: str, check: str = "authentication", extra: str = "") -> tuple[Run, list[str]]:
    """What the check says of the portal, and the name and password of each login that the portal has seen."""
    root, journal = written(folder, modes, extra)
    outcome = attack(check, context(root))
    return run_of(outcome), journal.read_text().splitlines()


def test_a_form_that_lets_anybody_guess(tmp_path: Path) -> None:
    run, seen = portal(tmp_path, "limitless tells slow")
    every = found(run)
    assert every.keys() == {"no-login-limit", "user-enumeration", "user-enumeration-time"}
    assert every["no-login-limit"].message.startswith("portal form /login takes 15 wrong passwords for one user and 30")
    assert every["user-enumeration"].message == "the login tells whether a user exists by the body of the answer"
    for finding in every.values():
        assert finding.operation is not None
        assert (finding.service, finding.operation.method, finding.operation.path) == ("portal", "POST", "/session")
        assert finding.exchange is not None
        assert finding.exchange.request.startswith("POST /session HTTP/1.1\r\n")
        assert finding.exchange.response.startswith("HTTP/1.1 303\r\n")
        assert "csrf=[redacted]" in finding.exchange.request
    wrong = [line for line in seen if " vallum-" in line]
    assert len(wrong) == 30
    assert len(seen) == 33, "two users log in, and one once more, with the right password"


def test_a_form_that_is_repaired(tmp_path: Path) -> None:
    run, seen = portal(tmp_path, "")
    assert found(run) == {}
    assert any("portal form /login stops guessing: answer 6" in note for note in run.notes), run.notes
    assert sum(line.startswith("bob@shop.example vallum-") for line in seen) == 6


@pytest.mark.parametrize(
    ("mode", "note"),
    [
        ("notice", "portal form /login stops guessing: answer 6"),
        ("silent", "portal form /login locks users without saying so"),
        ("limitless gone", "portal form /login stops guessing: answer 5"),
    ],
)
def test_a_form_that_stops_guessing_in_another_way(tmp_path: Path, mode: str, note: str) -> None:
    run, _ = portal(tmp_path, mode)
    assert found(run) == {}
    assert any(note in each for each in run.notes), run.notes


def test_a_form_that_takes_any_password(tmp_path: Path) -> None:
    run, _ = portal(tmp_path, "anybody")
    every = found(run)
    assert every.keys() == {"any-password"}
    assert every["any-password"].message == "portal form /login lets an unknown user in with a wrong password"
    assert (every["any-password"].severity, every["any-password"].cwe) == ("critical", (287,))


def test_a_burst_at_a_form(tmp_path: Path) -> None:
    demand = '[checks.throttling]\noptions = { burst = 12, demand = ["login"] }\n'
    run, seen = portal(tmp_path, "limitless", "throttling", demand)
    assert found(run).keys() == {"login-no-limit"}
    assert sum(" vallum-" in line for line in seen) == 12


@pytest.mark.parametrize(("login", "label"), [(PASSWORD, "a POST /token"), (OIDC, "a OpenID Connect login")])
@pytest.mark.parametrize("weak", [True, False])
def test_a_provider(tmp_path: Path, login: str, label: str, weak: bool) -> None:
    staged(tmp_path / "target", "provider", login, **({"TELLS": "1"} if weak else {"LIMIT": "5"}))
    run = run_of(attack("authentication", context(tmp_path / "target")))
    every = found(run)
    if not weak:
        assert every == {}
        assert any(f"{label} stops guessing: answer 6" in note for note in run.notes), run.notes
        return
    assert every.keys() - {"user-enumeration-time"} == {"no-login-limit", "user-enumeration"}, (
        "one page more takes longer"
    )
    assert every["no-login-limit"].message.startswith(f"{label} takes 15 wrong passwords for one user")
    place = every["no-login-limit"].operation
    assert place is not None
    assert (place.method, place.path) == ("POST", "/token" if login == PASSWORD else "/secret")


def test_a_certified_provider_whose_own_pages_take_any_password(tmp_path: Path) -> None:
    """The npm package oidc-provider comes with a login for development that lets everybody in."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js")
    form = 'form = { login = "{username}", password = "{password}" }'
    login = OIDC.replace(OIDC.splitlines()[1], form) + 'scope = "openid offline_access"\n'
    staged(tmp_path / "target", "certified", login)
    run = run_of(attack("authentication", context(tmp_path / "target")))
    assert found(run).keys() == {"any-password"}
    assert found(run)["any-password"].message == "a OpenID Connect login lets an unknown user in with a wrong password"


def test_a_form_that_is_configured_for_one_user(tmp_path: Path) -> None:
    """Whose name and password stand in the form itself: the fields are told by their names."""
    login = 'kind = "form"\npath = "/login"\nform = { user = "alice", pass = "{secret.alice}", do = "login" }\n'
    staged(tmp_path / "target", "echo", login, users="")
    run = run_of(attack("authentication", context(tmp_path / "target")))
    assert found(run).keys() == {"no-login-limit"}
    assert "for one user and 30 in all" in found(run)["no-login-limit"].message


KEY = 'kind = "header"\nheader = "X-API-Key"\nvalue = "{secret.key}"'
BARE = 'path = "/api/login"\njson = { password = "{password}" }\ntoken = "data.access"'
SCRIPT = """kind = "script"
[[environment.login.steps]]
method = "POST"
url = "/api/login"
json = { password = "{password}" }
capture = { token = { json = "data.access" } }
"""


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        (KEY, "it is a fixed header, so there is no password"),
        (SCRIPT, "it is a recorded script"),
        (BARE, "it has no field for a user name"),
        (PASSWORD.replace('grant = "password"', ""), "the grant client_credentials takes no password"),
    ],
)
def test_where_there_is_no_password_it_is_said(tmp_path: Path, login: str, reason: str) -> None:
    staged(tmp_path / "target", "provider" if "oauth2" in login else "echo", login)
    outcome = attack("authentication", context(tmp_path / "target"))
    assert isinstance(outcome, Incomplete), "there is no definition either"
    assert outcome.run is not None
    said = f"not tested: wrong passwords at the configured login: {reason}"
    assert any(note.startswith(said) for note in outcome.run.notes), outcome.run.notes


@pytest.mark.parametrize("check", ["authentication", "throttling"])
def test_a_provider_elsewhere_is_not_attacked(tmp_path: Path, check: str) -> None:
    """The form is another deployment's: listed for the login, and sent the right password only."""
    theirs, journal = written(tmp_path / "theirs", "limitless")
    with stage.deploy(*context(theirs)[:2], "theirs") as deployment:
        elsewhere = deployment.urls["portal"]
        ours, _ = written(tmp_path / "ours", "", '[checks.throttling]\noptions = { demand = ["login"] }\n')
        text = (ours / "vallum.toml").read_text().replace("ELSEWHERE", elsewhere)
        for name in ("alice", "bob"):
            text = text.replace(f'"{{secret.{name}}}"\n', f'"{deployment.secrets[name]}"\n')
        (ours / "vallum.toml").write_text(text.replace('kind = "form"', f'kind = "form"\nallow = ["{elsewhere}"]'))
        outcome = attack(check, context(ours))
    assert isinstance(outcome, Incomplete), "nothing else is there to be tested"
    assert outcome.run is not None
    assert outcome.run.findings == ()
    said = f"{elsewhere} asks for the password, which is not part of the deployment"
    assert any(note.startswith("not tested: ") and note.endswith(said) for note in outcome.run.notes), outcome.run.notes
    assert not any(" vallum-" in line for line in journal.read_text().splitlines())

"""The check authentication against a small service that verifies tokens well, or badly in a chosen way."""

from __future__ import annotations

import hashlib
import hmac
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.checks.attacked import attack as alone
from tests.checks.attacked import context

from vallum import config as configuration
from vallum.check import Context, Planned, Skipped
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.outcome import Completed, Incomplete, Outcome
from vallum.stage.calls import Answer
from vallum.target import discover
from vallum_checks import _logins, authentication
from vallum_checks.authentication_engine import guessable, logins, tokens
from vallum_checks.authentication_engine.rules import RULES

API = r"""
import base64, hashlib, hmac, json, os, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

modes = set(os.environ["MODE"].split())
key = os.environ["KEY"].encode()
users = {"alice": os.environ["ALICE"], "bob": os.environ["BOB"]}
failures, given, asked = {}, set(), 0
deleted, locked = set(), {}
b64 = lambda data: base64.urlsafe_b64encode(data).rstrip(b"=").decode()
un64 = lambda text: base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
mac = lambda key, text: hmac.digest(key, text.encode(), "sha256")
if {"rsa", "partner"} & modes:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = pair.public_key()
    pem = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

def issue(name):
    if "opaque" in modes:
        token = "session-" + hashlib.sha256(os.urandom(16)).hexdigest()
        given.add(token)
        return token
    now = int(time.time())
    claims = {"sub": name, "iat": now, "exp": now + 900, "aud": "api", "iss": "tests"}
    if "endless" in modes:
        del claims["exp"]
    header = {"typ": "JWT", "alg": "RS256" if "rsa" in modes else "HS256"}
    text = b64(json.dumps(header).encode()) + "." + b64(json.dumps(claims).encode())
    signature = pair.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256()) if "rsa" in modes else mac(key, text)
    return text + "." + b64(signature)

def verified(header, text, signature):
    algorithm = header.get("alg")
    if "none" in modes and algorithm == "nOnE":
        return True
    if "rsa" in modes and algorithm == "RS256":
        trusted = public
        if "jwk" in modes and "jwk" in header:
            number = lambda name: int.from_bytes(un64(header["jwk"][name]), "big")
            trusted = rsa.RSAPublicNumbers(number("e"), number("n")).public_key()
        trusted.verify(signature, text.encode(), padding.PKCS1v15(), hashes.SHA256())
        return True
    if "rsa" in modes:
        return "confused" in modes and hmac.compare_digest(signature, mac(pem, text))
    if "partner" in modes and "confused" in modes and hmac.compare_digest(signature, mac(pem, text)):
        return True
    own = Path("keys", header["kid"]).read_bytes() if "kid" in modes and "kid" in header else key
    return algorithm == "HS256" and hmac.compare_digest(signature, mac(own, text))

def read(token):
    if "opaque" in modes:
        known = token[:8] == "session-" if "prefix" in modes else token in given
        return {"sub": "alice"} if known else None
    try:
        text, _, signature = token.rpartition(".")
        first, second = (json.loads(un64(part)) for part in text.split("."))
        if "unverified" not in modes and not verified(first, text, un64(signature)):
            return None
        now = time.time()
        if "lax" not in modes and (second["aud"] != "api" or second["iss"] != "tests"):
            return None
        return second if {"lax", "endless"} & modes or second["exp"] > now else None
    except Exception:
        if "fails" in modes and token:
            raise
        return None

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1

    def do_GET(self):
        global asked
        asked += 1
        if self.path == "/ready":
            return self.answer(200, {})
        if self.path == "/jwks.json" and {"rsa", "partner"} & modes:
            number = lambda n: b64(n.to_bytes((n.bit_length() + 7) // 8, "big"))
            numbers = public.public_numbers()
            return self.answer(200, {"keys": [{"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e)}]})
        if "dies" in modes and asked > 12:
            print("out of memory", flush=True)
            os._exit(9)
        if "basic" in modes:
            return self.basic()
        try:
            user = read(self.headers.get("Authorization", "").removeprefix("Bearer "))
        except Exception as error:
            return self.answer(500, {"error": str(error)})
        if self.path == "/open" and "open" in modes:
            return self.answer(200, {})
        if self.path == "/closed":
            return self.answer(401, {})
        if self.path == "/hidden":
            return self.answer(404, {})
        if user is None:
            return self.answer(401, {"error": "log in"})
        if self.path == "/things/1" and self.command == "DELETE":
            return self.answer(404 if 1 in deleted or deleted.add(1) else 204, {})
        self.answer(200, {"name": user["sub"]})

    do_DELETE = do_GET

    def basic(self):
        scheme, _, both = self.headers.get("Authorization", "").partition(" ")
        try:
            name, _, password = base64.b64decode(both, validate=True).decode().partition(":")
        except ValueError:
            name = password = ""
        if failures.get(name, 0) >= 5 and "limitless" not in modes:
            until = locked.setdefault(name, time.monotonic() + 2)
            if time.monotonic() < until:
                return self.answer(429, {})
            failures.pop(name), locked.pop(name)
        if scheme == "Basic" and users.get(name) == password or "anybody" in modes and name:
            return self.answer(200, {"name": name})
        failures[name] = failures.get(name, 0) + bool(name)
        self.answer(401, {})

    def do_POST(self):
        if self.path == "/logout":
            return self.do_GET()
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        name, password = body["username"], body["password"]
        if "slow" in modes and name in users:
            time.sleep(0.12)
        wrong = failures.get(name, 0)
        if wrong >= 5 and "limitless" not in modes:
            return self.answer(401, {"error": "no", "id": os.urandom(12).hex()}) if "silent" in modes else self.answer(429, {})
        if users.get(name) == password:
            return self.answer(200, {"access_token": issue(name)})
        failures[name] = wrong + 1
        self.answer(200 if "polite" in modes else 401, {"error": f"no such user {name}" if "tells" in modes and name not in users else "no", "id": os.urandom(12).hex()})

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
OPENAPI = """
openapi: 3.0.3
info: { title: small, version: "1" }
components: { securitySchemes: { bearer: { type: http, scheme: bearer } } }
paths:
  /me: { get: { security: [{ bearer: [] }], responses: { "200": { description: ok } } } }
  /open: { get: { security: [{ bearer: [] }], responses: { "200": { description: ok } } } }
  /things/{id}:
    parameters: [{ name: id, in: path, required: true, schema: { type: integer }, example: 1 }]
    delete: { security: [{ bearer: [] }], responses: { "204": { description: gone } } }
  /logout: { post: { security: [{ bearer: [] }], responses: { "204": { description: bye } } } }
  /free: { get: { responses: { "200": { description: ok } } } }
  /login:
    post:
      requestBody: { content: { application/json: { schema: {
        type: object, properties: { username: { type: string }, password: { type: string } } } } } }
      responses: { "200": { description: ok } }
"""
TOML = """
[project]
name = "small"
[environment.secrets]
alice = "generate"
bob = "generate"
key = "generate"
[environment.services.api]
directory = "api"
command = [PYTHON, "service.py", "{port}"]
env = { MODE = "MODES", KEY = "KEY_HERE", ALICE = "{secret.alice}", BOB = "{secret.bob}" }
ready = { path = "/ready", seconds = 30 }
[environment.login]
service = "api"
path = "/login"
json = { username = "{username}", password = "{password}" }
probe = "/me"
[environment.users.alice]
username = "alice"
password = "{secret.alice}"
[environment.users.bob]
username = "bob"
password = "{secret.bob}"
"""
Attack = Callable[..., tuple[Outcome, Context]]


@pytest.fixture
def attack(tmp_path: Path) -> Attack:
    def run(
        modes: str = "", *, key: str = "{secret.key}", definition: str = OPENAPI, extra: str = "", deadline: float = 300
    ) -> tuple[Outcome, Context]:
        (tmp_path / "target" / "api").mkdir(parents=True)
        (tmp_path / "target" / "api" / "keys").mkdir()
        (tmp_path / "target" / "api" / "keys" / "own").write_text("unused")
        (tmp_path / "target" / "api" / "service.py").write_text(API)
        (tmp_path / "target" / "api" / "openapi.yaml").write_text(definition)
        text = TOML.replace("MODES", modes).replace("KEY_HERE", key).replace("PYTHON", json.dumps(sys.executable))
        (tmp_path / "target" / "vallum.toml").write_text(text + extra)
        staged = context(tmp_path / "target", deadline)
        return alone("authentication", staged), staged[2]

    return run


def found(outcome: Outcome) -> dict[tuple[str, str], Finding]:
    assert isinstance(outcome, Completed), outcome
    places = [(each.rule.partition(".")[2], each.operation, each) for each in outcome.run.findings]
    return {(rule, f"{place.method} {place.path}"): each for rule, place, each in places if place is not None}


def test_a_sound_service_is_looked_at_whole_and_nothing_is_found(attack: Attack) -> None:
    outcome, _ = attack()
    assert found(outcome) == {}
    assert isinstance(outcome, Completed)
    run = outcome.run
    assert [(part.unit, part.expected, part.seen) for part in run.coverage] == [("operations", 3, 3), ("logins", 1, 1)]
    notes = "\n".join(run.notes)
    assert "api POST /logout was called only without a token: it would end the login" in notes
    assert "api POST /login stops guessing: answer 6 for a user was refused or slowed down" in notes
    assert "the key is one of the run's own secrets" in notes
    requests = next(int(note.split()[0]) for note in run.notes if "requests:" in note)
    assert requests < 100
    reached = {(each.method, each.path): each for each in run.operations}
    assert reached["GET", "/me"].authenticated


def test_what_is_not_verified_is_found_and_no_token_is_kept(attack: Attack) -> None:
    outcome, ctx = attack("unverified open limitless tells fails")
    every = found(outcome)
    assert every.keys() == {
        ("signature", "GET /me"),
        ("signature", "DELETE /things/{id}"),
        ("no-token", "GET /open"),
        ("no-login-limit", "POST /login"),
        ("user-enumeration", "POST /login"),
        ("token-error", "GET /me"),
        ("token-error", "DELETE /things/{id}"),
    }
    signature = every["signature", "GET /me"]
    assert (signature.severity, signature.cwe, signature.owasp) == ("critical", (347,), ("API2:2023",))
    assert signature.location is not None
    assert (
        signature.location.line == OPENAPI.splitlines().index(next(x for x in OPENAPI.splitlines() if "/me" in x)) + 1
    )
    assert signature.exchange is not None
    assert "authorization: [redacted]" in signature.exchange.request.lower()
    assert signature.exchange.response.startswith("HTTP/1.1 200")
    assert every["user-enumeration", "POST /login"].message.endswith("by the body of the answer")
    assert isinstance(outcome, Completed)
    assert {each.rule for each in outcome.run.findings} <= {rule.id for rule in outcome.run.rules}
    assert "eyJ" not in repr(outcome) + repr(ctx.log)


def test_a_login_that_says_no_with_200(attack: Attack) -> None:
    """Whether somebody is let in is told by the probe, so that this is no open door, and can be guessed at."""
    outcome, _ = attack("polite limitless opaque")
    assert found(outcome).keys() == {("no-login-limit", "POST /login")}


def test_a_guessable_key_and_claims_that_nobody_checks(attack: Attack) -> None:
    outcome, _ = attack("lax kid none slow limitless", key="SMALL_JWT")
    every = found(outcome)
    both = {
        (rule, f"GET {path}") for rule in ("alg-none", "foreign-key", "expiry", "audience") for path in ("/me", "/open")
    }
    at_login = {(rule, "POST /login") for rule in ("guessable-key", "no-login-limit", "user-enumeration-time")}
    assert every.keys() == both | at_login
    assert "is on the list of guessable keys; api GET /me accepts" in every["guessable-key", "POST /login"].message
    assert every["foreign-key", "GET /me"].message == "GET /me accepts a token whose `kid` leads to an empty file"


def test_a_key_that_stands_in_the_repository_and_tokens_without_an_end(attack: Attack) -> None:
    outcome, _ = attack("endless silent", key="n0t-on-any-l1st-51d7f0")
    every = found(outcome)
    assert every.keys() == {
        ("guessable-key", "POST /login"),
        ("token-lifetime", "POST /login"),
        ("expiry", "GET /me"),
        ("expiry", "GET /open"),
    }
    assert "stands in vallum.toml" in every["guessable-key", "POST /login"].message
    assert isinstance(outcome, Completed)
    assert any("locks users without saying so" in note for note in outcome.run.notes)


@pytest.mark.parametrize("flaw", ["confused", "jwk"])
def test_a_key_pair_that_is_mistaken(attack: Attack, flaw: str) -> None:
    outcome, _ = attack(f"rsa {flaw}")
    every = found(outcome)
    assert every.keys() == {("foreign-key", "GET /me"), ("foreign-key", "GET /open")}
    what = "by HMAC with the text of the public key" if flaw == "confused" else "that brings its own key (`jwk`)"
    assert what in every["foreign-key", "GET /me"].message
    assert isinstance(outcome, Completed)
    assert any("the signing key is not known" in note for note in outcome.run.notes)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("partner confused", {("foreign-key", "GET /me"), ("foreign-key", "GET /open")}), ("partner", set())],
)
def test_a_key_pair_of_another_issuer(attack: Attack, mode: str, expected: set[tuple[str, str]]) -> None:
    """Our own tokens are signed by HMAC: the public key that a service shows beside is tried all the same."""
    outcome, _ = attack(mode)
    assert found(outcome).keys() == expected
    assert all("by HMAC with the text of the public key" in each.message for each in found(outcome).values())
    assert isinstance(outcome, Completed)
    assert any("3 texts of public keys were tried" in note for note in outcome.run.notes)


def test_tokens_of_another_kind(attack: Attack) -> None:
    outcome, _ = attack("opaque prefix")
    assert found(outcome).keys() == {
        ("invalid-token", f"{name}") for name in ("GET /me", "GET /open", "DELETE /things/{id}")
    }


BASIC = """[environment.login]
kind = "basic"
service = "api"
probe = "/me"
[environment.users.alice]"""


@pytest.mark.parametrize("modes", ["basic", "basic limitless anybody"])
def test_names_and_passwords_with_each_request(
    attack: Attack, modes: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before, _, after = TOML.partition("[environment.login]")
    monkeypatch.setattr(f"{__name__}.TOML", before + BASIC + after.partition("[environment.users.alice]")[2])
    outcome, _ = attack(modes)
    every = found(outcome)
    if modes == "basic":
        assert every == {}
        assert isinstance(outcome, Completed)
        assert any("api GET /me stops guessing: answer 4" in note for note in outcome.run.notes), outcome.run.notes
        return
    assert isinstance(outcome, Completed)
    assert {key for key in every if key[0] == "invalid-token"} == {
        ("invalid-token", name) for name in ("GET /me", "GET /open", "DELETE /things/{id}")
    }
    assert every["any-password", "GET /me"].message == "api GET /me lets an unknown user in with a wrong password"


def test_what_cannot_be_proved_is_missed(attack: Attack) -> None:
    closed = '  /closed: { get: { security: [{ bearer: [] }], responses: { "200": { description: ok } } } }\n'
    extra = '[checks.authentication]\noptions = { also = ["api GET /free", "api GET /nowhere"] }\n'
    outcome, _ = attack(definition=OPENAPI + closed + closed.replace("closed", "hidden"), extra=extra)
    assert isinstance(outcome, Completed)  # the runner turns what is missed into incomplete
    operations = outcome.run.coverage[0]
    assert (operations.expected, operations.seen) == (7, 4)
    assert {(left.target, left.why) for left in operations.missed} == {
        ("api GET /closed", "it answers 401 with every user's login"),
        ("api GET /hidden", "it answers 404 with a login and 404 without: give it an example that succeeds"),
        ("api GET /nowhere", "no definition declares this operation of checks.authentication.options"),
    }


def test_a_service_that_dies_is_incomplete(attack: Attack) -> None:
    outcome, _ = attack("dies")
    assert isinstance(outcome, Incomplete)
    assert "ended with exit code 9 while it was in use: out of memory" in outcome.reason


def test_options_and_what_must_be_configured(tmp_path: Path) -> None:
    def applies(text: str) -> Planned | Skipped:
        (tmp_path / "api").mkdir(exist_ok=True)
        (tmp_path / "vallum.toml").write_text(text.replace("PYTHON", json.dumps(sys.executable)))
        config = configuration.load(tmp_path)
        return authentication.CHECK.applies(discover(tmp_path, config), config)

    assert applies(TOML) == Planned()
    without = TOML.partition("[environment.login]")[0]
    said = applies(without)
    assert isinstance(said, Skipped)
    assert "no [environment.login]" in said.reason
    for options in ("also = ['GET /x']", "attempts = 31", "max-hours = 0", "atempts = 3", "attempts = true"):
        with pytest.raises(UserError, match=r"checks\.authentication\.options"):
            applies(f"{TOML}\n[checks.authentication]\noptions = {{ {options} }}\n")


def _answers(*seconds: float, status: int = 401, body: bytes = b"no") -> list[Answer]:
    return [Answer(status, {}, body, seconds=each) for each in seconds]


def test_a_limit_is_an_answer_or_a_delay() -> None:
    assert logins.limited_at(_answers(*[0.1] * 11), "a") == 0
    assert logins.limited_at(_answers(0.1, 0.1) + _answers(0.1, status=429), "a") == 3
    assert logins.limited_at(_answers(0.1, status=429), "a") == 1
    assert logins.limited_at(_answers(0.1, 0.1, 0.1, 0.2, 0.4, 0.8, 1.6), "a") == 5
    assert logins.limited_at(_answers(0.1, 0.1, 0.1, 0.3, 0.3, 0.3), "a") == 0
    locked = _answers(0.1, 0.1, 0.1) + _answers(0.1, 0.1, body=b"locked")
    assert logins.limited_at(locked, "a") == 4
    assert logins.limited_at(_answers(0.1, status=403) + _answers(0.1, status=403), "a") == 0


def _tried(made_up: list[Answer], seeded: list[Answer]) -> logins.Tried:
    return logins.Tried(made_up, seeded, ("nobody-1234", "bob"))


def test_time_speaks_only_when_it_is_beyond_doubt() -> None:
    noise = [0.010, 0.013, 0.030, 0.011, 0.012, 0.010, 0.090, 0.011, 0.012]
    hashed = [value + 0.08 for value in noise]
    assert logins.slower(_tried(_answers(*noise), _answers(*hashed))) == pytest.approx(0.08)
    assert logins.slower(_tried(_answers(*hashed), _answers(*noise))) == pytest.approx(-0.08)
    assert logins.slower(_tried(_answers(*noise), _answers(*[value + 0.01 for value in noise]))) == 0
    assert logins.slower(_tried(_answers(*noise[:7]), _answers(*hashed[:7]))) == 0, "too few"
    mixed = [value + (0.08 if number % 4 else -0.005) for number, value in enumerate(noise)]
    assert logins.slower(_tried(_answers(*noise), _answers(*mixed))) == 0, "not all agree"


@given(st.lists(st.tuples(st.floats(0.001, 2), st.floats(0.001, 2)), min_size=8, max_size=15), st.randoms())
def test_time_of_answers_that_do_not_depend_on_the_name(pairs: list[tuple[float, float]], random: object) -> None:
    """Whatever the load does: exchanging the names changes the sign, so noise alone favours neither."""
    one = logins.slower(_tried(_answers(*(a for a, _ in pairs)), _answers(*(b for _, b in pairs))))
    other = logins.slower(_tried(_answers(*(b for _, b in pairs)), _answers(*(a for a, _ in pairs))))
    assert one == -other


def test_answers_differ_only_when_they_do_so_each_time() -> None:
    plain = [Answer(401, {"date": str(number)}, f"no, nobody-1234 {number}".encode()) for number in range(3)]
    same = [Answer(401, {"date": "x"}, f"no, BOB {number}".encode()) for number in range(3)]
    assert logins.difference(_tried(plain, same)) == ""
    other = [Answer(404, {}, b"no")] * 3
    assert (
        logins.difference(_tried(other, same))
        == "the status of the answer (404 for an unknown name, 401 for a known one)"
    )
    unstable = [Answer(401, {}, b"one"), Answer(401, {}, b"two")]
    assert logins.difference(_tried(unstable, same)) == ""
    cookie = [Answer(401, {"x-user": "known"}, b"no, NAME 1")] * 2
    assert logins.difference(_tried(cookie, same)) == "the headers of the answer"
    local = [
        Answer(302, {"location": f"/login?name={name}%40shop.example"}, f"no, {name}".encode())
        for name in ("v12345678", "bob")
    ]
    tried = logins.Tried(local[:1] * 2, local[1:] * 2, ("v12345678@shop.example", "bob@shop.example"))
    assert logins.difference(tried) == ""
    token = [Answer(200, {}, f"csrf {hashlib.sha256(bytes([n])).hexdigest()}".encode()) for n in range(4)]
    assert logins.difference(_tried(token[:2], token[2:])) == ""


def test_every_form_is_another_token_and_reads_as_what_it_says() -> None:
    jwt = tokens.parse(tokens.hs({"alg": "HS512", "typ": "JWT"}, {"sub": "1", "exp": 9, "aud": "a", "iss": "b"}, b"k"))
    assert jwt is not None
    assert tokens.finds(jwt)(b"k")
    assert not tokens.finds(jwt)(b"K")
    assert hmac.digest(b"k", jwt.signed, "sha512") == jwt.signature
    forms = [
        *tokens.changed(jwt),
        *tokens.unsigned(jwt),
        *tokens.keyed(jwt),
        *tokens.confused(jwt, [b"p"]),
        *tokens.resigned(jwt, b"k"),
    ]
    assert len({form.token for form in forms}) == len(forms) == 17
    assert jwt.raw not in {form.token for form in forms}
    assert {form.rule for form in forms} <= RULES.keys()
    good = [form for form in forms if (read := tokens.parse(form.token)) and tokens.finds(read)(b"k")]
    assert {form.rule for form in good} == {"expiry", "audience"}
    for text in ("a.b.c", "opaque", "e30.e30.", "W10.W10.W10", "e30.e30.a.b"):
        assert tokens.parse(text) is None, text


def test_the_lists_hold_what_tutorials_print() -> None:
    words = list(guessable.from_lists(("shop",)))
    for word in ("secret", "keyboard cat", "your-256-bit-secret", "shop-secret", "JWT_SHOP", "changeme", ""):
        assert word in words, word
    assert len(guessable.WORDS) > 200


def test_bodies_take_another_user() -> None:
    body = logins.filled(b'{"email": "a@b.example", "password": "x", "csrf": "1"}', "application/json", "bob", "wrong")
    assert body is not None
    assert json.loads(body) == {"email": "bob@shop.example", "password": "wrong", "csrf": "1"}
    assert (
        logins.filled(b"username=a&password=b", "application/x-www-form-urlencoded", "bob", "w")
        == b"username=bob&password=w"
    )
    assert logins.filled(b'{"id": 1}', "application/json", "bob", "w") is None
    assert logins.filled(b"<user/>", "application/xml", "bob", "w") is None
    assert _logins.stranger("bob@shop.example").endswith("@shop.example")

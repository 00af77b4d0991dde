"""Each kind of login against services that tell all they hear: it works, is proved, is renewed, and nothing leaks."""

from __future__ import annotations

import json
import shutil
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from vallum import artifacts, runner, stage
from vallum.check import Check, Context, Planned, Stage
from vallum.errors import Inconclusive, UserError
from vallum.finding import Finding, Rule
from vallum.gate import judge
from vallum.logins import SecretSource
from vallum.outcome import Completed, Coverage, Outcome, Run, Tool
from vallum.plan import make
from vallum.reports import write_all
from vallum.severity import Severity
from vallum.stage import Deployment, settings
from vallum.stage.calls import Caller
from vallum.stage.login import User, log_in_all
from vallum.stage.login.conversation import Conversation
from vallum.stage.stage import describe
from vallum_checks import dast

from .staged import ALICE, leaks, staged

FORM = 'kind = "form"\npath = "/login"\nform = { user = "{username}", pass = "{password}", do = "login" }\n'
JSON = 'path = "/api/login"\njson = { user = "{username}", password = "{password}" }\ntoken = "data.access"\n'
COOKIE = 'path = "/api/cookie"\njson = { password = "{password}" }\ntoken = ""\n'
SCRIPT = """kind = "script"
headers = { X-Trace = "{challenge}" }
[[environment.login.steps]]
method = "POST"
url = "/api/start"
json = { user = { password = "{password}" } }
capture = { challenge = { json = "steps.0.challenge" } }
[[environment.login.steps]]
method = "POST"
url = "{url.a}/api/finish"
headers = { X-Step = "2" }
json = { challenge = "{challenge}" }
status = [200]
capture = { token = { regex = '"access": "([^"]+)"' } }
"""
OAUTH = 'kind = "oauth2"\n[environment.login.oauth]\ntoken-url = "/token"\nclient-id = "shop"\n'
CLIENT = OAUTH + 'client-secret = "{secret.key}"\nscope = "orders"\n'
OIDC = """kind = "oidc"
form = { username = "{username}", password = "{password}", code = "{totp}", consent = "yes" }
[environment.login.oauth]
issuer = "{url.a}"
client-id = "shop"
client-secret = "{secret.key}"
redirect-uri = "/callback"
scope = "openid profile"
"""
SECOND = ALICE + 'totp = "otpauth://totp/Shop:alice?secret={secret.second}&period=5"\n'
URI = {"TOTP": "otpauth://totp/Shop:alice?secret={secret.second}&period=5"}
KINDS = {
    "header": ("echo", 'kind = "header"\nheader = "X-API-Key"\nvalue = "{secret.key}"', {}),
    "bearer": ("echo", 'kind = "header"\nvalue = "Bearer {secret.key}"', {}),
    "basic": ("echo", 'kind = "basic"', {}),
    "form": ("echo", FORM, {}),
    "json": ("echo", JSON, {}),
    "cookie": ("echo", COOKIE, {}),
    "script": ("echo", SCRIPT, {}),
    "client": ("provider", CLIENT, {}),
    "client-body": ("provider", CLIENT + 'client-auth = "body"', {"METHOD": "client_secret_post"}),
    "password": ("provider", CLIENT + 'grant = "password"', {}),
    "refresh": (
        "provider",
        CLIENT + 'grant = "refresh_token"\nrefresh-token = "{secret.seed}"',
        {"SEED": "{secret.seed}"},
    ),
    "oidc": ("provider", OIDC, URI),
}
ISSUED = {"form": 9, "json": 3, "cookie": 3, "script": 6, "client": 3, "password": 6, "refresh": 6, "oidc": 12}
"""What the services themselves wrote down at least: tokens, cookies, codes, hidden fields, states."""
RULE = Rule(id="echo", name="echo", help="none")


def get(url: str) -> dict[str, object]:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return dict(json.load(answer))


@pytest.mark.parametrize("name", list(KINDS))
def test_it_logs_in_renews_and_leaks_nothing(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, login, env = KINDS[name]
    journal = tmp_path / "journal"
    root = tmp_path / "target"
    target, config = staged(
        root,
        service,
        login,
        SECOND + SECOND.replace(".alice]", ".again]") if name == "oidc" else ALICE,
        JOURNAL=str(journal),
        **env,
    )
    secrets: set[str] = set()
    seen: list[bool] = []

    def attack(deployment: Deployment, ctx: Context) -> Outcome:
        """What any check does, and it keeps all it gets."""
        assert deployment.session is not None
        session = deployment.session
        secrets.update(deployment.secrets.values())
        exchanges = []
        with Caller(deployment) as caller:
            for _ in range(2):
                header = session.header()
                assert (session.token in header.get("Authorization", "")) or not session.token
                secrets.update(
                    part for value in header.values() for part in value.split("=", 1)[-1].split() if len(part) > 8
                )
                secrets.add(session.token or "none at all")
                answer = caller.raw("GET", deployment.urls["a"] + "/me", header)
                seen.append(answer.ok and not caller.raw("GET", deployment.urls["a"] + "/me").ok)
                exchanges.append(answer.exchange)
                ctx.raw.joinpath(f"{len(exchanges)}.json").write_bytes(answer.body)
                ctx.log.append(answer.body.decode())
                before = session.header()
                session.renew()
                if name not in {"header", "bearer", "basic"}:
                    assert session.header() != before
                    assert (
                        session.token != before.get("Authorization", "Bearer ").removeprefix("Bearer ")
                        or not session.token
                    )
        finding = Finding(rule="echo", severity=Severity.HIGH, message=exchanges[0].response, exchange=exchanges[1])
        return Completed(
            Run(tool=Tool("t", "1"), coverage=(Coverage("operations", 1, 1),), rules=(RULE,), findings=(finding,))
        )

    monkeypatch.setattr(dast, "attacks", lambda: {"echo": attack})
    check = Check(
        id="echo",
        stage=Stage.STAGED,
        summary="s",
        applies=lambda _target, _config: Planned(),
        run=lambda ctx: dast.run_alone("echo", ctx),
    )
    plan = make((check,), target, config)
    outcome = runner.run_unit(check, target, config, plan.run)
    assert isinstance(outcome, Completed), outcome
    assert seen == [True, True]
    verdict = judge(config.policy, plan, {("echo", "_"): outcome})
    write_all(verdict, root)
    folder = artifacts.folder(root)
    assert list(folder.rglob("*.html"))
    log = (folder / "stage" / "process" / "a" / "log.txt").read_text()
    assert log.count("[redacted]") > 3
    assert "THE REDIRECT URI WAS ASKED FOR" not in log
    secrets.discard("none at all")
    issued = set(journal.read_text().split()) if journal.exists() else set()
    assert len(issued) >= ISSUED.get(name, 0)
    secrets |= issued
    assert len(secrets) >= 4
    assert leaks(folder, secrets) == []


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The echoing service, up, with nobody logged in."""
    target, config = staged(tmp_path_factory.mktemp("echo") / "t", "echo", 'kind = "none"', users="")
    with stage.deploy(target, config, "r") as deployment:
        yield deployment


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """The identity provider, likewise."""
    target, config = staged(tmp_path_factory.mktemp("provider") / "t", "provider", 'kind = "none"', users="")
    with stage.deploy(target, config, "r") as deployment:
        yield deployment


def log_in(root: Path, at: Deployment, login: str, users: str = ALICE, probe: str = "/me") -> User:
    """Log alice in to what is up already, as `login` says; checked as a configuration is."""
    target, config = staged(root, "echo", login, users)
    assert config.environment is not None
    assert config.environment.login is not None
    environment = msgspec.structs.replace(
        config.environment, login=msgspec.structs.replace(config.environment.login, probe=probe)
    )
    settings.check(environment, target.root)
    (user,) = log_in_all(environment, at.urls, at.secrets, at.redactor).values()
    return user


@pytest.mark.parametrize(
    ("login", "reason"),
    [
        (JSON, "cannot log in: a POST /api/login answers 401"),
        (SCRIPT, r"cannot log in: a POST /api/start \(step 1\) answers 401"),
        (COOKIE, "cannot log in: a POST /api/cookie answers 401"),
        ('kind = "basic"', "not logged in: a GET /me answers 401 with the credentials"),
        (FORM, "not logged in: a GET /me answers 401 with the session's cookies"),
        (
            FORM.replace('do = "login"', 'do = "login", otp = "1"'),
            "shows no form with the field `otp`, as it would where",
        ),
        (FORM.replace("/login", "/spa", 1), "cannot log in: a GET /spa shows no HTML form"),
        (FORM.replace("/login", "/second", 1), "shows no form with the field `user` or `pass` or `do`"),
        (
            FORM.replace("/login", "/elsewhere", 1),
            r"leads to http://127\.0\.0\.2:9, outside the deployment.*login\.allow",
        ),
        (FORM.replace("/login", "/nowhere", 1), "/nowhere leads to what is no URL"),
        (FORM.replace("/login", "/lost", 1), "/lost leads to what is no URL"),
        (FORM.replace("/login", "/round", 1), "more than 10 redirects"),
        (FORM.replace("/login", "/long", 1), "GET /long answered more than"),
    ],
)
def test_a_login_that_fails(tmp_path: Path, echo: Deployment, login: str, reason: str) -> None:
    with pytest.raises(Inconclusive, match=reason):
        log_in(tmp_path / "t", echo, login, ALICE.replace("{secret.alice}", "wrong-word"))


def test_a_redirect_is_a_refusal_for_cookies_only(tmp_path: Path, echo: Deployment) -> None:
    log_in(tmp_path / "1", echo, FORM, probe="/me/page").session.prove()
    with pytest.raises(Inconclusive, match=r"cannot be proved: a GET /me/page answers 302 without the token"):
        log_in(tmp_path / "2", echo, JSON, probe="/me/page")
    with pytest.raises(
        Inconclusive, match=r"cannot be proved: a GET /me/moved answers 302 without the session's cookies"
    ):
        log_in(tmp_path / "3", echo, FORM, probe="/me/moved")


def test_many_threads_renew_once(tmp_path: Path, echo: Deployment) -> None:
    session = log_in(tmp_path / "t", echo, JSON).session
    before = get(echo.urls["a"] + "/logins")["logins"]
    start = threading.Barrier(8)
    held: list[str] = []

    def renew() -> None:
        start.wait()
        session.renew()
        held.append(session.token)

    threads = [threading.Thread(target=renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(held) == 8
    after = get(echo.urls["a"] + "/logins")["logins"]
    assert isinstance(before, int)
    assert isinstance(after, int)
    assert 1 <= after - before < 8  # the service takes a moment for each, so most find it done
    session.prove()


def test_an_expired_token_is_told_and_renewed_by_its_refresh_token(tmp_path: Path) -> None:
    target, config = staged(tmp_path, "provider", CLIENT + 'grant = "password"')
    with stage.deploy(target, config, "r") as deployment:
        session = deployment.session
        assert session is not None
        assert session.remaining is not None
        assert 3000 < session.remaining <= 3600
        assert get(deployment.urls["a"] + "/expire") == {"expired": 1}
        with pytest.raises(Inconclusive, match="not logged in: a GET /me answers 401 with the token"):
            deployment.liveness()
        session.renew()
        deployment.liveness()
        assert get(deployment.urls["a"] + "/counts") == {"password": 1, "refresh_token": 1}
        get(deployment.urls["a"] + "/revoke")
        session.renew()  # the refresh token is refused too: a new login
        deployment.liveness()
        assert get(deployment.urls["a"] + "/counts") == {"password": 2, "refresh_token": 1}


def test_a_renewal_that_is_refused_says_so_and_keeps_what_was_there(tmp_path: Path, echo: Deployment) -> None:
    session = log_in(tmp_path / "t", echo, JSON).session
    before = session.header()
    session._account.values["password"] = "changed meanwhile"
    with pytest.raises(Inconclusive, match="cannot log in: a POST /api/login answers 401"):
        session.renew()
    assert session.header() == before
    session.prove()


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('consent = "yes"', 'consent = "no"', "the identity provider answers access_denied"),
        ("/callback", "/somewhere", "cannot log in: a GET /authorize answers 400"),
        ("{secret.key}", "another secret", r"a POST /token answers 401 \(invalid_client\)"),
        ("{secret.key}", "", r"a POST /token answers 401 \(invalid_client\)"),
        ('"openid profile"', '"openid profile"\nclient-auth = "body"', r"a POST /token answers 401 \(invalid_client\)"),
        ('"{url.a}"', '"{url.a}/"', "the discovery document of .* is of another issuer"),
        ('"{url.a}"', '"{url.a}/nowhere"', "GET /nowhere/.well-known/openid-configuration answers 404"),
        ('"openid profile"', '"profile"', "gave no ID token for this login"),
    ],
)
def test_an_identity_provider_that_refuses(
    tmp_path: Path, provider: Deployment, old: str, new: str, reason: str
) -> None:
    with pytest.raises(Inconclusive, match=reason):
        log_in(tmp_path / "t", provider, OIDC.replace(', code = "{totp}"', "").replace(old, new))


@pytest.mark.slow
def test_a_certified_provider_with_the_pages_that_it_comes_with(tmp_path: Path) -> None:
    """The npm package oidc-provider, certified by the OpenID Foundation: its login, its consent, its tokens, not ours."""
    if shutil.which("node") is None:
        pytest.skip("there is no Node.js")
    login = OIDC.replace(
        'username = "{username}", password = "{password}", code = "{totp}", consent = "yes"',
        'login = "{username}", password = "{password}"',
    )
    login = login.replace('"openid profile"', '"openid offline_access"')
    target, config = staged(tmp_path / "t", "certified", login)
    with stage.deploy(target, config, "r") as deployment:
        session = deployment.session
        assert session is not None
        held = {session.token}
        deployment.liveness()
        session.renew()
        held.add(session.token)
        deployment.liveness()
        assert len(held) == 2
        held |= {deployment.secrets["key"], deployment.secrets["alice"]}
    assert leaks(artifacts.folder(tmp_path / "t"), held) == []


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("{secret.key}", "another secret", r"a POST /token answers 401 \(invalid_client\)"),
        ("/token", "/ready", "a POST /ready answers 405"),
        ('"orders"', '"orders"\ngrant = "refresh_token"\nrefresh-token = "unknown"', r"400 \(invalid_grant\)"),
    ],
)
def test_a_token_endpoint_that_refuses(tmp_path: Path, provider: Deployment, old: str, new: str, reason: str) -> None:
    with pytest.raises(Inconclusive, match=reason):
        log_in(tmp_path / "t", provider, CLIENT.replace(old, new))


def test_an_id_token_for_somebody_else(tmp_path: Path) -> None:
    target, config = staged(tmp_path, "provider", OIDC.replace(', code = "{totp}"', ""), MODE="other-audience")
    with pytest.raises(Inconclusive, match="gave no ID token for this login"), stage.deploy(target, config, "r"):
        pytest.fail("it counted as logged in")


def test_a_public_client_by_pkce_alone(tmp_path: Path) -> None:
    login = OIDC.replace('client-secret = "{secret.key}"\n', "").replace(', code = "{totp}"', "")
    target, config = staged(tmp_path, "provider", login, METHOD="none")
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()


def test_an_identity_provider_outside_is_asked_where_it_is_listed_only(
    tmp_path: Path, echo: Deployment, provider: Deployment
) -> None:
    origin = provider.urls["a"]
    asked = OAUTH.replace("/token", f"{origin}/token") + 'client-secret = "wrong"\n'
    with pytest.raises(Inconclusive, match=rf"leads to {origin}, outside the deployment: not requested"):
        log_in(tmp_path / "1", echo, asked)
    listed = asked.replace("[env", f'allow = ["{origin}"]\n[env', 1)
    with pytest.raises(Inconclusive, match=r"POST /token answers 401 \(invalid_client\)"):
        log_in(tmp_path / "2", echo, listed)


def test_cookies_of_an_identity_provider_stay_with_it(echo: Deployment) -> None:
    url = echo.urls["a"]
    with Conversation(echo.scope, echo.redactor) as talk:
        talk.request("GET", url + "/login")
        assert talk.cookie("half")
        assert talk.cookies(url + "/me", echo.urls).startswith("half=")
        assert talk.cookies(url + "/me", {"b": "http://127.0.0.1:1"}) == ""


def test_two_users_have_sessions_of_their_own(tmp_path: Path, echo: Deployment) -> None:
    one = log_in(tmp_path / "1", echo, COOKIE)
    other = log_in(tmp_path / "2", echo, COOKIE)
    assert one.session.header() != other.session.header()
    assert one.session.token == other.session.token == ""
    assert set(one.session.header()) == {"Cookie"}
    assert one.session.header()["Cookie"] not in f"{one} {one.session!r}"


def test_a_token_with_the_cookies_besides(tmp_path: Path, echo: Deployment) -> None:
    steps = """cookies = true
[[environment.login.steps]]
url = "/login"
[[environment.login.steps]]
method = "POST"
url = "/api/login"
json = { password = "{password}" }
capture = { token = { json = "data.access" }, half = { cookie = "half" }, type = { header = "Content-Type" } }
"""
    header = log_in(tmp_path / "t", echo, 'kind = "script"\n' + steps).session.header()
    assert set(header) == {"Authorization", "Cookie"}
    missing = steps.replace('{ cookie = "half" }', '{ cookie = "whole" }')
    with pytest.raises(Inconclusive, match="the answer of a POST /api/login holds no `half`"):
        log_in(tmp_path / "u", echo, 'kind = "script"\n' + missing)


@pytest.mark.parametrize(
    ("login", "users", "message"),
    [
        ('kind = "form"', ALICE, r"login\.path is missing: the kind `form` needs it"),
        (FORM + 'token = "x"', ALICE, r"login\.token means nothing to the kind `form`"),
        (FORM.replace("{password}", "{totp}"), ALICE, r"form\.pass: unknown placeholder \{totp\}"),
        (FORM, "", r"form\.user: unknown placeholder \{username\}"),
        (FORM + 'username = "alice"', ALICE, r"login\.username: the names are in \[environment\.users\]"),
        ('kind = "none"', ALICE, "nobody can log in without"),
        ('kind = "basic"', "", r"whose name and password\?"),
        ('kind = "header"', ALICE, r"login\.value: unknown placeholder \{token\}"),
        (JSON + 'header = "A B"', ALICE, "is not the name of a header"),
        (JSON + 'allow = ["login.example.com"]', ALICE, r"login\.allow\[0\]: .* is no origin"),
        (OAUTH.replace('token-url = "/token"\n', ""), ALICE, r"oauth\.token-url is missing"),
        (OIDC.replace('issuer = "{url.a}"\n', "").replace("{totp}", "1"), ALICE, r"oauth\.issuer is missing"),
        (CLIENT + 'grant = "password"', "", r"oauth\.grant: whose password\?"),
        (CLIENT.replace('"/token"', '"token"'), ALICE, r"oauth\.token-url: 'token' is no URL"),
        (SCRIPT.replace("{ json =", '{ cookie = "x", json ='), ALICE, "names not exactly one place"),
        (SCRIPT.replace("([^", "[^").replace("]+)", "]+"), ALICE, r"capture\.token\.regex has no group"),
        (SCRIPT.replace('"{challenge}" }\n[[', '"{nobody}" }\n[['), ALICE, r"headers.X-Trace: unknown placeholder"),
        (SCRIPT + 'body = "x"', ALICE, r"steps\[1\] sends more than one"),
    ],
)
def test_mistakes_are_told_before_anything_starts(tmp_path: Path, login: str, users: str, message: str) -> None:
    target, config = staged(tmp_path, "echo", login, users)
    assert config.environment is not None
    with pytest.raises(UserError, match=message) as caught:
        settings.check(config.environment, target.root)
    assert caught.value.hint


def test_what_is_up_is_described_without_secrets_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = 'kind = "header"\nheader = "X-API-Key"\nvalue = "{secret.key}"'
    target, config = staged(tmp_path / "1", "echo", login, users="")
    with stage.deploy(target, config, "r") as deployment:
        text = describe(deployment, config)
        assert f"secret key   {deployment.secrets['key']}" in text
        assert f"  X-API-Key: {deployment.secrets['key']}\n" in text
    monkeypatch.setenv("PARTNER_KEY", "key-of-the-partner")
    assert config.environment is not None
    config = msgspec.structs.replace(
        config,
        environment=msgspec.structs.replace(
            config.environment, secrets={**config.environment.secrets, "key": SecretSource(env="PARTNER_KEY")}
        ),
    )
    with stage.deploy(target, config, "r") as deployment:
        text = describe(deployment, config)
        assert "key-of-the-partner" not in text
        assert "secret key   (read from elsewhere: not shown)" in text
        assert deployment.secrets["alice"] in text
    assert leaks(artifacts.folder(target.root), {"key-of-the-partner"}) == []

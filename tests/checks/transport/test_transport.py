"""The check on real servers: what each of them does wrong is found, and the good one has nothing."""

from __future__ import annotations

import json
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from vallum.errors import UserError
from vallum.logins import Login
from vallum.outcome import Completed, Incomplete, Outcome
from vallum.severity import Severity
from vallum.stage.certificates import Authority, load
from vallum.stage.scope import Scope
from vallum_checks.transport_engine import browsing, mutual
from vallum_checks.transport_engine import tls as engine
from vallum_checks.transport_engine.wire import Line, Reply

SHOP = """
openapi: 3.0.3
info: { title: shop }
paths:
  /basket:
    get:
      security: [{ bearer: [] }]
      parameters: [{ name: page_token, in: query, example: "2" }]
      responses: { "200": { description: ok } }
  /files:
    get:
      parameters: [{ name: access_token, in: query, example: x }]
      responses: { "200": { description: ok } }
  /return:
    get:
      responses: { "302": { description: away } }
  /login:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: { type: object, properties: { username: { type: string }, password: { type: string } } }
      responses: { "302": { description: in } }
  /logout:
    get:
      responses: { "204": { description: out } }
components: { securitySchemes: { bearer: { type: http, scheme: bearer } } }
"""


def shop(flags: str, cache: str, back: str) -> Callable:
    """A page with a login form that wants its hidden field and its cookie back."""

    def page(method: str, path: str, headers: Mapping[str, str], body: bytes):
        at = urlsplit(path).path
        assert at != "/logout", "a check that reads does not log out"
        if at == "/login" and method == "GET":
            form = "<form method=post><input type=hidden name=csrf value=abc123><input name=username></form>"
            return 200, [("Set-Cookie", "csrf=abc123; HttpOnly; SameSite=Strict")], form.encode()
        if at == "/login":
            sent = {name: values[0] for name, values in parse_qs(body.decode()).items()}
            if sent.get("csrf") != "abc123" or "csrf=abc123" not in headers.get("cookie", ""):
                return 400, [], b"no"
            if (sent.get("username"), sent.get("password")) != ("ann", "the-right-one"):
                return 401, [], b"no"
            expires = "Expires=Wed, 21 Oct 2099 07:28:00 GMT; "
            cookies = [("Set-Cookie", f"session=s3cr3t; {expires}Path=/{flags}"), ("Set-Cookie", "theme=dark")]
            return 302, [("Location", "/"), *cookies], b""
        if at == "/return":
            return 302, [("Location", back)], b""
        return 200, [("Cache-Control", cache)], b"{}"

    return page


def probe(url: str, path: str, beside: str = ""):
    return mutual.probe(Line(Scope([url]), [url]), "a", url, path, beside)


def rules(outcome: Outcome, service: str) -> set[str]:
    assert not isinstance(outcome, Incomplete) or outcome.run is not None
    found = outcome.run.findings if outcome.run else ()  # type: ignore[union-attr]
    return {finding.rule.removeprefix("transport-") for finding in found if finding.service == service}


LOGIN = Login(
    service="shop", path="/login", form={"username": "{username}", "password": "{password}"}, kind="form", probe="/"
)


@pytest.fixture(scope="module")
def looked(serve, tls, pages, certificates: Path, look) -> Outcome:
    """One run over them all: sslyze takes a second or two a server."""
    hello, strict = pages["hello"], pages["strict"]
    good = serve(strict, tls("good"))
    away = serve(lambda *_: (301, [("Location", good.url + "/")], b""))
    open_ = serve(hello)
    urls = {
        "good": good.url,
        "old": serve(strict, tls("rsa", old=True)).url,
        "expired": serve(strict, tls("expired")).url,
        "selfsigned": serve(hello, tls("selfsigned")).url,
        "othername": serve(strict, tls("othername")).url,
        "weakkey": serve(strict, tls("weakkey")).url,
        "soon": serve(
            lambda *_: (200, [("Strict-Transport-Security", "max-age=60"), ("Set-Cookie", "sid=a; HttpOnly")], b""),
            tls("soon"),
        ).url,
        "static": serve(strict, tls("rsa", ciphers="AES256-GCM-SHA384:@SECLEVEL=0")).url,
    }
    return look(
        urls,
        options={"ca": str(certificates / "ca.pem"), "http": {"good": away.url, "selfsigned": open_.url}},
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("service", "expected"),
    [
        ("good", set()),
        ("old", {"old-tls", "no-modern-tls"}),
        ("expired", {"certificate-expired"}),
        ("selfsigned", {"certificate-untrusted", "no-hsts", "no-redirect"}),
        ("othername", {"certificate-name"}),
        ("weakkey", {"certificate-weak-key"}),
        ("soon", {"certificate-expires", "short-hsts", "cookie-secure", "cookie-samesite"}),
        ("static", {"no-forward-secrecy"}),
    ],
)
def test_each_service_has_its_own_weakness(looked: Outcome, service: str, expected: set[str]) -> None:
    found = rules(looked, service)
    assert found >= expected
    # A server with this OpenSSL's oldest settings takes weak suites besides; nothing else may come along.
    assert found - expected <= ({"weak-cipher", "no-forward-secrecy"} if service == "old" else set())


@pytest.mark.slow
def test_the_run_says_what_looked(looked: Outcome) -> None:
    assert isinstance(looked, Completed), looked
    assert looked.run.tool.name == "sslyze"
    assert looked.run.tool.digest
    said = " | ".join(looked.run.notes)
    assert "good speaks TLS 1.2, TLS 1.3" in said
    assert "old speaks TLS 1.0" in said
    assert "not tested: whether plain HTTP is redirected to old" in said
    (coverage,) = looked.run.coverage
    assert (coverage.unit, coverage.expected, coverage.seen) == ("services", 8, 8)
    for finding in looked.run.findings:
        assert finding.cwe
        assert "API8:2023" in finding.owasp
        assert "127.0.0.1" not in finding.message


@pytest.mark.slow
def test_a_server_that_speaks_no_tls_is_not_clean(serve, pages, look) -> None:
    """An https address behind which plain HTTP is spoken: sslyze cannot look, and that is said."""
    plain = serve(pages["hello"]).url
    outcome = look({"broken": plain.replace("http:", "https:")})
    assert isinstance(outcome, Incomplete)
    assert "broken TLS: sslyze could not speak TLS with it" in outcome.reason
    assert outcome.run is not None
    assert outcome.run.coverage[0].seen == 0


def test_cookies_caches_and_addresses(serve, look) -> None:
    weak = serve(shop("", "public, max-age=60", "https://id.example/cb?state=1#access_token=abc"))
    outcome = look({"shop": weak.url}, {"shop": SHOP}, login=LOGIN)
    assert isinstance(outcome, Completed), outcome
    places = {
        (f.rule.removeprefix("transport-"), f.operation.method, f.operation.path, f.operation.parameter)
        for f in outcome.run.findings
        if f.operation
    }
    assert places == {
        ("cookie-httponly", "POST", "/login", "session"),
        ("cookie-samesite", "POST", "/login", "session"),
        ("secret-in-url", "GET", "/files", "access_token"),
        ("secret-in-url", "GET", "/return", "access_token"),
    }
    lines = {f.rule: f.location.line for f in outcome.run.findings if f.location}
    assert lines["transport-cookie-httponly"] == SHOP.splitlines().index("    post:") + 1
    said = " | ".join(outcome.run.notes)
    assert "not tested: TLS, certificate and Strict-Transport-Security of shop: plain HTTP on loopback" in said


def test_a_good_shop_has_nothing(serve, look) -> None:
    definition = SHOP.replace("name: access_token", "name: version")
    good = serve(shop("; HttpOnly; SameSite=Lax", "private", "/elsewhere?page=2"))
    outcome = look({"shop": good.url}, {"shop": definition}, login=LOGIN)
    assert isinstance(outcome, Completed)
    assert outcome.run.findings == ()


def test_a_login_without_credentials_is_said(serve, look) -> None:
    outcome = look({"shop": serve(shop("", "private", "/")).url}, {"shop": SHOP})
    assert "not tested: cookies of 1 logins of shop without configured credentials" in " ".join(outcome.run.notes)


def test_a_service_that_does_not_answer(look) -> None:
    outcome = look({"gone": "http://127.0.0.1:9"})
    assert isinstance(outcome, Incomplete)
    assert outcome.reason == "gone: no answer (ConnectionRefusedError)"


def test_mutual_tls(serve, tls, pages) -> None:
    demanding = serve(pages["hello"], tls("good", client=True)).url
    assert probe(demanding, "/") == []
    lax = serve(pages["hello"], tls("good")).url
    assert [weakness.rule.id for weakness, _ in probe(lax, "/")] == ["transport-mtls-not-required"]
    plain = serve(pages["hello"]).url
    ((weakness, reply),) = probe(plain, "/healthz")
    assert weakness.rule.id == "transport-mtls-plaintext"
    assert weakness.rule.severity is Severity.HIGH
    assert reply.status == 200


def test_mutual_tls_is_not_got_round_at_another_port(serve, tls, pages) -> None:
    demanding = serve(pages["hello"], tls("good", client=True)).url
    beside = serve(pages["hello"]).url
    ((weakness, _),) = probe(demanding, "/", beside)
    assert (weakness.rule.id, weakness.text) == (
        "transport-mtls-plaintext",
        "GET / answers 200 without TLS at its other port",
    )
    away = serve(lambda *_: (308, [("Location", demanding + "/")], b"")).url
    assert probe(demanding, "/", away) == []


@pytest.mark.slow
def test_a_service_with_the_runs_certificates(serve, pages, look, tmp_path: Path) -> None:
    """Mutual TLS, and all the rest behind it: our certificate is shown to sslyze's server and to the pages, our authority known."""
    authority = Authority()
    (tmp_path / "authorities.pem").write_bytes(authority.certificate)
    demanding, open_ = (ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) for _ in range(2))
    for each in (demanding, open_):
        load(each, *authority.issue("a", ["127.0.0.1"]))
    demanding.verify_mode = ssl.CERT_REQUIRED
    demanding.load_verify_locations(tmp_path / "authorities.pem")
    sound, weak = serve(pages["strict"], demanding).url, serve(pages["hello"], open_).url
    outcome = look(
        {"sound": sound, "weak": weak},
        mtls=True,
        authorities=tmp_path / "authorities.pem",
        identity=authority.issue("vallum", ["127.0.0.1"]),
        plain={"sound": serve(lambda *_: (301, [("Location", sound)], b"")).url, "weak": serve(pages["hello"]).url},
    )
    assert isinstance(outcome, Completed), outcome
    assert rules(outcome, "sound") == set()
    assert rules(outcome, "weak") == {"mtls-not-required", "mtls-plaintext", "no-hsts", "no-redirect"}
    assert any("the certificates that sound, weak show elsewhere" in note for note in outcome.run.notes)
    assert not any("headers and cookies" in note for note in outcome.run.notes)


def test_a_refusal_is_told_from_a_login(serve, tls) -> None:
    nginx = serve(lambda *_: (400, [], b"<h1>No required SSL certificate was sent</h1>"), tls("good")).url
    assert probe(nginx, "/") == []
    from vallum.errors import Inconclusive

    unclear = serve(lambda *_: (401, [], b"log in first"), tls("good")).url
    with pytest.raises(Inconclusive, match="a answers 401 without a client certificate: whether it refuses"):
        probe(unclear, "/")


def test_mutual_tls_of_an_environment(serve, pages, look) -> None:
    outcome = look({"inside": serve(pages["hello"]).url}, mtls=True)
    assert rules(outcome, "inside") == {"mtls-plaintext"}


@pytest.mark.parametrize(
    ("cookie", "https", "expected"),
    [
        ("session=a; Secure; HttpOnly; SameSite=Lax", True, set()),
        ("session=a; HttpOnly; SameSite=Lax", False, set()),
        ("session=a; HttpOnly; SameSite=Lax", True, {"cookie-secure"}),
        ("JSESSIONID=a; secure; httponly", True, {"cookie-samesite"}),
        ("sid=a; Secure; HttpOnly; SameSite=None", True, set()),
        ("sid=a; HttpOnly; SameSite=None", False, {"cookie-samesite"}),
        ("session=; Max-Age=0", True, set()),
        ("session=x; Expires=Thu, 01 Jan 1970 00:00:00 GMT", True, set()),
        ("theme=dark", True, set()),
        ("csrf_token=a", True, set()),
        ("x=eyJhbGciOi.eyJzdWIi.c2ln", False, {"cookie-httponly", "cookie-samesite"}),
    ],
)
def test_cookie_flags(cookie: str, https: bool, expected: set[str]) -> None:
    reply = Reply(200, (("set-cookie", cookie),))
    found = {weakness.rule.id.removeprefix("transport-") for _, weakness in browsing.cookies(reply, https=https)}
    assert found == expected


def test_cookies_that_were_joined() -> None:
    reply = Reply(200, (("set-cookie", "a=1; Expires=Wed, 21 Oct 2099 07:28:00 GMT; HttpOnly, session=2; Path=/"),))
    assert [cookie.partition("=")[0] for cookie in reply.cookies] == ["a", "session"]


@pytest.mark.parametrize(
    ("value", "rule"),
    [
        ("", "transport-no-hsts"),
        ("includeSubDomains", "transport-no-hsts"),
        ("max-age=0", "transport-short-hsts"),
        ('Max-Age="15552000" ; includeSubDomains', ""),
        ("max-age=63072000; includeSubDomains; preload", ""),
        ("max-age=" + "9" * 5000, ""),
    ],
)
def test_strict_transport_security(value: str, rule: str) -> None:
    weakness = browsing.hsts(Reply(200, (("strict-transport-security", value),)))
    assert (weakness.rule.id if weakness else "") == rule


@pytest.mark.parametrize(
    ("name", "secret"),
    [("access_token", True), ("apiKey", True), ("password", True), ("sid", True), ("page_token", False), ("q", False)],
)
def test_parameters_that_carry_credentials(name: str, secret: bool) -> None:
    assert bool(browsing.secrets_in([name])) is secret


@pytest.mark.parametrize(
    ("host", "named"),
    [
        ("a.shop.example", True),
        ("A.SHOP.example.", True),
        ("b.a.shop.example", False),
        ("shop.example", False),
        ("www.shop.test", True),
        ("10.0.0.1", True),
        ("10.0.0.2", False),
    ],
)
def test_names_of_certificates(host: str, named: bool) -> None:
    names = {"dns_names": ["*.shop.example", "www.shop.test"], "ip_addresses": ["10.0.0.1"]}
    assert engine._named(names, host) is named


def test_a_scan_command_that_failed_is_a_problem() -> None:
    """sslyze's JSON for a server that hung up in one command, from its documented shape."""
    row = {
        "server_location": {"hostname": "h", "port": 1},
        "connectivity_status": "COMPLETED",
        "scan_result": {
            "heartbleed": {"status": "ERROR", "error_reason": "CONNECTIVITY_ISSUE", "result": None},
            "robot": {"status": "COMPLETED", "result": {"robot_result": "VULNERABLE_WEAK_ORACLE"}},
        },
    }
    looked = engine.read(json.loads(json.dumps(row)))
    assert "sslyze could not finish heartbleed (CONNECTIVITY_ISSUE)" in looked.problems
    assert "sslyze could not finish certificate_info (missing)" in looked.problems
    assert [weakness.text[:5] for weakness in looked.weaknesses] == ["ROBOT"]


@pytest.mark.parametrize("options", [{"x": 1}, {"ca": "none.pem"}, {"http": {"a": "https://h"}}, {"http": []}])
def test_options_are_read_strictly(tmp_path: Path, options: dict) -> None:
    from vallum.config import CheckSettings, Config
    from vallum_checks.transport_engine import settings

    with pytest.raises(UserError, match=r"checks\.transport\.options"):
        settings.options(Config(checks={"transport": CheckSettings(options=options)}), tmp_path)


def test_names_are_asked_at_their_pinned_address_only(serve, pages) -> None:
    """The scope resolved the name once; what it resolves to later does not count, and other hosts are not asked."""
    from vallum.errors import Inconclusive

    port = serve(pages["hello"]).url.rpartition(":")[2]
    url = f"http://shop.example:{port}"
    line = Line(Scope([url], pinned={"shop.example": ("127.0.0.1",)}), [url])
    reply = line.ask("GET", url + "/")
    assert (reply.status, reply.body) == (200, b"hello")
    assert reply.exchange is not None
    with pytest.raises(Inconclusive, match=r"other\.example:80 is outside the deployment"):
        line.ask("GET", "http://other.example/")
    assert line.requests == 1
    https = f"https://shop.example:{port}"
    line = Line(Scope([https], pinned={"shop.example": ("127.0.0.1",)}), [https])
    assert engine._place(line, https) == f"shop.example:{port}{{127.0.0.1}}"


@pytest.mark.slow
def test_an_https_deployment_that_somebody_else_started(serve, tls, pages, certificates: Path, tmp_path: Path) -> None:
    """The whole way: configuration, environment of kind `url`, deployment, sslyze, liveness after the check."""
    import shutil

    from vallum import config as configuration
    from vallum.check import Context
    from vallum.target import discover
    from vallum_checks import transport

    urls = {"good": serve(pages["strict"], tls("good")).url, "plain": serve(pages["hello"], tls("good")).url}
    lines = ["[environment]", 'kind = "url"', "[environment.url]", 'authorities = "ca.pem"']
    lines.append(f"allow = {json.dumps([urlsplit(url).netloc for url in urls.values()])}")
    for name, url in urls.items():
        (tmp_path / name).mkdir()
        lines += [f"[environment.services.{name}]", f'directory = "{name}"', f'url = "{url}"']
    (tmp_path / "vallum.toml").write_text("\n".join(lines) + "\n")
    shutil.copyfile(certificates / "ca.pem", tmp_path / "ca.pem")
    for name in ("raw", "scratch"):
        (tmp_path / ".vallum" / name).mkdir(parents=True)
    config = configuration.load(tmp_path)
    folder = tmp_path / ".vallum"
    ctx = Context(discover(tmp_path, config), config, "_", folder, folder / "raw", folder / "scratch", deadline=300.0)
    outcome = transport.CHECK.run(ctx)
    assert isinstance(outcome, Completed), outcome
    assert rules(outcome, "good") == set()
    assert rules(outcome, "plain") == {"no-hsts"}
    assert outcome.run.tool.name == "sslyze"

"""https services of a deployment: real TLS servers, with the run's certificates and with their own, good and bad ones."""

from __future__ import annotations

import datetime as dt
import json
import ssl
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from vallum import config as configuration
from vallum import stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.stage import certificates
from vallum.stage.guard import guarded
from vallum.target import Target, discover

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")

SERVICE = """
import json, os, ssl, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/call":  # another service, its certificate checked
            trust = ssl.create_default_context(cafile=os.environ["CA"])
            trust.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
            with urllib.request.urlopen(os.environ["OTHER"], context=trust, timeout=20) as answer:
                return self.answer(answer.status, {"called": True})
        if self.path == "/me":
            return self.answer(200 if self.headers.get("Authorization") == "Bearer t0ken-of-this-run" else 401, {})
        self.answer(200, {"plain": not hasattr(self.connection, "cipher")})

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(200, {"token": "t0ken-of-this-run"})

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

class Server(ThreadingHTTPServer):
    def handle_error(self, *_):
        pass

if "PLAIN" in os.environ:
    threading.Thread(target=Server(("127.0.0.1", int(os.environ["PLAIN"])), Handler).serve_forever, daemon=True).start()
server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
if "CERT" in os.environ and os.environ.get("SPEAKS") != "http":
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.set_ciphers("DEFAULT:@SECLEVEL=0")  # short keys too
    tls.load_cert_chain(os.environ["CERT"], os.environ["KEY"])
    if "CLIENTS" in os.environ:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(os.environ["CLIENTS"])
    server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
server.serve_forever()
"""
RUN = {"CERT": "{tls.certificate}", "KEY": "{tls.key}"}
OWN = {"CERT": "own.pem", "KEY": "own.key"}
LOGIN = """
[environment.login]
service = "a"
path = "/login"
json = { username = "alice", password = "of no matter" }
token = "token"
probe = "/me"
"""


def written(root: Path, name: str = "a", lines: str = 'scheme = "https"', **env: str) -> Path:
    """A service of that name in `root`; its folder."""
    folder = root / name
    folder.mkdir()
    (folder / "service.py").write_text(SERVICE)
    variables = ", ".join(f"{key} = {json.dumps(value)}" for key, value in {"PORT": "{port}", **env}.items())
    with (root / "vallum.toml").open("a") as file:
        file.write(
            f'[environment.services.{name}]\ndirectory = "{name}"\nruntime = "python"\ncommand = ["{{python}}", "service.py"]\n'
            f'ready = {{ path = "/ready", seconds = 60 }}\nenv = {{ {variables} }}\n{lines}\n'
        )
    return folder


def loaded(root: Path) -> tuple[Target, Config]:
    config = configuration.load(root)
    return discover(root, config), config


def self_signed(folder: Path, *, host: str = "elsewhere.example", bits: int = 1024, days: int = -30) -> None:
    """own.pem and own.key: in another name, with a short key, and out of date since a month."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    key = rsa.generate_private_key(public_exponent=65537, key_size=bits)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=400))
        .not_valid_after(now + dt.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    plain = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    (folder / "own.pem").write_bytes(certificate.public_bytes(pem))
    (folder / "own.key").write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, plain))


def answer(deployment: stage.Deployment, url: str) -> dict[str, Any]:
    with deployment.scope.client() as client:
        given = client.get(url)
    assert given.status_code == 200
    return dict(given.json())


def test_a_service_with_the_runs_certificate(tmp_path: Path) -> None:
    written(tmp_path, **RUN)
    written(tmp_path, "b", "", OTHER="{url.a}", CA="{tls.authorities}", **RUN, SPEAKS="http")
    with (tmp_path / "vallum.toml").open("a") as file:
        file.write(LOGIN)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        assert deployment.urls["a"].startswith("https://127.0.0.1:")
        assert deployment.urls["b"].startswith("http://127.0.0.1:")
        deployment.liveness()  # the login was proved over https
        assert answer(deployment, deployment.urls["a"]) == {"plain": False}
        assert answer(deployment, deployment.urls["b"] + "/call") == {"called": True}
        folder = deployment.folder / "a" / "tls"
        assert folder.stat().st_mode & 0o777 == 0o700
        assert (folder / "authorities.pem").read_bytes() == (deployment.folder / "authorities.pem").read_bytes()
        # whoever does not know the run's authority does not trust it
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            urllib.request.urlopen(deployment.urls["a"], timeout=20)
    assert not folder.exists()
    assert not list((tmp_path / ".vallum").rglob("key.pem"))


def test_the_proxy_checks_it_too(tmp_path: Path) -> None:
    written(tmp_path, **RUN)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment, guarded(deployment):
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({"https": deployment.proxy}),
            urllib.request.HTTPSHandler(context=ssl._create_unverified_context()),  # what tools are told of the proxy
        )
        with opener.open(deployment.urls["a"], timeout=20) as given:
            assert json.loads(given.read()) == {"plain": False}
        assert deployment.traffic.asked("a")


def test_an_impostor_is_not_talked_to(tmp_path: Path) -> None:
    """Another program with a certificate of another run's authority, at the service's very port."""
    written(tmp_path, **RUN)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        certificates.load(tls, *certificates.Authority().issue("a", ["127.0.0.1"]))
        server = HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.handle_request, daemon=True)
        thread.start()
        origin = ("https", "127.0.0.1", int(deployment.urls["a"].rpartition(":")[2]))
        import socket

        with (
            socket.create_connection(("127.0.0.1", server.server_address[1]), 20) as plain,
            pytest.raises(ssl.SSLCertVerificationError),
        ):
            deployment.scope.tls(origin).wrap_socket(plain, server_hostname="127.0.0.1")
        thread.join(20)
        server.server_close()


def test_a_certificate_that_nobody_named_is_refused(tmp_path: Path) -> None:
    self_signed(written(tmp_path, lines='scheme = "https"', **OWN), host="127.0.0.1", bits=2048, days=30)
    target, config = loaded(tmp_path)
    with pytest.raises(Inconclusive, match="a certificate that is not trusted: self-signed"):
        with stage.deploy(target, config, "run-1"):
            pass


def test_a_bad_certificate_that_is_named_is_the_service(tmp_path: Path) -> None:
    """Expired, self-signed, in another name and with a short key: the attack reaches it, and nothing else in its place."""
    self_signed(written(tmp_path, lines='scheme = "https"\ncertificate = "own.pem"', **OWN))
    with (tmp_path / "vallum.toml").open("a") as file:
        file.write(LOGIN)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        deployment.liveness()
        assert answer(deployment, deployment.urls["a"]) == {"plain": False}
        own = (tmp_path / "a" / "own.pem").read_text()
        assert deployment.authorities is not None
        assert own not in deployment.authorities.read_text()  # it signs nobody, itself least of all


def test_another_certificate_than_the_named_one(tmp_path: Path) -> None:
    folder = written(tmp_path, lines='scheme = "https"\ncertificate = "named.pem"', **OWN)
    self_signed(folder)
    (folder / "named.pem").write_bytes((folder / "own.pem").read_bytes())
    self_signed(folder)
    target, config = loaded(tmp_path)
    with pytest.raises(Inconclusive, match="a shows another certificate than the one that is configured"):
        with stage.deploy(target, config, "run-1"):
            pass


def test_a_service_whose_authority_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path, lines='scheme = "https"\nauthorities = "ca.pem"', **OWN)
    authority = certificates.Authority()
    certificate, key = authority.issue("a", ["127.0.0.1"])
    for name, content in (("ca.pem", authority.certificate), ("own.pem", certificate), ("own.key", key)):
        (folder / name).write_bytes(content)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        assert answer(deployment, deployment.urls["a"]) == {"plain": False}
        assert deployment.authorities is not None
        assert authority.certificate in deployment.authorities.read_bytes()


def test_a_service_that_asks_for_a_certificate(tmp_path: Path) -> None:
    """Mutual TLS: vallum and the other services get in, nobody else does."""
    written(tmp_path, CLIENTS="{tls.authorities}", **RUN)
    written(tmp_path, "b", "", OTHER="{url.a}", CA="{tls.authorities}", **RUN, SPEAKS="http")
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        assert answer(deployment, deployment.urls["a"]) == {"plain": False}
        assert answer(deployment, deployment.urls["b"] + "/call") == {"called": True}
        bare = ssl.create_default_context(cafile=str(deployment.authorities))
        with pytest.raises(OSError, match=r"(?i)certificate.required|closed|reset|eof"):
            urllib.request.urlopen(deployment.urls["a"], context=bare, timeout=20)


def test_stage_says_how_it_is_asked_by_hand(tmp_path: Path) -> None:
    """What is printed is enough to get in to a service that asks for a certificate."""
    from vallum.stage.stage import down, up

    written(tmp_path, CLIENTS="{tls.authorities}", **RUN)
    target, config = loaded(tmp_path)
    try:
        words = up(target, config, "by-hand").split()
        trust = ssl.create_default_context(cafile=words[words.index("--cacert") + 1])
        trust.load_cert_chain(words[words.index("--cert") + 1], words[words.index("--key") + 1])
        url = next(word for word in words if word.startswith("https://"))
        with urllib.request.urlopen(url, context=trust, timeout=20) as given:
            assert json.loads(given.read()) == {"plain": False}
    finally:
        down(tmp_path)


def test_plain_http_beside_it(tmp_path: Path) -> None:
    written(tmp_path, lines='scheme = "https"\nplain = true', PLAIN="{port.plain}", **RUN)
    target, config = loaded(tmp_path)
    with stage.deploy(target, config, "run-1") as deployment:
        assert deployment.plain["a"].startswith("http://127.0.0.1:")
        assert not deployment.scope.allows(deployment.plain["a"])  # no scanner goes there
        with urllib.request.urlopen(deployment.plain["a"], timeout=20) as given:
            assert json.loads(given.read()) == {"plain": True}


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ('certificate = "own.pem"', "certificate is for https services"),
        ("plain = true", "plain is for https services"),
        ('scheme = "https"\ncertificate = "own.pem"\nauthorities = "own.pem"', "exclude each other"),
        ('scheme = "https"\ncertificate = "no.pem"', "there is no file 'no.pem'"),
        ('scheme = "https"\ncertificate = "../b/own.pem"', "there is no file"),
        ('scheme = "https"\ncertificate = "service.py"', "cannot read service.py|holds 0 certificates"),
        ('scheme = "https"\ncertificate = "two.pem"', "two.pem holds 2 certificates"),
        ('scheme = "https"\nauthorities = "own.key"', "cannot read own.key|holds 0 certificates"),
    ],
)
def test_mistakes_are_told_before_anything_starts(tmp_path: Path, lines: str, said: str) -> None:
    folder = written(tmp_path, lines=lines)
    self_signed(folder)
    (folder / "two.pem").write_text((folder / "own.pem").read_text() * 2)
    self_signed(written(tmp_path, "b"))
    target, config = loaded(tmp_path)
    with pytest.raises(UserError) as caught:
        _check(config, target)
    assert any(each in caught.value.message for each in said.split("|"))


def _check(config: Config, target: Target) -> None:
    from vallum.stage import settings

    assert config.environment is not None
    settings.check(config.environment, target.root)


def test_placeholders_of_tls_need_an_https_service(tmp_path: Path) -> None:
    written(tmp_path, lines="", **RUN)
    target, config = loaded(tmp_path)
    with pytest.raises(UserError, match=r"unknown placeholder \{tls.certificate\}"):
        _check(config, target)


@pytest.mark.parametrize("kind", ["compose", "kubernetes", "url"])
def test_other_kinds_give_no_certificates(tmp_path: Path, kind: str) -> None:
    from vallum.environments import StagedService
    from vallum.stage import identities

    with pytest.raises(UserError):
        identities.check(kind, "a", StagedService(scheme="https"), tmp_path)
    with pytest.raises(UserError):
        identities.check(kind, "a", StagedService(scheme="https", plain=True), tmp_path)

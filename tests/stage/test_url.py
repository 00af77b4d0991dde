"""Services that somebody else started: on loopback here. What must not be asked is refused before a packet is sent."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from vallum import config as configuration
from vallum import stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.stage import guard as guards
from vallum.stage import url as urls
from vallum.stage.guard import guarded
from vallum.target import Target, discover


class Api(ThreadingHTTPServer):
    """A service with a login; its tokens can be revoked."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.asked: list[str] = []
        self.valid = {"token-0000001"}
        self.refusing = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append(f"GET {self.path}")
                given = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
                good = not self.path.startswith("/mine") or given in outer.valid
                self.answer(200 if good else 401, {"host": self.headers["Host"]})

            def do_POST(self) -> None:
                outer.asked.append(f"POST {self.path}")
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                token = f"token-{len(outer.asked):07}"
                if not outer.refusing:
                    outer.valid = {token}
                self.answer(401 if outer.refusing else 200, {"access_token": token})

            do_PUT = do_GET

            def answer(self, status: int, what: dict[str, str]) -> None:
                body = json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.thread = threading.Thread(target=self.serve_forever, args=(0.05,))
        self.thread.start()

    def handle_error(self, *_: object) -> None:
        pass

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self.thread.join()


@pytest.fixture
def api() -> Iterator[Api]:
    server = Api()
    yield server
    server.end()


Load = Callable[..., tuple[Target, Config]]
LOGIN = '[environment.login]\nservice = "api"\npath = "/login"\nprobe = "/mine"\n'


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def write(
        url: str, allow: str, *, more: str = "", ready: str = "", service: str = "", seconds: float = 10
    ) -> tuple[Target, Config]:
        text = (
            f'[environment]\nkind = "url"\n[environment.url]\nallow = {json.dumps(allow.split())}\n{more}\n'
            f'[environment.services.api]\nurl = "{url}"\nready = {{ seconds = {seconds}{ready} }}\n{service}\n'
        )
        (tmp_path / "vallum.toml").write_text(text)
        config = configuration.load(tmp_path)
        return discover(tmp_path, config), config

    return write


def refused(target: Target, config: Config) -> None:
    with stage.deploy(target, config, "r"):
        pytest.fail("it was attacked")


def test_what_runs_already_is_used_and_left_alone(api: Api, load: Load) -> None:
    where = f"localhost:{api.server_port}"
    target, config = load(f"http://{where}/", where, service=LOGIN)
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        assert (deployment.kind, deployment.urls) == ("url", {"api": f"http://{where}"})
        with guarded(deployment) as guard, httpx.Client(proxy=deployment.proxy, trust_env=False) as client:
            answer = client.get(f"http://{where}/mine", headers=deployment.headers())
            assert answer.json() == {"host": where}
            assert client.get(f"http://{where}/", headers={"Host": "other.example"}).status_code == 200
            assert (
                client.get(f"http://127.0.0.1:{api.server_port}/").status_code == 403
            )  # another name: not in the scope
        assert guard.problems() == []
        with pytest.raises(Inconclusive, match="a tool may be started during a guarded attack only"):
            _ = deployment.proxy
    assert [path.name for path in (target.root / ".vallum/stage/url").iterdir()] == ["lock"]
    from vallum.stage.stage import down, up

    assert down(target.root) == "nothing was up"
    with pytest.raises(UserError, match="run already"):
        up(target, config, "r")


@pytest.mark.parametrize(
    ("url", "allow", "message"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8001", "127.0.0.1:8000 is not in environment.url.allow"),
        ("http://127.0.0.1:8000", "localhost:8000", "127.0.0.1:8000 is not in environment.url.allow"),
        ("http://127.0.0.1:8000", "", "has no `allow`"),
        ("http://127.0.0.1:8000", "127.0.0.1", "'127.0.0.1' is no host:port"),
        ("http://127.0.0.1:8000", "*:8000", "is not in environment.url.allow"),
        ("http://127.0.0.1:8000/api", "127.0.0.1:8000", "is more than an origin"),
        ("http://me@127.0.0.1:8000", "127.0.0.1:8000", "is more than an origin"),
        ("ftp://127.0.0.1:8000", "127.0.0.1:8000", "is no address"),
        ("", "127.0.0.1:8000", "is no address"),
        ("http://192.0.2.1", "192.0.2.1:80", "192.0.2.1 is at the public address 192.0.2.1: it is not attacked"),
        ("https://198.51.100.7", "198.51.100.7:443", "public address 198.51.100.7"),
        ("http://[2001:db8::1]:80", "[2001:db8::1]:80", "public address 2001:db8::1"),
        ("http://[::ffff:192.0.2.1]:80", "[::ffff:192.0.2.1]:80", "public address"),
    ],
)
def test_what_must_not_be_asked_is_refused(
    load: Load, url: str, allow: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> socket.socket:
        raise AssertionError("a packet was sent")

    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(UserError) as caught:
        refused(*load(url, allow))
    assert message in caught.value.message


def test_a_name_at_a_public_address_is_refused_unless_it_may_be(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def lookup(host: str, port: int, **_: object) -> list[tuple[object, ...]]:
        asked.append(host)
        return [(2, 1, 6, "", (address, port)) for address in ("10.0.0.1", "203.0.113.9")]

    def never(address: tuple[str, int], *_: object, **__: object) -> socket.socket:
        tried.append(address[0])
        raise OSError

    tried: list[str] = []
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    monkeypatch.setattr(socket, "create_connection", never)
    with pytest.raises(UserError, match=r"staging\.invalid is at the public address 203\.0\.113\.9"):
        refused(*load("https://staging.invalid", "staging.invalid:443"))
    assert tried == []
    target, config = load(
        "https://staging.invalid", "staging.invalid:443", more="i-may-attack = true", ready=", tcp = true", seconds=0.5
    )
    with pytest.raises(Inconclusive, match="does not accept connections"):
        refused(target, config)
    assert set(tried) == {"10.0.0.1", "203.0.113.9"}


@pytest.mark.parametrize(
    ("address", "near"),
    [
        *(("127.0.0.1", True), ("10.255.0.1", True), ("172.31.0.1", True), ("192.168.1.1", True), ("::1", True)),
        *(("169.254.1.1", True), ("fe80::1%eth0", True), ("fd00::1", True), ("::ffff:10.0.0.1", True)),
        *(("172.32.0.1", False), ("100.64.0.1", False), ("0.0.0.0", False), ("192.0.2.1", False), ("8.8.8.8", False)),
        *(("2001:db8::1", False), ("::ffff:8.8.8.8", False), ("::", False), ("224.0.0.1", False)),
    ],
)
def test_near(address: str, near: bool) -> None:
    assert urls.is_near(address) is near


def test_a_name_that_moves_is_not_followed(api: Api, load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the second answer is another address. It is not connected to, and the run says so."""
    now = ["127.0.0.1"]
    real = socket.getaddrinfo

    def lookup(host: str, port: int, *rest: object, **options: object) -> list[tuple[object, ...]]:
        if host == "orders.invalid":
            return [(2, 1, 6, "", (now[0], port))]
        return real(host, port, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    where = f"orders.invalid:{api.server_port}"
    target, config = load(f"http://{where}", where, service=LOGIN)
    with stage.deploy(target, config, "r") as deployment:
        now[0] = "127.0.0.9"
        with guarded(deployment) as guard, httpx.Client(proxy=deployment.proxy, trust_env=False) as client:
            assert client.get(f"http://{where}/").json() == {"host": where}
            assert client.get(f"http://{where}/", headers={"Host": "tenant.invalid"}).status_code == 403
        with deployment.scope.client() as client:
            assert client.get(f"http://{where}/").json() == {"host": where}
        reason = "orders.invalid was at 127.0.0.1 and is at 127.0.0.9 now: not attacked"
        with pytest.raises(Inconclusive, match=reason):
            deployment.liveness()
        assert guard.problems() == [f"during the attack: {reason}"]


@pytest.mark.parametrize("trusted", [True, False])
def test_https_is_held_to_the_same_scope(
    load: Load, tmp_path: Path, trusted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guards, "EVERY", 600.0)  # on a busy machine the prober may renew before the proxy does
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path / "key.pem"))
    server = Api(context)
    try:
        where = f"localhost:{server.server_port}"
        more = 'authorities = "key.pem"' if trusted else ""
        target, config = load(
            f"https://{where}",
            where,
            more=more,
            service=LOGIN if trusted else "",
            ready="" if trusted else ", tcp = true",
        )
        with stage.deploy(target, config, "r") as deployment, guarded(deployment) as guard:
            with httpx.Client(proxy=deployment.proxy, trust_env=False, verify=False) as client:
                if not trusted:
                    with pytest.raises(httpx.RemoteProtocolError):
                        client.get(f"https://{where}/")
                    assert "TLS failed" in guard.notes()[0]
                    return
                answer = client.get(f"https://{where}/mine", headers=deployment.headers())
                assert (answer.status_code, answer.json()) == (200, {"host": where})
                with pytest.raises(httpx.ProxyError, match="403"):
                    client.get("https://localhost:1/")
                server.valid = set()  # the token expires: inside TLS too it is renewed
                assert client.get(f"https://{where}/mine", headers=deployment.headers()).status_code == 200
            assert deployment.traffic.services["api"].total.successful == 2
            assert deployment.traffic.retried == 1
    finally:
        server.end()


def _certificate(path: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = x509.CertificateBuilder(
        name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1)
    )
    made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
    made = made.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM) + private)
    return path


def test_a_service_that_ends_is_noticed(load: Load) -> None:
    server = Api()
    where = f"127.0.0.1:{server.server_port}"
    target, config = load(f"http://{where}", where)
    with stage.deploy(target, config, "r") as deployment:
        server.end()
        with pytest.raises(Inconclusive, match=f"the service api does not accept connections at {where}"):
            deployment.liveness()


def test_it_is_seeded_too(api: Api, load: Load) -> None:
    where = f"127.0.0.1:{api.server_port}"
    seed = f"""
[environment.seed]
command = ["{sys.executable}", "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1] + '/by-command')", "{{url.api}}"]
request = [{{ service = "api", path = "/by-request", method = "PUT", json = {{}}, expect = [200] }}]
"""
    target, config = load(f"http://{where}", where, service=seed)
    with stage.deploy(target, config, "r"):
        assert api.asked == ["GET /", "GET /by-command", "GET /by-request"]

"""Real TLS servers on loopback, with certificates that are made for the test by the library that sslyze brings along."""

from __future__ import annotations

import http.server
import ssl
import subprocess
import threading
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from vallum.check import Context
from vallum.config import Config
from vallum.environments import Environment, StagedService
from vallum.logins import EnvironmentUser, Login
from vallum.outcome import Outcome
from vallum.stage.environment import Deployment
from vallum.stage.redact import Redactor
from vallum.target import Target
from vallum.tools import prepare

Headers = list[tuple[str, str]]
Page = Callable[[str, str, Mapping[str, str], bytes], tuple[int, Headers, bytes]]
"""Method, path with its query, headers in lower case and body to an answer."""


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    script = Path(__file__).with_name("make_certificates.py")
    subprocess.run([prepare("sslyze").python, script, folder], check=True, capture_output=True, timeout=120)
    return folder


def context(folder: Path, title: str, *, old: bool = False, client: bool = False, ciphers: str = "") -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    if old:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            made.set_ciphers("ALL:@SECLEVEL=0")
            made.minimum_version = made.maximum_version = ssl.TLSVersion.TLSv1
    elif title == "weakkey":
        made.set_ciphers("DEFAULT:@SECLEVEL=0")
    if ciphers:
        made.maximum_version = ssl.TLSVersion.TLSv1_2
        made.set_ciphers(ciphers)
    made.load_cert_chain(folder / f"{title}.pem", folder / f"{title}.key")
    if client:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(folder / "ca.pem")
    return made


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, page: Page, tls: ssl.SSLContext | None = None) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                status, extra, content = page(self.command, self.path, headers, body)
                self.send_response(status)
                for name, value in extra:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_HEAD = answer

            def log_message(self, *_arguments: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.server_address[1]}"
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def handle_error(self, *_arguments: object) -> None:
        pass  # handshakes that fail are what is tested

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join(5)


@pytest.fixture(scope="module")
def serve() -> Iterator[Callable[..., Server]]:
    servers: list[Server] = []

    def start(page: Page, tls: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(page, tls))
        return servers[-1]

    yield start
    for server in servers:
        server.end()


def hello(_method: str, _path: str, _headers: Mapping[str, str], _body: bytes) -> tuple[int, Headers, bytes]:
    return 200, [("Content-Type", "text/plain")], b"hello"


def strict(_method: str, _path: str, _headers: Mapping[str, str], _body: bytes) -> tuple[int, Headers, bytes]:
    flags = "; Path=/; Secure; HttpOnly; SameSite=Lax"
    hsts = ("Strict-Transport-Security", "max-age=31536000; includeSubDomains")
    return 200, [hsts, ("Set-Cookie", "__Host-session=abc" + flags), ("Cache-Control", "no-store")], b"hello"


@pytest.fixture(scope="session")
def pages() -> Mapping[str, Page]:
    return {"hello": hello, "strict": strict}


@pytest.fixture(scope="session")
def tls(certificates: Path) -> Callable[..., ssl.SSLContext]:
    return lambda title, **given: context(certificates, title, **given)


@pytest.fixture(scope="module")
def look(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Outcome]:
    """Run the check on servers: `urls` by service, `definitions` by service, options of the check, mutual TLS; what else a
    deployment knows of services that were given the run's certificates."""

    def run(
        urls: Mapping[str, str],
        definitions: Mapping[str, str] | None = None,
        *,
        options: Mapping[str, object] | None = None,
        mtls: bool = False,
        login: Login | None = None,
        **staged: Any,
    ) -> Outcome:
        from vallum_checks import transport

        root = tmp_path_factory.mktemp("target")
        services = {}
        for name in urls:
            (root / name).mkdir()
            text = (definitions or {}).get(name, "")
            if text:
                (root / name / "openapi.yaml").write_text(text)
            services[name] = StagedService(
                directory=name,
                openapi="openapi.yaml" if text else "",
                command=("x",),
                scheme="https" if staged and urls[name].startswith("https:") else "http",
            )
        users = {"ann": EnvironmentUser(username="ann", password="the-right-one")} if login else {}
        environment = Environment(services=services, mtls=mtls, login=login, users=users)
        config = Config(environment=environment)
        if options:
            import msgspec

            from vallum.config import CheckSettings

            config = msgspec.structs.replace(config, checks={"transport": CheckSettings(options=dict(options))})
        (root / "raw").mkdir()
        (root / "scratch").mkdir()
        files = tuple(sorted(path.relative_to(root).as_posix() for path in root.rglob("*") if path.is_file()))
        ctx = Context(
            Target(root, "target", files, ()), config, "_", root, root / "raw", root / "scratch", deadline=300.0
        )
        deployment = Deployment("process", "test", urls, root, {}, Redactor(), {}, lambda: None, **staged)
        return transport.run_on(deployment, ctx)

    return run

"""The real tools behind the real proxy: a ZAP and a schemathesis that are sent elsewhere do not get there."""

from __future__ import annotations

import contextlib
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vallum import tools
from vallum.config import Config
from vallum.environments import Zap
from vallum.process import clean_environment
from vallum.stage import certificates
from vallum.stage.proxy import Proxy
from vallum.stage.renewal import Keeper
from vallum.stage.scope import Scope
from vallum_checks.zap_engine import ScanTarget, attack, route
from vallum_checks.zap_engine.daemon import Daemon

pytestmark = pytest.mark.slow

DEFINITION = """
openapi: 3.0.3
info: { title: one, version: "1" }
paths:
  /items:
    get:
      parameters: [{ name: q, in: query, required: true, example: lamp, schema: { type: string, maxLength: 4 } }]
      responses: { "200": { description: ok }, "302": { description: away } }
"""


class Site(ThreadingHTTPServer):
    """Counts what it is asked; answers with a page, or a redirect to `away`."""

    def __init__(self, away: str = "") -> None:
        self.asked: list[str] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                outer.asked.append(self.path)
                leave = bool(away) and self.path.startswith("/items")
                body = f"<h1>hello</h1><a href='{away}/link'>away</a>".encode()
                self.send_response(302 if leave else 200)
                if leave:
                    self.send_header("Location", away + "/redirected")
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_TRACE = answer

            def log_message(self, *_: object) -> None:
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        pass


@contextlib.contextmanager
def serving(away: str = "", identity: ssl.SSLContext | None = None) -> Iterator[Site]:
    with Site(away) as site:
        if identity is not None:
            site.socket = identity.wrap_socket(site.socket, server_side=True)
        thread = threading.Thread(target=site.serve_forever, args=(0.05,))
        thread.start()
        yield site
        site.shutdown()
        thread.join()


@pytest.fixture
def outside() -> Iterator[Site]:
    with serving() as site:
        yield site


@pytest.fixture
def inside(outside: Site) -> Iterator[Site]:
    with serving(outside.url) as site:
        yield site


@pytest.fixture
def scope(inside: Site) -> Iterator[Scope]:
    scope = Scope({"items": inside.url})
    with Proxy(scope, Keeper((), scope)) as proxy:
        scope.proxy = proxy.address
        yield scope


def test_zap_sends_everything_through_and_gets_nowhere_else(
    inside: Site, outside: Site, scope: Scope, shared: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZAP_API_KEY", shared.zap._key)
    definition = tmp_path / "openapi.yaml"
    definition.write_text(DEFINITION)
    network = shared.zap.api.network
    network.add_http_proxy_exclusion("127.0.0.1", "true")  # somebody's ZAP that goes past its proxy for this machine
    result = attack(
        [ScanTarget("items", inside.url, definition, "openapi.yaml", ("/",))],
        config=Config(zap=Zap(url=shared.zap.address, provide=("daemon",), minutes=3)),
        scratch=tmp_path,
        raw=tmp_path,
        deadline=180.0,
        auth={},
        proxy=scope.proxy,
    )
    assert result.incomplete == "", result
    assert scope.traffic.services["items"].total.requests == len(inside.asked) > 50
    with route.through(shared.zap, scope.proxy):
        shared.zap.api.core.set_mode("standard")  # without its own scope: only the proxy is left
        shared.zap.api.core.access_url(outside.url + "/asked", followredirects="true")
        shared.zap.api.core.access_url(inside.url + "/items", followredirects="true")
    assert outside.asked == []
    assert sum(scope.traffic.outside.values()) >= 2
    assert str(network.is_http_proxy_enabled) == "false"
    exclusions = {row["host"]: str(row["enabled"]).lower() for row in network.get_http_proxy_exclusions}
    assert exclusions["127.0.0.1"] == "true"
    network.remove_http_proxy_exclusion("127.0.0.1")


def test_zap_attacks_https_inside_the_proxy(shared: Daemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ZAP's CONNECT ends in the proxy: each request inside is counted and held to the scope too."""
    monkeypatch.setenv("ZAP_API_KEY", shared.zap._key)
    definition = tmp_path / "openapi.yaml"
    definition.write_text(DEFINITION)
    identity = certificates.contexts(["localhost"])
    with serving(identity=identity["localhost"]) as site:
        url = f"https://localhost:{site.server_port}"
        trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # what checks certificates is tested in tests/stage/test_url.py
        trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE
        scope = Scope({"items": url}, pinned={"localhost": ("127.0.0.1",)}, trust=trust)
        with Proxy(scope, Keeper((), scope), identity) as proxy:
            result = attack(
                [ScanTarget("items", url, definition, "openapi.yaml", ("/",))],
                config=Config(zap=Zap(url=shared.zap.address, provide=("daemon",), minutes=3)),
                scratch=tmp_path,
                raw=tmp_path,
                deadline=180.0,
                auth={},
                proxy=proxy.address,
            )
        assert result.incomplete == "", result
        assert scope.traffic.services["items"].total.successful == len(site.asked) > 30


def test_schemathesis_gets_nowhere_else(outside: Site, scope: Scope, tmp_path: Path) -> None:
    definition = tmp_path / "openapi.yaml"
    definition.write_text(DEFINITION)
    program = tools.prepare("schemathesis").bin("schemathesis")
    argv = [
        str(program),
        "run",
        str(definition),
        "--url",
        outside.url,
        "--proxy",
        scope.proxy,
        "--max-redirects",
        "5",
    ]
    argv += ["--phases", "examples,coverage", "--max-examples", "3", "--seed", "1", "--no-color"]
    out = tmp_path / "out.txt"
    with out.open("wb") as file:
        env = clean_environment({"NO_PROXY": "", "no_proxy": "", "TMPDIR": str(tmp_path)})
        subprocess.run(argv, cwd=tmp_path, env=env, stdout=file, stderr=file, timeout=120, check=False)
    assert outside.asked == []
    assert sum(scope.traffic.outside.values()) > 0, out.read_text()

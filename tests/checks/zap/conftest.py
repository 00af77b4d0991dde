"""A real ZAP and real loopback servers. Without Java 17 or a way to Maven's jars the slow tests skip and say so."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from vallum.config import Config
from vallum.environments import Zap
from vallum.errors import Inconclusive
from vallum_checks.zap_engine import Attack, ScanTarget, assemble, attack, daemon, java
from vallum_checks.zap_engine.levels import Levels

Answer = tuple[int, dict[str, str] | list[tuple[str, str]], bytes]
App = Callable[["Asked"], Answer]


class Asked:
    """A request as the small apps below want it."""

    def __init__(self, method: str, target: str, headers: dict[str, str], body: bytes) -> None:
        from urllib.parse import parse_qs, unquote, urlsplit

        parts = urlsplit(target)
        self.method, self.path, self.headers, self.body = method, unquote(parts.path), headers, body
        self.query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}


class Server:
    """A threaded HTTP server on a free loopback port around a function."""

    def __init__(self, app: App) -> None:
        self.count = 0

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            server_version, sys_version = "small", ""

            def answer(handler) -> None:
                self.count += 1
                length = int(handler.headers.get("Content-Length") or 0)
                body = handler.rfile.read(length)
                headers = {name.lower(): value for name, value in handler.headers.items()}
                status, extra, content = app(Asked(handler.command, handler.path, headers, body))
                lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(content)}"]
                lines += [f"{name}: {value}" for name, value in (extra.items() if isinstance(extra, dict) else extra)]
                # Raw, because http.server would not send a line break inside a value: one of the weaknesses is just that.
                handler.wfile.write("\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + content)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_HEAD = answer

            def log_message(handler, *_arguments: object) -> None:
                pass

        class Quiet(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(server, *_arguments: object) -> None:
                pass  # a client that hung up

        self._server = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)


@pytest.fixture
def serve() -> Iterator[Callable[[App], Server]]:
    """Serve a function for the length of a test."""
    servers: list[Server] = []

    def start(app: App) -> Server:
        servers.append(Server(app))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture(scope="session")
def server_class() -> type[Server]:
    return Server


@pytest.fixture(scope="session")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> java.Java:
    """A Java that runs ZAP."""
    try:
        return java.find(tmp_path_factory.mktemp("java"))
    except Inconclusive as error:
        pytest.skip(f"no Java for ZAP: {error.reason}")


@pytest.fixture(scope="session")
def assembled(runtime: java.Java) -> assemble.Assembled:
    """The assembled ZAP, from the user's cache or made now."""
    try:
        return assemble.assemble(runtime)
    except Inconclusive as error:
        if "no Maven" in error.reason:
            pytest.skip(error.reason)
        raise


@pytest.fixture
def definition(tmp_path: Path) -> Callable[[str], Path]:
    """Write an OpenAPI definition."""

    def write(text: str, name: str = "openapi.yaml") -> Path:
        path = tmp_path / name
        path.write_text(text, "utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def shared(
    runtime: java.Java, assembled: assemble.Assembled, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[daemon.Daemon]:
    """A ZAP that several tests use, as `zap.url` does."""
    folder = tmp_path_factory.mktemp("shared")
    command = [*assembled.command(runtime, "512m"), "org.zaproxy.zap.ZAP"]
    with daemon.running(
        command, install=assembled.folder, home=folder / "home", log=folder / "log", boot=120
    ) as running:
        yield running


@pytest.fixture
def start(tmp_path: Path, shared: daemon.Daemon, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Attack]:
    """Attack with the shared ZAP."""
    monkeypatch.setenv("ZAP_API_KEY", shared.zap._key)
    raw = tmp_path / "raw"
    raw.mkdir()

    def run(
        url: str,
        definition: Path | None,
        *,
        pages: tuple[str, ...] = (),
        levels: Levels | None = None,
        auth: dict[str, str] | None = None,
        **settings: object,
    ) -> Attack:
        zap = Zap(**{"url": shared.zap.address, "provide": ("daemon",), "minutes": 5, **settings})
        target = ScanTarget("items", url, definition, "openapi.yaml", pages)
        return attack(
            [target],
            config=Config(zap=zap),
            scratch=tmp_path,
            raw=raw,
            deadline=120.0,
            auth=auth or {},
            levels=levels,
        )

    return run

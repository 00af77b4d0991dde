"""One scope for all: what it allows, where it connects to, and what it counts."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from vallum.errors import Inconclusive
from vallum.stage.scope import Scope


@pytest.fixture
def server() -> Iterator[ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (self.headers["Host"] or "").encode()
            self.send_response(404 if self.path == "/no" else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
        thread = threading.Thread(target=found.serve_forever, args=(0.05,))
        thread.start()
        yield found
        found.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:8080/a?b", True),
        ("HTTP://127.0.0.1:8080", True),
        ("http://user:word@127.0.0.1:8080/", True),
        ("https://127.0.0.1:8080/", False),
        ("http://127.0.0.1:8081/", False),
        ("http://127.0.0.1/", False),
        ("http://127.0.0.1:0/", False),
        ("http://localhost:8080/", False),
        ("http://127.0.0.1:8080@evil.example/", False),
        ("http://127.0.0.1:8080.evil.example/", False),
        ("//127.0.0.1:8080/", False),
        ("file:///etc/passwd", False),
        ("http://[", False),
        ("http://127.0.0.1:99999/", False),
        ("https://api.example", True),
        ("https://API.example.:443/x", True),
        ("http://api.example:443/x", False),
    ],
)
def test_allowed(url: str, allowed: bool) -> None:
    assert Scope({"a": "http://127.0.0.1:8080", "b": "https://api.example/"}).allows(url) is allowed


def test_a_pinned_name_is_connected_to_where_it_was_found(server: ThreadingHTTPServer) -> None:
    """The name does not exist: only the pinned address can have answered. The Host header keeps the name."""
    url = f"http://orders.invalid:{server.server_port}"
    with Scope({"orders": url}, pinned={"orders.invalid": ("127.0.0.1",)}).client() as client:
        assert client.get(url).text == url.removeprefix("http://")


def test_own_requests_are_counted(server: ThreadingHTTPServer) -> None:
    url = f"http://127.0.0.1:{server.server_port}"
    scope = Scope({"orders": url})
    with scope.client() as client:
        client.get(url + "/yes?x=1")
        client.get(url + "/no")
        with pytest.raises(Inconclusive, match=r"192\.0\.2\.1:80 is outside the deployment: not requested"):
            client.get("http://192.0.2.1/")
    with scope.client(counted=False) as client:
        client.get(url)
    server.socket.close()
    with scope.client() as client, pytest.raises(httpx.TransportError):
        client.get(url)
    total = scope.traffic.services["orders"].total
    assert (total.requests, total.successful, total.wrong, total.unanswered) == (3, 1, 1, 1)
    assert sorted(scope.traffic.asked("orders")) == [
        ("GET", "/", 0, False),
        ("GET", "/no", 404, False),
        ("GET", "/yes", 200, False),
    ]
    assert scope.traffic.outside == {"192.0.2.1:80": 1}


def test_no_proxy_of_the_environment_is_used(server: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    url = f"http://127.0.0.1:{server.server_port}"
    with Scope([url]).client() as client:
        assert client.get(url).status_code == 200

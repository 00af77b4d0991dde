"""The proxy between real sockets: what it lets through, what it refuses, and every way in which a peer misbehaves."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest

from vallum.errors import Inconclusive
from vallum.stage import wire
from vallum.stage.proxy import Proxy
from vallum.stage.renewal import Keeper
from vallum.stage.scope import Scope
from vallum.stage.upstream import REUSED

Answer = Callable[[socket.socket, bytes], bool]
"""Answers one request (its head) on a connection; returns whether to wait for another."""


class Upstream:
    """A server that does what it is told, byte for byte."""

    def __init__(self, answer: Answer) -> None:
        self.heads: list[bytes] = []
        self.connections = 0
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self._peers: list[socket.socket] = []
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            self.connections += 1
            self._peers.append(peer)
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            more = True
            data = b""
            while more:
                while b"\r\n\r\n" not in data:
                    got = peer.recv(65536)
                    if not got:
                        return
                    data += got
                head, _, data = data.partition(b"\r\n\r\n")
                self.heads.append(head)
                length = next((int(x[15:]) for x in head.split(b"\r\n") if x.lower().startswith(b"content-length:")), 0)
                while len(data) < length:
                    data += peer.recv(65536)
                more, data = self._answer(peer, head + b"\r\n\r\n" + data[:length]), data[length:]

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        for peer in self._peers:
            with contextlib.suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)
            peer.close()


@pytest.fixture
def upstream() -> Iterator[Callable[[Answer], Upstream]]:
    made: list[Upstream] = []

    def start(answer: Answer) -> Upstream:
        made.append(Upstream(answer))
        return made[-1]

    yield start
    for each in made:
        each.close()


def ok(peer: socket.socket, request: bytes) -> bool:
    """Says back what came."""
    body = request
    peer.sendall(b"HTTP/1.1 200 OK\r\nX-Odd:  kept \r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    return True


@contextlib.contextmanager
def proxied(*urls: str, rate: float | None = None) -> Iterator[tuple[Scope, httpx.Client, str]]:
    scope = Scope({f"s{number}": url for number, url in enumerate(urls)})
    scope.limit(rate)
    with Proxy(scope, Keeper((), scope)) as proxy:
        with httpx.Client(proxy=proxy.address, trust_env=False, timeout=30) as client:
            yield scope, client, proxy.address


def raw(address: str, request: bytes) -> bytes:
    host, port = address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), 30) as peer:
        peer.sendall(request)
        got = b""
        while data := peer.recv(65536):
            got += data
        return got


def test_what_is_inside_passes_unchanged(upstream) -> None:
    server = upstream(ok)
    with proxied(server.url) as (scope, client, _):
        answer = client.post(
            server.url + "/a%2e/b?q=%27", content=b"x" * 10, headers={"X-Case": "Kept", "Connection": "close"}
        )
        assert answer.status_code == 200
        assert answer.headers["X-Odd"] == "kept"
        assert answer.content.startswith(b"POST /a%2e/b?q=%27 HTTP/1.1\r\n")
        assert b"X-Case: Kept" in answer.content
        assert answer.content.endswith(b"\r\n\r\nxxxxxxxxxx")
        assert b"roxy" not in answer.content
    assert scope.traffic.services["s0"].total.successful == 1
    assert scope.traffic.asked("s0") == [("POST", "/a%2e/b", 200, False)]


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1/",  # TEST-NET: nobody is there
        "http://localhost:1/",
        "http://127.0.0.1:9/",
        "http://127.0.0.2:80/",
        "https://127.0.0.1:9/",
    ],
)
def test_what_is_outside_is_refused_and_counted(upstream, url: str) -> None:
    server = upstream(ok)
    with proxied(server.url) as (scope, client, _):
        if url.startswith("https"):
            with pytest.raises(httpx.ProxyError, match="403"):
                client.get(url)
        else:
            answer = client.get(url)
            assert (answer.status_code, "outside the deployment" in answer.text) == (403, True)
        assert client.get(server.url).status_code == 200
        assert list(scope.traffic.outside.values()) == [1]
        assert any("outside the deployment, not requested" in note for note in scope.traffic.notes())
    assert len(server.heads) == 1


def test_a_redirect_out_is_refused(upstream) -> None:
    outside = upstream(ok)

    def redirect(peer: socket.socket, request: bytes) -> bool:
        peer.sendall(b"HTTP/1.1 302 Found\r\nLocation: %s/x\r\nContent-Length: 0\r\n\r\n" % outside.url.encode())
        return True

    inside = upstream(redirect)
    with proxied(inside.url) as (scope, client, _):
        assert client.get(inside.url, follow_redirects=True).status_code == 403
    assert outside.connections == 0
    with scope.client() as client, pytest.raises(Inconclusive, match="outside the deployment"):
        client.get(inside.url, follow_redirects=True)
    assert outside.connections == 0
    assert sum(scope.traffic.outside.values()) == 2


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET /origin-form HTTP/1.1\r\nHost: x\r\n\r\n", b"400"),
        (
            b"GET http://user@evil.example@%s/ HTTP/1.1\r\n\r\n",
            b"200",
        ),  # the last @ counts, for us and for the connection
        (b"GET http://%s@evil.example/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET http://%s\\@evil.example/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET http://[::1]:80/ HTTP/1.1\r\n\r\n", b"403"),
        (b"GET ftp://%s/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://127.0.0.1:99999/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET http://%s/ HTTP/2\r\n\r\n", b"400"),
        (b"rubbish\r\n\r\n", b"400"),
        (b"GET http://%s/ HTTP/1.1\r\nno colon\r\n\r\n", b"400"),
        (b"POST http://%s/ HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST http://%s/ HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", b"400"),
        (b"GET http://%s/ HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", b"501"),
        (b"CONNECT 192.0.2.1:443 HTTP/1.1\r\n\r\n", b"403"),
        (b"CONNECT %s0 HTTP/1.1\r\n\r\n", b"403"),
        (b"GET http://%s/ HTTP/1.1\r\nX: " + b"x" * (wire.MAX_HEAD + 9) + b"\r\n\r\n", b"400"),
    ],
)
def test_requests_that_no_honest_client_sends(upstream, request_: bytes, status: bytes) -> None:
    server = upstream(lambda peer, head: ok(peer, head) and False)
    with proxied(server.url) as (_, _, address):
        sent = request_.replace(b"%s", server.url.removeprefix("http://").encode())
        if status == b"200":
            sent = sent.replace(b"HTTP/1.1\r\n", b"HTTP/1.1\r\nConnection: close\r\n")
        assert raw(address, sent).startswith(b"HTTP/1.1 " + status)
    assert len(server.heads) == (status == b"200")


def test_connect_to_a_service_is_held_to_it(upstream) -> None:
    server, other = upstream(ok), upstream(ok)
    with proxied(server.url) as (_, _, address):
        where = server.url.removeprefix("http://").encode()
        inside = b"GET /in HTTP/1.1\r\nHost: x\r\n\r\nGET %s/out HTTP/1.1\r\nConnection: close\r\n\r\n"
        said = raw(address, b"CONNECT %s HTTP/1.1\r\n\r\n" % where + inside % other.url.encode())
    assert said.startswith(b"HTTP/1.1 200 Connection established")
    assert b"GET /in HTTP/1.1" in said
    assert b"403 Forbidden" in said
    assert other.connections == 0


def chunked(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n")
    time.sleep(0.05)
    peer.sendall(b"1\r\n!\r\n0\r\nTrailer: kept\r\n\r\n")
    return True


def old(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.0 200 OK\r\n\r\nhello!")
    return False


def drip(peer: socket.socket, request: bytes) -> bool:
    for letter in b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhello!":
        peer.sendall(bytes([letter]))
        time.sleep(0.002)
    return True


def early_hints(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\nContent-Length: 6\n\nhello!")
    return True


@pytest.mark.parametrize("answer", [chunked, old, drip, early_hints])
def test_answers_of_every_shape(upstream, answer: Answer) -> None:
    server = upstream(answer)
    with proxied(server.url) as (_, client, _):
        assert [client.get(server.url).text for _ in range(3)] == ["hello!"] * 3


def test_bodies_are_streamed(upstream) -> None:
    def echo_size(peer: socket.socket, request: bytes) -> bool:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 16000000\r\n\r\n")
        for _ in range(16):
            peer.sendall(b"y" * 1_000_000)
        return True

    server = upstream(echo_size)
    with proxied(server.url) as (_, client, _):
        answer = client.put(server.url, content=b"x" * 3_000_000)
        assert len(answer.content) == 16_000_000
        assert client.get(server.url, headers={"Expect": "100-continue"}).status_code == 200
    assert not any(b"expect" in head.lower() for head in server.heads)


def test_head_and_empty_answers_end_where_they_end(upstream) -> None:
    def empty(peer: socket.socket, request: bytes) -> bool:
        status = b"204 No Content" if request.startswith(b"DELETE") else b"200 OK\r\nContent-Length: 500"
        peer.sendall(b"HTTP/1.1 " + status + b"\r\n\r\n")
        return True

    server = upstream(empty)
    with proxied(server.url) as (_, client, _):
        for _ in range(3):
            assert client.head(server.url).headers["content-length"] == "500"
            assert client.delete(server.url).status_code == 204
    assert server.connections == 1


def hangs_up(peer: socket.socket, request: bytes) -> bool:
    return False


def cuts_off(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
    return False


def rubbish(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"SSH-2.0-OpenSSH_9.2\r\n\r\n")
    return False


def bad_chunk(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n")
    return False


def switches(peer: socket.socket, request: bytes) -> bool:
    peer.sendall(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    return False


@pytest.mark.parametrize("answer", [hangs_up, cuts_off, rubbish, bad_chunk, switches])
def test_a_service_that_misbehaves_is_no_answer(upstream, answer: Answer) -> None:
    """The tool sees a broken connection, as it would without a proxy, and never words of ours for the service's."""
    server = upstream(answer)
    with proxied(server.url) as (scope, client, _), pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url)
    total = scope.traffic.services["s0"].total
    assert total.requests == 1
    assert total.unanswered == (answer not in (cuts_off, bad_chunk))


def test_a_service_that_is_not_there(upstream) -> None:
    server = upstream(ok)
    server.close()
    with proxied(server.url) as (scope, client, _), pytest.raises(httpx.RemoteProtocolError):
        client.get(server.url)
    assert scope.traffic.services["s0"].total.unanswered == 1
    assert "cannot connect: Connection refused" in scope.traffic.notes()[0]


def test_a_service_that_hangs_is_given_up_when_the_tool_does(upstream) -> None:
    ended = threading.Event()

    def hang(peer: socket.socket, request: bytes) -> bool:
        peer.recv(1)  # returns when the proxy ends the connection
        ended.set()
        return False

    server = upstream(hang)
    with proxied(server.url) as (_, client, _):
        with pytest.raises(httpx.ReadTimeout):
            client.get(server.url, timeout=0.5)
        assert ended.wait(20)


def test_an_unused_connection_that_was_ended_is_not_used_again(upstream) -> None:
    def last(peer: socket.socket, request: bytes) -> bool:
        ok(peer, request)
        return False  # without saying so

    server = upstream(last)
    with proxied(server.url) as (_, client, _):
        assert [client.post(server.url, content=b"x").status_code for _ in range(5)] == [200] * 5


def test_a_refusal_before_the_end_of_the_request_arrives(upstream) -> None:
    def too_large(peer: socket.socket, request: bytes) -> bool:
        peer.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        return False

    server = upstream(too_large)
    with proxied(server.url) as (_, client, _):
        assert client.post(server.url, content=iter([b"x" * 1000] * 10)).status_code == 413


def test_closing_ends_what_is_under_way(upstream) -> None:
    server = upstream(lambda peer, request: bool(peer.recv(1)))
    with proxied(server.url) as (_, client, _):
        caught: list[Exception] = []

        def ask() -> None:
            try:
                client.get(server.url)
            except httpx.HTTPError as error:
                caught.append(error)

        thread = threading.Thread(target=ask)
        thread.start()
        while not server.heads:
            time.sleep(0.01)
        began = time.monotonic()
    thread.join(20)
    assert len(caught) == 1
    assert time.monotonic() - began < 60
    assert not [t for t in threading.enumerate() if t.name.startswith("vallum-proxy")]


def test_connections_are_bounded(upstream, monkeypatch: pytest.MonkeyPatch) -> None:
    from vallum.stage import proxy as proxies

    monkeypatch.setattr(proxies, "MAX_CONNECTIONS", 2)
    server = upstream(ok)
    with proxied(server.url) as (_, _, address):
        host, port = address.removeprefix("http://").split(":")
        idle = [socket.create_connection((host, int(port))) for _ in range(4)]
        where = server.url.removeprefix("http://").encode()
        for peer in idle:
            peer.sendall(b"GET http://%s/ HTTP/1.1\r\n\r\n" % where)
        while len(server.heads) < 2:
            time.sleep(0.01)
        time.sleep(0.2)
        assert len(server.heads) == 2
        idle[0].close()
        idle[1].close()
        while len(server.heads) < 3:
            time.sleep(0.01)
    for peer in idle:
        peer.close()


def test_requests_per_second(upstream) -> None:
    server, other = upstream(ok), upstream(ok)
    with proxied(server.url, other.url, rate=20) as (scope, client, _):
        began = time.monotonic()
        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(lambda _: client.get(server.url).status_code, range(50))) == {200}
        took = time.monotonic() - began
        assert took >= 1.4  # 20 at once, then 30 at 20 a second
        before = time.monotonic()
        with scope.client() as own:
            assert own.get(other.url).status_code == 200  # another service has its own budget
        assert time.monotonic() - before < 60
        assert scope.traffic.services["s0"].total.requests == 50


def test_ten_thousand_requests(upstream) -> None:
    server = upstream(ok)
    where = server.url.removeprefix("http://").encode()
    with proxied(server.url) as (scope, _, address):

        def many(number: int) -> int:
            host, port = address.removeprefix("http://").split(":")
            good = 0
            with socket.create_connection((host, int(port)), 60) as peer, peer.makefile("rb") as answers:
                for each in range(1250):
                    peer.sendall(b"GET http://%s/%d/%d HTTP/1.1\r\nHost: %s\r\n\r\n" % (where, number, each, where))
                    status = answers.readline()
                    length = 0
                    while (line := answers.readline()) != b"\r\n":
                        if line.startswith(b"Content-Length:"):
                            length = int(line[15:])
                    body = answers.read(length)
                    good += status == b"HTTP/1.1 200 OK\r\n" and body.startswith(b"GET /%d/%d " % (number, each))
            return good

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(many, range(8))) == 10_000
    total = scope.traffic.services["s0"].total
    assert (total.requests, total.successful, len(scope.traffic.services["s0"].paths)) == (10_000, 10_000, 10_000)


def test_the_table_of_paths_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    from vallum.stage import traffic

    monkeypatch.setattr(traffic, "MAX_PATHS", 10)
    monkeypatch.setattr(traffic, "MAX_OUTSIDE", 10)
    kept = traffic.Traffic()
    for number in range(100):
        kept.record("a", "GET", f"/{number}" + "x" * 9000, 200)
        kept.refuse(f"host-{number}")
    assert (len(kept.services["a"].paths), kept.services["a"].more, kept.services["a"].total.requests) == (10, 90, 100)
    assert len(kept.outside) == 11
    assert sum(kept.outside.values()) == 100
    assert len(json.dumps(kept.notes())) < 2000


def test_constants_fit() -> None:
    assert REUSED < 5  # node's keepAliveTimeout, the shortest in use

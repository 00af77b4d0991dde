"""The OSV contract over real sockets: our mirror as the service, our client as its user, and services that misbehave."""

from __future__ import annotations

import json
import socket
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest

from vallum.advisories.ecosystems import query
from vallum.advisories.local import LocalSet
from vallum.advisories.mirror import Mirror
from vallum.advisories.online import Online
from vallum.advisories.osv import decode
from vallum.advisories.source import open_source
from vallum.errors import Inconclusive
from vallum.outcome import Database


def record(identifier: str, name: str = "jinja2", fixed: str = "3.0", **more):
    events = [{"introduced": "0"}, {"fixed": fixed}]
    ranges = [
        {"type": "GIT", "repo": "https://example.org", "events": [{"introduced": "0"}]},
        {"type": "ECOSYSTEM", "events": events},
    ]
    table = {
        "id": identifier,
        "modified": "2026-11-20T00:00:00Z",
        "affected": [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": ranges}],
    }
    return decode(msgspec.json.encode(table | more))


@pytest.fixture
def local() -> LocalSet:
    return LocalSet(
        [record("PYSEC-1"), record("PYSEC-2", "Foo.Bar", "1-n9")], Database("test", "test", 2, "2026-11-20")
    )


@contextmanager
def serving(answer: Callable[[str, bytes], tuple[int, bytes]]) -> Iterator[str]:
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, data = answer(self.path, body)
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def post(address: str, path: str, body: bytes) -> tuple[int, dict]:
    try:
        with urllib.request.urlopen(urllib.request.Request(address + path, data=body), timeout=5) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


JINJA = b'{"package": {"name": "Jinja2", "ecosystem": "PyPI"}, "version": "2.11.2"}'


def test_the_mirror_answers_cleaned_records_and_counts_questions(local):
    with Mirror(local) as mirror:
        status, found = post(mirror.address, "/v1/query", JINJA)
        assert (status, [one["id"] for one in found["vulns"]]) == (200, ["PYSEC-1"])
        assert [line["type"] for line in found["vulns"][0]["affected"][0]["ranges"]] == ["ECOSYSTEM"]
        assert post(mirror.address, "/v1/query", JINJA.replace(b"2.11.2", b"3.0")) == (200, {})
        assert mirror.asked == {query("PyPI", "jinja2", "2.11.2"): 1, query("PyPI", "jinja2", "3.0"): 1}


def test_the_mirror_normalises_names_and_drops_fixed_versions_that_would_end_pip_audit(local):
    with Mirror(local) as mirror:
        _, found = post(
            mirror.address, "/v1/query", b'{"package": {"name": "foo-bar", "ecosystem": "PyPI"}, "version": "1"}'
        )
        assert found == {}  # undecided, and the check sees that from the source itself
        assert local.ask(query("PyPI", "foo-bar", "1")).undecided == ("PYSEC-2",)


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/query", b"{", 400),
        ("/v1/query", b'{"version": "1"}', 400),
        ("/v2/query", JINJA, 404),
        ("/v1/querybatch", b"[]", 400),
    ],
)
def test_the_mirror_refuses_what_is_not_the_contract(local, path, body, status):
    with Mirror(local) as mirror:
        assert post(mirror.address, path, body)[0] == status
        assert not mirror.asked


def test_the_mirror_passes_on_that_its_source_failed():
    with Mirror(Online("http://127.0.0.1:9")) as mirror:
        assert post(mirror.address, "/v1/query", JINJA)[0] == 503
        assert "cannot be reached" in mirror.failed


def test_client_and_mirror_agree_with_the_set(local):
    wanted = [query("PyPI", "jinja2", "2.11.2"), query("PyPI", "jinja2", "3.1"), query("PyPI", "nobody", "1")]
    with Mirror(local) as mirror:
        online = open_source(mirror.address, None)  # type: ignore[arg-type]
        found = online.lookup(wanted)
        assert [[one.id for one in found[each].records] for each in wanted] == [["PYSEC-1"], [], []]
        assert (online.database.source, online.database.records) == (mirror.address, 1)
        asked = mirror.asked.total()
        online.lookup(wanted)
        assert mirror.asked.total() == asked  # an answer is kept


def test_every_page_is_read():
    pages = {"": ("PYSEC-1", "two"), "two": ("PYSEC-2", "")}

    def answer(path, body):
        if path == "/v1/querybatch":
            results = []
            for one in json.loads(body)["queries"]:
                name, following = pages[one.get("page_token", "")]
                results.append({"vulns": [{"id": name}]} | ({"next_page_token": following} if following else {}))
            return 200, json.dumps({"results": results}).encode()
        return 200, msgspec.json.encode(record(path.removeprefix("/v1/vulns/")))

    with serving(answer) as address:
        one = query("PyPI", "jinja2", "2.11.2")
        assert [each.id for each in Online(address).lookup([one])[one].records] == ["PYSEC-1", "PYSEC-2"]


def batch(*ids: str) -> Callable[[str, bytes], tuple[int, bytes]]:
    def answer(path, body):
        if path == "/v1/querybatch":
            hits = {"vulns": [{"id": one} for one in ids]} if ids else {}
            return 200, json.dumps({"results": [hits] * len(json.loads(body)["queries"])}).encode()
        return 200, msgspec.json.encode(record("PYSEC-9"))

    return answer


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (lambda _p, _b: (500, b"{}"), "answered 500"),
        (lambda _p, _b: (302, b""), "answered 302"),
        (lambda _p, _b: (200, b"<html>Please log in</html>"), "not the OSV contract"),
        (lambda _p, _b: (200, b"{}"), "not the OSV contract"),
        (lambda _p, _b: (200, b'{"results": []}'), "answered 0 of 2 questions"),
        (batch(), "knows no advisory for jinja2 2.4.1"),
        (batch("PYSEC-1"), "answered PYSEC-9 when asked for PYSEC-1"),
    ],
)
def test_a_service_that_misbehaves_is_inconclusive(answer, says):
    with serving(answer) as address, pytest.raises(Inconclusive, match=says):
        Online(address).lookup([query("PyPI", "somebody", "1.0")])


def test_a_refused_connection_is_inconclusive_and_auto_names_the_way_out():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}"
    with pytest.raises(Inconclusive, match="cannot be reached") as caught:
        Online(address, " (set `advisories.source`)").lookup([query("PyPI", "jinja2", "1")])
    assert "advisories.source" in caught.value.reason

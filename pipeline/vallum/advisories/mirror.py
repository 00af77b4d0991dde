"""A Source as an OSV service on loopback, so that a tool which only speaks to a service works without the network.

It counts what was asked: a check proves by it that a tool really asked about every dependency. Records are served cleaned of
what is known to trip readers: ranges of type GIT, names that are not normalised, fixed versions that PyPI's rules refuse.
"""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import msgspec

from vallum.advisories.ecosystems import Query, UnknownVersion, base, normal_name, parse, query
from vallum.advisories.osv import Affected, Event, Range, Record
from vallum.advisories.source import Source
from vallum.errors import Inconclusive

MAX_BODY = 8 << 20
"""Bytes of one question."""


class _Package(msgspec.Struct, frozen=True):
    name: str
    ecosystem: str


class _Query(msgspec.Struct, frozen=True):
    package: _Package
    version: str

    def plain(self) -> Query:
        return query(self.package.ecosystem, self.package.name, self.version)


class _Queries(msgspec.Struct, frozen=True):
    queries: tuple[_Query, ...]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


class Mirror:
    """Serves `source` at `address` while the context lasts. `asked` counts questions by Query; `failed` keeps the first
    reason for which a question could not be answered (the client got a 503)."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.asked: Counter[Query] = Counter()
        self.failed = ""
        self._lock = threading.Lock()
        self._served: dict[str, Record] = {}
        self._server = _Server(("127.0.0.1", 0), _answering(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def address(self) -> str:
        """Scheme, host and port. pip-audit wants `ADDRESS/v1/query` as its `--osv-url`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, one: Query) -> list[Record]:
        """The cleaned records that affect one package; raises Inconclusive as the source does."""
        with self._lock:
            try:
                found = self.source.lookup([one])[one]
            except Inconclusive as error:
                self.failed = self.failed or error.reason
                raise
            self.asked[one] += 1
            records = [_clean(record) for record in found.records]
            self._served.update((record.id, record) for record in records)
        return records

    def record(self, identifier: str) -> Record | None:
        """A record that was part of an earlier answer, as the two-step contract of `querybatch` has it."""
        with self._lock:
            return self._served.get(identifier)


def _clean(record: Record) -> Record:
    entries = []
    for affected in record.affected:
        if affected.package is None:
            continue
        ecosystem = affected.package.ecosystem
        package = msgspec.structs.replace(affected.package, name=normal_name(ecosystem, affected.package.name))
        lines = tuple(_line(line, ecosystem) for line in affected.ranges if line.type != "GIT")
        entries.append(Affected(package, lines, affected.versions, affected.severity))
    return msgspec.structs.replace(record, affected=tuple(entries), withdrawn=None)


def _line(line: Range, ecosystem: str) -> Range:
    def orderly(event: Event) -> bool:
        if event.fixed is None:
            return True
        try:
            parse(base(ecosystem), event.fixed)
        except UnknownVersion:
            return False
        return True

    return Range(line.type, tuple(event for event in line.events if orderly(event)))


def _answering(mirror: Mirror) -> type[BaseHTTPRequestHandler]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = "vallum-advisories"
        timeout = 60

        def setup(self) -> None:
            super().setup()
            # Without this the kernel holds the second packet of an answer for 40 ms, and a tool asks hundreds of times.
            self.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def do_GET(self) -> None:
            identifier = self.path.removeprefix("/v1/vulns/")
            found = mirror.record(identifier) if identifier != self.path else None
            self._send(200, found) if found else self._send(404, {"code": 5, "message": "no such advisory"})

        def do_POST(self) -> None:
            length = self.headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY:
                self.close_connection = True
                self._send(
                    411 if not length.isdigit() else 413, {"code": 3, "message": "the length is missing or too large"}
                )
                return
            answers: dict[str, Callable[[bytes], Any]] = {"/v1/query": self._query, "/v1/querybatch": self._batch}
            body = self.rfile.read(int(length))
            answer = answers.get(self.path)
            if answer is None:
                self._send(404, {"code": 5, "message": "no such path"})
                return
            try:
                self._send(200, answer(body))
            except msgspec.DecodeError as error:
                self._send(400, {"code": 3, "message": str(error)})
            except Inconclusive as error:
                self._send(503, {"code": 14, "message": error.reason})

        def _query(self, body: bytes) -> Any:
            records = mirror.answer(msgspec.json.decode(body, type=_Query).plain())
            return {"vulns": records} if records else {}

        def _batch(self, body: bytes) -> Any:
            queries = msgspec.json.decode(body, type=_Queries).queries
            found = [mirror.answer(one.plain()) for one in queries]
            return {
                "results": [
                    {"vulns": [{"id": one.id, "modified": one.modified} for one in each]} if each else {}
                    for each in found
                ]
            }

        def _send(self, status: int, content: object) -> None:
            data = msgspec.json.encode(content)
            self.send_response(status)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            """Quiet: what was asked is counted, not printed."""

    return Answering

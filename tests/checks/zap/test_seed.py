"""Seeding: what counts as reached, ids from answers, and the file that our rules read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vallum.api import openapi as reading
from vallum.api.model import Operation, Request
from vallum_checks.zap_engine.model import ScanTarget, Sent
from vallum_checks.zap_engine.seed import Seeder, reached, write

Write = Callable[..., Path]


def operation(*declared: str, secured: bool = False, login: bool = False) -> Operation:
    return Operation("GET", "/a", 1, secured, frozenset(declared), login=login)


@pytest.mark.parametrize(
    ("status", "of", "why"),
    [
        (200, operation(), ""),
        (302, operation(), ""),
        (0, operation(), "no answer"),
        (404, operation(), "answered 404"),
        (404, operation("404"), ""),
        (405, operation("405"), "answered 405"),
        (403, operation(), "answered 403"),
        (403, operation("403"), ""),
        (401, operation("401", secured=True), "answered 401: the login was refused"),
        (401, operation("401", login=True), ""),
        (401, operation(), "answered 401"),
        (422, operation(), ""),
        (500, operation(), ""),
    ],
)
def test_reached(status: int, of: Operation, why: str) -> None:
    said = reached(Sent("s", Request(of, "/a"), status), logged_in=True)
    assert said.startswith(why) if why else said == ""


def test_ids_of_answers_become_path_parameters(serve, definition: Write, tmp_path: Path) -> None:
    """GET /things/{thingId} has no example: the id comes from what the collection answered."""
    text = """
openapi: 3.0.3
info: { title: Things }
paths:
  /things/{thingId}: { get: { parameters: [{ name: thingId, in: path, schema: { type: string } }], responses: {} } }
  /things: { get: { security: [{ b: [] }], responses: {} } }
"""
    asked_for = []

    def app(asked):
        asked_for.append((asked.path, asked.headers.get("authorization")))
        return 200, {"Content-Type": "application/json"}, b'{"items": [{"id": "a7"}, {"id": "b8"}]}'

    server = serve(app)
    read = reading.read(definition(text))
    # Any proxy will do here: this server answers absolute addresses as well.
    seeder = Seeder(ScanTarget("things", server.url, None, ""), read, server.url, {"Authorization": "Bearer t"})
    seeder.early()
    assert [sent.status for sent in seeder.sent] == [200, 200]
    assert asked_for == [("/things", "Bearer t"), ("/things/a7", "Bearer t")]
    write(tmp_path / "seeds.tsv", [seeder], ["Shop", "things", "not a word!"])
    port = server.url.rpartition(":")[2]
    assert (tmp_path / "seeds.tsv").read_text().splitlines() == [
        "words\tshop,things",
        f"127.0.0.1:{port}\tGET\t/things\t/things\t\t\t\t1",
        f"127.0.0.1:{port}\tGET\t/things/a7\t/things/[^/]+\t2:thingId\t\t\t0",
    ]

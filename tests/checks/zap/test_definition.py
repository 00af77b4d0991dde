"""Reading definitions and making requests from them: what ZAP's own import got wrong is decided here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.api import openapi as reading
from vallum.api.model import Operation, Request
from vallum.errors import Inconclusive
from vallum_checks.zap_engine.model import ScanTarget, Sent
from vallum_checks.zap_engine.seed import Seeder, reached, write

Write = Callable[..., Path]

TEXT = """
openapi: 3.1.0
info: { title: Orders API }
servers: [{ url: "https://{host}/api/v1/", variables: { host: { default: api.shop.example } } }]
security: [{ bearer: [] }]
paths:
  /orders/{id}:
    parameters:
      - { $ref: "#/components/parameters/Id" }
      - { name: X-Tenant, in: header, schema: { type: string, enum: [shop, other] } }
    get:
      parameters: [{ name: fields, in: query, schema: { type: array, items: { type: string, format: date } } }]
      responses: { "200": { description: ok }, "404": { description: no } }
    delete:
      security: []
      responses: { "204": { description: gone } }
  /orders:
    post:
      requestBody:
        content:
          text/csv: { schema: { type: string } }
          application/json: { schema: { $ref: "#/components/schemas/Order" } }
      responses: { "201": { description: made } }
  /session/logout: { post: { security: [{ bearer: [] }, {}], responses: {} } }
  /upload:
    post:
      requestBody:
        content:
          multipart/form-data:
            schema: { type: object, properties: { file: { type: string, format: binary }, note: { type: string } } }
      responses: {}
  /xml:
    post:
      requestBody:
        content:
          application/xml: { schema: { $ref: "#/components/schemas/Line" } }
      responses: {}
  /login:
    post:
      requestBody:
        content:
          application/x-www-form-urlencoded:
            schema: { type: object, properties: { user: { type: string, example: ann }, password: { type: string, example: "a b" } } }
      responses: {}
components:
  parameters:
    Id: { name: id, in: path, required: true, schema: { type: integer, minimum: 10 } }
  schemas:
    Base: { type: object, properties: { id: { type: integer, readOnly: true }, note: { type: string, minLength: 8 } } }
    Line: { type: object, properties: { sku: { type: string, default: a&b }, next: { $ref: "#/components/schemas/Line" } } }
    Order:
      allOf:
        - $ref: "#/components/schemas/Base"
        - type: object
          required: [total]
          properties:
            total: { type: number, exclusiveMinimum: 5 }
            lines: { type: array, items: { $ref: "#/components/schemas/Line" } }
            kind: { oneOf: [{ type: "null" }, { type: string, const: gift }] }
            paid: { type: [boolean, "null"] }
"""


def request(read: reading.Definition, name: str, known: reading.Known = lambda _before, _name: "") -> Request:
    return read.request(next(operation for operation in read.operations if str(operation) == name), known)


def test_operations(definition: Write) -> None:
    read = reading.read(definition(TEXT))
    by_name = {str(operation): operation for operation in read.operations}
    assert read.prefix == "/api/v1"
    assert read.title == "Orders API"
    lines = TEXT.splitlines()
    assert by_name["GET /orders/{id}"].line == lines.index("    get:") + 1
    assert by_name["POST /session/logout"].line == lines.index(next(x for x in lines if "/session" in x)) + 1
    assert by_name["GET /orders/{id}"].secured
    assert not by_name["DELETE /orders/{id}"].secured
    assert not by_name["POST /session/logout"].secured, "an empty requirement makes the login optional"
    assert {name for name, operation in by_name.items() if operation.late} == {
        "DELETE /orders/{id}",
        "POST /session/logout",
    }
    assert {name for name, operation in by_name.items() if operation.login} == {"POST /login"}
    assert by_name["GET /orders/{id}"].declared == {"200", "404"}


def test_requests(definition: Write) -> None:
    read = reading.read(definition(TEXT))
    get = request(read, "GET /orders/{id}")
    assert get.path == "/api/v1/orders/10"
    assert get.segments == ((4, "id"),)
    assert get.query == (("fields", "2026-01-31"),)
    assert get.headers == (("X-Tenant", "shop"),)
    assert (
        request(read, "GET /orders/{id}", lambda before, name: f"{before}{name}").path
        == "/api/v1/orders/%2Forders%2Fid"
    )
    order = json.loads(request(read, "POST /orders").body)
    assert order["note"] == "vallumaa"
    assert order["total"] > 5
    assert order["kind"] == "gift"
    assert order["paid"] is True
    assert "id" not in order, "read-only properties are not sent"
    assert order["lines"][0]["sku"] == "a&b"
    assert request(read, "POST /xml").body.startswith(b"<Line><sku>a&amp;b</sku><next>")
    upload = request(read, "POST /upload")
    assert upload.content_type == "multipart/form-data; boundary=vallum-boundary"
    assert b'name="file"; filename=' in upload.body
    assert request(read, "POST /login").body == b"user=ann&password=a+b"


def test_swagger_2(definition: Write) -> None:
    text = {
        "swagger": "2.0",
        "basePath": "/v2",
        "paths": {
            "/pets": {
                "post": {
                    "parameters": [
                        {
                            "in": "body",
                            "name": "b",
                            "schema": {"type": "object", "properties": {"n": {"type": "integer"}}},
                        }
                    ]
                }
            },
            "/form": {"post": {"parameters": [{"in": "formData", "name": "a", "type": "string"}]}},
        },
    }
    read = reading.read(definition(json.dumps(text), "swagger.json"))
    assert request(read, "POST /pets").body == b'{"n": 1}'
    assert request(read, "POST /form").body == b"a=vallum"
    assert request(read, "POST /form").path == "/v2/form"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a: [", "is no YAML or JSON"),
        ("just text", "is no OpenAPI definition"),
        ("paths: {}", "is no OpenAPI definition"),
        ("\x00", "is no YAML or JSON"),
    ],
)
def test_what_is_no_definition(definition: Write, text: str, why: str) -> None:
    with pytest.raises(Inconclusive, match=why):
        reading.read(definition(text))
    with pytest.raises(Inconclusive, match="cannot read"):
        reading.read(Path("/nowhere/openapi.yaml"))


@given(template=st.text("ab{}/.%é ", min_size=1, max_size=12), prefix=st.sampled_from(["", "/api", "/v1.0"]))
def test_a_request_matches_its_own_template(template: str, prefix: str) -> None:
    template = "/" + template
    filled = reading._PLACEHOLDER.sub("1", prefix + template)
    if "{" in filled.replace("{}", "") or "}" in filled:
        return
    assert reading.matcher(prefix, template).fullmatch(filled)


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

"""Reading OpenAPI and making requests from it: what ZAP's own import got wrong is decided here."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.api import openapi as reading
from vallum.api.model import PLACEHOLDER, Request
from vallum.errors import Inconclusive

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
        ("just text", "it holds no object"),
        ("paths: {}", "is no OpenAPI definition"),
        ("\x00", "is no YAML or JSON"),
    ],
)
def test_what_is_no_definition(definition: Write, text: str, why: str) -> None:
    with pytest.raises(Inconclusive, match=why):
        reading.read(definition(text))
    with pytest.raises(Inconclusive, match="cannot read the API definition openapi"):
        reading.read(Path("/nowhere/openapi.yaml"))


@given(template=st.text("ab{}/.%é ", min_size=1, max_size=12), prefix=st.sampled_from(["", "/api", "/v1.0"]))
def test_a_request_matches_its_own_template(template: str, prefix: str) -> None:
    template = "/" + template
    filled = PLACEHOLDER.sub("1", prefix + template)
    if "{" in filled.replace("{}", "") or "}" in filled:
        return
    assert reading.matcher(prefix, template).fullmatch(filled)

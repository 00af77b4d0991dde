"""Every format of API definition: its operations with lines, requests that fit, and what is left out."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fuzz.readers import HAR, POSTMAN, PROTO, SWAGGER

from vallum import tools
from vallum.api import formats, graphql, sdl
from vallum.api.model import Definition, Request
from vallum.environments import ApiDefinition, StagedService
from vallum.errors import Inconclusive
from vallum.target import Target

Write = Callable[..., Path]


def read(path: Path, wanted: ApiDefinition | None = None) -> Definition:
    return formats.read(Target(path.parent, "t", (path.name,), ()), path.name, wanted)


def request(read: Definition, name: str) -> Request:
    return read.request(next(each for each in read.operations if str(each) == name), lambda *_: "")


def test_swagger_2(definition: Write) -> None:
    """What 2.0 says elsewhere: consumes, formData, collectionFormat, host, securityDefinitions."""
    text = {
        **SWAGGER,
        "host": "api.example.invalid",
        "schemes": ["https"],
        "security": [{"key": []}],
        "securityDefinitions": {
            **SWAGGER["securityDefinitions"],  # type: ignore[dict-item]
            "basic": {"type": "basic"},
            "oauth": {"type": "oauth2", "flow": "accessCode", "scopes": {"a": ""}},
        },
        "paths": {
            **SWAGGER["paths"],  # type: ignore[dict-item]
            "/search": {
                "get": {
                    "produces": ["text/csv"],
                    "parameters": [
                        {"in": "query", "name": "a", "type": "array", "items": {"type": "string", "enum": ["x"]}},
                        {
                            "in": "query",
                            "name": "b",
                            "type": "array",
                            "collectionFormat": "multi",
                            "x-example": ["1", "2"],
                        },
                        {"in": "query", "name": "c", "type": "array", "collectionFormat": "pipes", "x-example": [1, 2]},
                        {"in": "header", "name": "X-Limit", "type": "integer", "minimum": 5},
                    ],
                    "responses": {"200": {"schema": {"type": "string"}}},
                }
            },
            "/form": {
                "post": {
                    "security": [],
                    "parameters": [
                        {"in": "formData", "name": "user", "type": "string", "required": True},
                        {"in": "formData", "name": "password", "type": "string"},
                    ],
                }
            },
        },
    }
    found = read(definition(json.dumps(text, indent=1), "swagger.json"))
    assert found.kind == "openapi"
    assert found.prefix == "/v2"
    by_name = {str(each): each for each in found.operations}
    assert by_name["GET /search"].secured
    assert not by_name["POST /form"].secured
    assert by_name["POST /form"].login
    assert json.dumps(text, indent=1).splitlines()[by_name["GET /search"].line - 1].strip() == '"get": {'
    search = request(found, "GET /search")
    assert search.query == (("a", "x"), ("b", "1"), ("b", "2"), ("c", "1|2"))
    assert search.headers == (("X-Limit", "5"),)
    assert request(found, "POST /form").body == b"user=vallum&password=vallum"
    upload = request(found, "POST /x/{id}")
    assert upload.content_type.startswith("multipart/form-data")
    assert b'name="f"; filename=' in upload.body
    put = request(found, "PUT /x/{id}")
    assert put.content_type == "application/json"
    assert json.loads(put.body)["a"]
    schemes = found.document["components"]["securitySchemes"]
    assert schemes["basic"] == {"type": "http", "scheme": "basic"}
    assert list(schemes["oauth"]["flows"]) == ["authorizationCode"]
    answer = found.document["paths"]["/search"]["get"]["responses"]["200"]
    assert answer["content"]["text/csv"]["schema"] == {"type": "string"}


SCHEMA = '''
"""A shop"""
directive @auth(role: String = "user") repeatable on FIELD_DEFINITION | OBJECT
schema { query: Query mutation: Changes }
scalar DateTime
"State of an order" enum State { OPEN CLOSED @deprecated(reason: "x") }
interface Named { name: String! }
type User implements Named { name: String! orders: [Order!]! }
type Item { sku: String! amount: Int! }
union Thing = | User | Item
type Order {
  id: ID!
  items: [Item!]!
  state: State
  owner: User
  thing: Thing
  near(id: ID!): Order
}
input Line { sku: String! = "b", amount: Int!, next: Line }
input NewOrder { lines: [Line!]! note: String, when: DateTime }
type Query {
  order(id: ID!): Order
  # a comment
  orders(first: Int = 10, state: State, filter: [String!]): [Order!]! @auth(role: "admin")
}
type Changes { addOrder(input: NewOrder!): Order deleteOrder(id: ID!): Boolean! login(password: String!): String }
'''
NAMES = ["Query.order", "Query.orders", "Changes.addOrder", "Changes.deleteOrder", "Changes.login"]


def test_graphql_sdl(definition: Write) -> None:
    found = read(definition(SCHEMA, "schema.graphqls"), ApiDefinition(kind="graphql", endpoint="/api/graphql"))
    assert [each.name for each in found.operations] == NAMES
    by_name = {each.name: each for each in found.operations}
    assert {str(each).rpartition(" ")[0] for each in found.operations} == {"POST /api/graphql"}
    lines = SCHEMA.splitlines()
    assert "order(id" in lines[by_name["Query.order"].line - 1]
    assert "orders(first" in lines[by_name["Query.orders"].line - 1]
    assert {name for name, each in by_name.items() if each.secured} == {"Query.orders"}
    assert {name for name, each in by_name.items() if each.late} == {"Changes.deleteOrder"}
    assert {name for name, each in by_name.items() if each.login} == {"Changes.login"}
    order = json.loads(request(found, "POST /api/graphql Query.order").body)
    assert order["variables"] == {"id": "1"}
    assert order["query"].startswith("query vallum($id: ID!) { order(id: $id) { __typename id items { __typename sku")
    assert "near" not in order["query"], "a field that needs an argument is not selected"
    added = json.loads(request(found, "POST /api/graphql Changes.addOrder").body)
    assert added["variables"]["input"] == {
        "lines": [{"sku": "vallum", "amount": 1}],
        "note": "vallum",
        "when": "2026-01-31T12:00:00Z",
    }


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("type Query { a: Int", "the schema ends in the middle"),
        ("type Query { a(b: Int }", "line 1: a name was expected"),
        ("type Query { a: Int a: Int }", "the field a of Query stands twice"),
        ("query { a }", "'query' defines nothing in a schema"),
        ("type Query { a: " + "[" * 99 + "Int" + "]" * 99 + " }", "lists in lists in lists"),
        ("type Query { a: Int } ?", "'?' is no GraphQL"),
        ("type Query @a(b: [)) { a: Int }", "closes what was not opened"),
        ("type Order { a: Int }", "declares no operation"),
    ],
)
def test_what_is_no_sdl(definition: Write, text: str, why: str) -> None:
    with pytest.raises(Inconclusive) as caught:
        read(definition(text, "schema.graphql"))
    assert why in caught.value.reason


def test_a_graph_of_types_that_all_know_each_other_stays_small() -> None:
    names = [f"T{number}" for number in range(60)]
    fields = " ".join(f"{name.lower()}: {name}!" for name in names)
    text = "type Query { all: T0 }\n" + "\n".join(f"type {name} {{ id: ID! {fields} }}" for name in names)
    found = graphql.of_text(text, Path("x"), "x")
    body = found.request(found.operations[0], lambda *_: "").body
    assert len(body) < 10_000


@pytest.fixture(scope="module")
def graphql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server by graphql-core, GraphQL's reference in Python: schemathesis brings it."""
    schema = tmp_path_factory.mktemp("graphql") / "schema.graphql"
    schema.write_text(SCHEMA)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = tools.prepare("schemathesis").bin("python")
    server = subprocess.Popen([python, Path(__file__).with_name("graphql_server.py"), str(port), schema])
    try:
        for _ in range(600):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/graphql"
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_the_reference_takes_our_requests_and_its_introspection_says_the_same(graphql_server: str) -> None:
    import httpx

    ours = graphql.of_text(SCHEMA, Path("x"), "x")
    for operation in ours.operations:
        body = ours.request(operation, lambda *_: "").body
        answer = httpx.post(graphql_server, content=body, trust_env=False).json()
        wrong = [each["message"] for each in answer.get("errors", ()) if "non-nullable" not in each["message"]]
        assert wrong == [], operation
    said = httpx.post(graphql_server, json={"query": sdl.INTROSPECTION}, trust_env=False).json()
    theirs = graphql.definition(sdl.introspected(said), Path("y"))
    assert [each.name for each in theirs.operations] == NAMES
    for one, other in zip(ours.operations, theirs.operations, strict=True):
        assert ours.request(one, lambda *_: "").body == theirs.request(other, lambda *_: "").body


def test_grpc_is_listed_and_not_called(definition: Write) -> None:
    found = read(definition(PROTO.decode(), "api.proto"))
    assert found.operations == ()
    assert [(str(each), each.line) for each in found.unsupported] == [
        ("POST /shop.v1.Orders/Get", 5),
        ("POST /shop.v1.Orders/List", 5),
    ]
    assert found.notes[0].startswith("not tested: 2 gRPC methods of api.proto: gRPC needs HTTP/2")
    with pytest.raises(Inconclusive, match="gRPC needs HTTP/2"):
        found.request(found.unsupported[0], lambda *_: "")
    for text in ("service A {", "service A { } }", "message A {}"):
        with pytest.raises(Inconclusive):
            read(definition(text, "api.proto"))


def test_postman(definition: Write) -> None:
    text = json.dumps(POSTMAN, indent=1)
    found = read(definition(text, "shop.postman_collection.json"))
    assert found.kind == "postman"
    assert found.title == "shop"
    by_name = {str(each): each for each in found.operations}
    assert set(by_name) == {"POST /v1/orders/{id}", "GET /v1/f", "GET /"}
    order = by_name["POST /v1/orders/{id}"]
    assert order.declared == {"201"}
    assert order.login
    assert not order.secured, "a login is what one does without one"
    assert by_name["GET /"].secured, "the collection's authorization is inherited"
    assert not by_name["GET /v1/f"].secured
    assert text.splitlines()[order.line - 1].strip() == "{"
    sent = request(found, "POST /v1/orders/{id}")
    assert sent.path == "/v1/orders/7"
    assert sent.query == (("x", "vallum"),)
    assert json.loads(sent.body) == {"password": "vallum", "n": 1}
    assert request(found, "GET /v1/f").body == b"a=b"
    assert json.loads(request(found, "GET /").body) == {"query": "{ me }", "variables": {}}


SECRETS = ("s3cretToken", "hunter2", "eyJhbGciOiJIUzI1NiJ9", "0123456789abcdef0123456789abcdef", "sid=4711")


def test_har_keeps_no_credentials(definition: Write) -> None:
    entries = [
        har("GET", "https://shop.example.invalid/orders/17/items/5?token=s3cretToken&page=2", 200),
        har("GET", "https://shop.example.invalid/orders/18/items/6", 404),
        har("GET", "https://shop.example.invalid/app.css", 200, kind="text/css"),
        har("GET", "https://ads.example.invalid/orders/18", 200),
        har("GET", "wss://shop.example.invalid/live", 101),
        har("POST", "https://shop.example.invalid/reset/0123456789abcdef0123456789abcdef", 200, "x-www-form"),
        har("POST", "https://shop.example.invalid/login", 200, {"user": "ann", "password": "hunter2"}),
        har(
            "PUT",
            "https://shop.example.invalid/me",
            200,
            {"note": "Bearer eyJhbGciOiJIUzI1NiJ9.x", "deep": [{"api_key": "s3cretToken"}]},
        ),
        har("GET", "https://shop.example.invalid/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301", 200),
    ]
    path = definition(json.dumps({"log": {"version": "1.2", "entries": entries}}), "shop.har")
    found = read(path)
    assert [str(each) for each in found.operations] == [
        "GET /orders/{id}/items/{id2}",
        "POST /reset/{id}",
        "POST /login",
        "PUT /me",
        "GET /u/{id}",
    ]
    assert found.operations[0].declared == {"200", "404"}
    assert {each.line for each in found.operations} == {0}, "a finding quotes its line, and this one holds everything"
    pretty = read(definition(json.dumps({"log": {"entries": entries}}, indent=1), "pretty.har"))
    texts = (path.parent / "pretty.har").read_text().splitlines()
    assert {texts[each.line - 1].strip() for each in pretty.operations} == {"{"}
    assert not any(each.secured for each in found.operations), "a recording declares nothing"
    made = [request(found, str(each)) for each in found.operations]
    assert made[0].path == "/orders/17/items/5"
    assert made[0].query == (("token", "vallum"), ("page", "2"))
    assert made[4].path == "/u/3f2504e0-4f89-11d3-9a0c-0305e82c3301"
    everything = repr(made)
    assert not [each for each in SECRETS if each in everything]
    assert found.notes == (
        "shop.har: 1 requests for parts of pages, or with methods of browsers, were left out",
        "shop.har: 1 requests that are no HTTP were left out",
        "shop.har: 1 requests to other origins were left out",
    )
    other = read(path, ApiDefinition(kind="har", origin="https://ads.example.invalid/"))
    assert [str(each) for each in other.operations] == ["GET /orders/{id}"]


def har(method: str, url: str, status: int, body: object = None, kind: str = "application/json") -> dict[str, object]:
    headers = [{"name": "Authorization", "value": "Bearer s3cretToken"}, {"name": "Cookie", "value": "sid=4711"}]
    asked: dict[str, object] = {"method": method, "url": url, "headers": headers}
    if isinstance(body, dict):
        asked["postData"] = {"mimeType": "application/json", "text": json.dumps(body)}
    elif body:
        asked["postData"] = {"mimeType": "application/x-www-form-urlencoded", "text": "code=hunter2&a=b"}
    return {"request": asked, "response": {"status": status, "content": {"mimeType": kind}}}


def test_what_says_its_kind_and_what_does_not(definition: Write, tmp_path: Path) -> None:
    path = definition(json.dumps(HAR), "recording.json")
    assert read(path).kind == "har", "the content tells"
    with pytest.raises(Inconclusive, match="of a kind that was looked for: postman"):
        read(path, ApiDefinition(kind="postman"))
    with pytest.raises(Inconclusive, match="of a kind that was looked for: openapi, graphql, grpc, postman, har"):
        read(definition("{}", "none.json"))
    shutil.copy(path, tmp_path / "b.har")
    target = Target(tmp_path, "t", ("openapi.yaml",), ())
    assert formats.find(target, StagedService(directory=".")) == "openapi.yaml"
    named = StagedService(directory=".", definition=ApiDefinition(file="b.har"))
    assert formats.find(target, named) == "b.har"
    asked = StagedService(directory=".", definition=ApiDefinition(kind="graphql"))
    assert (formats.find(target, asked), formats.defined(target, asked)) == ("", True)


def test_a_flood_of_operations_is_refused(definition: Write) -> None:
    paths = {f"/a{number}": {"get": {}} for number in range(formats.MAX_OPERATIONS + 1)}
    with pytest.raises(Inconclusive, match="declares over 10000 operations"):
        read(definition(json.dumps({"openapi": "3.1.0", "paths": paths}), "openapi.json"))

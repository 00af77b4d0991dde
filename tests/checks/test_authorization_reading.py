"""How `authorization` reads answers and definitions: pure functions."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.api.model import Operation
from vallum.stage.calls import Answer
from vallum_checks.authorization_engine import answers, declared, model, properties
from vallum_checks.authorization_engine.answers import Identity


def answer(value: Any, status: int = 200) -> Answer:
    return Answer(status, {}, json.dumps(value).encode())


def operation(method: str = "GET", template: str = "/a", login: bool = False) -> Operation:
    return Operation(method, template, 1, secured=True, declared=frozenset(), login=login)


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ({"id": 1, "text": "x"}, {"id": 1, "text": "x"}, True),
        ({"id": 1, "a": 1, "b": 2, "c": 3, "at": 5}, {"id": 1, "a": 1, "b": 2, "c": 3, "at": 6}, True),
        ({"id": 1, "text": "x"}, {"error": "forbidden"}, False),
        ({"id": 1, "name": "a", "email": "a@x", "phone": "1"}, {"id": 1, "name": "a"}, False),  # a public view
        ([], [], False),
        ({}, {}, False),
        ([{"id": 1}], [{"id": 2}], False),
    ],
)
def test_whether_an_answer_shows_the_same(first: Any, second: Any, same: bool) -> None:
    assert answers.shows(answer(first), answer(second)) is same


def test_a_text_answer_is_the_same_by_its_bytes() -> None:
    assert answers.shows(Answer(200, {}, b"<p>hello</p>"), Answer(200, {}, b"<p>hello</p>"))
    assert not answers.shows(Answer(200, {}, b""), Answer(200, {}, b""))


@pytest.mark.parametrize(
    ("before", "after", "again", "changed"),
    [
        ({"a": 1, "reads": 1}, {"a": 1, "reads": 2}, {"a": 1, "reads": 3}, False),
        ({"a": 1, "reads": 1}, {"a": 2, "reads": 2}, {"a": 2, "reads": 3}, True),
        ([{"a": 1}], [{"a": 1}, {"a": 2}], [{"a": 1}, {"a": 2}], True),
        ({"a": 1}, {}, {}, True),
    ],
)
def test_what_changes_by_itself_is_no_change(before: Any, after: Any, again: Any, changed: bool) -> None:
    assert answers.differs(answer(before), answer(after), answer(again)) is changed


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ([{"id": 1}, 3], [{"id": 1}]),
        ({"items": [{"id": 1}], "total": 1}, [{"id": 1}]),
        ({"_embedded": {"orders": [{"id": 2}]}, "page": {"size": 1}}, [{"id": 2}]),
        ({"id": 1}, None),
        ("text", None),
    ],
)
def test_rows(value: Any, expected: Any) -> None:
    assert answers.rows(value) == expected


@pytest.mark.parametrize(
    ("row", "parameter", "collection", "expected"),
    [
        ({"id": 7, "user_id": 1}, "number", "/orders", "7"),
        ({"orderId": "a-b", "id": 1}, "order_id", "/orders", "a-b"),
        ({"order_id": 3}, "id", "/orders", "3"),
        ({"username": "bob", "id": 2}, "username", "/users", "bob"),
        ({"title": "x"}, "book_title", "/books", ""),
        ({"id": True}, "id", "/x", ""),
    ],
)
def test_the_identifier_of_a_row(row: dict[str, Any], parameter: str, collection: str, expected: str) -> None:
    assert answers.identifier(row, parameter, collection) == expected


ALICE = Identity({"alice"}, {"1"})


@pytest.mark.parametrize(
    ("value", "mine"),
    [
        ({"user_id": 1}, True),
        ({"user_id": 2}, False),
        ({"owner": {"id": 1, "name": "x"}}, True),
        ({"createdBy": "alice"}, True),
        ({"product_id": 1}, None),
        ({"owner": None}, None),
    ],
)
def test_the_owner_of_an_object(value: dict[str, Any], mine: bool | None) -> None:
    assert answers.owner(value, ALICE) is mine


def test_a_user_is_known_by_name_or_by_number_among_users() -> None:
    assert answers.is_user({"id": 9, "username": "alice"}, ALICE, "/people")
    assert answers.is_user({"id": 1}, ALICE, "/users")
    assert not answers.is_user({"id": 1}, ALICE, "/products")


DOCUMENT: dict[str, Any] = {
    "paths": {
        "/a": {
            "get": {
                "security": [{"oauth": ["read:admin"]}],
                "parameters": [
                    {"name": "q", "in": "query", "schema": {"type": "string"}},
                    {"name": "page", "in": "query", "schema": {"type": "integer", "default": 1}},
                    {"name": "must", "in": "query", "required": True},
                ],
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Deep"}}}},
                    "2XX": {"links": {"next": {"operationId": "b", "parameters": {"id": "$response.body#/x/id"}}}},
                },
            }
        },
        "/b": {"get": {"x-required-roles": ["Administrator"]}, "put": {"tags": ["internal"]}},
    },
    "components": {
        "schemas": {
            "Deep": {
                "allOf": [{"properties": {"a": {}}}, {"$ref": "#/components/schemas/Deep"}],
                "properties": {"b": {}},
            }
        }
    },
}


def test_what_a_definition_says() -> None:
    assert declared.guessed(DOCUMENT, operation()) == {"q"}
    assert declared.shape(DOCUMENT, declared.answer_schema(DOCUMENT, operation(), 200)).properties.keys() == {"a", "b"}
    assert list(declared.links(DOCUMENT, operation())) == [("b", "id", "x/id")]


@pytest.mark.parametrize(
    ("where", "why"),
    [
        (operation(), "scope read:admin"),
        (operation(template="/b"), "x-required-roles: Administrator"),
        (operation("PUT", "/b"), "tag internal"),
        (operation(template="/x/adminPanel"), "`admin` in its path"),
        (operation(template="/actuator/env"), "`actuator` in its path"),
        (operation(template="/administer"), None),
        (operation(template="/orders/{admin}"), None),
        (operation(template="/managers"), None),
    ],
)
def test_marks_of_administrators(where: Operation, why: str | None) -> None:
    found = declared.mark(DOCUMENT, where)
    assert (found.why if found else None) == why


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("password_hash", "$2b$12$abc", True),
        ("passwordHash", "x", True),
        ("apiKey", "k", True),
        ("card_number", "4111111111111111", True),
        ("card_number", "**** **** 1111".replace(" ", ""), False),
        ("has_password", True, False),
        ("password_changed_at", "2026-01-01", False),
        ("password", None, False),
        ("next_page_token", "x", False),
        ("token", "x", True),
        ("hash", "abc", False),
    ],
)
def test_secrets_by_name(name: str, value: Any, secret: bool) -> None:
    assert properties._is_secret(name, value, operation()) is secret


def test_what_hands_out_tokens_may() -> None:
    assert not properties._is_secret("token", "x", operation("POST"))
    assert model.enters(operation("POST", "/api/login", login=True))
    assert not model.enters(operation("POST", "/users", login=True))


def test_paths_and_passwords() -> None:
    assert model.keys_of("/a/{x}/b/{y}/c") == ["/a/{}", "/a/{}/b/{}"]
    assert model.parameter_of("/a/{x}/b/{y}/c", "/a/{}/b/{}") == "y"
    assert model.without_passwords({"a": 1, "data": {"password": "x", "b": 2}}) == {"a": 1, "data": {"b": 2}}
    assert model.without_passwords({"password": "x"}) == {}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(JSON, JSON)
def test_no_answer_breaks_the_reading(first: Any, second: Any) -> None:
    one, other = answer(first), answer(second)
    answers.shows(one, other)
    assert not answers.differs(one, one, one)
    answers.rows(first)
    row = answers.one(first)
    answers.owner(row, ALICE)
    answers.identifier(row, "id", "/a")
    answers.is_user(row, ALICE, "/users")
    list(properties._properties(first))


@given(JSON)
def test_no_definition_breaks_the_reading(document: Any) -> None:
    for holder in ({"paths": document}, {"paths": {"/a": document}}, {"paths": {"/a": {"get": document}}}):
        declared.mark(holder, operation())
        declared.answer_schema(holder, operation(), 200)
        declared.shape(holder, document)

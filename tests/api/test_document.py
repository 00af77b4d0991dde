"""Hostile files: each ends quickly in one clear sentence, never in a hang, and never reads what is not the target's."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.api import document, openapi
from vallum.api.document import load, parse
from vallum.errors import Inconclusive

Write = Callable[..., Path]
SMALL = "openapi: 3.0.3\npaths:\n  /a:\n    get: {responses: {200: {description: ok}}}\n"


def bomb(levels: int, *, merge: bool) -> str:
    word = "<<: " if merge else ""
    lines = ["a0: &a0 {x: 1, y: 2}"]
    for number in range(1, levels):
        inner = ", ".join([f"*a{number - 1}"] * 10)
        lines.append(f"a{number}: &a{number} {{{word}[{inner}]}}" if merge else f"a{number}: &a{number} [{inner}]")
    return "\n".join([SMALL, *lines])


HOSTILE = {
    "aliases that multiply": (bomb(12, merge=False), "its aliases stand for over 1000000 values"),
    "merges that multiply": (bomb(12, merge=True), "its aliases stand for over 1000000 values"),
    "an alias in itself": (SMALL + "x: &x [*x]\n", "an alias holds itself"),
    "deep flow": (SMALL + "x: " + "[" * 5000 + "]" * 5000, "it is nested deeper than 200 levels"),
    "deep by aliases": (
        SMALL + "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 500)),
        "it is nested deeper than 200 levels",
    ),
    "a key that stands twice": (SMALL + "paths: {}\n", "the key 'paths' stands twice in one object"),
    "a key that is no text": (SMALL + "? [a, b]\n: 1\n", "a key is no text"),
    "a tag that makes objects": (
        SMALL + "x: !!python/name:os.system ''\n",
        "could not determine a constructor",
    ),
    "several documents": (SMALL + "---\n" + SMALL, "expected a single document"),
    "a merge of text": (SMALL + "x: {<<: text}\n", "`<<` merges no object"),
    "nothing": ("", "it is empty"),
    "a list": ("- 1\n", "it holds no object"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_yaml(definition: Write, name: str) -> None:
    text, why = HOSTILE[name]
    began = time.monotonic()
    with pytest.raises(Inconclusive, match="cannot read the API definition openapi") as caught:
        openapi.read(definition(text))
    assert why in caught.value.reason
    assert time.monotonic() - began < 60


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('{"openapi": "3.0.3", "paths": {}, "paths": {}}', "the key 'paths' stands twice in one object"),
        ('{"openapi": "3.0.3", "x": ' + "[" * 300 + "]" * 300 + "}", "it is nested deeper than 200 levels"),
        ('{"openapi": ' + "[" * 100_000, "it is no YAML or JSON"),
        ("[]", "it holds no object"),
    ],
)
def test_json(definition: Write, text: str, why: str) -> None:
    with pytest.raises(Inconclusive) as caught:
        openapi.read(definition(text, "openapi.json"))
    assert why in caught.value.reason


def test_size_links_and_places(definition: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = definition(SMALL)
    monkeypatch.setattr(document, "MAX_BYTES", 20)
    with pytest.raises(Inconclusive, match="more than the limit of 20"):
        load(path)
    monkeypatch.undo()
    link = tmp_path / "link.yaml"
    link.symlink_to(path)
    with pytest.raises(Inconclusive, match="cannot read the API definition"):
        load(link)
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(Inconclusive, match="no regular file"):
        load(tmp_path / "pipe.yaml")
    with pytest.raises(Inconclusive, match="leads out of the target"):
        load(path, tmp_path / "elsewhere")


def test_keys_and_dates_are_what_stands_there(definition: Write) -> None:
    read = load(definition("on: 2026-01-31\n200: yes\n2026-01-31: {a: 0x10}\nbase: &b {x: 1}\nd: {<<: *b, y: 2}\n"))
    assert read.data == {
        "on": "2026-01-31",
        "200": True,
        "2026-01-31": {"a": 16},
        "base": {"x": 1},
        "d": {"x": 1, "y": 2},
    }


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text('aé\n"\\{}[],:😀', max_size=6),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("ab\n{,😀", max_size=3), inner, max_size=3),
        max_leaves=12,
    ),
    st.sampled_from([None, 1]),
)
def test_lines_of_json_are_those_of_its_keys(value: object, indent: int | None) -> None:
    table = {"first": value, "item": [{"name": value}, {"name": 1}]}
    text = json.dumps(table, indent=indent, ensure_ascii=False)
    read = parse(text, "x.json", written_as_json=True)
    assert read.data == table
    lines = text.splitlines() if "\u2028" not in text else [text]
    if indent:
        assert '"first"' in lines[read.lines["first",] - 1]
        assert lines[read.lines["item", 1] - 1].strip().startswith("{")
        assert '"name": 1' in lines[read.lines["item", 1, "name"] - 1]
    else:
        assert set(read.lines.values()) == {1}


SPLIT = """
openapi: 3.0.3
paths:
  /orders/{id}: {$ref: "./paths/order.yaml#/item"}
  /orders: {post: {requestBody: {content: {application/json: {schema: {$ref: "schemas.json#/Order"}}}}, responses: {}}}
"""


def test_other_files_are_read(definition: Write) -> None:
    definition("item: {get: {parameters: [{$ref: '../openapi.yaml#/components/x'}, {$ref: '#/id'}], responses: {}}}\nid: {in: path, name: id, example: 7}\n", "api/paths/order.yaml")  # fmt: skip
    definition('{"Order": {"properties": {"n": {"type": "integer"}, "of": {"$ref": "#/Order"}}}}', "api/schemas.json")
    path = definition(SPLIT + "components: {x: {in: query, name: q, example: z}}\n", "api/openapi.yaml")
    read = openapi.read(path)
    get, post = read.operations
    assert read.request(get, lambda *_: "").path == "/orders/7"
    assert read.request(get, lambda *_: "").query == (("q", "z"),)
    body = json.loads(read.request(post, lambda *_: "").body)
    assert body["n"] == body["of"]["of"]["n"] == 1
    assert "$ref" not in json.dumps(read.document).replace('"$ref": "#/', "")


@pytest.mark.parametrize(
    ("reference", "why"),
    [
        ("https://example.invalid/x.yaml", "refers to another host"),
        ("//example.invalid/x.yaml", "refers to another host"),
        ("file:///etc/passwd", "refers to another host"),
        ("../outside.yaml", "which is outside of the target"),
        ("/etc/passwd", "which is outside of the target"),
        ("%2e%2e/outside.yaml", "which is outside of the target"),
        ("linked.yaml", "which is outside of the target"),
        ("linked/outside.yaml", "which is outside of the target"),
        ("circle.yaml", "which is outside of the target"),
        ("none.yaml", "cannot read the API definition none.yaml"),
        ("\\0", "which is outside of the target"),
    ],
)
def test_what_is_not_the_targets_is_not_read(definition: Write, tmp_path: Path, reference: str, why: str) -> None:
    definition("x: {}", "outside.yaml")
    path = definition(f'openapi: 3.0.3\npaths: {{/a: {{$ref: "{reference}"}}}}\n', "api/openapi.yaml")
    (path.parent / "linked.yaml").symlink_to(tmp_path / "outside.yaml")
    (path.parent / "linked").symlink_to(tmp_path)
    (path.parent / "circle.yaml").symlink_to("circle.yaml")
    with pytest.raises(Inconclusive) as caught:
        openapi.read(path, path.parent)
    assert why in caught.value.reason


def to(name: str) -> str:
    return "{$ref: '#/components/schemas/" + name + "'}"


TEN = [f"p{number}" for number in range(10)]
GREEDY = {
    "properties that need themselves": (
        "X: {required: [" + ", ".join(TEN) + "], properties: {" + ", ".join(f"{each}: {to('X')}" for each in TEN) + "}}"
    ),
    "allOf of allOf": "\n    ".join(
        [
            f"X: {{allOf: [{to('A0')}]}}",
            *(f"A{number}: {{allOf: [{', '.join([to(f'A{number + 1}')] * 10)}]}}" for number in range(20)),
            "A20: {properties: {n: {type: integer}}}",
        ]
    ),
}


@pytest.mark.parametrize("name", GREEDY)
def test_schemas_that_would_never_end(definition: Write, name: str) -> None:
    text = (
        "openapi: 3.0.3\npaths:\n  /a:\n    post:\n      responses: {}\n      requestBody: {content: {application/json: "
        f"{{schema: {{$ref: '#/components/schemas/X'}}}}}}}}\ncomponents:\n  schemas:\n    {GREEDY[name]}\n"
    )
    began = time.monotonic()
    read = openapi.read(definition(text))
    assert len(read.request(read.operations[0], lambda *_: "").body) < 100_000
    assert time.monotonic() - began < 60


def test_a_schema_that_is_part_of_itself_says_so(definition: Write) -> None:
    text = SMALL.replace("get:", "post:").replace(
        "{responses", "{requestBody: {content: {x/json: {schema: {$ref: '#/s'}}}}, responses"
    )
    with pytest.raises(Inconclusive, match="a schema that holds itself by allOf"):
        openapi.read(definition(text + "s: {allOf: [{$ref: '#/s'}]}\n"))

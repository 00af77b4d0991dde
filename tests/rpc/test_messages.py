"""Messages that fit their descriptors: each kind of field, what is in each other, what never ends, what a person gives."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from vallum.api import descriptors, messages
from vallum.errors import Inconclusive

KINDS = {
    "name": Field.TYPE_STRING,
    "order_id": Field.TYPE_STRING,
    "email": Field.TYPE_STRING,
    "page_token": Field.TYPE_STRING,
    "count": Field.TYPE_INT32,
    "big": Field.TYPE_UINT64,
    "share": Field.TYPE_DOUBLE,
    "on": Field.TYPE_BOOL,
    "data": Field.TYPE_BYTES,
    "fixed": Field.TYPE_SFIXED32,
}


def unknown(_before: str, _name: str) -> str:
    return ""


def field(message: Any, name: str, kind: int, type_: str = "", *, repeated: bool = False, **more: Any) -> Any:
    label = Field.LABEL_REPEATED if repeated else more.pop("label", Field.LABEL_OPTIONAL)
    if type_:
        more["type_name"] = type_
    return message.field.add(name=name, number=len(message.field) + 1, type=kind, label=label, **more)


def mapping(message: Any, name: str, kind: int, type_: str = "") -> None:
    entry = message.nested_type.add(name=f"{name.title()}Entry")
    entry.options.map_entry = True
    field(entry, "key", Field.TYPE_STRING)
    field(entry, "value", kind, type_)
    field(message, name, Field.TYPE_MESSAGE, f".t.{message.name}.{name.title()}Entry", repeated=True)


def build(file: FileDescriptorProto) -> Any:
    files = {each: descriptors.well_known(each) for each in file.dependency}
    return descriptors.pool({file.name: file, **files}, "it")


@pytest.fixture
def file() -> FileDescriptorProto:
    return FileDescriptorProto(name="t.proto", package="t", syntax="proto3")


def test_every_kind_of_field(file: FileDescriptorProto) -> None:
    file.dependency.extend(
        f"google/protobuf/{each}.proto" for each in ("timestamp", "duration", "any", "field_mask", "wrappers")
    )
    color = file.enum_type.add(name="Color")
    for number, name in enumerate(("COLOR_UNSPECIFIED", "RED", "BLUE")):
        color.value.add(name=name, number=number)
    inner = file.message_type.add(name="Inner")
    field(inner, "label", Field.TYPE_STRING)
    whole = file.message_type.add(name="Whole")
    for name, kind in KINDS.items():
        field(whole, name, kind)
    field(whole, "color", Field.TYPE_ENUM, ".t.Color")
    field(whole, "tags", Field.TYPE_STRING, repeated=True)
    field(whole, "inners", Field.TYPE_MESSAGE, ".t.Inner", repeated=True)
    mapping(whole, "counts", Field.TYPE_INT32)
    mapping(whole, "parts", Field.TYPE_MESSAGE, ".t.Inner")
    for name, type_ in (
        ("at", "Timestamp"),
        ("span", "Duration"),
        ("anything", "Any"),
        ("update_mask", "FieldMask"),
        ("wrapped", "Int64Value"),
    ):
        field(whole, name, Field.TYPE_MESSAGE, f".google.protobuf.{type_}")
    whole.oneof_decl.add(name="way")
    field(whole, "card", Field.TYPE_STRING, oneof_index=0)
    field(whole, "cash", Field.TYPE_INT32, oneof_index=0)
    descriptor = build(file).FindMessageTypeByName("t.Whole")
    data, shown = messages.example(descriptor, unknown)
    assert json.loads(shown) == {
        "name": "vallum",
        "order_id": "1",
        "email": "vallum@shop.example",
        "count": 1,
        "big": "1",
        "share": 1.5,
        "on": True,
        "data": "dmFsbHVt",
        "fixed": 1,
        "color": "RED",
        "tags": ["vallum"],
        "inners": [{"label": "vallum"}],
        "counts": {"1": 1},
        "parts": {"1": {"label": "vallum"}},
        "at": "2026-01-31T12:00:00Z",
        "span": "1s",
        "anything": {},
        "wrapped": "1",
        "card": "vallum",
    }
    assert message_factory.GetMessageClass(descriptor).FromString(data).SerializeToString(deterministic=True) == data
    assert messages.text(descriptor, data) == shown
    assert messages.text(descriptor, b"\xff\xff") == "2 bytes that cannot be read as t.Whole"
    seen, _ = messages.example(descriptor, lambda _before, name: "42" if name == "order_id" else "")
    assert message_factory.GetMessageClass(descriptor).FromString(seen).order_id == "42"


def test_what_holds_itself_ends(file: FileDescriptorProto) -> None:
    tree = file.message_type.add(name="Tree")
    for name in ("left", "right"):
        field(tree, name, Field.TYPE_MESSAGE, ".t.Tree")
    field(tree, "more", Field.TYPE_MESSAGE, ".t.Tree", repeated=True)
    mapping(tree, "named", Field.TYPE_MESSAGE, ".t.Tree")
    _, shown = messages.example(build(file).FindMessageTypeByName("t.Tree"), unknown)
    depth, most = 0, 0
    for letter in shown:
        depth += {"{": 1, "}": -1}.get(letter, 0)
        most = max(most, depth)
    assert most <= 2 * (messages.DEEPEST + 1)  # a map is a level of JSON by itself
    assert shown.count(":") <= 3 * messages.MAX_FIELDS


def test_what_must_hold_itself_cannot_be_made(file: FileDescriptorProto) -> None:
    file.syntax = "proto2"
    endless = file.message_type.add(name="Endless")
    for number in range(8):  # without a bound, 8 to the power of 16
        field(endless, f"e{number}", Field.TYPE_MESSAGE, ".t.Endless", label=Field.LABEL_REQUIRED)
    with pytest.raises(Inconclusive, match=r"no t\.Endless can be made"):
        messages.example(build(file).FindMessageTypeByName("t.Endless"), unknown)


def test_required_fields_are_filled_where_there_are_many(file: FileDescriptorProto) -> None:
    file.syntax = "proto2"
    wide = file.message_type.add(name="Wide")
    for number in range(messages.MAX_FIELDS + 50):
        field(wide, f"x{number}", Field.TYPE_STRING)
    field(wide, "must", Field.TYPE_STRING, label=Field.LABEL_REQUIRED)
    _, shown = messages.example(build(file).FindMessageTypeByName("t.Wide"), unknown)
    assert json.loads(shown)["must"] == "vallum"
    assert len(json.loads(shown)) == messages.MAX_FIELDS + 1


def test_a_message_that_a_person_gives(file: FileDescriptorProto) -> None:
    get = file.message_type.add(name="Get")
    field(get, "order_id", Field.TYPE_STRING)
    field(get, "count", Field.TYPE_INT32)
    descriptor = build(file).FindMessageTypeByName("t.Get")
    assert messages.example(descriptor, unknown, {"order_id": "7"}) == (b"\n\x017", '{"order_id": "7"}')
    for wrong in ({"nothing": 1}, {"count": "many"}):
        with pytest.raises(Inconclusive, match=r"no t\.Get can be made"):
            messages.example(descriptor, unknown, wrong)


def test_files_that_do_not_fit() -> None:
    first = FileDescriptorProto(name="a.proto", dependency=["b.proto"])
    second = FileDescriptorProto(name="b.proto", dependency=["a.proto"])
    with pytest.raises(Inconclusive, match="imports itself"):
        descriptors.pool({"a.proto": first, "b.proto": second}, "it")
    with pytest.raises(Inconclusive, match=r"does not say what is in 'b\.proto'"):
        descriptors.pool({"a.proto": first}, "it")
    wrong = FileDescriptorProto(name="a.proto", syntax="proto3")
    wrong.message_type.add(name="A").field.add(name="x", number=1, type=Field.TYPE_MESSAGE, type_name=".none.B")
    with pytest.raises(Inconclusive, match=r"'a\.proto' cannot be used"):
        descriptors.pool({"a.proto": wrong}, "it")
    with pytest.raises(Inconclusive, match="cannot be read"):
        descriptors.parsed([b"\xff\xff\xff"], "it")
    with pytest.raises(Inconclusive, match="it is no set of descriptors"):
        descriptors.in_set(b"\xff\xff\xff", "it")
    with pytest.raises(Inconclusive, match="it holds no service"):
        descriptors.in_set(b"", "it")
    assert descriptors.well_known("google/protobuf/none.proto") is None
    assert descriptors.well_known("google/protobuf/../os.proto") is None

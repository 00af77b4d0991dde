"""Messages of Protocol Buffers: one that fits a descriptor, and what one says as JSON. Needs the extra `grpc`.

Language guide of proto3 (presence, oneof, maps, enums), and its JSON mapping. Sizes are bounded: fields by MAX_FIELDS, messages
in messages by DEEPEST.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from vallum.api.model import Known
from vallum.errors import Inconclusive

DEEPEST = 4
"""Messages in messages that are filled. What is required (proto2) is filled four times as deep."""
MAX_FIELDS = 200
"""Fields that are filled of one message with all in it; four times as many where they are required."""
_UNKNOWN = re.compile(r"token|cursor|etag|mask|signature|checksum|password", re.IGNORECASE)
"""Fields whose values somebody must have given out: an empty one is left out, and fits more often than one of ours."""
_IDENTIFIER = re.compile(r"(^|_)(id|uuid|key)$|Id$", re.IGNORECASE)
_TEXTS = (
    (re.compile(r"e_?mail", re.IGNORECASE), "vallum@shop.example"),
    (re.compile(r"(url|uri|link)$", re.IGNORECASE), "https://shop.example/"),
    (re.compile(r"(^|_)(date|day)$", re.IGNORECASE), "2026-01-31"),
    (re.compile(r"(_at|time|timestamp)$", re.IGNORECASE), "2026-01-31T12:00:00Z"),
    (re.compile(r"uuid|guid", re.IGNORECASE), "00000000-0000-4000-8000-000000000001"),
    (re.compile(r"phone", re.IGNORECASE), "+15550100"),
    (re.compile(r"currency", re.IGNORECASE), "EUR"),
    (re.compile(r"country|region", re.IGNORECASE), "DE"),
    (re.compile(r"lang|locale", re.IGNORECASE), "en"),
    (_IDENTIFIER, "1"),
)
"""Values of texts by the usual names of their fields; the first that fits."""
_EMPTY = frozenset({"Any", "Struct", "Value", "ListValue", "FieldMask", "Empty"})
"""Well-known types that are valid as they are."""
_INSTANT = 1_769_860_800
"""Seconds of 2026-01-31T12:00:00Z."""


def example(descriptor: Any, known: Known, given: Mapping[str, Any] | None = None) -> tuple[bytes, str]:
    """A message that fits `descriptor`, and the same as JSON; `given` (JSON mapping) in its place. Raises Inconclusive."""
    from google.protobuf import json_format, message_factory
    from google.protobuf.message import EncodeError

    message = message_factory.GetMessageClass(descriptor)()
    try:
        if given is None:
            _Filling(known).fill(message, descriptor, 0)
        else:
            json_format.ParseDict(given, message)
        return message.SerializeToString(deterministic=True), _json(message)
    except (json_format.Error, EncodeError, RecursionError) as error:
        raise Inconclusive(f"no {descriptor.full_name} can be made: {str(error)[:200]}") from None


def text(descriptor: Any, data: bytes) -> str:
    """What a message says, as JSON; how long it is where it cannot be read, as where an Any holds what nobody described."""
    from google.protobuf import json_format, message_factory
    from google.protobuf.message import DecodeError

    try:
        return _json(message_factory.GetMessageClass(descriptor).FromString(data))
    except (json_format.Error, DecodeError, TypeError, ValueError, RecursionError):
        return f"{len(data)} bytes that cannot be read as {descriptor.full_name}"


def _json(message: Any) -> str:
    from google.protobuf import json_format

    return str(json_format.MessageToJson(message, preserving_proto_field_name=True, indent=None))


class _Filling:
    """Fills fields, in the order of the descriptor, until there are enough."""

    def __init__(self, known: Known) -> None:
        self._known = known
        self._left = MAX_FIELDS

    def fill(self, message: Any, descriptor: Any, depth: int) -> None:
        """Every field that can have a value: of a oneof the first, of a list and a map one entry."""
        package, _, name = descriptor.full_name.rpartition(".")
        if package == "google.protobuf" and self._well_known(message, name):
            return
        chosen: set[str] = set()
        for field in descriptor.fields:
            oneof = field.containing_oneof
            if oneof is not None and oneof.name in chosen:
                continue
            if self._left <= (-3 * MAX_FIELDS if field.is_required else 0):
                continue
            if not field.is_required and _UNKNOWN.search(field.name):
                continue
            self._left -= 1
            if self._set(message, field, depth) and oneof is not None:
                chosen.add(oneof.name)

    def _set(self, message: Any, field: Any, depth: int) -> bool:
        """Give a field a value; whether it got one."""
        inner = field.message_type
        if inner is None:
            value = self._scalar(field)
            if field.is_repeated:
                getattr(message, field.name).append(value)
            else:
                setattr(message, field.name, value)
            return True
        if depth >= (4 * DEEPEST if field.is_required else DEEPEST):
            return False
        if inner.GetOptions().map_entry:
            key, value = inner.fields_by_name["key"], inner.fields_by_name["value"]
            entries = getattr(message, field.name)
            name = self._scalar(key)
            if value.message_type is None:
                entries[name] = self._scalar(value)
            else:
                self.fill(entries[name], value.message_type, depth + 1)
            return True
        made = getattr(message, field.name)
        if field.is_repeated:
            made = made.add()
        else:
            made.SetInParent()
        self.fill(made, inner, depth + 1)
        return True

    def _scalar(self, field: Any) -> Any:
        if field.enum_type is not None:
            values = [value.number for value in field.enum_type.values]
            return next((number for number in values if number), values[0])  # 0 says by custom that nothing is said
        if field.cpp_type == field.CPPTYPE_BOOL:
            return True
        if field.cpp_type in {field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT}:
            return 1.5
        seen = self._known("", field.name) if _IDENTIFIER.search(field.name) else ""
        if field.type == field.TYPE_STRING:
            return seen or next((value for name, value in _TEXTS if name.search(field.name)), "vallum")
        if field.type == field.TYPE_BYTES:
            return b"vallum"
        return int(seen) if seen.isdecimal() and len(seen) < 10 else 1

    @staticmethod
    def _well_known(message: Any, name: str) -> bool:
        """Fill a type of google.protobuf; whether it is one that is filled in a way of its own."""
        if name == "Timestamp":
            message.seconds = _INSTANT
        elif name == "Duration":
            message.seconds = 1
        return name in _EMPTY or name in {"Timestamp", "Duration"}

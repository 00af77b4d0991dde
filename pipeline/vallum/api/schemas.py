"""JSON Schemas of a document: what a `$ref` leads to, `allOf` in one, and a value that fits. Bounded, whatever they say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

DEEPEST = 8
"""Nested schemas that are followed: a recursive schema must end."""
MAX_VALUES = 2_000
"""Values in one request: what a schema asks for beyond that is left out."""
NOTHING = object()
"""No example is given: None is one."""
_SHALLOW = 3
"""Levels down to which optional properties are sent too."""
_FORMATS = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "time": "12:00:00Z",
    "email": "vallum@shop.example",
    "uuid": "00000000-0000-4000-8000-000000000001",
    "uri": "https://shop.example/",
    "url": "https://shop.example/",
    "hostname": "shop.example",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "byte": "dmFsbHVt",
    "password": "vallum-Passw0rd",
}
"""Valid values for the formats of OpenAPI 3 and JSON Schema; names and addresses from the ranges reserved for documentation
(RFC 2606, RFC 5737, RFC 3849)."""


class Schemas:
    """The schemas of one document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self.document = document
        self._merged: dict[int, dict[str, Any]] = {}
        self._held: list[Any] = []
        self._open: set[int] = set()
        self._left = MAX_VALUES

    def follow(self, value: Any) -> dict[str, Any]:
        """The object, or what its `$ref` into the document leads to; an empty one for anything else."""
        for _ in range(DEEPEST):
            reference = value.get("$ref") if isinstance(value, dict) else None
            if reference is None:
                break
            if reference == "#":
                value = self.document
                continue
            if not isinstance(reference, str) or not reference.startswith("#/"):
                return {}
            value = self.document
            for part in reference[2:].split("/"):
                key = unquote(part).replace("~1", "/").replace("~0", "~")
                if isinstance(value, list):
                    value = value[int(key)] if key.isdecimal() and len(key) < 9 and int(key) < len(value) else None
                else:
                    value = value.get(key) if isinstance(value, dict) else None
        return value if isinstance(value, dict) else {}

    def merged(self, schema: Any) -> dict[str, Any]:
        """The schema with its `allOf` parts in one, and the first of `oneOf` or `anyOf`. Not to be changed.

        Raises RecursionError for one that holds itself that way. Each is put together once.
        """
        schema = self.follow(schema)
        known = self._merged.get(id(schema))
        if known is not None:
            return known
        if id(schema) in self._open:
            raise RecursionError("a schema that holds itself by allOf")
        self._open.add(id(schema))
        try:
            made = self._merge(schema)
        finally:
            self._open.discard(id(schema))
        self._held.append(schema)  # an id is one's own only for as long as the object lives
        self._merged[id(schema)] = made
        return made

    def _merge(self, schema: dict[str, Any]) -> dict[str, Any]:
        parts = [self.merged(part) for part in schema.get("allOf") or []]
        for word in ("oneOf", "anyOf"):
            options = schema.get(word)
            if isinstance(options, list) and options:
                chosen = next((o for o in options if self.follow(o).get("type") != "null"), options[0])
                parts.append(self.merged(chosen))
        if not parts:
            return schema
        merged: dict[str, Any] = {}
        for part in [*parts, {key: value for key, value in schema.items() if key not in {"allOf", "oneOf", "anyOf"}}]:
            properties = {**merged.get("properties", {}), **part.get("properties", {})}
            merged |= part
            if properties:
                merged["properties"] = properties
        return merged

    def example(self, holder: Mapping[str, Any]) -> Any:
        """The example, default or constant that a schema, parameter or media type gives; NOTHING where there is none."""
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict) and examples:
            return self.follow(next(iter(examples.values()))).get("value", NOTHING)
        if isinstance(examples, list) and examples:
            return examples[0]
        for word in ("default", "const"):
            if word in holder:
                return holder[word]
        return NOTHING

    def value(self, schema: Any) -> Any:
        """A value that fits the schema, of at most MAX_VALUES values."""
        self._left = MAX_VALUES
        return self._value(schema, 0)

    def _value(self, schema: Any, depth: int) -> Any:
        self._left -= 1
        schema = self.merged(schema)
        value = self.example(schema)
        if value is not NOTHING:
            return value
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "string")
        if kind == "object" or "properties" in schema:
            return self._object(schema, depth)
        if kind == "array":
            return [self._value(schema.get("items"), depth + 1)] if depth < DEEPEST and self._left > 0 else []
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        text = _FORMATS.get(str(schema.get("format")), "vallum")
        shortest, longest = schema.get("minLength"), schema.get("maxLength")
        if isinstance(shortest, int):
            text = text.ljust(min(shortest, 4096), "a")
        return text[:longest] if isinstance(longest, int) else text

    def _object(self, schema: dict[str, Any], depth: int) -> dict[str, Any]:
        if depth >= DEEPEST:
            return {}
        required = set(schema.get("required") or ())
        made = {}
        for name, inner in schema.get("properties", {}).items():
            if self._left <= 0:
                break
            if not self.follow(inner).get("readOnly") and (depth < _SHALLOW or name in required):
                made[name] = self._value(inner, depth + 1)
        return made


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: int | float = 1
    if isinstance(low, int | float) and not isinstance(low, bool) and value <= low:
        value = low + (1 if schema.get("exclusiveMinimum") else 0)
    if isinstance(high, int | float) and not isinstance(high, bool) and value > high:
        value = high
    return int(value) if whole else value

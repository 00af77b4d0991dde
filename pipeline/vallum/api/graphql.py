"""GraphQL: each field of Query and Mutation is an operation, a POST with a selection of bounded depth and variables by type.

The definition is SDL, an introspection's answer in a file, or the introspection of the deployed service. What needs a login is
not part of GraphQL: a field counts as secured where a directive of the usual names says so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vallum.api import sdl
from vallum.api.document import Document
from vallum.api.model import LATE, MISSHAPEN, PASSWORD, Definition, Known, Operation, Request, misshapen
from vallum.errors import Inconclusive

ENDPOINT = "/graphql"
DEEPEST = 3
"""Objects in objects that are selected, or sent."""
MAX_FIELDS = 100
"""Fields of one selection, and of one set of variables."""
_GUARD = re.compile(r"^(is|requires?)?-?_?(auth|login|role|permission|scope)", re.IGNORECASE)
_ALSO_GUARD = re.compile(r"^(authenticated|hasRole|hasPermission|hasScope|isAuthenticated|aws_.*auth|aws_cognito.*)$")
_REMOVES = re.compile(r"^(delete|remove|destroy|drop|revoke|logout)", re.IGNORECASE)
_SCALARS: dict[str, Any] = {
    "Int": 1,
    "Float": 1.5,
    "Boolean": True,
    "String": "vallum",
    "ID": "1",
    "DateTime": "2026-01-31T12:00:00Z",
    "Date": "2026-01-31",
    "Time": "12:00:00Z",
    "UUID": "00000000-0000-4000-8000-000000000001",
    "Email": "vallum@shop.example",
    "EmailAddress": "vallum@shop.example",
    "URL": "https://shop.example/",
    "URI": "https://shop.example/",
    "JSON": {},
    "JSONObject": {},
    "Upload": None,
}
"""Valid values of the scalars that the specification defines, and of custom ones by their usual names."""
_LEAVES = frozenset({"SCALAR", "ENUM"})


def belongs(document: Mapping[str, Any]) -> bool:
    """Whether a document is the answer to an introspection."""
    data = document.get("data")
    return "__schema" in document or (isinstance(data, dict) and "__schema" in data)


def of(document: Document, path: Path, root: Path) -> Definition:
    """The definition that an introspection's answer is. Raises Inconclusive."""
    del root
    try:
        return definition(sdl.introspected(document.data), path)
    except MISSHAPEN as error:
        raise misshapen(document.name, "the introspection", error) from None


def of_text(text: str, path: Path, name: str) -> Definition:
    """The definition that SDL is. Raises Inconclusive."""
    try:
        return definition(sdl.parse(text), path)
    except (ValueError, RecursionError) as error:
        raise Inconclusive(f"cannot read the API definition {name}: {str(error)[:200]}") from None


def definition(schema: sdl.Schema, path: Path, endpoint: str = ENDPOINT) -> Definition:
    """The definition of a schema whose requests go to `endpoint`."""
    operations = []
    for word in ("query", "mutation"):
        root = schema.root(word)
        for one in root.fields.values() if root is not None else ():
            if root is None or one.name.startswith("__"):
                continue
            removes = word == "mutation" and bool(_REMOVES.match(one.name))
            operations.append(
                Operation(
                    method="POST",
                    template=endpoint,
                    line=one.line,
                    secured=any(_GUARD.match(each) or _ALSO_GUARD.match(each) for each in one.directives),
                    declared=frozenset({"200"}),
                    late=removes or bool(LATE.search(one.name)),
                    login=any(PASSWORD.match(name) for name in one.arguments),
                    name=f"{root.name}.{one.name}",
                )
            )

    def build(of: Definition, operation: Operation, known: Known, prefix: str) -> Request:
        del of
        return _request(schema, operation, known, prefix)

    return Definition(path, "", "", tuple(operations), {}, "graphql", build)


def at(read: Definition, endpoint: str) -> Definition:
    """The same definition with its requests going to `endpoint`."""
    from dataclasses import replace

    return replace(read, operations=tuple(replace(each, template=endpoint) for each in read.operations))


def _request(schema: sdl.Schema, operation: Operation, known: Known, prefix: str) -> Request:
    root_name, _, field_name = operation.name.partition(".")
    one = schema.types[root_name].fields[field_name]
    word = "mutation" if schema.root("mutation") is schema.types[root_name] else "query"
    values = _Values(schema, known)
    variables = {}
    for argument in one.arguments.values():
        required = argument.type.endswith("!") and not argument.default
        if required or schema.types.get(sdl.named(argument.type), _SCALAR).kind in _LEAVES:
            variables[argument.name] = values.of(argument.type, argument.name)
    declared = ", ".join(f"${name}: {one.arguments[name].type}" for name in variables)
    passed = ", ".join(f"{name}: ${name}" for name in variables)
    selection = _Selection(schema).of(one.type)
    document = (
        f"{word} vallum{f'({declared})' if declared else ''} "
        f"{{ {one.name}{f'({passed})' if passed else ''}{f' {selection}' if selection else ''} }}"
    )
    body = json.dumps({"query": document, "variables": variables, "operationName": "vallum"}).encode()
    return Request(
        operation, prefix + operation.template, body=body, content_type="application/json", parameters=tuple(variables)
    )


_SCALAR = sdl.Type("", "SCALAR")


class _Selection:
    """Fields without required arguments, down to DEEPEST, MAX_FIELDS in all."""

    def __init__(self, schema: sdl.Schema) -> None:
        self._schema = schema
        self._left = MAX_FIELDS

    def of(self, type_: str, depth: int = 0) -> str:
        one = self._schema.types.get(sdl.named(type_), _SCALAR)
        if one.kind in _LEAVES:
            return ""
        chosen = ["__typename"]
        for each in one.fields.values():
            if self._left <= 0:
                break
            if any(a.type.endswith("!") and not a.default for a in each.arguments.values()):
                continue
            leaf = self._schema.types.get(sdl.named(each.type), _SCALAR).kind in _LEAVES
            if leaf:
                self._left -= 1
                chosen.append(each.name)
            elif depth + 1 < DEEPEST:
                self._left -= 1
                chosen.append(f"{each.name} {self.of(each.type, depth + 1)}")
        return f"{{ {' '.join(chosen)} }}"


class _Values:
    """Values that fit a type. Input objects that need themselves end at DEEPEST."""

    def __init__(self, schema: sdl.Schema, known: Known) -> None:
        self._schema = schema
        self._known = known
        self._left = MAX_FIELDS

    def of(self, type_: str, name: str, depth: int = 0) -> Any:
        self._left -= 1
        inner = type_.rstrip("!")
        if inner.startswith("["):
            return [self.of(inner[1:-1], name, depth + 1)] if depth <= DEEPEST and self._left > 0 else []
        one = self._schema.types.get(inner, _SCALAR)
        if one.kind == "ENUM":
            return one.values[0] if one.values else None
        if one.kind != "INPUT_OBJECT":
            if inner == "ID" or (inner in {"String", "Int"} and name.lower().endswith("id")):
                seen = self._known("", name)
                return int(seen) if inner == "Int" and seen.isdecimal() and len(seen) < 10 else seen or _SCALARS[inner]
            return _SCALARS.get(inner, "1")
        made: dict[str, Any] = {}
        for each in one.fields.values():
            required = each.type.endswith("!") and not each.default
            leaf = self._schema.types.get(sdl.named(each.type), _SCALAR).kind in _LEAVES
            if self._left > 0 and depth < DEEPEST and (required or leaf):
                made[each.name] = self.of(each.type, each.name, depth + 1)
        return made

"""What an OpenAPI document says of one operation beyond its request: schemas of answers, marks of administrators, links."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from vallum.api.model import Operation

DEEPEST = 8
"""References and nested schemas that are followed: a recursive schema must end."""
ADMIN = frozenset(
    {
        *("admin", "admins", "administrator", "administrators", "administration", "sysadmin", "superuser"),
        *("backoffice", "internal", "manage", "management"),
    }
)
"""Words of a path, tag, role or scope that say: for those who run the service."""
EXPOSED = frozenset(
    {"config", "configuration", "metrics", "debug", "actuator", "diagnostics", "prometheus", "heapdump"}
)
"""Words of a path that say: about the service, not of its business."""
_ROLE_KEYS = re.compile(r"^x-.*(role|permission|scope|access|audience)", re.IGNORECASE)


@dataclass(frozen=True)
class Mark:
    """Why an operation is for administrators. `declared`: the definition or the settings say so; else a word does."""

    why: str
    declared: bool
    about_service: bool = False


def words(text: str) -> set[str]:
    """`/api/isAdmin_users` → {api, is, admin, users}."""
    return set(re.split(r"[^a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower())) - {""}


def follow(document: Mapping[str, Any], value: Any) -> dict[str, Any]:
    """The object, or what its local `$ref` leads to; an empty one for anything else."""
    for _ in range(DEEPEST):
        reference = value.get("$ref") if isinstance(value, dict) else None
        if reference is None:
            break
        if not isinstance(reference, str) or not reference.startswith("#/"):
            return {}
        value = document
        for part in reference[2:].split("/"):
            key = part.replace("~1", "/").replace("~0", "~")
            value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}


@dataclass(frozen=True)
class Shape:
    """The properties of an object's schema, those of all its alternatives together. `open`: it may hold others, by its own
    words or because it declares none."""

    properties: Mapping[str, Any]
    open: bool


def shape(document: Mapping[str, Any], schema: Any, depth: int = 0) -> Shape:
    """What an object of this schema may hold. Of a list: its entries."""
    schema = follow(document, schema)
    if depth > DEEPEST:
        return Shape({}, open=True)
    if schema.get("type") == "array" or ("items" in schema and "properties" not in schema):
        return shape(document, schema.get("items"), depth + 1)
    own = schema.get("properties")
    properties: dict[str, Any] = dict(own) if isinstance(own, dict) else {}
    extra = schema.get("additionalProperties")
    loose = extra is True or (isinstance(extra, dict) and bool(extra)) or "patternProperties" in schema
    for word in ("allOf", "oneOf", "anyOf"):
        parts = schema.get(word)
        for part in parts if isinstance(parts, list) else []:
            inner = shape(document, part, depth + 1)
            properties = {**inner.properties, **properties}
            loose = loose or (inner.open and bool(inner.properties))
    return Shape(properties, loose or not properties)


def table(document: Mapping[str, Any], operation: Operation) -> dict[str, Any]:
    """The operation's own object in the document; empty for formats that have none."""
    paths = document.get("paths")
    item = follow(document, paths.get(operation.template)) if isinstance(paths, dict) else {}
    return follow(document, item.get(operation.method.lower()))


def guessed(document: Mapping[str, Any], operation: Operation) -> set[str]:
    """The optional query and header parameters of which the definition gives no value."""
    paths = document.get("paths")
    item = follow(document, paths.get(operation.template)) if isinstance(paths, dict) else {}
    entries = [*(item.get("parameters") or []), *(table(document, operation).get("parameters") or [])]
    found = set()
    for parameter in (follow(document, entry) for entry in entries):
        told = parameter.keys() | follow(document, parameter.get("schema")).keys()
        optional = parameter.get("in") in {"query", "header"} and parameter.get("required") is not True
        if optional and not told & {"example", "examples", "default", "enum", "const"}:
            found.add(str(parameter.get("name")))
    return found


def answer_schema(document: Mapping[str, Any], operation: Operation, status: int) -> Any:
    """The JSON schema of the answer with this status; None where none is declared."""
    responses = table(document, operation).get("responses")
    if not isinstance(responses, dict):
        return None
    named = {str(code): response for code, response in responses.items()}
    for code in (str(status), f"{status // 100}XX", f"{status // 100}xx", "default"):
        if code in named:
            response = follow(document, named[code])
            return response["schema"] if "schema" in response else _json_schema(response)
    return None


def body_shape(document: Mapping[str, Any], operation: Operation) -> Shape | None:
    """What the operation's JSON body may hold; None where it takes none."""
    found = table(document, operation)
    schema = _json_schema(follow(document, found.get("requestBody")))
    for entry in found.get("parameters") or []:
        parameter = follow(document, entry)
        if parameter.get("in") == "body":
            schema = parameter.get("schema")
    return None if schema is None else shape(document, schema)


def _json_schema(holder: Mapping[str, Any]) -> Any:
    content = holder.get("content")
    if not isinstance(content, dict):
        return None
    return next(
        (media.get("schema", {}) for kind, media in content.items() if "json" in kind and isinstance(media, dict)), None
    )


def mark(document: Mapping[str, Any], operation: Operation) -> Mark | None:
    """Whether, and why, the operation is for administrators."""
    found = table(document, operation)
    for key, value in found.items():
        if _ROLE_KEYS.match(str(key)) and words(_flat(value)) & ADMIN:
            return Mark(f"{key}: {_flat(value)[:60]}", declared=True)
    security = found.get("security", document.get("security"))
    for entry in security if isinstance(security, list) else []:
        for scopes in entry.values() if isinstance(entry, dict) else ():
            if words(_flat(scopes)) & ADMIN:
                return Mark(f"scope {_flat(scopes)[:60]}", declared=True)
    tags = found.get("tags")
    if words(_flat(tags)) & ADMIN:
        return Mark(f"tag {_flat(tags)[:60]}", declared=True)
    path = words(re.sub(r"\{[^}]*\}", "", operation.template))
    if path & ADMIN:
        return Mark(f"`{min(path & ADMIN)}` in its path", declared=False)
    if path & EXPOSED:
        return Mark(f"`{min(path & EXPOSED)}` in its path", declared=False, about_service=True)
    return None


def _flat(value: Any) -> str:
    if isinstance(value, list | tuple):
        return " ".join(_flat(item) for item in value)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def links(document: Mapping[str, Any], operation: Operation) -> Iterator[tuple[str, str, str]]:
    """The links of its successful answers: operationId, parameter, and the property of the answer that fills it."""
    responses = table(document, operation).get("responses")
    for code, response in responses.items() if isinstance(responses, dict) else ():
        entries = follow(document, response).get("links") if str(code).startswith("2") else None
        for entry in entries.values() if isinstance(entries, dict) else ():
            link = follow(document, entry)
            parameters = link.get("parameters")
            for name, expression in parameters.items() if isinstance(parameters, dict) else ():
                prefix, _, pointer = str(expression).partition("#/")
                if prefix == "$response.body" and "operationId" in link:
                    yield str(link["operationId"]), str(name).removeprefix("path."), pointer

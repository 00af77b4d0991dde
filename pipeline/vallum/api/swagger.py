"""Swagger (OpenAPI 2.0) as OpenAPI 3.0, so that nothing behind the reader has to know of two.

What it says is from the specification, version 2.0: consumes and produces (defaults and per operation), body and formData
parameters, collectionFormat, host, basePath and schemes, securityDefinitions, parameters and responses by reference. The
original keys stay beside the new ones, because `$ref`s lead to them (`#/definitions/Order`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vallum.api.schemas import Schemas

_METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch"})
_OF_SCHEMA = (
    *("type", "format", "items", "default", "enum", "pattern", "multipleOf", "uniqueItems", "minItems", "maxItems"),
    *("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength", "readOnly"),
)
_STYLES = {"ssv": "spaceDelimited", "pipes": "pipeDelimited"}
_FLOWS = {"accessCode": "authorizationCode", "application": "clientCredentials"}
_FORM = "application/x-www-form-urlencoded"
_MULTIPART = "multipart/form-data"


def converted(document: Mapping[str, Any]) -> dict[str, Any]:
    """The document as OpenAPI 3.0. May raise what vallum.api.model.MISSHAPEN lists."""
    schemas = Schemas(document)
    paths = document.get("paths")
    security = document.get("securityDefinitions")
    return {
        **document,
        "openapi": "3.0.3",
        "servers": [{"url": _server(document)}],
        "paths": {
            template: _item(schemas, schemas.follow(item))
            for template, item in (paths.items() if isinstance(paths, dict) else ())
        },
        "components": {
            "schemas": document.get("definitions") or {},
            "securitySchemes": {
                name: _scheme(scheme) for name, scheme in (security.items() if isinstance(security, dict) else ())
            },
        },
    }


def _server(document: Mapping[str, Any]) -> str:
    base = "/" + str(document.get("basePath") or "").strip("/")
    host = str(document.get("host") or "")
    schemes = document.get("schemes") or ["https"]
    return f"{schemes[0]}://{host}{base}" if host else base


def _scheme(scheme: Mapping[str, Any]) -> dict[str, Any]:
    if scheme.get("type") == "basic":
        return {"type": "http", "scheme": "basic"}
    if scheme.get("type") == "oauth2":
        flow = str(scheme.get("flow"))
        return {"type": "oauth2", "flows": {_FLOWS.get(flow, flow): scheme}}
    return dict(scheme)


def _item(schemas: Schemas, item: Mapping[str, Any]) -> dict[str, Any]:
    shared = list(item.get("parameters") or [])
    return {
        word: _operation(schemas, table, shared)
        for word, table in item.items()
        if word.lower() in _METHODS and isinstance(table, dict)
    }


def _operation(schemas: Schemas, table: Mapping[str, Any], shared: list[Any]) -> dict[str, Any]:
    by_place: dict[tuple[str, str], dict[str, Any]] = {}
    for entry in [*shared, *(table.get("parameters") or [])]:
        parameter = schemas.follow(entry)
        by_place[str(parameter.get("in")), str(parameter.get("name"))] = parameter
    consumes = list(table.get("consumes") or schemas.document.get("consumes") or [])
    produces = list(table.get("produces") or schemas.document.get("produces") or ["application/json"])
    made = {
        **table,
        "parameters": [_parameter(each) for (place, _), each in by_place.items() if place not in {"body", "formData"}],
        "responses": {
            code: _response(schemas.follow(response), produces)
            for code, response in (table.get("responses") or {}).items()
        },
    }
    fields = {name: each for (place, name), each in by_place.items() if place == "formData"}
    body = next((each for (place, _), each in by_place.items() if place == "body"), None)
    if fields:
        made["requestBody"] = {"content": _form(fields, consumes)}
    elif body is not None:
        media: dict[str, Any] = {"schema": body.get("schema") or {}}
        made["requestBody"] = {
            "content": dict.fromkeys(consumes or ["application/json"], media),
            "required": bool(body.get("required")),
        }
    return made


def _parameter(parameter: Mapping[str, Any]) -> dict[str, Any]:
    made = {key: parameter[key] for key in ("name", "in", "description", "required") if key in parameter}
    for word in ("x-example", "example"):
        if word in parameter:
            made["example"] = parameter[word]
    format_ = str(parameter.get("collectionFormat") or "csv")
    if parameter.get("type") == "array" and parameter.get("in") == "query":
        made |= {"style": _STYLES.get(format_, "form"), "explode": format_ == "multi"}
    return {**made, "schema": _schema(parameter)}


def _schema(parameter: Mapping[str, Any]) -> dict[str, Any]:
    schema = {key: parameter[key] for key in _OF_SCHEMA if key in parameter}
    return {"type": "string", "format": "binary"} if schema.get("type") == "file" else schema


def _form(fields: Mapping[str, Mapping[str, Any]], consumes: list[str]) -> dict[str, Any]:
    """A file can only travel as multipart; what no operation says is sent as a browser would."""
    uploads = any(each.get("type") == "file" for each in fields.values())
    wanted = [kind for kind in consumes if kind in {_FORM, _MULTIPART}] or [_FORM]
    kinds = [_MULTIPART] if uploads else wanted
    schema = {
        "type": "object",
        "properties": {name: _schema(each) for name, each in fields.items()},
        "required": [name for name, each in fields.items() if each.get("required")],
    }
    return {kind: {"schema": schema} for kind in kinds}


def _response(response: Mapping[str, Any], produces: list[str]) -> dict[str, Any]:
    made = {key: value for key, value in response.items() if key not in {"schema", "examples"}}
    if "schema" in response:
        made["content"] = {kind: {"schema": response["schema"]} for kind in produces}
    return made

"""Reading an OpenAPI definition (3.0, 3.1, and 2.0 by vallum.api.swagger): its operations, where they stand, requests."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from vallum.api import bodies, swagger
from vallum.api.bodies import text
from vallum.api.document import MAX_BYTES, Document, load
from vallum.api.model import (
    LATE,
    MISSHAPEN,
    PASSWORD,
    PLACEHOLDER,
    Definition,
    Known,
    Operation,
    Request,
    matcher,
    misshapen,
    segments,
)
from vallum.api.references import bundle
from vallum.api.schemas import NOTHING, Schemas
from vallum.errors import Inconclusive

__all__ = ["MAX_BYTES", "METHODS", "Definition", "Known", "belongs", "matcher", "of", "read"]

METHODS = ("get", "post", "put", "patch", "delete", "head", "options", "trace")
"""The methods that a path item may hold (OpenAPI 3.0.4, section 4.7.9), in the order in which they are called."""
_BODY_TYPES = ("json", "x-www-form-urlencoded", "xml", "multipart/form-data", "text/")
_DELIMITERS = {"form": ",", "spaceDelimited": " ", "pipeDelimited": "|"}
"""What joins the values of a query parameter that is not exploded (OpenAPI 3.0.4, section 4.7.12.2.1)."""


def read(path: Path, root: Path | None = None, name: str = "") -> Definition:
    """Read a definition, with the files below `root` (its own folder by default) that it refers to.

    `name` is what messages call it. Raises Inconclusive where it is none.
    """
    return of(load(path, root, name), path, root)


def belongs(document: Mapping[str, Any]) -> bool:
    """Whether a document says that it is one of OpenAPI."""
    return "openapi" in document or "swagger" in document


def of(document: Document, path: Path, root: Path | None = None) -> Definition:
    """The definition that a document is. Raises Inconclusive."""
    if not belongs(document.data):
        raise Inconclusive(f"{document.name} is no OpenAPI definition")
    data = bundle(document, path, root or path.parent)
    try:
        if "swagger" in data:
            data = swagger.converted(data)
        prefix = _prefix(data)
    except MISSHAPEN as error:
        raise misshapen(document.name, "servers", error) from None
    paths = data.get("paths")
    schemas = Schemas(data)
    operations = []
    for template, value in paths.items() if isinstance(paths, dict) else ():
        item = schemas.follow(value)
        try:
            operations += [
                _operation(schemas, template, method, item, document.lines)
                for method, word in sorted(_methods(item), key=lambda pair: METHODS.index(pair[0]))
                if isinstance(item[word], dict)
            ]
        except MISSHAPEN as error:
            raise misshapen(document.name, str(template), error) from None
    info = data.get("info")
    title = str(info.get("title", "")) if isinstance(info, dict) else ""
    return Definition(path, title, prefix, tuple(operations), data, "openapi", _request)


def _methods(item: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """The methods of a path item in small letters, and as they are written there."""
    seen = set()
    for word in item:
        method = word.lower()
        if method in METHODS and method not in seen:
            seen.add(method)
            yield method, word


def _prefix(document: Mapping[str, Any]) -> str:
    servers = document.get("servers")
    url = ""
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        url = str(servers[0].get("url") or "")
        for name, variable in (servers[0].get("variables") or {}).items():
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
    path = urlsplit(url).path.rstrip("/")
    return path if path.startswith("/") else ""


def _operation(
    schemas: Schemas, template: str, method: str, item: Mapping[str, Any], lines: Mapping[tuple[str | int, ...], int]
) -> Operation:
    word = dict(_methods(item))[method]
    table = item[word]
    security = table.get("security", schemas.document.get("security"))
    # An empty requirement object among them makes the login optional (OpenAPI 3.1, section 4.8.30).
    secured = isinstance(security, list) and bool(security) and all(bool(entry) for entry in security)
    responses = table.get("responses")
    return Operation(
        method=method.upper(),
        template=template,
        line=lines.get(("paths", template, word)) or lines.get(("paths", template), 0),
        secured=secured,
        declared=frozenset(map(str, responses)) if isinstance(responses, dict) else frozenset(),
        late=method == "delete" or bool(LATE.search(f"{template} {table.get('operationId', '')}")),
        login=any(PASSWORD.match(name) for name in _property_names(schemas, table)),
    )


def _property_names(schemas: Schemas, table: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    content = schemas.follow(table.get("requestBody")).get("content")
    for media in content.values() if isinstance(content, dict) else ():
        properties = schemas.merged(media.get("schema") if isinstance(media, dict) else None).get("properties")
        if isinstance(properties, dict):
            names.update(map(str, properties))
    names.update(str(schemas.follow(entry).get("name", "")) for entry in table.get("parameters") or [])
    return names


def _request(definition: Definition, operation: Operation, known: Known, prefix: str) -> Request:
    return _Builder(definition, operation, known).request(prefix)


class _Builder:
    def __init__(self, definition: Definition, operation: Operation, known: Known) -> None:
        self.schemas = Schemas(definition.document)
        self.operation = operation
        self.known = known
        item = self.schemas.follow(definition.document["paths"][operation.template])
        self.table: Mapping[str, Any] = item[dict(_methods(item))[operation.method.lower()]]
        by_place: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in [*(item.get("parameters") or []), *(self.table.get("parameters") or [])]:
            parameter = self.schemas.follow(entry)
            by_place[str(parameter.get("in")), str(parameter.get("name"))] = parameter
        self.parameters = by_place

    def request(self, prefix: str) -> Request:
        query: list[tuple[str, str]] = []
        headers: list[tuple[str, str]] = []
        cookies: list[str] = []
        names = []
        for (place, name), parameter in self.parameters.items():
            if place == "path":
                continue
            value = self._parameter(parameter)
            if place == "query":
                query += [(name, item) for item in _in_query(parameter, value)]
            elif place == "header" and name.lower() not in {"authorization", "content-type", "accept"}:
                headers.append((name, text(value)))
            elif place == "cookie":
                cookies.append(f"{name}={quote(text(value))}")
            names.append(name)
        if cookies:
            headers.append(("Cookie", "; ".join(cookies)))
        content = self.schemas.follow(self.table.get("requestBody")).get("content")
        body, kind = self._body(content) if isinstance(content, dict) and content else (b"", "")
        return Request(
            self.operation,
            prefix + PLACEHOLDER.sub(self._path_value, self.operation.template),
            tuple(query),
            tuple(headers),
            body,
            kind,
            segments(prefix + self.operation.template),
            tuple(names),
        )

    def _path_value(self, match: re.Match[str]) -> str:
        parameter = self.parameters.get(("path", match[1]), {})
        value = self.schemas.example(parameter)
        if value is NOTHING:
            value = self.schemas.example(self.schemas.merged(parameter.get("schema")))
        if value is NOTHING:
            value = self.known(self.operation.template[: match.start()], match[1]) or self._parameter(parameter)
        return quote(text(value), safe="") or "1"

    def _parameter(self, parameter: Mapping[str, Any]) -> Any:
        value = self.schemas.example(parameter)
        if value is not NOTHING:
            return value
        content = parameter.get("content")
        if isinstance(content, dict) and content:
            return json.dumps(self.schemas.value(next(iter(content.values())).get("schema")), default=str)
        return self.schemas.value(parameter.get("schema") or parameter)

    def _body(self, content: Mapping[str, Any]) -> tuple[bytes, str]:
        kind = next((name for word in _BODY_TYPES for name in content if word in name), next(iter(content)))
        media = content[kind] if isinstance(content[kind], dict) else {}
        value = self.schemas.example(media)
        if value is NOTHING:
            value = self.schemas.value(media.get("schema"))
        if "json" in kind:
            return bodies.as_json(value), kind
        if "urlencoded" in kind and isinstance(value, dict):
            return bodies.form(value), kind
        if "multipart" in kind and isinstance(value, dict):
            return bodies.multipart(value, self._binary(media)), f"multipart/form-data; boundary={bodies.BOUNDARY}"
        if "xml" in kind and not isinstance(value, str):
            schema = self.schemas.merged(media.get("schema"))
            root = schema.get("xml", {}).get("name") or str(media.get("schema", {}).get("$ref", "item"))
            return bodies.xml(root.rpartition("/")[2], value).encode(), kind
        return text(value).encode(), "text/plain" if kind == "*/*" else kind

    def _binary(self, media: Mapping[str, Any]) -> set[str]:
        properties = self.schemas.merged(media.get("schema")).get("properties", {})
        return {name for name, schema in properties.items() if self.schemas.follow(schema).get("format") == "binary"}


def _in_query(parameter: Mapping[str, Any], value: Any) -> list[str]:
    if not isinstance(value, list):
        return [text(value)]
    style = str(parameter.get("style") or "form")
    if style in _DELIMITERS and not parameter.get("explode", style == "form"):
        return [_DELIMITERS[style].join(map(text, value))]
    return [text(item) for item in value]

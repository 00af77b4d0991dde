"""Reading an OpenAPI definition (3.x, and 2.0 as far as it goes): its operations, where they stand, example requests."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit
from xml.sax.saxutils import escape

from vallum.api.model import Operation, Request
from vallum.errors import Inconclusive

METHODS = ("get", "post", "put", "patch", "delete", "head", "options")
MAX_BYTES = 16 << 20
DEEPEST = 8
"""Nested schemas that are followed: a recursive schema must end."""
MISSHAPEN = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What comes of a definition whose parts are of another kind than OpenAPI says: a list for a name, a number for an object."""
_LATE = re.compile(r"log-?_?out|sign-?_?out|log-?_?off|revoke|shutdown", re.IGNORECASE)
_PASSWORD = re.compile(r"^(password|passwd|pwd|secret|pin)$", re.IGNORECASE)
_PLACEHOLDER = re.compile(r"\{([^}]+)\}")
_BODY_TYPES = ("json", "x-www-form-urlencoded", "xml", "multipart/form-data", "text/")
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

Known = Callable[[str, str], str]
"""From the template's part before a path parameter and its name to a value seen in an answer, or an empty string."""


@dataclass(frozen=True)
class Definition:
    """A definition that was read. `prefix` is the path of the first server."""

    path: Path
    title: str
    prefix: str
    operations: tuple[Operation, ...]
    document: Mapping[str, Any]

    def request(self, operation: Operation, known: Known, prefix: str | None = None) -> Request:
        """The operation with the definition's examples, defaults, or values that fit its schemas."""
        try:
            return _Builder(self, operation, known).request(self.prefix if prefix is None else prefix)
        except MISSHAPEN as error:
            raise misshapen(self.path, f"{operation.method} {operation.template}", error) from None


def read(path: Path) -> Definition:
    """Read a definition. Raises Inconclusive where it is none."""
    import yaml

    try:
        data = path.read_bytes()
        if len(data) > MAX_BYTES:
            raise Inconclusive(f"{path.name} has {len(data)} bytes, more than the limit of {MAX_BYTES}")
        text = data.decode("utf-8-sig")
        document: Any = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
        lines = _lines(yaml.compose(text.replace("\t", " "), Loader=yaml.SafeLoader))
    except OSError as error:
        raise Inconclusive(f"cannot read {path.name}: {error.strerror}") from None
    except (UnicodeDecodeError, ValueError, yaml.YAMLError, RecursionError) as error:
        raise Inconclusive(f"{path.name} is no YAML or JSON: {str(error)[:200]}") from None
    if not isinstance(document, dict) or not ({"openapi", "swagger"} & document.keys()):
        raise Inconclusive(f"{path.name} is no OpenAPI definition")
    paths = document.get("paths")
    if not isinstance(paths, dict):
        paths = {}
    operations = []
    for template, value in paths.items():
        item = _follow(document, value)
        present = (method for method in METHODS if isinstance(item.get(method), dict))
        try:
            operations += [_operation(document, str(template), method, item, lines) for method in present]
        except MISSHAPEN as error:
            raise misshapen(path, str(template), error) from None
    info = document.get("info")
    title = str(info.get("title", "")) if isinstance(info, dict) else ""
    try:
        return Definition(path, title, _prefix(document), tuple(operations), document)
    except MISSHAPEN as error:
        raise misshapen(path, "servers", error) from None


def misshapen(path: Path, part: str, error: Exception) -> Inconclusive:
    """The reason where `part` of the definition is not what OpenAPI says it is."""
    said = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()[:150]
    return Inconclusive(f"{path.name}: {part[:150]} is not shaped as OpenAPI wants it ({said})")


def _lines(node: Any) -> dict[tuple[str, str], int]:
    """Where each operation stands, by template and method."""
    found: dict[tuple[str, str], int] = {}
    for key, value in _pairs(node):
        if key.value != "paths":
            continue
        for template, item in _pairs(value):
            for method, _ in _pairs(item):
                found[str(template.value), str(method.value)] = method.start_mark.line + 1
            found.setdefault((str(template.value), ""), template.start_mark.line + 1)
    return found


def _pairs(node: Any) -> Iterator[tuple[Any, Any]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        yield from ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode))


def _prefix(document: Mapping[str, Any]) -> str:
    servers = document.get("servers")
    url = ""
    if isinstance(servers, list) and servers and isinstance(servers[0], dict):
        url = str(servers[0].get("url") or "")
        for name, variable in (servers[0].get("variables") or {}).items():
            url = url.replace("{" + name + "}", str(variable.get("default", "")))
    elif "swagger" in document:
        url = str(document.get("basePath") or "")
    path = urlsplit(url).path.rstrip("/")
    return path if path.startswith("/") else ""


def _operation(
    document: Mapping[str, Any],
    template: str,
    method: str,
    item: Mapping[str, Any],
    lines: Mapping[tuple[str, str], int],
) -> Operation:
    table = item[method]
    security = table.get("security", document.get("security"))
    # An empty requirement object among them makes the login optional (OpenAPI 3.1, section 4.8.30).
    secured = isinstance(security, list) and bool(security) and all(bool(entry) for entry in security)
    responses = table.get("responses")
    return Operation(
        method=method.upper(),
        template=template,
        line=lines.get((template, method)) or lines.get((template, ""), 0),
        secured=secured,
        declared=frozenset(str(code) for code in responses) if isinstance(responses, dict) else frozenset(),
        late=method == "delete" or bool(_LATE.search(f"{template} {table.get('operationId', '')}")),
        login=any(_PASSWORD.match(name) for name in _property_names(document, table)),
    )


def _property_names(document: Mapping[str, Any], table: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    for schema in _body_schemas(document, table):
        properties = _merged(document, schema).get("properties")
        if isinstance(properties, dict):
            names.update(str(name) for name in properties)
    names.update(str(_follow(document, entry).get("name", "")) for entry in table.get("parameters") or [])
    return names


def _body_schemas(document: Mapping[str, Any], table: Mapping[str, Any]) -> Iterator[Any]:
    content = _follow(document, table.get("requestBody")).get("content")
    if isinstance(content, dict):
        yield from (media.get("schema") for media in content.values() if isinstance(media, dict))


def _follow(document: Mapping[str, Any], value: Any) -> dict[str, Any]:
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


def _merged(document: Mapping[str, Any], schema: Any, depth: int = 0) -> dict[str, Any]:
    """The schema with its `allOf` parts in one, and the first of `oneOf` or `anyOf`."""
    schema = _follow(document, schema)
    if depth > DEEPEST:
        raise RecursionError("allOf that holds itself")
    parts = [_merged(document, part, depth + 1) for part in schema.get("allOf") or []]
    for word in ("oneOf", "anyOf"):
        options = schema.get(word)
        if isinstance(options, list) and options:
            chosen = next((o for o in options if _follow(document, o).get("type") != "null"), options[0])
            parts.append(_merged(document, chosen, depth + 1))
    if not parts:
        return dict(schema)
    merged: dict[str, Any] = {}
    for part in [*parts, {key: value for key, value in schema.items() if key not in {"allOf", "oneOf", "anyOf"}}]:
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        merged |= part
        if properties:
            merged["properties"] = properties
    return merged


_NOTHING = object()


class _Builder:
    def __init__(self, definition: Definition, operation: Operation, known: Known) -> None:
        self.document = definition.document
        self.operation = operation
        self.known = known
        item = _follow(self.document, self.document["paths"][operation.template])
        self.table: Mapping[str, Any] = item[operation.method.lower()]
        by_place: dict[tuple[str, str], dict[str, Any]] = {}
        for entry in [*(item.get("parameters") or []), *(self.table.get("parameters") or [])]:
            parameter = _follow(self.document, entry)
            by_place[str(parameter.get("in")), str(parameter.get("name"))] = parameter
        self.parameters = by_place

    def request(self, prefix: str) -> Request:
        path = prefix + _PLACEHOLDER.sub(self._path_value, self.operation.template)
        segments = []
        for number, part in enumerate((prefix + self.operation.template).split("/")[1:], 1):
            placeholder = _PLACEHOLDER.search(part)
            if placeholder:
                segments.append((number, placeholder[1]))
        query: list[tuple[str, str]] = []
        headers: list[tuple[str, str]] = []
        cookies: list[str] = []
        form: dict[str, Any] = {}
        names = []
        body: tuple[bytes, str] = (b"", "")
        for (place, name), parameter in self.parameters.items():
            if place == "body":
                body = _json(self._value(parameter.get("schema"))), "application/json"
                continue
            if place == "path":
                continue
            value = self._parameter(parameter)
            if place == "query":
                query += [(name, item) for item in _texts(value)]
            elif place == "header" and name.lower() not in {"authorization", "content-type", "accept"}:
                headers.append((name, _text(value)))
            elif place == "cookie":
                cookies.append(f"{name}={quote(_text(value))}")
            elif place == "formData":
                form[name] = value
            names.append(name)
        if cookies:
            headers.append(("Cookie", "; ".join(cookies)))
        if form:
            body = (
                urlencode({name: _text(value) for name, value in form.items()}).encode(),
                "application/x-www-form-urlencoded",
            )
        content = _follow(self.document, self.table.get("requestBody")).get("content")
        if isinstance(content, dict) and content:
            body = self._body(content)
        return Request(
            self.operation, path, tuple(query), tuple(headers), body[0], body[1], tuple(segments), tuple(names)
        )

    def _path_value(self, match: re.Match[str]) -> str:
        parameter = self.parameters.get(("path", match[1]), {})
        value = self._example(parameter)
        if value is _NOTHING:
            value = self._example(_merged(self.document, parameter.get("schema")))
        if value is _NOTHING:
            value = self.known(self.operation.template[: match.start()], match[1]) or self._parameter(parameter)
        return quote(_text(value), safe="") or "1"

    def _parameter(self, parameter: Mapping[str, Any]) -> Any:
        value = self._example(parameter)
        if value is not _NOTHING:
            return value
        content = parameter.get("content")
        if isinstance(content, dict) and content:
            return json.dumps(self._value(next(iter(content.values())).get("schema")), default=str)
        return self._value(parameter.get("schema") or parameter)

    def _body(self, content: Mapping[str, Any]) -> tuple[bytes, str]:
        kind = next((name for word in _BODY_TYPES for name in content if word in name), next(iter(content)))
        media = content[kind] if isinstance(content[kind], dict) else {}
        value = self._example(media)
        if value is _NOTHING:
            value = self._value(media.get("schema"))
        if "json" in kind:
            return _json(value), kind
        if "urlencoded" in kind and isinstance(value, dict):
            return urlencode({name: _text(item) for name, item in value.items()}).encode(), kind
        if "multipart" in kind and isinstance(value, dict):
            return _multipart(value, self._binary(media)), "multipart/form-data; boundary=vallum-boundary"
        if "xml" in kind and not isinstance(value, str):
            schema = _merged(self.document, media.get("schema"))
            root = schema.get("xml", {}).get("name") or str(
                _follow(self.document, media).get("schema", {}).get("$ref", "item")
            )
            return _xml(root.rpartition("/")[2], value).encode(), kind
        return _text(value).encode(), "text/plain" if kind == "*/*" else kind

    def _binary(self, media: Mapping[str, Any]) -> set[str]:
        properties = _merged(self.document, media.get("schema")).get("properties", {})
        return {name for name, schema in properties.items() if _follow(self.document, schema).get("format") == "binary"}

    def _example(self, holder: Mapping[str, Any]) -> Any:
        if "example" in holder:
            return holder["example"]
        examples = holder.get("examples")
        if isinstance(examples, dict) and examples:
            first = _follow(self.document, next(iter(examples.values())))
            return first.get("value", _NOTHING)
        if isinstance(examples, list) and examples:
            return examples[0]
        for word in ("default", "const"):
            if word in holder:
                return holder[word]
        return _NOTHING

    def _value(self, schema: Any, depth: int = 0) -> Any:
        schema = _merged(self.document, schema)
        value = self._example(schema)
        if value is not _NOTHING:
            return value
        if isinstance(schema.get("enum"), list) and schema["enum"]:
            return schema["enum"][0]
        kind = schema.get("type")
        if isinstance(kind, list):
            kind = next((name for name in kind if name != "null"), "string")
        if kind == "object" or "properties" in schema:
            if depth >= DEEPEST:
                return {}
            required = set(schema.get("required") or ())
            return {
                name: self._value(inner, depth + 1)
                for name, inner in schema.get("properties", {}).items()
                if not _follow(self.document, inner).get("readOnly") and (depth < 3 or name in required)
            }
        if kind == "array":
            return [self._value(schema.get("items"), depth + 1)] if depth < DEEPEST else []
        if kind in {"integer", "number"}:
            return _number(schema, whole=kind == "integer")
        if kind == "boolean":
            return True
        text = _FORMATS.get(str(schema.get("format")), "vallum")
        shortest, longest = schema.get("minLength"), schema.get("maxLength")
        if isinstance(shortest, int):
            text = text.ljust(min(shortest, 4096), "a")
        return text[:longest] if isinstance(longest, int) else text


def _number(schema: Mapping[str, Any], *, whole: bool) -> int | float:
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    high = schema.get("maximum", schema.get("exclusiveMaximum"))
    value: int | float = 1
    if isinstance(low, int | float) and not isinstance(low, bool) and value <= low:
        value = low + (1 if schema.get("exclusiveMinimum") else 0)
    if isinstance(high, int | float) and not isinstance(high, bool) and value > high:
        value = high
    return int(value) if whole else value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, default=str)
    return "" if value is None else str(value)


def _texts(value: Any) -> list[str]:
    return [_text(item) for item in value] if isinstance(value, list) else [_text(value)]


def _json(value: Any) -> bytes:
    return json.dumps(value, default=str).encode()


def _multipart(values: Mapping[str, Any], files: set[str]) -> bytes:
    lines = []
    for name, value in values.items():
        extra = '; filename="vallum.txt"\r\nContent-Type: text/plain' if name in files else ""
        lines.append(
            f'--vallum-boundary\r\nContent-Disposition: form-data; name="{name}"{extra}\r\n\r\n{_text(value)}\r\n'
        )
    return ("".join(lines) + "--vallum-boundary--\r\n").encode()


def _xml(name: str, value: Any) -> str:
    if isinstance(value, dict):
        return f"<{name}>{''.join(_xml(key, item) for key, item in value.items())}</{name}>"
    if isinstance(value, list):
        return "".join(_xml(name, item) for item in value)
    return f"<{name}>{escape(_text(value))}</{name}>"


def matcher(prefix: str, template: str) -> re.Pattern[str]:
    """A pattern for the escaped paths of the operation: a placeholder stands for one segment or part of one."""
    parts = re.split(r"\{[^}]+\}", prefix + template)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))

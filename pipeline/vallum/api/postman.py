"""Postman collections 2.1 (and 2.0): folders, variables, authorization by inheritance, bodies of every mode."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from vallum.api import recorded
from vallum.api.document import Document, Place
from vallum.api.model import MISSHAPEN, Definition, misshapen

_VARIABLE = re.compile(r"\{\{\s*([^{}]+?)\s*\}\}")
_DYNAMIC = {
    "$guid": "00000000-0000-4000-8000-000000000001",
    "$randomUUID": "00000000-0000-4000-8000-000000000001",
    "$timestamp": "1769860800",
    "$isoTimestamp": "2026-01-31T12:00:00Z",
    "$randomInt": "1",
    "$randomEmail": "vallum@shop.example",
}
"""What Postman makes up anew for each request; the rest of them become `vallum`."""
_ORIGIN = re.compile(r"^(?:[a-z][a-z0-9+.-]*:)?//[^/?#]*", re.IGNORECASE)


def belongs(document: Mapping[str, Any]) -> bool:
    """Whether a document is a collection of Postman."""
    info = document.get("info")
    return isinstance(document.get("item"), list) and isinstance(info, dict) and "getpostman" in str(info.get("schema"))


def of(document: Document, path: Path, root: Path) -> Definition:
    """The definition that a collection is. Raises Inconclusive."""
    del root
    try:
        collection = _Collection(document)
        found = recorded.operations(collection.requests())
        title = str(document.data["info"].get("name") or "")
    except MISSHAPEN as error:
        raise misshapen(document.name, "item", error) from None
    return Definition(path, title, "", tuple(found), {}, "postman", recorded.build(found))


class _Collection:
    def __init__(self, document: Document) -> None:
        self.document = document
        self.variables = _pairs(document.data.get("variable"))
        self.lines = recorded.Lines(document)

    def requests(self) -> Iterator[recorded.Recorded]:
        yield from self._items(self.document.data["item"], ("item",), self.document.data.get("auth"))

    def _items(self, items: list[Any], place: Place, auth: Any) -> Iterator[recorded.Recorded]:
        for number, item in enumerate(items):
            here = (*place, number)
            own = item.get("auth") or auth
            if isinstance(item.get("item"), list):
                yield from self._items(item["item"], (*here, "item"), own)
            elif item.get("request") is not None:
                yield self._request(item, self.lines.at(here), own)

    def _request(self, item: Mapping[str, Any], line: int, auth: Any) -> recorded.Recorded:
        asked = item["request"]
        if isinstance(asked, str):
            asked = {"method": "GET", "url": asked}
        path, query, values = self._url(asked.get("url") or "")
        own = asked.get("auth") or auth
        body, content_type = self._body(asked)
        responses = item.get("response") or []
        codes = {str(each["code"]) for each in responses if isinstance(each, dict) and each.get("code")}
        return recorded.Recorded(
            method=str(asked.get("method") or "GET").upper(),
            path=path,
            line=line,
            secured=isinstance(own, dict) and own.get("type") not in {None, "noauth"},
            statuses=frozenset(codes),
            query=recorded.query_of(query),
            body=body,
            content_type=content_type,
            values=values,
        )

    def _fill(self, text: str, depth: int = 0) -> str:
        """With the collection's variables; one without a value stays, as a parameter."""

        def value(match: re.Match[str]) -> str:
            name = match[1]
            if name.startswith("$"):
                return _DYNAMIC.get(name, recorded.STAND_IN)
            known = self.variables.get(name, "")
            return self._fill(known, depth + 1) if known and depth < 5 else match[0]

        return _VARIABLE.sub(value, text)

    def _url(self, url: Any) -> tuple[str, list[tuple[str, str]], dict[str, str]]:
        table = url if isinstance(url, dict) else {"raw": url}
        raw = self._fill(str(table.get("raw") or ""))
        if not raw and table.get("path"):
            path = table["path"]
            raw = "/" + "/".join(self._fill(str(p)) for p in path) if isinstance(path, list) else self._fill(str(path))
        # `{{base}}/orders`: what has no value stands for the origin.
        raw = _ORIGIN.sub("", re.sub(r"^(?:[a-z]+://)?\{\{[^{}]*\}\}(:\d+)?", "", raw))
        if not raw.startswith("/"):
            raw = f"/{raw.partition('/')[2]}" if not raw.startswith("?") else f"/{raw}"
        parts = urlsplit("http://host" + raw)
        given = _pairs(table.get("variable"))
        names = {name: self._fill(value) for name, value in given.items()}
        segments, values = [], {}
        for part in parts.path.split("/"):
            variable = _VARIABLE.fullmatch(part)
            name = part[1:] if part.startswith(":") and len(part) > 1 else (variable[1] if variable else "")
            name = re.sub(r"[^\w-]", "_", name)
            segments.append("{" + name + "}" if name else part)
            if name and names.get(name):
                values[name] = names[name]
        template, found = recorded.template_of("/".join(segments))
        query = [
            (name, _VARIABLE.sub(recorded.STAND_IN, value))
            for name, value in parse_qsl(parts.query, keep_blank_values=True, max_num_fields=1000)
        ]
        if isinstance(table.get("query"), list):
            query = [(name, self._plain(value)) for name, value in _listed(table["query"])]
        return template, query, {**found, **values}

    def _plain(self, text: str) -> str:
        """Filled, and what has no value replaced."""
        return _VARIABLE.sub(recorded.STAND_IN, self._fill(text))

    def _body(self, asked: Mapping[str, Any]) -> tuple[bytes, str]:
        body = asked.get("body")
        mode = body.get("mode") if isinstance(body, dict) else None
        if not isinstance(body, dict) or not mode:
            return b"", ""
        if mode == "raw":
            headers = {name.lower(): value for name, value in _listed(asked.get("header"))}
            language = ((body.get("options") or {}).get("raw") or {}).get("language")
            kind = headers.get("content-type") or ("application/json" if language == "json" else "")
            return recorded.body_of(self._plain(str(body.get("raw") or "")), kind)
        if mode in {"urlencoded", "formdata"}:
            # A form's files are left out, so that a plain form can carry the rest.
            pairs = [(name, self._plain(value)) for name, value in _listed(body.get(mode))]
            return recorded.form_of(pairs), "application/x-www-form-urlencoded"
        if mode == "graphql":
            inner = body.get("graphql") or {}
            variables = json.loads(self._plain(str(inner.get("variables") or "{}")) or "{}")
            made = {"query": str(inner.get("query") or ""), "variables": recorded.without_secrets(variables)}
            return json.dumps(made).encode(), "application/json"
        return b"", ""


def _pairs(entries: Any) -> dict[str, str]:
    return dict(_listed(entries))


def _listed(entries: Any) -> list[tuple[str, str]]:
    """`[{"key": …, "value": …}]` without what is disabled or a file."""
    return [
        (str(each.get("key") or each.get("id")), "" if each.get("value") is None else str(each["value"]))
        for each in entries or []
        if isinstance(each, dict) and not each.get("disabled") and each.get("type") != "file"
    ]

"""CycloneDX JSON: its components as packages, and several documents as one for the report."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from vallum.advisories.ecosystems import Query, of_purl
from vallum.errors import Inconclusive


class Component(NamedTuple):
    """A package of a bill of materials. `query` is None where OSV has no such ecosystem; `paths` say where it was found."""

    name: str
    version: str
    purl: str
    query: Query | None
    paths: tuple[str, ...]


class Bill(NamedTuple):
    """A bill of materials: packages with a package-url, and how many components had none (files, the system itself)."""

    components: tuple[Component, ...]
    others: int
    tool: str


class _Property(msgspec.Struct, frozen=True):
    name: str = ""
    value: str = ""


class _Component(msgspec.Struct, frozen=True):
    type: str
    name: str
    version: str = ""
    purl: str = ""
    properties: tuple[_Property, ...] = ()


class _Bom(msgspec.Struct, frozen=True, rename="camel"):
    bom_format: str
    spec_version: str
    components: tuple[_Component, ...] = ()
    metadata: dict[str, Any] = {}


def read(data: bytes) -> Bill:
    """Read CycloneDX JSON. Raises Inconclusive where it is none, or holds a package-url that cannot be parsed."""
    try:
        bom = msgspec.json.decode(data, type=_Bom, strict=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Inconclusive(f"the bill of materials is no CycloneDX JSON: {error}") from None
    if bom.bom_format != "CycloneDX":
        raise Inconclusive(f"the bill of materials is {bom.bom_format[:40]!r}, not CycloneDX")
    found = []
    for one in bom.components:
        if not one.purl:
            continue
        try:
            query = of_purl(one.purl)
        except ValueError as error:
            raise Inconclusive(f"the bill of materials holds a broken package-url: {error}") from None
        paths = tuple(
            p.value for p in one.properties if p.name.startswith("syft:location:") and p.name.endswith(":path")
        )
        found.append(Component(one.name, one.version, one.purl, query, paths))
    return Bill(tuple(found), len(bom.components) - len(found), _tool(bom.metadata))


def _tool(metadata: dict[str, Any]) -> str:
    tools = metadata.get("tools")
    components = tools.get("components") if isinstance(tools, dict) else None
    first = components[0] if isinstance(components, list) and components else None
    if not isinstance(first, dict):
        return ""
    return f"{first.get('name', '')} {first.get('version', '')}".strip()


def ecosystems(bill: Bill) -> Counter[str]:
    """How many packages of each OSV ecosystem (with release)."""
    return Counter(one.query.ecosystem for one in bill.components if one.query is not None)


def merge(sboms: Sequence[bytes]) -> bytes:
    """One CycloneDX document of several, the same for the same input: components once by package-url, sorted.

    The subjects (images, folders) become components of type as they were, with what they contain under `dependencies`.
    Raises Inconclusive where one is not CycloneDX. The newest `specVersion` among them is kept; no time and no serial
    number is written, so that equal inputs give equal bytes.
    """
    documents = [_document(data) for data in sboms]
    components: dict[str, dict[str, Any]] = {}
    edges: dict[str, set[str]] = {}
    tools: dict[str, dict[str, Any]] = {}
    for document in documents:
        metadata = document.get("metadata") or {}
        for tool in (
            (metadata.get("tools") or {}).get("components", []) if isinstance(metadata.get("tools"), dict) else []
        ):
            tools[f"{tool.get('name')}@{tool.get('version')}"] = tool
        subject = metadata.get("component")
        root = ""
        if isinstance(subject, dict):
            root = _reference(subject)
            components.setdefault(root, subject | {"bom-ref": root})
            edges.setdefault(root, set())
        renamed: dict[str, str] = {}
        for one in document.get("components", []):
            key = _reference(one)
            renamed[str(one.get("bom-ref", key))] = key
            components.setdefault(key, one | {"bom-ref": key})
            if root:
                edges[root].add(key)
        for line in document.get("dependencies", []):
            at = renamed.get(str(line.get("ref")))
            if at is not None:
                edges.setdefault(at, set()).update(renamed[d] for d in line.get("dependsOn", []) if d in renamed)
    merged = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": max((str(document.get("specVersion", "1.6")) for document in documents), default="1.6"),
        "version": 1,
        "metadata": {"tools": {"components": [tools[key] for key in sorted(tools)]}},
        "components": [components[key] for key in sorted(components)],
        "dependencies": [{"ref": key, "dependsOn": sorted(edges[key])} for key in sorted(edges)],
    }
    return msgspec.json.format(msgspec.json.encode(merged), indent=1)


def _document(data: bytes) -> dict[str, Any]:
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Inconclusive(f"a bill of materials is no JSON: {error}") from None
    if document.get("bomFormat") != "CycloneDX":
        raise Inconclusive("a bill of materials is not CycloneDX")
    return document


def _reference(component: dict[str, Any]) -> str:
    """A name that is the same in every document: the package-url, else type, name and version."""
    purl = component.get("purl")
    if purl:
        return str(purl)
    return "/".join(str(component.get(key, "")) for key in ("type", "name", "version")).rstrip("/")

"""The formats of API definitions: which one a service's file is, and the one reader for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vallum.api import document, graphql, grpc, har, openapi, postman
from vallum.api.model import Definition
from vallum.environments import ApiDefinition, StagedService
from vallum.errors import Inconclusive
from vallum.target import OPENAPI_NAMES, Target

MAX_OPERATIONS = 10_000
"""Operations of one service. The largest definition that we know has 1,100."""


@dataclass(frozen=True)
class Format:
    """A format of YAML or JSON: whether a document is one, and the definition that it is (raises Inconclusive)."""

    belongs: Callable[[Mapping[str, Any]], bool]
    of: Callable[[document.Document, Path, Path], Definition]


@dataclass(frozen=True)
class Language:
    """A format with a language of its own, known by its files' names; its other files may be documents (`written`)."""

    suffixes: tuple[str, ...]
    of: Callable[[str, Path, str], Definition]
    written: Format | None = None


FORMATS: Mapping[str, Format | Language] = {
    "openapi": Format(openapi.belongs, openapi.of),
    "graphql": Language(
        (".graphql", ".graphqls", ".gql", ".sdl"), graphql.of_text, Format(graphql.belongs, graphql.of)
    ),
    "grpc": Language((".proto",), grpc.of_text),
    "postman": Format(postman.belongs, postman.of),
    "har": Format(har.belongs, har.of),
}
"""One line for a new format. The name is what `definition = { kind = … }` says."""


def find(target: Target, service: StagedService) -> str:
    """The file that defines a staged service's API, relative to the target's root; empty where there is none."""
    folder = "" if service.directory.strip("/") in ("", ".") else service.directory.strip("/").removeprefix("./") + "/"
    if service.definition is not None:
        return folder + service.definition.file if service.definition.file else ""
    if service.openapi:
        return folder + service.openapi
    present = frozenset(target.files)
    return next((folder + name for name in OPENAPI_NAMES if folder + name in present), "")


def is_rpc(target: Target, service: StagedService) -> bool:
    """Whether a staged service declares gRPC, which few checks can call."""
    wanted = service.definition
    said = wanted.kind if wanted is not None else ""
    return said == "grpc" or (not said and find(target, service).lower().endswith(".proto"))


def defined(target: Target, service: StagedService) -> bool:
    """Whether a staged service's operations can be known, from a file or by asking it, and called over HTTP/1.1."""
    asked = service.definition is not None and service.definition.kind == "graphql"
    return asked or (bool(find(target, service)) and not is_rpc(target, service))


def read(target: Target, path: str, wanted: ApiDefinition | None = None) -> Definition:
    """Read the file `path` of the target. What `wanted` does not say, its content tells.

    Raises Inconclusive where it cannot be read, has no operation, or refers to another host.
    """
    wanted = wanted or ApiDefinition()
    found = _read(target.root / path, target.root, path, wanted)
    if found.kind == "graphql":
        found = graphql.at(found, wanted.endpoint or graphql.ENDPOINT)
    if found.kind == "grpc":
        found = grpc.guarded(found, wanted.public)
    if not found.operations and not found.unsupported:
        raise Inconclusive(f"the API definition {path} declares no operation")
    if len(found.operations) + len(found.unsupported) > MAX_OPERATIONS:
        raise Inconclusive(f"the API definition {path} declares over {MAX_OPERATIONS} operations")
    return found


def _read(file: Path, root: Path, name: str, wanted: ApiDefinition) -> Definition:
    suffix = PurePosixPath(name).suffix.lower()
    for kind, each in FORMATS.items():
        if isinstance(each, Language) and suffix in each.suffixes and wanted.kind in {"", kind}:
            return each.of(document.content(file, root, name), file, name)
    loaded = document.load(file, root, name)
    for kind, each in FORMATS.items():
        written = each.written if isinstance(each, Language) else each
        if written is None or (wanted.kind and kind != wanted.kind) or not written.belongs(loaded.data):
            continue
        if kind == "har":
            return har.of(loaded, file, root, wanted.origin)
        return written.of(loaded, file, root)
    kinds = wanted.kind or ", ".join(FORMATS)
    raise Inconclusive(f"{name} is no API definition of a kind that was looked for: {kinds}")

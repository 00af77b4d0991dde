"""The formats of API definitions: which one a service's file is, and the one reader for all of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from vallum.api import document, openapi
from vallum.api.model import Definition
from vallum.environments import StagedService
from vallum.errors import Inconclusive
from vallum.target import OPENAPI_NAMES, Target


@dataclass(frozen=True)
class Format:
    """A format of YAML or JSON: whether a document is one, and the definition that it is (raises Inconclusive)."""

    belongs: Callable[[Mapping[str, Any]], bool]
    of: Callable[[document.Document, Path, Path], Definition]


@dataclass(frozen=True)
class Language:
    """A format with a language of its own, known by its files' names."""

    suffixes: tuple[str, ...]
    of: Callable[[str, Path, str], Definition]


FORMATS: Mapping[str, Format | Language] = {
    "openapi": Format(openapi.belongs, openapi.of),
}
"""One line for a new format. The name is what `definition = { kind = … }` says."""


def find(target: Target, service: StagedService) -> str:
    """The file that defines a staged service's API, relative to the target's root; empty where there is none."""
    folder = "" if service.directory.strip("/") in ("", ".") else service.directory.strip("/").removeprefix("./") + "/"
    if service.openapi:
        return folder + service.openapi
    present = frozenset(target.files)
    return next((folder + name for name in OPENAPI_NAMES if folder + name in present), "")


def read(target: Target, path: str, kind: str = "") -> Definition:
    """Read the file `path` of the target; without a `kind` its content tells.

    Raises Inconclusive where it cannot be read, has no operation, or refers to another host.
    """
    found = _read(target.root / path, target.root, path, kind)
    if not found.operations:
        raise Inconclusive(f"the API definition {path} declares no operation")
    return found


def _read(file: Path, root: Path, name: str, kind: str) -> Definition:
    suffix = PurePosixPath(name).suffix.lower()
    chosen = FORMATS.get(kind)
    language = chosen or next(
        (each for each in FORMATS.values() if isinstance(each, Language) and suffix in each.suffixes), None
    )
    if isinstance(language, Language):
        return language.of(document.content(file, root, name), file, name)
    loaded = document.load(file, root, name)
    if isinstance(chosen, Format):
        return chosen.of(loaded, file, root)
    for each in FORMATS.values():
        if isinstance(each, Format) and each.belongs(loaded.data):
            return each.of(loaded, file, root)
    raise Inconclusive(f"{name} is no API definition of a kind that is known: {', '.join(FORMATS)}")

"""A service's API definition: which operations it declares, and on which line each stands."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vallum import artifacts
from vallum.environments import StagedService
from vallum.errors import Inconclusive
from vallum.target import OPENAPI_NAMES, Target

if TYPE_CHECKING:
    import yaml

METHODS = frozenset({"get", "put", "post", "delete", "options", "head", "patch", "trace"})
"""The methods that a path item of OpenAPI 3 may hold (3.0.4, section 4.7.9)."""
MAX_SIZE = 16 << 20
_REMOTE = re.compile(rb"""\$ref["']?\s*:\s*["']?(?:https?:)?//""")


@dataclass(frozen=True)
class Definition:
    """`path` is relative to the target's root; `operations` maps (METHOD, path) to its line, from 1."""

    path: str
    file: Path
    operations: dict[tuple[str, str], int]


def find(target: Target, service: StagedService) -> str:
    """The definition of a staged service, relative to the target's root; empty where there is none."""
    folder = "" if service.directory.strip("/") in ("", ".") else service.directory.strip("/").removeprefix("./") + "/"
    if service.openapi:
        return folder + service.openapi
    present = frozenset(target.files)
    return next((folder + name for name in OPENAPI_NAMES if folder + name in present), "")


def read(target: Target, path: str) -> Definition:
    """Read the definition. Raises Inconclusive where it cannot be read, has no operation, or refers to another host."""
    import yaml

    try:
        content = artifacts.read(target.root / path, MAX_SIZE)
        root = yaml.compose(content.decode("utf-8-sig"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise Inconclusive(f"cannot read the API definition {path}: {str(error).splitlines()[0][:200]}") from None
    if _REMOTE.search(content):
        raise Inconclusive(f"the API definition {path} refers to another host, which is never asked: bundle it")
    operations = {
        (method.value.upper(), address.value): method.start_mark.line + 1
        for address, item in _pairs(_child(root, "paths"))
        for method, _ in _pairs(item)
        if method.value.lower() in METHODS
    }
    if not operations:
        raise Inconclusive(f"the API definition {path} declares no operation")
    return Definition(path, target.root / path, operations)


def _pairs(node: yaml.Node | None) -> Iterator[tuple[yaml.ScalarNode, yaml.Node]]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield key, value


def _child(node: yaml.Node | None, name: str) -> yaml.Node | None:
    return next((value for key, value in _pairs(node) if key.value == name), None)

"""What every format of API definition is read into: its operations, and requests that fit them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vallum.errors import Inconclusive

Known = Callable[[str, str], str]
"""From the template's part before a path parameter and its name to a value seen in an answer, or an empty string."""
MISSHAPEN = (AttributeError, IndexError, KeyError, OverflowError, RecursionError, TypeError, ValueError)
"""What comes of a definition whose parts are of another kind than its format says: a list for a name, a number for an object."""
LATE = re.compile(r"log-?_?out|sign-?_?out|log-?_?off|revoke|shutdown", re.IGNORECASE)
"""Names of operations that end the login or the service: they are called last."""
PASSWORD = re.compile(r"^(password|passwd|pwd|secret|pin)$", re.IGNORECASE)
"""Names of fields that make an operation a login."""
PLACEHOLDER = re.compile(r"\{([^}]+)\}")


@dataclass(frozen=True)
class Operation:
    """One operation of an API definition. `template` is its path with placeholders, without the servers' prefix;
    `line` counts from 1 (0: unknown). `name` tells apart what shares method and path, such as GraphQL's fields.
    `unsupported` says why no request can be made of it; empty: one can."""

    method: str
    template: str
    line: int
    secured: bool
    declared: frozenset[str]
    late: bool = False
    login: bool = False
    name: str = ""
    unsupported: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.template}{f' {self.name}' if self.name else ''}"


@dataclass(frozen=True)
class Request:
    """An operation with example values. `path` begins with the servers' prefix and is percent-encoded; `segments` maps the
    number of a path segment (from 1) to its parameter. `shown` says what a body is that is no text."""

    operation: Operation
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""
    segments: tuple[tuple[int, str], ...] = ()
    parameters: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True)
class Definition:
    """A definition that was read, of whatever format. `prefix` is the path of the first server.

    `document` is an OpenAPI 3 document without references to other files, whatever the file was written in; for formats that
    have no schemas it is empty, and a check that needs schemas says so. `kind` names the format. `unsupported` are declared too,
    and cannot be called; `notes` say what of the file was left out. `decode` makes a text of an answer that is none.
    """

    path: Path
    title: str
    prefix: str
    operations: tuple[Operation, ...]
    document: Mapping[str, Any] = field(repr=False)
    kind: str
    build: Callable[[Definition, Operation, Known, str], Request] = field(repr=False)
    unsupported: tuple[Operation, ...] = ()
    notes: tuple[str, ...] = ()
    decode: Callable[[Operation, bytes], str] | None = field(repr=False, default=None)

    def request(self, operation: Operation, known: Known, prefix: str | None = None) -> Request:
        """The operation with the definition's examples, defaults, or values that fit its schemas. Raises Inconclusive."""
        if operation.unsupported:
            raise Inconclusive(f"{operation} cannot be called: {operation.unsupported}")
        try:
            return self.build(self, operation, known, self.prefix if prefix is None else prefix)
        except MISSHAPEN as error:
            raise misshapen(self.path.name, str(operation), error) from None


def misshapen(name: str, part: str, error: Exception) -> Inconclusive:
    """The reason where `part` of the definition is not what its format says it is."""
    said = f"{type(error).__name__}: {error}".encode("utf-8", "replace").decode()[:150]
    return Inconclusive(f"{name}: {part[:150]} is not shaped as its format wants it ({said})")


def matcher(prefix: str, template: str) -> re.Pattern[str]:
    """A pattern for the escaped paths of the operation: a placeholder stands for one segment or part of one."""
    parts = re.split(r"\{[^}]+\}", prefix + template)
    return re.compile("[^/]+".join(re.escape(part) for part in parts))


def segments(path: str) -> tuple[tuple[int, str], ...]:
    """Which segments of a template are parameters: their numbers, from 1, and names."""
    found = ((number, PLACEHOLDER.search(part)) for number, part in enumerate(path.split("/")[1:], 1))
    return tuple((number, match[1]) for number, match in found if match)

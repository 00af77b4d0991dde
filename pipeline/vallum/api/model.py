"""An operation of an API definition, and a request that fits it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Operation:
    """One operation of an API definition. `template` is its path with placeholders, without the servers' prefix;
    `line` counts from 1 (0: unknown)."""

    method: str
    template: str
    line: int
    secured: bool
    declared: frozenset[str]
    late: bool = False
    login: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.template}"


@dataclass(frozen=True)
class Request:
    """An operation with example values. `path` begins with the servers' prefix and is percent-encoded; `segments` maps the
    number of a path segment (from 1) to its parameter."""

    operation: Operation
    path: str
    query: tuple[tuple[str, str], ...] = ()
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = ""
    segments: tuple[tuple[int, str], ...] = ()
    parameters: tuple[str, ...] = ()

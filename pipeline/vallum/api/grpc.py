"""gRPC: the methods that a .proto file declares. They are listed, and none is called: the checks speak HTTP/1.1 only.

Protocol Buffers, language specification of proto3 and proto2: `package`, `service`, `rpc`. A method's path is the one of gRPC
over HTTP/2 (`/package.Service/Method`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from vallum.api.model import Definition, Known, Operation, Request
from vallum.errors import Inconclusive

UNSUPPORTED = "gRPC needs HTTP/2, which neither ZAP's proxy nor the checks speak"
_TOKEN = re.compile(r'//[^\n]*|/\*(?:.|\n)*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|\n|[ \t\r]+|[\w.]+|.')


def of_text(text: str, path: Path, name: str) -> Definition:
    """The definition that a .proto file is; its operations are all unsupported. Raises Inconclusive."""
    try:
        operations = tuple(_operations(list(_tokens(text))))
    except ValueError as error:
        raise Inconclusive(f"cannot read the API definition {name}: {error}") from None
    note = f"{name}: {len(operations)} gRPC methods cannot be called: {UNSUPPORTED}"
    return Definition(path, "", "", (), {}, "grpc", _build, unsupported=operations, notes=(note,))


def _build(definition: Definition, operation: Operation, _known: Known, _prefix: str) -> Request:
    raise Inconclusive(f"{definition.path.name}: {operation} cannot be called: {UNSUPPORTED}")


def _tokens(text: str) -> Iterator[tuple[str, int]]:
    line = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if not token.isspace() and not token.startswith(("//", "/*")):
            yield token, line
        line += token.count("\n")


def _operations(tokens: list[tuple[str, int]]) -> Iterator[Operation]:
    package, service, depth = "", "", 0
    for number, (word, line) in enumerate(tokens):
        following = tokens[number + 1][0] if number + 1 < len(tokens) else ""
        first = number == 0 or tokens[number - 1][0] in {";", "{", "}"}
        if word == "{":
            depth += 1
        elif word == "}":
            depth -= 1
            service = service if depth else ""
            if depth < 0:
                raise ValueError(f"line {line}: a brace closes what was not opened")
        elif first and depth == 0 and word == "package":
            package = following
        elif first and depth == 0 and word == "service":
            service = following
        elif first and service and depth == 1 and word == "rpc":
            full = f"{package}.{service}" if package else service
            yield Operation(
                "POST", f"/{full}/{following}", line, secured=False, declared=frozenset(), unsupported=UNSUPPORTED
            )
    if depth:
        raise ValueError("the file ends inside of braces")

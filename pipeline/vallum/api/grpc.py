"""gRPC: the methods that a .proto file declares, or a server's reflection. Those of the latter can be called.

Protocol Buffers, language specification of proto3 and proto2: `package`, `service`, `rpc`. A method's path is the one of gRPC
over HTTP/2 (`/package.Service/Method`). Nothing in a .proto says who needs a login: all methods do but those that
`definition.public` names, and the health service, which callers without one ask (grpc.health.v1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from vallum.api import messages
from vallum.api.model import LATE, PASSWORD, Definition, Known, Operation, Request
from vallum.environments import ApiDefinition
from vallum.errors import Inconclusive

UNSUPPORTED = "gRPC needs HTTP/2 and is called by the check authentication only, where its messages are known"
STREAMING = "a streaming method: only unary ones are called"
UNOFFERED = "what describes the server does not name it"
REFLECTION = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
"""What tells the methods is none of them, as GraphQL's introspection is none."""
PUBLIC = ("/grpc.health.v1.Health/*",)
"""Methods that are public without being named so."""
_REMOVES = re.compile(r"/(Delete|Remove|Destroy|Drop|Purge|Cancel|Revoke)[A-Z]?[^/]*$")
_TOKEN = re.compile(r'//[^\n]*|/\*(?:.|\n)*?\*/|"(?:[^"\\\n]|\\.)*"|\'(?:[^\'\\\n]|\\.)*\'|\n|[ \t\r]+|[\w.]+|.')


def of_text(text: str, path: Path, name: str) -> Definition:
    """The definition that a .proto file is; its operations are all unsupported. Raises Inconclusive."""
    try:
        operations = tuple(_operations(list(_tokens(text))))
    except ValueError as error:
        raise Inconclusive(f"cannot read the API definition {name}: {error}") from None
    return listed(Definition(path, "", "", operations, {}, "grpc", _build), name)


def listed(read: Definition, name: str) -> Definition:
    """The same definition for checks that cannot call gRPC: its methods are declared, and none is called."""
    operations = tuple(
        replace(each, unsupported=each.unsupported or UNSUPPORTED) for each in (*read.operations, *read.unsupported)
    )
    note = f"not tested: {len(operations)} gRPC methods of {name}: {UNSUPPORTED}"
    return replace(read, operations=(), unsupported=operations, notes=(note,))


def guarded(read: Definition, public: Iterable[str]) -> Definition:
    """The same definition, whose methods need a login where they are not public."""
    named = (*PUBLIC, *public)
    return replace(
        read, unsupported=tuple(replace(each, secured=not is_public(each.template, named)) for each in read.unsupported)
    )


def is_public(path: str, public: Iterable[str]) -> bool:
    """Whether a method's path is among `public`, where `/package.Service/*` stands for all of a service."""
    return any(path == each or (each.endswith("/*") and path.startswith(each[:-1])) for each in public)


def served(pool: Any, services: Iterable[str], wanted: ApiDefinition, name: str, beside: Definition) -> Definition:
    """The definition that a server's reflection gives: the `services` in `pool`, and what the .proto `beside` it declares.

    Raises Inconclusive for a service that the pool does not hold.
    """
    lines = {each.template: each.line for each in (*beside.operations, *beside.unsupported)}
    methods: dict[str, Any] = {}
    operations: list[Operation] = []
    left: list[Operation] = []
    for service in services:
        try:
            found = pool.FindServiceByName(service)
        except KeyError:
            raise Inconclusive(f"{name}: it names the service {service[:200]!r} and does not describe it") from None
        for method in found.methods:
            path = f"/{service}/{method.name}"
            streams = method.client_streaming or method.server_streaming
            methods[path] = method
            operation = Operation(
                method="POST",
                template=path,
                line=lines.pop(path, 0),
                secured=not is_public(path, (*PUBLIC, *wanted.public)),
                declared=frozenset({"200", "404"}),  # a method that is not there is UNIMPLEMENTED
                late=bool(_REMOVES.search(path) or LATE.search(method.name)),
                login=any(PASSWORD.match(field.name) for field in method.input_type.fields),
                unsupported=STREAMING if streams else "",
            )
            (left if streams else operations).append(operation)
    notes = [f"{name}: {len(operations)} gRPC methods can be called, {len(left)} stream and are not called"]
    if opened := [each.template for each in operations if is_public(each.template, wanted.public)]:
        notes.append(f"{name}: public by definition.public, so without a login: {', '.join(opened)[:500]}")
    for kind, given in (("public", wanted.public), ("messages", wanted.messages)):
        if idle := [each for each in given if not any(is_public(path, (each,)) for path in methods)]:
            notes.append(f"{name}: no method fits these of definition.{kind}: {', '.join(idle)[:500]}")
    if lines:
        notes.append(f"not tested: {len(lines)} gRPC methods of {beside.path.name}: {UNOFFERED}")
    beyond = [each.template for each in (*operations, *left) if not each.line]
    if beside.unsupported and beyond:
        notes.append(f"{name}: served, and not in {beside.path.name}: {', '.join(beyond)[:500]}")
    gone = [replace(each, unsupported=UNOFFERED) for each in beside.unsupported if each.template in lines]

    def build(of: Definition, operation: Operation, known: Known, prefix: str) -> Request:
        del of
        given = wanted.messages.get(operation.template)
        body, shown = messages.example(methods[operation.template].input_type, known, given)
        return Request(operation, prefix + operation.template, body=body, content_type="application/grpc", shown=shown)

    def decode(operation: Operation, body: bytes) -> str:
        return messages.text(methods[operation.template].output_type, body)

    return replace(
        beside,
        operations=tuple(operations),
        unsupported=(*left, *gone),
        build=build,
        decode=decode,
        notes=tuple(notes),
    )


def nothing(path: Path) -> Definition:
    """A definition without a method, for a server that is asked where no .proto is beside."""
    return Definition(path, "", "", (), {}, "grpc", _build)


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

"""What became of each declared operation of a deployment while a check attacked it: kept by those who send requests."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from vallum import operations
from vallum.api.model import Operation, matcher
from vallum.api.reach import unreached
from vallum.outcome import Reach

if TYPE_CHECKING:
    from vallum.stage.calls import Surface

MAX_UNDECLARED = 1_000
"""Undeclared operations that are kept of a service."""
_PLAIN = re.compile(r"/[\w.~/@-]*", re.ASCII)
"""A path that a person would give an operation; what scanners try has more in it."""
_ABOUT = "/grpc.reflection."
"""Where a gRPC server says what its operations are; that is none of them."""
Asked = tuple[str, str, int, bool]
"""A request that was seen going by: method, path without the query, status (0: none), whether it carried a login."""


class Ledger:
    """The operations of a deployment and what they answered. Nothing else of a request is kept."""

    def __init__(self) -> None:
        self._surfaces: dict[str, Surface] = {}
        self._undefined: set[str] = set()
        self._entries: list[Reach] = []
        self._attacked: set[tuple[str, str]] = set()

    def declare(self, surface: Surface) -> None:
        """From now on this service's operations are what is expected."""
        self._surfaces[surface.service] = surface

    def undefined(self, service: str) -> None:
        """The service has no definition."""
        self._undefined.add(service)

    def answered(
        self, surface: Surface, operation: Operation, status: int, *, with_login: bool, attack: bool, why: str = ""
    ) -> None:
        """An operation was asked. `attack`: by a request that no honest client would send."""
        if attack and status:
            self._attacked.add((surface.service, str(operation)))
        self._entries.append(
            reach(surface.service, operation, [(status, with_login, attack)], logged_in=with_login, why=why)
        )
        if len(self._entries) > 10_000:
            self._entries = list(operations.merged(self._entries))

    def seen(self, service: str, traffic: Iterable[Asked]) -> None:
        """What was asked of a service by whomever: tells what was reached, and which undeclared operations answered."""
        surface = self._surfaces.get(service)
        if surface is None:
            return
        declared = surface.definition.operations
        paths = _Paths(declared, surface.definition.prefix)
        found = []
        for method, path, status, with_login in traffic:
            operation = paths.at(method, path)
            if operation is not None:
                found.append(reach(service, operation, [(status, with_login, False)], logged_in=with_login))
            elif 200 <= status < 300 and method not in {"HEAD", "OPTIONS"} and _PLAIN.fullmatch(path):
                if path.startswith(_ABOUT):
                    continue
                # Under another method the path may be declared: then it is that one, and not one for each object.
                shown = paths.template(path) or path
                found.append(Reach(service=service, method=method, path=shown, declared=False, reached=True))
        shadows = [each for each in operations.merged(found) if not each.declared]
        self._entries += [*(each for each in found if each.declared), *shadows[:MAX_UNDECLARED]]

    def entries(self) -> tuple[Reach, ...]:
        """One for each operation that is declared or answered, and one without a method for a service without a definition."""
        merged = operations.merged([*self._expected(), *self._entries])
        return tuple(
            msgspec.structs.replace(each, attacked=True) if self._was_attacked(each) else each for each in merged
        )

    def _was_attacked(self, each: Reach) -> bool:
        """Whether what was reached by one request also answered an attack, were it with a refusal that reaches nothing."""
        return each.reached and (each.service, operations.operation(each)) in self._attacked

    def notes(self) -> list[str]:
        """What the definitions leave out."""
        return [note for surface in self._surfaces.values() for note in surface.definition.notes]

    def _expected(self) -> Iterator[Reach]:
        for service in sorted(self._undefined - self._surfaces.keys()):
            yield Reach(service=service)
        for service, surface in self._surfaces.items():
            for operation in (*surface.definition.operations, *surface.definition.unsupported):
                yield _entry(service, operation)


def _entry(service: str, operation: Operation) -> Reach:
    return Reach(
        service=service,
        method=operation.method,
        path=operation.template,
        name=operation.name,
        secured=operation.secured,
        why=f"unsupported: {operation.unsupported}" if operation.unsupported else "",
    )


def reach(
    service: str, operation: Operation, answers: Iterable[tuple[int, bool, bool]], *, logged_in: bool, why: str = ""
) -> Reach:
    """How far the answers got: of each its status, whether the request carried a login, and whether it was an attack."""
    got: list[tuple[int, bool]] = []
    reasons: list[str] = []
    attacked = False
    for status, with_login, attack in answers:
        said = unreached(operation, status, logged_in=logged_in, why=why)
        attacked = attacked or (attack and status > 0)
        if said:
            reasons.append(said)
        else:
            got.append((status, with_login))
    entry = _entry(service, operation)
    return msgspec.structs.replace(
        entry,
        reached=bool(got),
        authenticated=any(with_login and status not in {401, 403} for status, with_login in got),
        attacked=bool(got) and attacked,
        why="" if got else min(reasons, default=entry.why),
    )


@dataclass
class _Node:
    """A segment of the declared paths: what follows by its own words, and by patterns; the operations that end here."""

    literal: dict[str, _Node] = field(default_factory=dict)
    pattern: dict[str, tuple[re.Pattern[str], _Node]] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)


class _Paths:
    """The operation at a method and path, words before patterns: /orders/export before /orders/{number}.

    A tree, because scanners ask for thousands of paths and large APIs declare thousands of operations.
    """

    def __init__(self, declared: Iterable[Operation], prefix: str) -> None:
        self._root = _Node()
        for operation in declared:
            for base in {prefix, ""}:
                node = self._root
                for part in (base + operation.template).split("/"):
                    if "{" in part:
                        found = matcher("", part)
                        node = node.pattern.setdefault(found.pattern, (found, _Node()))[1]
                    else:
                        node = node.literal.setdefault(part, _Node())
                node.operations.setdefault(operation.method, operation)

    def at(self, method: str, path: str) -> Operation | None:
        """The operation; None where none is declared there."""
        return next((found[method] for found in self._nodes(path) if method in found), None)

    def template(self, path: str) -> str:
        """The template that a path is declared under, for whatever method; empty where there is none."""
        return next((each.template for found in self._nodes(path) for each in found.values()), "")

    def _nodes(self, path: str) -> Iterator[dict[str, Operation]]:
        for whole in dict.fromkeys((path, path.rstrip("/"))):
            waiting = [(self._root, whole.split("/"), 0)]
            while waiting:
                node, parts, at = waiting.pop()
                if at == len(parts):
                    yield node.operations
                    continue
                waiting += [(inner, parts, at + 1) for one, inner in node.pattern.values() if one.fullmatch(parts[at])]
                if parts[at] in node.literal:
                    waiting.append((node.literal[parts[at]], parts, at + 1))

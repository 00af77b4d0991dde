"""Operation coverage: what all dynamic checks did to each service's declared operations, and the policy's floor. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec

from vallum.config import Policy, Service
from vallum.outcome import Missed, Reach
from vallum.verdict import ServiceOperations

LISTED = 1_000
"""Operations that are listed of a service; all are counted."""
UNTOLD = "no dynamic check says that it got there"
Key = tuple[str, str, str, str]


def merged(reaches: Iterable[Reach]) -> tuple[Reach, ...]:
    """One entry an operation, sorted: reached is what any check reached. The order of `reaches` does not matter."""
    found: dict[Key, Reach] = {}
    for each in reaches:
        key = (each.service, each.path, each.method, each.name)
        found[key] = _both(found[key], each) if key in found else each
    return tuple(found[key] for key in sorted(found))


def _both(one: Reach, other: Reach) -> Reach:
    reached = one.reached or other.reached
    return msgspec.structs.replace(
        one,
        declared=one.declared or other.declared,
        secured=one.secured or other.secured,
        reached=reached,
        authenticated=one.authenticated or other.authenticated,
        attacked=one.attacked or other.attacked,
        why="" if reached else min(filter(None, (one.why, other.why)), default=""),
    )


def by_service(
    reaches: Iterable[Reach], policy: Policy, services: Mapping[str, Service]
) -> tuple[ServiceOperations, ...]:
    """The figures of each service, sorted by name. `services` are those that the configuration describes."""
    sorted_: defaultdict[str, list[Reach]] = defaultdict(list)
    for each in merged(reaches):
        sorted_[each.service].append(each)
    return tuple(_service(name, each, floor(policy, services.get(name))) for name, each in sorted_.items())


def floor(policy: Policy, service: Service | None) -> float:
    """The share of a service's declared operations that the policy wants reached."""
    asked = policy.operations_min
    if isinstance(asked, Mapping):
        return asked.get(service.tier if service is not None else "standard", 0.0)
    return asked


def below(figures: Iterable[ServiceOperations]) -> tuple[tuple[str, str], ...]:
    """The services under their floor, and why in words. A service without a definition is under every floor."""
    found = []
    for each in figures:
        if not each.floor:
            continue
        if each.undefined:
            found.append((each.service, f"{each.service} has no API definition, so nobody knows what there is to test"))
        elif each.reached < each.floor * each.declared:
            first = f", the first unreached {each.unreached[0].target} ({each.unreached[0].why})"
            text = (
                f"{each.reached} of {each.declared} operations of {each.service} were reached, "
                f"the policy asks for {each.floor:.0%}{first}"
            )
            found.append((each.service, text))
    return tuple(found)


def _service(name: str, reaches: list[Reach], asked: float) -> ServiceOperations:
    declared = [each for each in reaches if each.declared and each.method]
    unreached = [Missed(operation(each), each.why or UNTOLD) for each in declared if not each.reached]
    undeclared = [operation(each) for each in reaches if not each.declared and each.reached]
    return ServiceOperations(
        service=name,
        declared=len(declared),
        secured=sum(each.secured for each in declared),
        reached=sum(each.reached for each in declared),
        authenticated=sum(each.authenticated for each in declared),
        attacked=sum(each.attacked for each in declared),
        unreached=tuple(unreached[:LISTED]),
        undeclared=tuple(undeclared[:LISTED]),
        floor=asked,
        undefined=not declared,
    )


def operation(reach: Reach) -> str:
    """`GET /orders/{id}`, with the name where it has one."""
    return f"{reach.method} {reach.path}{f' {reach.name}' if reach.name else ''}"

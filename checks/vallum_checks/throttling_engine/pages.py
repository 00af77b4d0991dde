"""Pages of any size: a parameter that says how many items to return, asked for a million."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum_checks._api import finding
from vallum_checks.throttling_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.api.model import Operation, Request
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface

SIZE = re.compile(
    r"^\$?(limit|(page|batch|chunk)[_-]?(size|limit)|(per|items|rows)[_-]?(per[_-]?)?page|size|count|top|take|rows|first"
    r"|(max|num)[_-]?(results|items|rows)|max)$",
    re.IGNORECASE,
)
"""Names of parameters that say how many items to return."""
MILLION = 1_000_000


class Pages:
    """The operations with such a parameter. After `run`: what was found, expected and missed."""

    def __init__(self, deployment: Deployment, caller: Caller, surfaces: list[Surface], end: float) -> None:
        self._deployment = deployment
        self._caller = caller
        self._surfaces = surfaces
        self._end = end
        self.findings: list[Finding] = []
        self.expected: list[str] = []
        self.missed: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        """Three requests an operation at most: as the definition has it, and with a million."""
        for surface in self._surfaces:
            for operation in surface.definition.operations:
                if operation.method == "GET" and not operation.late:
                    self._look(surface, operation)

    def _look(self, surface: Surface, operation: Operation) -> None:
        try:
            request = surface.definition.request(operation, lambda _before, _name: "")
        except Inconclusive:
            return  # what tests operations says so
        name = next((name for name, _ in request.query if SIZE.match(name)), "")
        if not name:
            return
        declared = _declared(surface, operation, name)
        if declared["schema"].get("type", "integer") not in ("integer", "number"):
            return  # a size in words is no number of items
        label = f"{surface.service} {operation.method} {surface.definition.prefix}{operation.template}"
        self.expected.append(label)
        if time.monotonic() > self._end:
            self.missed[label] = "the time was up"
            return
        bare = _without(request, name)
        headers, plain = self._succeeds(surface, request if declared.get("required") else bare)
        if not plain.ok:
            shown = f"answers {plain.status}" if plain.status else f"does not answer ({plain.why})"
            self.missed[label] = f"it {shown} with every user's login, before it is asked for a million"
            return
        asked = replace(request, query=(*bare.query, (name, str(MILLION))))
        large = self._caller.send(surface, asked, headers)
        if not large.status:
            self._deployment.check_services()
            self.missed[label] = f"it does not answer to `{name}={MILLION}` ({large.why})"
            return
        few, many = items(plain.json()), items(large.json())
        if not large.ok or few is None or many is None:
            what = f"is refused with {large.status}" if not large.ok else "changes nothing that can be counted"
            self.notes.append(f"{label}: `{name}={MILLION}` {what}")
        elif many <= few:
            self.notes.append(
                f"{label}: there are no more than {few} items, too few to tell whether `{name}` has a maximum"
            )
        elif many > _number(declared["schema"].get("maximum")):
            message = (
                f"{operation} returns {many} items with `{name}={MILLION}` instead of {few}, and no maximum is declared"
            )
            self.findings.append(finding(RULES["page-size"], surface, operation, message, large, name))
        else:
            self.notes.append(f"{label}: `{name}={MILLION}` returns {many} items, within the declared maximum")

    def _succeeds(self, surface: Surface, request: Request) -> tuple[dict[str, str], Answer]:
        """The headers of the first user with whose login it is 2xx, and the answer."""
        tries = [user.session.header() for user in self._deployment.users.values()]
        for headers in tries or [{}]:
            answer = self._caller.send(surface, request, headers)
            if answer.ok:
                break
        return headers, answer


def items(document: Any) -> int | None:
    """How many items an answer holds: its list, or the longest list of its fields, two levels down."""
    if isinstance(document, list):
        return len(document)
    lists: list[int] = []
    if isinstance(document, dict):
        for value in document.values():
            inner = value.values() if isinstance(value, dict) else (value,)
            lists += [len(entry) for entry in inner if isinstance(entry, list)]
    return max(lists, default=None)


def _without(request: Request, name: str) -> Request:
    return replace(request, query=tuple(pair for pair in request.query if pair[0] != name))


def _number(maximum: Any) -> float:
    return maximum if isinstance(maximum, int | float) else 0


def _declared(surface: Surface, operation: Operation, name: str) -> dict[str, Any]:
    """The parameter as the definition has it; empty where it is of a format without schemas."""
    document = surface.definition.document
    paths = document.get("paths")
    item = paths.get(operation.template) if isinstance(paths, dict) else None
    table = item.get(operation.method.lower()) if isinstance(item, dict) else None
    for holder in (table, item):
        for entry in (holder.get("parameters") or ()) if isinstance(holder, dict) else ():
            parameter = _follow(document, entry)
            if parameter.get("name") == name:
                return {**parameter, "schema": _follow(document, parameter.get("schema"))}
    return {"schema": {}}


def _follow(document: Any, value: Any) -> dict[str, Any]:
    """The object, or what its local reference leads to, once."""
    reference = value.get("$ref") if isinstance(value, dict) else None
    if isinstance(reference, str) and reference.startswith("#/"):
        value = document
        for part in reference[2:].split("/"):
            value = value.get(part) if isinstance(value, dict) else None
    return value if isinstance(value, dict) else {}

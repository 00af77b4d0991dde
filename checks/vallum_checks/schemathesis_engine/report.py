"""What schemathesis reported about one service: its JSON report says whether the run was whole, its events what was found."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vallum import artifacts
from vallum.finding import Finding, Location, Operation
from vallum.outcome import Reach
from vallum.severity import Severity
from vallum.stage import ledger
from vallum_checks.schemathesis_engine.messages import Interaction, exchange, leak
from vallum_checks.schemathesis_engine.rules import KINDS, rule_id

if TYPE_CHECKING:
    from vallum.api.model import Operation as Declared
    from vallum.stage.calls import Surface

ERROR_SHARE = 0.1
"""The share of requests that may get no answer (a server may hang up on an odd one) before the run counts as not whole."""


class _Failure(msgspec.Struct):
    type: str
    operation: str
    title: str
    message: str = ""
    case_id: str | None = None


class _FailureInfo(msgspec.Struct):
    failure: _Failure


class _Check(msgspec.Struct):
    status: str
    failure_info: _FailureInfo | None = None


class _Recorder(msgspec.Struct):
    label: str
    checks: dict[str, list[_Check]] = {}
    interactions: dict[str, Interaction] = {}


class _Scenario(msgspec.Struct):
    recorder: _Recorder


class _Event(msgspec.Struct):
    scenario: _Scenario | None = msgspec.field(name="ScenarioFinished", default=None)


class _Operations(msgspec.Struct):
    total: int
    selected: int
    tested: int
    errored: int


class _Report(msgspec.Struct):
    stop_reason: str
    complete: bool
    operations: _Operations | None
    test_cases: dict[str, int]
    errors: list[dict[str, Any]] = []
    warnings: dict[str, list[Any]] = {}


@dataclass
class Tested:
    """One service's result. `broken` says why the run was not whole, or is empty; `refused` counts operations that only
    answered 401 or 403; `reached` holds the operations that answered at all. `answers` are what each operation said: statuses,
    whether the request carried a login, and that it was an attack; `undeclared` methods and paths that answered 2xx."""

    findings: list[Finding] = field(default_factory=list)
    reached: set[str] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    broken: str = ""
    seen: int = 0
    refused: int = 0
    answers: dict[str, set[tuple[int, bool, bool]]] = field(default_factory=dict)
    undeclared: set[tuple[str, str]] = field(default_factory=set)

    def operations(self, surface: Surface) -> Iterator[Reach]:
        """How far its requests got with each operation, and the undeclared ones that answered 2xx."""
        for operation in surface.definition.operations:
            answers = self.answers.get(label_of(operation))
            if answers:
                yield ledger.reach(surface.service, operation, answers, logged_in=any(login for _, login, _ in answers))
        for method, path in sorted(self.undeclared):
            yield Reach(service=surface.service, method=method, path=path, declared=False, reached=True)


def read(surface: Surface, report: Path, events: Path, login: Collection[str] = ()) -> Tested:
    """Read both files of a service; what was found is kept also where the run was not whole. `login` names the headers that
    make a request a logged-in one."""
    tested = Tested()
    try:
        said = msgspec.json.decode(artifacts.read(report, 64 << 20), type=_Report)
    except FileNotFoundError:
        tested.broken = "schemathesis wrote no report"
    except (OSError, ValueError, RecursionError) as error:
        tested.broken = f"its report cannot be read: {error}"[:300]
    else:
        _judge(surface, said, tested)
    try:
        _read_events(surface, events, tested, frozenset(name.lower() for name in login))
    except FileNotFoundError:
        tested.broken = tested.broken or "schemathesis wrote no events"
    except (OSError, ValueError, RecursionError) as error:
        tested.broken = tested.broken or f"its events cannot be read: {error}"[:300]
    return tested


def _judge(surface: Surface, said: _Report, tested: Tested) -> None:
    service, declared = surface.service, len(surface.definition.operations)
    operations = said.operations
    errors = ", ".join(f"{error.get('title')} ({error.get('count')} times)" for error in said.errors)
    generated, errored = said.test_cases.get("generated", 0), said.test_cases.get("errored", 0)
    if operations is None or not said.complete or said.stop_reason != "completed":
        tested.broken = f"schemathesis stopped early ({said.stop_reason}){f': {errors}' if errors else ''}"
    elif operations.errored or operations.tested < operations.total:
        tested.broken = (
            f"{operations.tested} of {operations.total} operations were tested, {operations.errored} failed"
            f"{f': {errors}' if errors else ''}"
        )
    elif operations.total < declared:
        tested.broken = f"schemathesis saw {operations.total} of {declared} declared operations"
    elif errored > ERROR_SHARE * generated:
        tested.broken = f"{errored} of {generated} requests got no answer: {errors}"
    elif errored:
        tested.notes.append(f"{service}: {errored} of {generated} requests got no answer: {errors}")
    tested.seen = operations.tested if operations else 0
    refused = said.warnings.get("missing_auth", [])
    tested.refused = len(refused)
    if refused:
        tested.notes.append(f"{service}: {len(refused)} operations answered 401 or 403 only: {_some(refused)}")
    unreached = said.warnings.get("missing_test_data", [])
    if unreached:
        tested.notes.append(f"{service}: {len(unreached)} operations answered 404 only: {_some(unreached)}")


def _some(labels: list[Any]) -> str:
    return ", ".join(str(label) for label in labels[:5]) + (", …" if len(labels) > 5 else "")


def _read_events(surface: Surface, events: Path, tested: Tested, login: frozenset[str]) -> None:
    declared = {label_of(operation): operation for operation in surface.definition.operations}
    known = {(operation.method, operation.template) for operation in declared.values()}
    found: dict[tuple[str, str], Finding] = {}
    decoder = msgspec.json.Decoder(_Event)
    with events.open("rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                raise ValueError("the last event is cut off")
            scenario = decoder.decode(line).scenario
            if scenario is None:
                continue
            recorder = scenario.recorder
            for case, interaction in recorder.interactions.items():
                if interaction.response is None:
                    continue
                tested.reached.add(recorder.label)
                operation = declared.get(recorder.label)
                method, status = interaction.request.method.upper(), interaction.response.status_code
                if operation is not None and method == operation.method:
                    with_login = any(name.lower() in login for name in interaction.request.headers)
                    tested.answers.setdefault(recorder.label, set()).add((status, with_login, True))
                elif operation is not None and 200 <= status < 300 and (method, operation.template) not in known:
                    tested.undeclared.add((method, operation.template))
                given_away = leak(interaction.response)
                if given_away and (recorder.label, given_away) not in found:
                    found[recorder.label, given_away] = _finding(surface, given_away, recorder.label, "", interaction)
                for check in recorder.checks.get(case, ()):
                    if check.status != "failure" or check.failure_info is None:
                        continue
                    failure = check.failure_info.failure
                    key = (failure.operation, failure.type)
                    if key not in found:
                        evidence = recorder.interactions.get(failure.case_id or case, interaction)
                        found[key] = _finding(surface, failure.type, failure.operation, failure.message, evidence)
    tested.findings = [found[key] for key in sorted(found) if not _is_shadow(key, found)]


_SHADOWS = {
    "MissingHeaderNotRejected": ("IgnoredAuth",),
    "UndefinedStatusCode": ("ServerError", "ContentTypeServerError"),
}


def _is_shadow(key: tuple[str, str], found: dict[tuple[str, str], Finding]) -> bool:
    """The same defect told twice: no token required, seen as a missing header; a 500, seen as an undocumented status."""
    return any((key[0], other) in found for other in _SHADOWS.get(key[1], ()))


def _finding(surface: Surface, kind: str, label: str, message: str, interaction: Interaction) -> Finding:
    known = KINDS.get(kind)
    operations = surface.definition.operations
    operation = next((each for each in operations if label_of(each) == label), None)
    method, path = (operation.method, operation.template) if operation else (label.partition(" ")[::2])
    line = operation.line if operation else min((each.line for each in operations if each.template == path), default=0)
    title = known.title if known else f"schemathesis reports {kind}"
    first = " ".join(message.split())[:200]
    return Finding(
        rule=rule_id(kind),
        severity=known.severity if known else Severity.UNKNOWN,
        message=f"{label}: {title}{f' ({first})' if first else ''}",
        location=Location(surface.path, line),
        service=surface.service,
        cwe=known.cwe if known else (),
        owasp=known.owasp if known else (),
        confidence="high" if kind in ("ServerError", "stack-trace", "debugger", "IgnoredAuth") else "medium",
        fix=known.help if known else "",
        operation=Operation(method, path),
        exchange=exchange(interaction),
    )


def label_of(operation: Declared) -> str:
    """What schemathesis calls an operation: `GET /orders/{id}`, or `Query.orders` for a field of GraphQL."""
    return operation.name or f"{operation.method} {operation.template}"

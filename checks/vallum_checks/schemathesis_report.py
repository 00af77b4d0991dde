"""What schemathesis reported about one service: its JSON report says whether the run was whole, its events what was found.

Severities are ours. schemathesis rates how surely a contract is broken (a wrong Content-Type is "medium"); we rate what it
means to an attacker, in KINDS.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec

from vallum import artifacts
from vallum.finding import Exchange, Finding, Location, Operation, Rule
from vallum.outcome import Reach
from vallum.severity import Severity
from vallum.stage import ledger

if TYPE_CHECKING:
    from vallum.api.model import Operation as Declared
    from vallum.stage.calls import Surface

EVIDENCE = 2000
"""Characters of a request or a response that are kept as evidence."""
ERROR_SHARE = 0.1
"""The share of requests that may get no answer (a server may hang up on an odd one) before the run counts as not whole."""


@dataclass(frozen=True)
class Kind:
    """A kind of failure: `code` is schemathesis's own, `st explain CODE` says more."""

    code: str
    severity: Severity
    title: str
    help: str
    cwe: tuple[int, ...] = ()
    owasp: tuple[str, ...] = ()


_CONTRACT = "make the service and its definition agree"
KINDS: dict[str, Kind] = {
    "IgnoredAuth": Kind(
        "ST401",
        Severity.HIGH,
        "an operation that declares a login answers without one",
        "check the token on this route, and refuse with 401",
        (306,),
        ("API2:2023", "A07:2025"),
    ),
    "ObjectLevelAuthorizationViolation": Kind(
        "ST402",
        Severity.HIGH,
        "one user's object is given to another",
        "compare the object's owner with the caller",
        (639,),
        ("API1:2023", "A01:2025"),
    ),
    "debugger": Kind(
        "",
        Severity.HIGH,
        "an error page with an interactive debugger",
        "never start a debug server where others can reach it",
        (489,),
        ("API8:2023", "A02:2025"),
    ),
    "stack-trace": Kind(
        "",
        Severity.MEDIUM,
        "an error answer shows a stack trace",
        "answer with a code, and keep the trace in the log",
        (209,),
        ("API8:2023", "A10:2025"),
    ),
    "ServerError": Kind(
        "ST101",
        Severity.MEDIUM,
        "a request makes the server fail with a 5xx",
        "validate the input, and answer what is wrong with a 4xx",
        (248,),
        ("A10:2025",),
    ),
    "ContentTypeServerError": Kind(
        "ST102",
        Severity.MEDIUM,
        "an undeclared Content-Type makes the server fail",
        "refuse other media types with 415 before the body is parsed",
        (248,),
        ("A10:2025",),
    ),
    "UseAfterFree": Kind(
        "ST301", Severity.MEDIUM, "a deleted object is still served", "delete it for every reader", (672,)
    ),
    "GraphQLServerError": Kind(
        "ST113", Severity.MEDIUM, "a GraphQL resolver fails", "answer expected failures in `data`", (248,)
    ),
    "AcceptedNegativeData": Kind(
        "ST201", Severity.LOW, "a request that the definition forbids is accepted", "validate against it", (20,)
    ),
    "MissingHeaderNotRejected": Kind(
        "ST203", Severity.LOW, "a request without a required header is accepted", "refuse it with 400", (20,)
    ),
    "JsonSchemaError": Kind(
        "ST108",
        Severity.LOW,
        "an answer that its schema does not allow",
        "return only what the definition declares",
        (213,),
        ("API3:2023",),
    ),
    "UnsupportedMethodResponse": Kind(
        "ST204", Severity.INFO, "an undeclared method is not refused with 405 and Allow", _CONTRACT
    ),
    "ResponseTimeExceeded": Kind("ST112", Severity.LOW, "a slow answer", "bound the work of a request", (400,)),
    **{
        name: Kind(code, Severity.INFO, title, _CONTRACT)
        for name, code, title in (
            ("UndefinedStatusCode", "ST103", "an undocumented status code"),
            ("MissingContentType", "ST104", "an answer without Content-Type"),
            ("UndefinedContentType", "ST105", "an undocumented Content-Type"),
            ("MalformedMediaType", "ST106", "a malformed Content-Type"),
            ("MissingHeaders", "ST107", "a required response header is missing"),
            ("MalformedJson", "ST109", "an answer that is not the JSON it says"),
            ("ContentDeserializationError", "ST110", "an answer that cannot be read as its Content-Type"),
            ("GraphQLSchemaViolation", "ST114", "null in a field that GraphQL's schema declares non-null"),
            ("UnexpectedGraphQLResponse", "ST115", "an answer that is not GraphQL's JSON object"),
            ("GraphQLClientError", "ST206", "GraphQL refuses a query that its schema allows"),
            ("DiscriminatorMismatch", "ST111", "an unknown discriminator value"),
            ("RejectedPositiveData", "ST202", "a request that the definition allows is refused"),
            ("AllowHeaderMismatch", "ST205", "Allow lists other methods than the definition"),
            ("EnsureResourceAvailability", "ST302", "a created object is not found"),
        )
    },
}
"""Every kind that schemathesis 4 reports on OpenAPI and GraphQL. One that is not here is of unknown severity, which blocks."""

_DEBUGGER = re.compile(r"EVALEX\s*=\s*true|__debugger__=yes")
_TRACE = re.compile(
    r"Traceback \(most recent call last\)"
    r"|^\s+at [^\n(]{1,200}\([^\n)]{1,300}:\d+:\d+\)"  # Node.js
    r"|^\s+at [\w.$<>]{1,200}\([\w$]{1,100}\.(?:java|kt|scala):\d+\)"
    r"|^goroutine \d+ \[running\]:",
    re.MULTILINE,
)


class _Bytes(msgspec.Struct):
    base64: str = msgspec.field(name="$base64", default="")


class _Request(msgspec.Struct):
    method: str
    uri: str
    headers: dict[str, list[str]] = {}
    body: _Bytes | None = None


class _Response(msgspec.Struct):
    status_code: int
    headers: dict[str, list[str]] = {}
    content: _Bytes | None = None


class _Interaction(msgspec.Struct):
    request: _Request
    response: _Response | None = None


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
    interactions: dict[str, _Interaction] = {}


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
                leak = _leak(interaction.response)
                if leak and (recorder.label, leak) not in found:
                    found[recorder.label, leak] = _finding(surface, leak, recorder.label, "", interaction)
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


def _leak(response: _Response) -> str:
    if response.status_code < 400 or response.content is None:
        return ""
    text = _decode(response.content)
    if _DEBUGGER.search(text):
        return "debugger"
    return "stack-trace" if _TRACE.search(text) else ""


def _finding(surface: Surface, kind: str, label: str, message: str, interaction: _Interaction) -> Finding:
    known = KINDS.get(kind)
    operations = surface.definition.operations
    operation = next((each for each in operations if label_of(each) == label), None)
    method, path = (operation.method, operation.template) if operation else (label.partition(" ")[::2])
    line = operation.line if operation else min((each.line for each in operations if each.template == path), default=0)
    title = known.title if known else f"schemathesis reports {kind}"
    first = " ".join(message.split())[:200]
    return Finding(
        rule=_rule_id(kind),
        severity=known.severity if known else Severity.UNKNOWN,
        message=f"{label}: {title}{f' ({first})' if first else ''}",
        location=Location(surface.path, line),
        service=surface.service,
        cwe=known.cwe if known else (),
        owasp=known.owasp if known else (),
        confidence="high" if kind in ("ServerError", "stack-trace", "debugger", "IgnoredAuth") else "medium",
        fix=known.help if known else "",
        operation=Operation(method, path),
        exchange=_exchange(interaction),
    )


def label_of(operation: Declared) -> str:
    """What schemathesis calls an operation: `GET /orders/{id}`, or `Query.orders` for a field of GraphQL."""
    return operation.name or f"{operation.method} {operation.template}"


def _rule_id(kind: str) -> str:
    """`IgnoredAuth` → `schemathesis.ignored-auth`."""
    return "schemathesis." + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.replace("GraphQL", "Graphql")).lower()


def rules(findings: Iterable[Finding]) -> tuple[Rule, ...]:
    """The rules that schemathesis judged by, and those of findings that we have no words for."""
    known = {
        _rule_id(kind): Rule(_rule_id(kind), kind, what.title, what.help, "https://schemathesis.readthedocs.io/")
        for kind, what in KINDS.items()
    }
    for finding in findings:
        known.setdefault(finding.rule, Rule(finding.rule, finding.rule, finding.message))
    return tuple(known[key] for key in sorted(known))


def _decode(content: _Bytes) -> str:
    try:
        return base64.b64decode(content.base64, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def _exchange(interaction: _Interaction) -> Exchange:
    """Both messages as text, without the host and the port, which differ in each run."""
    request, response = interaction.request, interaction.response
    parts = urlsplit(request.uri)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    sent = _message(f"{request.method} {path}", request.headers, request.body)
    got = _message(f"{response.status_code}", response.headers, response.content) if response else "(no answer)"
    return Exchange(sent, got)


def _message(first: str, headers: dict[str, list[str]], body: _Bytes | None) -> str:
    lines = [first, *(f"{name}: {value}" for name, values in headers.items() for value in values)]
    text = "\n".join(lines) + ("\n\n" + _decode(body) if body is not None and body.base64 else "")
    return text if len(text) <= EVIDENCE else text[:EVIDENCE] + "\n[cut]"

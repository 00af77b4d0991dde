"""What schemathesis can report, with severities of our own: it rates how surely a contract is broken (a wrong Content-Type is
"medium"); we rate what it means to an attacker."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from vallum.finding import Finding, Rule
from vallum.severity import Severity


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


def rule_id(kind: str) -> str:
    """`IgnoredAuth` → `schemathesis.ignored-auth`."""
    return "schemathesis." + re.sub(r"(?<=[a-z])(?=[A-Z])", "-", kind.replace("GraphQL", "Graphql")).lower()


def rules(findings: Iterable[Finding]) -> tuple[Rule, ...]:
    """The rules that schemathesis judged by, and those of findings that we have no words for."""
    known = {
        rule_id(kind): Rule(rule_id(kind), kind, what.title, what.help, "https://schemathesis.readthedocs.io/")
        for kind, what in KINDS.items()
    }
    for finding in findings:
        known.setdefault(finding.rule, Rule(finding.rule, finding.rule, finding.message))
    return tuple(known[key] for key in sorted(known))

"""What the checks of our own on APIs share: a rule with its mapping, and a finding anchored at the operation's line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from vallum.config import FILE as SETTINGS
from vallum.finding import Exchange, Finding, Location, Operation, Rule
from vallum.severity import Severity

if TYPE_CHECKING:
    from vallum.api.model import Operation as Declared
    from vallum.stage.calls import Surface


class Evidence(Protocol):
    """An answer that shows what a finding says."""

    @property
    def exchange(self) -> Exchange | None:
        """The request and the answer."""
        ...


@dataclass(frozen=True)
class ApiRule:
    """A rule of an API check. `owasp` holds labels of the API Security Top 10 (2023), such as `API1:2023`; `help` the fix."""

    id: str
    name: str
    severity: Severity
    description: str
    help: str
    cwe: tuple[int, ...]
    owasp: tuple[str, ...]
    uri: str = ""

    def rule(self) -> Rule:
        """As it stands in the outcome."""
        return Rule(self.id, self.name, self.description, self.help, self.uri)


def finding(
    rule: ApiRule,
    surface: Surface,
    operation: Declared,
    message: str,
    answer: Evidence | None = None,
    parameter: str = "",
    severity: Severity | None = None,
) -> Finding:
    """A finding on one declared operation. `answer` is its evidence; what is secret is taken out by vallum_checks.dast."""
    place = Operation(operation.method, surface.definition.prefix + operation.template, parameter)
    # A gRPC server may serve what its .proto does not hold.
    path = SETTINGS if surface.definition.kind == "grpc" and not operation.line else surface.path
    return found(rule, surface.service, Location(path, operation.line), place, message, answer, severity)


def found(
    rule: ApiRule,
    service: str,
    location: Location,
    operation: Operation | None,
    message: str,
    answer: Evidence | None = None,
    severity: Severity | None = None,
) -> Finding:
    """As `finding`, on an operation that no definition declares, or on the service as a whole."""
    return Finding(
        rule=rule.id,
        severity=severity or rule.severity,
        message=message,
        location=location,
        service=service,
        cwe=rule.cwe,
        owasp=rule.owasp,
        confidence="high",
        fix=rule.help,
        operation=operation,
        exchange=answer.exchange if answer is not None else None,
    )

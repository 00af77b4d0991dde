"""ZAP's alerts as findings: at the operation of the definition, with the exchange as evidence, never with a host."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from vallum.api.model import Operation
from vallum.api.openapi import matcher
from vallum.finding import Exchange, Finding, Location, Rule
from vallum.finding import Operation as Where
from vallum.severity import Severity
from vallum.stage.redact import MARK, Redactor
from vallum_checks.zap_engine.levels import Levels, Line
from vallum_checks.zap_engine.model import ScanTarget

LIMIT = 4096
"""Characters of a request and of a response that are kept."""
_RISK = {"High": Severity.HIGH, "Medium": Severity.MEDIUM, "Low": Severity.LOW, "Informational": Severity.INFO}
_CONFIDENCE = {"High": "high", "Medium": "medium", "Low": "low", "User Confirmed": "high", "Confirmed": "high"}
_OWASP = re.compile(r"^(?:OWASP_(\d{4})_(A\d\d)|API_(\d{4})_API0?(\d{1,2}))$")
_SECRET_JSON = re.compile(
    r"""("[\w-]*(?:token|password|passwd|secret|api_?key|private_?key|hash|session)[\w-]*"\s*:\s*")((?:[^"\\]|\\.)+)(")""",
    re.IGNORECASE,
)
_BREAKS = {ord("\n"): None, ord("\t"): None}
_HEALTH = re.compile(r"health|ready|alive|liveness|ping$", re.IGNORECASE)
_SECRET_FORM = re.compile(
    r"((?:^|&|\?)(?:password|passwd|pwd|token|access_token|secret|api_?key)=)([^&\s]+)", re.IGNORECASE | re.MULTILINE
)


@dataclass(frozen=True)
class Surface:
    """One service: where it is, and the operations of its definition in the order of matching."""

    target: ScanTarget
    prefix: str
    operations: tuple[Operation, ...]

    def at(self, method: str, url: str) -> tuple[str, Operation | None]:
        """The path (the definition's template where one matches) and the operation."""
        path = urlsplit(url).path or "/"
        base = urlsplit(self.target.base_url).path.rstrip("/")
        path = path[len(base) :] if base and path.startswith(base) else path
        at = [operation for pattern, operation in self._patterns if pattern.fullmatch(path)]
        if not at:
            return unquote(path), None
        own = next((operation for operation in at if operation.method == method), None)
        # A path that several operations share does not tell which of them it was.
        return self.prefix + (own or at[0]).template, None if own is not None and own.name else own

    @functools.cached_property
    def _patterns(self) -> list[tuple[re.Pattern[str], Operation]]:
        """A template without placeholders is the more specific one: /orders/export before /orders/{number}."""
        order = sorted(self.operations, key=lambda o: o.template.count("{"))
        return [(matcher(self.prefix, operation.template), operation) for operation in order]


def rules_of(alerts: Iterable[Mapping[str, Any]]) -> tuple[Rule, ...]:
    """A rule for each kind of alert."""
    rules: dict[str, Rule] = {}
    for alert in alerts:
        name = rule_id(alert)
        rules.setdefault(
            name,
            Rule(
                id=name,
                name=_title(alert).partition(": ")[0],
                description=_plain(alert.get("description"), 1000),
                help=_plain(alert.get("solution"), 1000),
                uri=str(alert.get("reference") or "").split("\n", 1)[0].strip(),
            ),
        )
    return tuple(rules[name] for name in sorted(rules))


def rule_id(alert: Mapping[str, Any]) -> str:
    """ZAP's alert reference, which tells the variants of a rule apart; else the id of the rule."""
    return str(alert.get("alertRef") or alert.get("pluginId") or "0")


_TEXTS = ("alert", "name", "description", "solution", "reference", "risk", "confidence", "method", "param", "other")
_KEPT = ("id", "pluginId", "alertRef", "url", "cweid", "messageId")


def slim(alert: Mapping[str, Any]) -> dict[str, Any]:
    """The alert without what no finding shows, its texts shared with the other alerts of the rule: there may be 25,000."""
    kept: dict[str, Any] = {key: alert[key] for key in _KEPT if key in alert}
    kept |= {key: sys.intern(str(alert[key])[:2000]) for key in _TEXTS if alert.get(key)}
    tags = alert.get("tags")
    if isinstance(tags, Mapping) and tags:
        kept["tags"] = {sys.intern(str(name)): sys.intern(str(value)) for name, value in tags.items()}
    return kept


def risk(alert: Mapping[str, Any]) -> Severity:
    """How bad ZAP says it is; our own rules say more exactly."""
    severity = _RISK.get(str(alert.get("risk")), Severity.UNKNOWN)
    raised = str((alert.get("tags") or {}).get("VALLUM_SEVERITY", ""))
    return Severity(raised) if severity is Severity.HIGH and raised in set(Severity) else severity


def plugin(rule: str) -> str:
    """The number of the rule without that of its variant: `10038` of `10038-1`."""
    return rule.partition("-")[0]


def wanted(alert: Mapping[str, Any]) -> bool:
    """Not what a person marked as false."""
    return str(alert.get("confidence")) != "False Positive"


_Row = tuple[str, str, str, Operation | None, Mapping[str, Any]]


@dataclass(frozen=True)
class Group:
    """The alerts that are one finding; the first is shown."""

    alert: Mapping[str, Any]
    method: str
    path: str
    parameter: str
    operation: Operation | None
    others: int


def group(surface: Surface, alerts: Sequence[Mapping[str, Any]]) -> list[Group]:
    """One for each rule, operation and parameter; for what is the same all over a service (tag SYSTEMIC) one in all."""
    ranked = sorted(surface.operations, key=lambda o: bool(_HEALTH.search(o.template)))
    order = {str(operation): at for at, operation in enumerate(ranked)}

    def rank(row: _Row) -> tuple[int, bool, str, str, str]:
        path, method, _, operation, alert = row
        place = order.get(str(operation), len(order))
        return place, bool(_HEALTH.search(path)), path, method, str(alert.get("id", "")).zfill(12)

    placed: dict[tuple[str, ...], list[_Row]] = {}
    for alert in alerts:
        method = str(alert.get("method") or "GET")
        path, operation = surface.at(method, str(alert.get("url") or ""))
        parameter = str(alert.get("param") or "")
        systemic = "SYSTEMIC" in (alert.get("tags") or {})
        key = (rule_id(alert), parameter) if systemic else (rule_id(alert), method, path, parameter)
        placed.setdefault(key, []).append((path, method, parameter, operation, alert))
    groups = []
    for rows in placed.values():
        # In the definition's order, what only says that the service is up last: not as threads happened to finish.
        rows.sort(key=rank)
        path, method, parameter, operation, alert = rows[0]
        count = len({(row[0], row[1]) for row in rows}) - 1
        groups.append(Group(alert, method, path, parameter, operation, count))
    return sorted(groups, key=lambda g: (rule_id(g.alert), g.path, g.method, g.parameter))


def finding(
    surface: Surface,
    found: Group,
    exchange: Exchange | None,
    redactor: Redactor,
    services: Mapping[str, str],
    levels: Levels | None = None,
    out: Line | None = None,
) -> Finding:
    """The finding. `exchange` proves it, `services` maps an authority to the service's name, `levels` is the rule file and
    `out` its line that takes the address out of scope."""
    alert = found.alert
    tags = alert.get("tags") or {}
    severity = risk(alert)
    levels = levels or Levels()
    number_of_rule = plugin(rule_id(alert))
    severity = levels.severity(number_of_rule, severity)
    hidden = out or levels.hides(number_of_rule)
    number = str(alert.get("cweid") or "")
    owasp = sorted({label for label in map(_label, tags) if label})
    text = f"{_title(alert)} at {found.method} {found.path}"
    if found.parameter:
        text += f", parameter {found.parameter}"
    if found.others:
        text += f", and at {found.others} more operation{'s' if found.others > 1 else ''} of the service"
    other = _plain(alert.get("other"), 300)
    line = found.operation.line if found.operation else 0
    relative = surface.target.openapi_relative
    return Finding(
        rule=rule_id(alert),
        severity=severity,
        message=_hostless(redactor.text(text + (f". {other}" if other else "")), services),
        location=Location(relative, line) if relative else None,
        service=surface.target.service,
        cwe=(int(number),) if number.isdigit() and int(number) > 0 else (),
        owasp=tuple(owasp),
        confidence=_CONFIDENCE.get(str(alert.get("confidence")), ""),
        fix=_plain(alert.get("solution"), 1000),
        operation=Where(found.method, found.path, found.parameter),
        exchange=exchange,
        suppression=levels.suppression(hidden) if hidden is not None else None,
    )


def exchange(message: Mapping[str, Any], redactor: Redactor, services: Mapping[str, str]) -> Exchange:
    """ZAP's record of a request and its response as evidence: bounded, without secrets and hosts."""
    return Exchange(
        request=evidence(
            str(message.get("requestHeader") or ""), str(message.get("requestBody") or ""), redactor, services
        ),
        response=evidence(
            str(message.get("responseHeader") or ""), str(message.get("responseBody") or ""), redactor, services
        ),
    )


def evidence(header: str, body: str, redactor: Redactor, services: Mapping[str, str]) -> str:
    """A raw message, redacted and then cut to LIMIT: a secret must not survive by standing across the cut."""
    head = redactor.text(header.replace("\r\n", "\n").rstrip("\n"))
    text = redactor.text(body)
    text = _SECRET_JSON.sub(rf"\1{MARK}\3", text)
    text = _SECRET_FORM.sub(rf"\1{MARK}", text)
    head = _SECRET_FORM.sub(rf"\1{MARK}", head)
    whole = _hostless(head + "\n\n" + text if text else head, services)
    kept = whole if len(whole) <= LIMIT else whole[: LIMIT - 1] + "…"
    if kept.translate(_BREAKS).isprintable():
        return kept
    return "".join(letter if letter in "\n\t" or letter.isprintable() else "\ufffd" for letter in kept)


def _hostless(text: str, services: Mapping[str, str]) -> str:
    """Without host and port, which differ from one deployment to the next: a service's name stands there instead."""
    for authority, name in services.items():
        text = text.replace(authority, name)
    return re.sub(r"\b127\.0\.0\.1:\d{2,5}\b", "loopback", text)


def _label(tag: str) -> str:
    match = _OWASP.match(tag)
    if not match:
        return ""
    year, category, api_year, api = match.groups()
    return f"{category}:{year}" if year else f"API{api}:{api_year}"


def _title(alert: Mapping[str, Any]) -> str:
    return _plain(alert.get("alert") or alert.get("name") or "Alert", 200)


def _plain(value: Any, limit: int) -> str:
    text = " ".join(str(value or "").split())
    return text if len(text) <= limit else text[: limit - 1] + "…"

"""From a run to SARIF 2.1.0: honest invocations, our fingerprints, our severities. Linear in the number of findings."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from vallum import outcome
from vallum.finding import Finding, Rule
from vallum.finding import Location as Place
from vallum.sarif import model
from vallum.severity import Severity

_ENCODER = msgspec.json.Encoder()
_HOLE: Any = (None,)
"""In the place of results that are encoded already."""
FINGERPRINT = "vallum/v1"
LINE_HASH = "primaryLocationLineHash"
"""The only fingerprint that GitHub reads; `hash:count` is the shape of codeql-action's own."""


def write_run(check_id: str, run: outcome.Run, complete: bool, reason: str = "") -> bytes:
    """The normalised SARIF of one outcome, UTF-8. `reason` says why it is not `complete`, and is then required.

    Text that is not valid Unicode (lone surrogates, as a file name may bring) is written with backslash escapes.
    """
    if not complete and not reason:
        raise ValueError(f"{check_id}: an incomplete run needs its reason")
    return encode((document(check_id, run, complete, reason),))


def encode(runs: tuple[model.Run, ...]) -> bytes:
    """A SARIF file of these runs."""
    return encode_any(model.Log(runs=runs, version=model.VERSION, schema=model.SCHEMA))


def encode_parts(runs: Iterable[bytes]) -> Iterator[bytes]:
    """As `encode`, from runs that are encoded already."""
    before, _, after = encode(()).partition(b'"runs":[')
    yield before + b'"runs":['
    for number, run in enumerate(runs):
        yield b"," + run if number else run
    yield after


def encode_run(run: model.Run, results: Iterable[bytes]) -> bytes:
    """One run with these encoded results; the run's own are left out."""
    before, found, after = encode_any(msgspec.structs.replace(run, results=_HOLE)).partition(b'"results":[null]')
    if not found:
        raise ValueError("a run without a place for its results")
    return b"".join((before, b'"results":[', b",".join(results), b"]", after))


def encode_any(value: object) -> bytes:
    """JSON of any part of a file. Lone surrogates become backslash escapes."""
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(_valid(msgspec.to_builtins(value)))


def document(check_id: str, run: outcome.Run, complete: bool, reason: str) -> model.Run:
    """One SARIF run of one outcome."""
    index = {rule.id: number for number, rule in reversed(list(enumerate(run.rules)))}
    uri = uris()
    return model.Run(
        tool=model.Tool(
            driver=model.Driver(
                name=run.tool.name,
                version=run.tool.version,
                rules=rules(run.rules, run.findings),
                properties=model.DriverBag(digest=run.tool.digest) if run.tool.digest else None,
            )
        ),
        automation_details=model.AutomationDetails(id=f"vallum/{check_id}/"),
        invocations=(invocation(run, complete, reason),),
        results=tuple(result(finding, index.get(finding.rule, -1), uri) for finding in run.findings),
        properties=model.RunBag(check=check_id, seconds=run.seconds, coverage=run.coverage, databases=run.databases),
    )


def invocation(run: outcome.Run, complete: bool, reason: str) -> model.Invocation:
    """How the tool ran, with everything it did not look at as a notification."""
    notes = [] if complete else [model.Notification(message=model.Message(text=reason), level="error")]
    notes += [model.Notification(message=model.Message(text=note), level="note") for note in run.notes]
    notes += [
        model.Notification(
            message=model.Message(text=f"not looked at: {missed.target} ({missed.why})"), level="warning"
        )
        for coverage in run.coverage
        for missed in coverage.missed
    ]
    return model.Invocation(
        execution_successful=complete,
        arguments=run.argv,
        exit_code=run.exit_code,
        start_time_utc=run.started,
        end_time_utc=_end(run.started, run.seconds),
        tool_execution_notifications=tuple(notes),
    )


def rules(known: Iterable[Rule], findings: Iterable[Finding]) -> tuple[model.Rule, ...]:
    """The rules of a tool. Level, score and CWE tags come from its worst finding, as SARIF wants them on the rule."""
    worst: dict[str, Severity] = {}
    cwe: dict[str, dict[int, None]] = {}
    for finding in findings:
        before = worst.get(finding.rule)
        if before is None or finding.severity.rank > before.rank:
            worst[finding.rule] = finding.severity
        if finding.cwe:
            cwe.setdefault(finding.rule, {}).update(dict.fromkeys(finding.cwe))
    return tuple(descriptor(rule, worst.get(rule.id), tuple(cwe.get(rule.id, ()))) for rule in known)


def descriptor(rule: Rule, severity: Severity | None, cwe: tuple[int, ...] = (), precision: str = "") -> model.Rule:
    """A reportingDescriptor. Texts that are empty are left out: GitHub refuses empty strings."""
    bag = None
    if severity is not None:
        bag = model.RuleBag(tags=tags(cwe), precision=precision, security_severity=severity.security_severity or "")
    return model.Rule(
        id=rule.id,
        name=rule.name,
        short_description=_message(rule.name or rule.id),
        full_description=_message(rule.description),
        help=_message(rule.help),
        help_uri=rule.uri,
        default_configuration=model.Configuration(level=severity.sarif_level) if severity is not None else None,
        properties=bag,
    )


def tags(cwe: Iterable[int]) -> tuple[str, ...]:
    """Tags as GitHub knows them; 10 of 20 are kept there, so we send no more than 10."""
    return ("security", *(f"external/cwe/cwe-{number:03}" for number in cwe))[:10]


def result(finding: Finding, index: int, uri: Callable[[str], str]) -> model.Result:
    """One result; `vallum.sarif.read.finding` is its inverse."""
    logical = _logical(finding)
    place = finding.location
    if place is not None:
        locations: tuple[model.Location, ...] = (location(place, logical, uri),)
    elif logical:
        locations = (model.Location(logical_locations=logical),)
    else:
        locations = ()
    shown = finding.suppression
    return model.Result(
        rule_id=finding.rule,
        rule_index=index,
        level=finding.severity.sarif_level,
        message=model.Message(text=finding.message),
        locations=locations,
        partial_fingerprints=fingerprints(finding),
        suppressions=(
            (
                model.Suppression(
                    kind=shown.kind, justification=shown.reason, properties=model.SuppressionBag(by=shown.by)
                ),
            )
            if shown is not None
            else ()
        ),
        properties=model.ResultBag(
            severity=finding.severity,
            confidence=finding.confidence,
            service=finding.service,
            cwe=finding.cwe,
            owasp=finding.owasp,
            fix=finding.fix,
            package=finding.package,
            aliases=finding.aliases,
            cvss=finding.cvss,
            operation=finding.operation,
            exchange=finding.exchange,
            checks=finding.checks,
        ),
    )


def fingerprints(finding: Finding) -> dict[str, str]:
    """Its identity, under our name and under the only one that GitHub reads."""
    return {FINGERPRINT: finding.id, LINE_HASH: finding.id + ":1"} if finding.id else {}


def location(place: Place, logical: tuple[model.LogicalLocation, ...], uri: Callable[[str], str]) -> model.Location:
    """A place as SARIF has it. What no region may hold (a column without a line) goes to the property bag."""
    artifact = model.ArtifactLocation(uri=uri(place.path), uri_base_id="%SRCROOT%")
    if place.line >= 1 and place.column >= 0 and (place.end_line == 0 or place.end_line >= place.line):
        region = model.Region(
            start_line=place.line,
            start_column=place.column,
            end_line=place.end_line,
            snippet=model.Message(text=place.snippet) if place.snippet else None,
        )
        return model.Location(
            physical_location=model.PhysicalLocation(artifact_location=artifact, region=region),
            logical_locations=logical,
        )
    bag = None
    if place.line or place.column or place.end_line or place.snippet:
        bag = model.LocationBag(line=place.line, column=place.column, end_line=place.end_line, snippet=place.snippet)
    return model.Location(
        physical_location=model.PhysicalLocation(artifact_location=artifact),
        logical_locations=logical,
        properties=bag,
    )


def uris() -> Callable[[str], str]:
    """A function from relative path to relative URI reference (RFC 3986), which remembers: paths repeat a lot.

    Everything but letters, digits, `/`, `-`, `.`, `_`, `~` is percent-encoded (a first segment with a colon would be
    taken for a scheme). Bytes of a file name that are no UTF-8 keep their value.
    """
    seen: dict[str, str] = {}

    def uri(path: str) -> str:
        found = seen.get(path)
        if found is None:
            try:
                found = quote(path, safe="/", errors="surrogateescape")
            except UnicodeEncodeError:
                found = quote(path, safe="/", errors="backslashreplace")
            seen[path] = found
        return found

    return uri


def _logical(finding: Finding) -> tuple[model.LogicalLocation, ...]:
    if finding.operation is not None:
        name = f"{finding.operation.method} {finding.operation.path}"
        return (model.LogicalLocation(fully_qualified_name=name, kind="resource"),)
    if finding.package is not None:
        return (model.LogicalLocation(fully_qualified_name=finding.package.purl, kind="package"),)
    if finding.location is None and finding.service:
        return (model.LogicalLocation(fully_qualified_name=finding.service, kind="module"),)
    return ()


def _message(text: str) -> model.Message | None:
    return model.Message(text=text) if text else None


def _end(started: str, seconds: float) -> str:
    """Start plus duration, or nothing where the start is not ISO 8601."""
    try:
        begin = dt.datetime.fromisoformat(started)
        end = (begin + dt.timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError):
        return ""
    return end.replace("+00:00", "Z")


def _valid(value: object) -> object:
    """The same data with every lone surrogate escaped."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {key: _valid(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(inner) for inner in value]
    return value

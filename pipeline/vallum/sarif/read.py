"""The inverse of vallum.sarif.write, for files that another machine may have written: strict, trusting nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import unquote

import msgspec

from vallum.finding import Finding, Location, Rule, Suppression
from vallum.sarif import model
from vallum.sarif.write import FINGERPRINT, encode

_DECODER = msgspec.json.Decoder(model.Log)


def read_run(data: bytes) -> tuple[tuple[Rule, ...], tuple[Finding, ...]]:
    """Rules and findings of a file that `write_run` wrote. Raises ValueError, one sentence, for anything else.

    Unknown keys are refused outside of property bags; a level that contradicts the severity is refused too.
    """
    try:
        log = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not a SARIF file of vallum: {error}") from None
    if log.version != model.VERSION or log.schema != model.SCHEMA:
        raise ValueError(f"not a SARIF {model.VERSION} file of vallum: version `{log.version}`, schema `{log.schema}`")
    if len(log.runs) != 1:
        raise ValueError(f"an outcome has exactly one SARIF run, this file has {len(log.runs)}")
    if encode(log.runs) != data:  # a key twice, an unknown one, another order: two readers could differ
        raise ValueError("not a SARIF file of vallum: not byte for byte what it would write")
    run = log.runs[0]
    path = _paths()
    share: dict[Any, Any] = {}
    return (
        tuple(_rule(rule) for rule in run.tool.driver.rules),
        tuple(_finding(number, result, path, share) for number, result in enumerate(run.results)),
    )


def _rule(rule: model.Rule) -> Rule:
    return Rule(
        id=rule.id,
        name=rule.name,
        description=rule.full_description.text if rule.full_description else "",
        help=rule.help.text if rule.help else "",
        uri=rule.help_uri,
    )


def _finding(number: int, result: model.Result, path: Callable[[str], str], share: dict[Any, Any]) -> Finding:
    """`share` keeps one object for each value that many findings have: a million findings name few rules and services."""
    bag = result.properties
    severity = bag.severity
    if result.level != severity.sarif_level:
        raise ValueError(f"result {number}: level `{result.level}` contradicts severity `{severity}`")
    if len(result.locations) > 1 or len(result.suppressions) > 1:
        raise ValueError(f"result {number}: more than one location or suppression")
    suppression = None
    if result.suppressions:
        shown = result.suppressions[0]
        by = shown.properties.by if shown.properties else ""
        suppression = Suppression(kind=shown.kind, by=by, reason=shown.justification)
    one = share.setdefault
    return Finding(
        rule=one(result.rule_id, result.rule_id),
        severity=severity,
        message=one(result.message.text, result.message.text),
        location=_location(result.locations[0], path) if result.locations else None,
        service=one(bag.service, bag.service),
        cwe=one(bag.cwe, bag.cwe),
        owasp=one(bag.owasp, bag.owasp),
        confidence=one(bag.confidence, bag.confidence),
        fix=one(bag.fix, bag.fix),
        package=bag.package,
        aliases=bag.aliases,
        cvss=bag.cvss,
        operation=bag.operation,
        exchange=bag.exchange,
        suppression=suppression,
        id=result.partial_fingerprints.get(FINGERPRINT, ""),
        checks=one(bag.checks, bag.checks),
    )


def _location(location: model.Location, path: Callable[[str], str]) -> Location | None:
    physical = location.physical_location
    if physical is None:
        return None
    name = path(physical.artifact_location.uri)
    region = physical.region
    if region is not None:
        snippet = region.snippet.text if region.snippet else ""
        return Location(name, region.start_line, region.start_column, region.end_line, snippet)
    bag = location.properties
    if bag is not None:
        return Location(path=name, line=bag.line, column=bag.column, end_line=bag.end_line, snippet=bag.snippet)
    return Location(path=name)


def _paths() -> Callable[[str], str]:
    """A function from relative URI reference to path, which remembers."""
    seen: dict[str, str] = {}

    def path(uri: str) -> str:
        found = seen.get(uri)
        if found is None:
            found = seen[uri] = unquote(uri, errors="surrogateescape") if "%" in uri else uri
        return found

    return path

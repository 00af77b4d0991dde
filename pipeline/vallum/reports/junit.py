"""`junit.xml`, for CI systems that show tests. Linear: written part by part, no tree, and never whole in memory.

One suite a check: a test case for each unit (incomplete is an error, not applicable is skipped), then one for each of its
findings (what blocks is a failure, what only warns or is suppressed is in the case's output). A suite `vallum` of one
case carries the verdict, so that a red verdict is red here too, whatever its reason.
"""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from markupsafe import escape

from vallum.reports import text
from vallum.verdict import CheckResult, Disposition, Judged, Status, Verdict

_SPECIAL = re.compile("[&<>\"']").search
NEWLINE = "\n"
REMEMBERED = 8_192
"""Texts whose escaped form is kept: messages and repairs of rules repeat a lot."""
MESSAGE = 300
"""Characters of a message attribute; the whole message is in the element's text."""


def render(verdict: Verdict, root: Path) -> dict[str, Iterator[bytes]]:
    """`{"junit.xml": …}`."""
    del root
    return {"junit.xml": text.in_parts(_document(verdict))}


def _document(verdict: Verdict) -> Iterator[str]:
    results: defaultdict[str, list[CheckResult]] = defaultdict(list)
    findings: defaultdict[str, list[Judged]] = defaultdict(list)
    for result in verdict.checks:
        results[result.check].append(result)
    for judged in verdict.findings:
        findings[judged.finding.checks[0] if judged.finding.checks else ""].append(judged)
    stage = {result.check: result.stage for result in verdict.checks}
    name = f"vallum {verdict.target}"
    yield '<?xml version="1.0" encoding="UTF-8"?>\n'
    yield f"<testsuites name={_attribute(name)} time={_attribute(f'{verdict.seconds:.3f}')}>\n"
    yield from _verdict(verdict)
    for check in dict.fromkeys((*results, *findings)):
        yield from _suite(verdict, check, stage.get(check, ""), results[check], findings[check])
    yield "</testsuites>\n"


def _verdict(verdict: Verdict) -> Iterator[str]:
    failed, incomplete = verdict.status is Status.FAIL, verdict.status is Status.INCOMPLETE
    yield _open("vallum", 1, int(failed), int(incomplete), 0, verdict.seconds, verdict.started)
    yield f'<testcase classname="vallum" name="verdict" time={_attribute(f"{verdict.seconds:.3f}")}>'
    if failed or incomplete:
        reasons = "\n".join(text.line(reason.text) for reason in verdict.reasons)
        message = f"{verdict.status.upper()}: {text.HEADLINE[verdict.status]}"
        yield _element("failure" if failed else "error", message, verdict.status, reasons)
    yield "</testcase>\n</testsuite>\n"


def _suite(
    verdict: Verdict, check: str, stage: str, results: list[CheckResult], findings: list[Judged]
) -> Iterator[str]:
    errors = sum(result.status == "incomplete" for result in results)
    skipped = sum(result.status == "not-applicable" for result in results)
    failures = sum(judged.disposition is Disposition.BLOCKS for judged in findings)
    seconds = sum(result.seconds for result in results)
    started = min((result.started for result in results if result.started), default="")
    yield _open(check, len(results) + len(findings), failures, errors, skipped, seconds, started)
    label = _attribute(f"vallum.{stage}.{check}" if stage else f"vallum.{check}")
    for result in results:
        name = "whole target" if result.unit == text.WHOLE else result.unit
        yield _case(label, name, result.seconds)
        if result.status == "incomplete":
            yield _element("error", result.reason, "incomplete", result.reason)
        elif result.status == "not-applicable":
            yield f"<skipped message={_attribute(text.line(result.reason, MESSAGE))}/>"
        yield f"<system-out>{_content(_coverage(result))}</system-out></testcase>\n"
    for judged in findings:
        finding = judged.finding
        where = text.where(finding)
        name = _attribute(f"{finding.severity} {finding.rule} {where} {finding.id[:12]}")
        body = _body(verdict, judged, where)
        if judged.disposition is Disposition.BLOCKS:
            short = _repeated_attribute(finding.message, MESSAGE)
            what = f'<failure message={short} type="{finding.severity}">{body}</failure>'
        else:
            what = f"<system-out>{body}</system-out>"
        yield f'<testcase classname={label} name={name} time="0.000">{what}</testcase>\n'
    yield "</testsuite>\n"


def _coverage(result: CheckResult) -> str:
    missed = [f"not looked at: {each.target} ({each.why})" for part in result.coverage for each in part.missed]
    return "\n".join(part for part in (text.tool(result), text.looked_at(result), *missed, *result.notes) if part)


def _body(verdict: Verdict, judged: Judged, where: str) -> str:
    """Escaped text. What many findings say alike is escaped once."""
    finding = judged.finding
    repair = finding.fix or text.rule_of(verdict, finding).help
    service = f"service {finding.service}" if finding.service else ""
    message = _repeated(finding.message)
    return (
        f"{message}{message and NEWLINE}{_content(where)}  {_repeated(service)}\n"
        f"{judged.disposition}: {_repeated(judged.why)}\n"
        f"{f'repair: {_repeated(repair)}{NEWLINE}' if repair else ''}id: {_content(finding.id)}"
    )


def _open(name: str, tests: int, failures: int, errors: int, skipped: int, seconds: float, started: str) -> str:
    stamp = f" timestamp={_attribute(started.removesuffix('Z'))}" if started else ""
    return (
        f'<testsuite name={_attribute(name)} tests="{tests}" failures="{failures}" errors="{errors}" '
        f'skipped="{skipped}" time="{seconds:.3f}"{stamp}>\n'
    )


def _case(label: str, name: str, seconds: float) -> str:
    """`label` is an attribute already: it is the same for a whole suite."""
    return f'<testcase classname={label} name={_attribute(name)} time="{seconds:.3f}">'


def _element(tag: str, message: str, kind: str, body: str) -> str:
    short = _attribute(message, MESSAGE)
    return f"<{tag} message={short} type={_attribute(kind)}>{_content(body)}</{tag}>"


def _attribute(value: str, limit: int = 0) -> str:
    return f'"{_escaped(text.line(value, limit))}"'


def _content(value: str) -> str:
    return _escaped(text.plain(value))


def _escaped(value: str) -> str:
    return str(escape(value)) if _SPECIAL(value) else value


_repeated = functools.lru_cache(REMEMBERED)(_content)
_repeated_attribute = functools.lru_cache(REMEMBERED)(_attribute)

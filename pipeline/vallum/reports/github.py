"""GitHub's workflow commands: the worst first, because the runner keeps 10 of a type in a step and drops the rest unsaid.

Escapes as `actions/toolkit` does them (packages/core/src/command.ts): `%`, CR, LF; in properties `:` and `,` too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TextIO

from vallum.reports import text
from vallum.verdict import Disposition, Judged, Verdict

MOST = 10
"""Annotations of one type in one step."""
INCOMPLETE_MOST = 4
"""Errors of these ten that may be reasons for INCOMPLETE, where findings block too."""


def emit(verdict: Verdict, environ: Mapping[str, str] = os.environ, out: TextIO | None = None) -> bool:
    """Print the commands where GITHUB_ACTIONS is `true`, else nothing; says whether it did."""
    if environ.get("GITHUB_ACTIONS") != "true":
        return False
    stream = out or sys.stdout
    stream.write("".join(f"{command}\n" for command in commands(verdict)))
    stream.flush()
    return True


def commands(verdict: Verdict) -> list[str]:
    """At most 10 errors and 10 warnings, and one notice that counts what is not shown."""
    incomplete = [reason for reason in verdict.reasons if reason.kind == "incomplete"]
    blocking = [each for each in verdict.findings if each.disposition is Disposition.BLOCKS]
    warning = [each for each in verdict.findings if each.disposition is Disposition.WARNS]
    room = INCOMPLETE_MOST if blocking else MOST
    errors = [command("error", {"title": "vallum: incomplete"}, reason.text) for reason in incomplete[:room]]
    errors += [_finding("error", each) for each in blocking[: MOST - len(errors)]]
    warnings = [_finding("warning", each) for each in warning[:MOST]]
    tally = text.tally(verdict)
    total = tally["blocked"] + tally["warned"] + len(incomplete)
    shown = len(errors) + len(warnings)
    rollup = f"{verdict.status.upper()}: {last(tally)}"
    if total > shown:
        rollup += f"; {total - shown:,} more than annotated here, see the report"
    return [*errors, *warnings, command("notice", {"title": "vallum"}, rollup)]


def last(tally: Mapping[str, int]) -> str:
    """`3 blocked, 2 warned, 0 suppressed, 1 incomplete`."""
    return ", ".join(f"{number:,} {word}" for word, number in tally.items())


def command(name: str, properties: Mapping[str, str], message: str) -> str:
    """One workflow command."""
    inner = ",".join(f"{key}={_property(value)}" for key, value in properties.items() if value)
    return f"::{name}{' ' + inner if inner else ''}::{_data(text.line(message, 1000))}"


def _finding(name: str, judged: Judged) -> str:
    finding = judged.finding
    place = finding.location
    properties = {"title": f"{finding.severity}: {finding.rule} ({text.seen_by(finding)})"}
    if place is not None and place.path:
        properties["file"] = place.path
        if place.line > 0:
            properties["line"] = str(place.line)
            if place.end_line >= place.line:
                properties["endLine"] = str(place.end_line)
            elif place.column > 0:
                properties["col"] = str(place.column)  # GitHub takes columns only where the annotation is on one line
    more = text.operation(finding) or text.package(finding)
    fix = f" Repair: {finding.fix}" if finding.fix else ""
    return command(name, properties, f"{finding.message}{f' [{more}]' if more else ''}{fix}")


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(text.line(value, 300)).replace(":", "%3A").replace(",", "%2C")

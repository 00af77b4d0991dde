"""Python source with bandit: dangerous calls, weak crypto, injection by string, debug servers.

Cannot see: data flow between functions (semgrep's taint rules do that), other languages. Fix: each finding links to
bandit's page on the test; a marker such as `# nosec` is counted and shown, never obeyed here.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Outcome, Run, Tool
from vallum.process import Finished
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks.common import Markers, batches, conclude, coverage, ended, unreadable


class _Cwe(msgspec.Struct, frozen=True):
    id: int = 0


class _Result(msgspec.Struct):
    filename: str
    line_number: int
    test_id: str
    test_name: str
    issue_text: str
    issue_severity: str
    issue_confidence: str
    more_info: str = ""
    col_offset: int = 0
    line_range: list[int] = []
    issue_cwe: _Cwe = _Cwe()


class _Error(msgspec.Struct):
    filename: str
    reason: str


class _Report(msgspec.Struct):
    results: list[_Result]
    errors: list[_Error]
    metrics: dict[str, msgspec.Raw]


NOSEC = re.compile(r"#\s*nosec\b", re.IGNORECASE)
CWES = {
    **dict.fromkeys(("B102", "B307"), 95),  # exec, eval: bandit says 78, the shell's
    **dict.fromkeys(("B105", "B106", "B107"), 798),  # bandit says 259, of which 798 is the parent that others name
    **dict.fromkeys(("B201",), 489),  # a debug server: bandit says 94, its consequence
    **dict.fromkeys(("B313", "B314", "B315", "B316", "B317", "B318", "B319", "B320"), 611),  # XML: bandit says 20
    **dict.fromkeys(("B506",), 502),  # yaml.load: bandit says 20
    **dict.fromkeys(("B701", "B702"), 79),  # templates without escaping: bandit says 94
}
"""Where bandit names a class of weaknesses or a neighbour, the entry of the CWE list that the pattern is an example of, so
that the same line found by another tool is the same finding."""
SEVERITIES = {"HIGH": Severity.HIGH, "MEDIUM": Severity.MEDIUM, "LOW": Severity.LOW, "UNDEFINED": Severity.UNKNOWN}


def files(target: Target) -> list[str]:
    """The Python files of the target."""
    return target.select(".py", ".pyw")


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Where there is Python."""
    return Planned() if files(target) else Skipped("no Python source")


def run(ctx: Context) -> Outcome:
    """Every Python file by name, so that no ignore rule of the target's can hide one; markers off, counted by us."""
    tool = ctx.tool("bandit")
    expected = files(ctx.target)
    settings = ctx.scratch / "bandit.yaml"
    settings.write_text("{}\n", "utf-8")  # an own, empty file: a `.bandit` of the target is not looked for beside `-c`
    argv: list[str | Path] = [
        tool.bin("bandit"),
        "--quiet",
        "--format",
        "json",
        "--ignore-nosec",
        "--configfile",
        settings,
        "--exclude",
        "",
    ]
    report = _Report([], [], {})
    exit_code, seconds = 0, 0.0
    unread = unreadable(ctx.target, expected)
    for number, batch in enumerate(batches([path for path in expected if path not in unread])):
        file = ctx.raw / f"bandit-{number}.json"
        done = ctx.run([*argv, "--output", file, "--", *(f"./{path}" for path in batch)], name=f"bandit-{number}")
        part = _read(file, done)
        report.results.extend(part.results)
        report.errors.extend(part.errors)
        report.metrics |= part.metrics
        exit_code, seconds = max(exit_code, done.exit_code), seconds + done.seconds
    seen = {ctx.target.relative(name) for name in report.metrics if name != "_totals"}
    missed = unread | {ctx.target.relative(error.filename): error.reason for error in report.errors}
    missed |= {path: "not looked at" for path in expected if path not in seen and path not in missed}
    marked = Markers(ctx.target, NOSEC, "# nosec", "nosec")
    result = Run(
        tool=Tool("bandit", tool.version, tool.digest),
        coverage=(coverage("files", expected, missed),),
        rules=tuple({result.test_id: _rule(result) for result in report.results}.values()),
        findings=tuple(_finding(ctx, result, marked) for result in report.results),
        argv=tuple(str(part) for part in (*argv, "--", "…")),
        exit_code=exit_code,
        seconds=seconds,
    )
    return conclude("bandit", result)


def _read(file: Path, done: Finished) -> _Report:
    """Exit 1 stands for findings and for findings beside unread files alike: only the report tells."""
    if done.exit_code not in {0, 1}:
        raise ended("bandit", done)
    try:
        return msgspec.json.decode(file.read_bytes(), type=_Report)
    except (OSError, msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Inconclusive(f"bandit left no readable report: {error}", done.tail()) from None


def _rule(result: _Result) -> Rule:
    return Rule(
        id=result.test_id,
        name=result.test_name.replace("_", " "),
        description=f"bandit {result.test_id}: {result.test_name}",
        uri=result.more_info,
    )


def _finding(ctx: Context, result: _Result, marked: Markers) -> Finding:
    return Finding(
        rule=result.test_id,
        severity=SEVERITIES.get(result.issue_severity, Severity.UNKNOWN),
        confidence=result.issue_confidence.lower(),
        message=result.issue_text,
        location=Location(
            path=ctx.target.relative(result.filename),
            line=result.line_number,
            column=max(result.col_offset, 0) + 1,
            end_line=max(result.line_range, default=result.line_number),
        ),
        cwe=tuple(number for number in (CWES.get(result.test_id, result.issue_cwe.id),) if number),
        suppression=marked.suppression(ctx.target.relative(result.filename), result.line_range or [result.line_number]),
    )


CHECK = Check(
    id="bandit",
    stage=Stage.SOURCE,
    summary="Python source: dangerous calls, weak crypto, injection (bandit)",
    applies=applies,
    run=run,
    tools=("bandit",),
    tags=("sast", "python"),
)

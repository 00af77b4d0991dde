"""GitHub workflows, actions and Dependabot settings with zizmor: script injection, dangerous triggers, unpinned actions.

Cannot see: what a used action does, settings of the repository; audits that ask GitHub are off. Fix: each finding says it
and links to zizmor's page. `# zizmor: ignore[…]` is counted and shown, `zizmor.yml` not looked at.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from vallum import sources
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule, Suppression
from vallum.outcome import Outcome, Run, Tool
from vallum.process import Finished
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks.common import (
    Judgement,
    batches,
    conclude,
    coverage,
    decode,
    ended,
    judgements,
    unreadable,
)


class _Determinations(msgspec.Struct):
    confidence: str
    severity: str


class _Local(msgspec.Struct):
    verbatim_path: str


class _Key(msgspec.Struct):
    Local: _Local


class _Symbolic(msgspec.Struct):
    key: _Key
    annotation: str
    kind: str


class _Point(msgspec.Struct):
    row: int
    column: int


class _Span(msgspec.Struct):
    start_point: _Point
    end_point: _Point


class _Concrete(msgspec.Struct):
    location: _Span


class _Place(msgspec.Struct):
    symbolic: _Symbolic
    concrete: _Concrete


class _Result(msgspec.Struct):
    ident: str
    desc: str
    url: str
    determinations: _Determinations
    locations: list[_Place]
    ignored: bool = False


WHOLE_RUN = frozenset({0, 11, 12, 13, 14})
"""0: nothing found; 11 to 14: the highest severity found, informational to high (zizmor's documentation, "Exit codes")."""
NOTHING_READ = 3
SEVERITIES = {
    "High": Severity.HIGH,
    "Medium": Severity.MEDIUM,
    "Low": Severity.LOW,
    "Informational": Severity.INFO,
}
WORKFLOW = re.compile(r"(^|/)\.(github|gitea|forgejo)/workflows/[^/]+\.ya?ml$")
ACTION = re.compile(r"(^|/)action\.ya?ml$")
DEPENDABOT = re.compile(r"(^|/)\.github/dependabot\.ya?ml$")
RUNS = re.compile(r"^[\"']?runs[\"']?\s*:", re.MULTILINE)
COMPLETED = re.compile(r"completed (.+)$")


def files(target: Target) -> list[str]:
    """Workflows, actions (files called action.yml that have `runs`) and Dependabot settings, wherever they lie."""
    return [
        path for path in target.files if WORKFLOW.search(path) or DEPENDABOT.search(path) or _is_action(target, path)
    ]


def _is_action(target: Target, path: str) -> bool:
    if not ACTION.search(path):
        return False
    try:
        return RUNS.search(sources.text(target, path)) is not None
    except (OSError, ValueError):
        return True  # it cannot be read: zizmor will not either, and that is said


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Where there is a workflow, an action or a Dependabot file."""
    return Planned() if files(target) else Skipped("no GitHub workflow or action")


def run(ctx: Context) -> Outcome:
    """Every file by name, without configuration and ignore comments. zizmor says "completed" for each file it read."""
    tool = ctx.tool("zizmor")
    expected = files(ctx.target)
    argv: list[str | Path] = [
        tool.bin("zizmor"),
        "--offline",
        "--no-progress",
        "--no-config",
        "--no-ignores",
        "--color",
        "never",
        "--format",
        "json",
    ]
    results: list[_Result] = []
    missed = unreadable(ctx.target, expected)
    exit_code, seconds = 0, 0.0
    for number, batch in enumerate(batches([path for path in expected if path not in missed])):
        done = ctx.run([*argv, "--", *(f"./{path}" for path in batch)], name=f"zizmor-{number}")
        exit_code, seconds = max(exit_code, done.exit_code), seconds + done.seconds
        if done.exit_code in WHOLE_RUN:
            results.extend(decode(done.output(), list[_Result], "zizmor", done))
        elif done.exit_code != NOTHING_READ:
            raise ended("zizmor", done)
        missed |= _missed(ctx.target, batch, done)
    return conclude(
        "zizmor",
        Run(
            tool=Tool("zizmor", tool.version, tool.digest),
            coverage=(coverage("workflow files", expected, missed),),
            rules=tuple({result.ident: _rule(result) for result in results}.values()),
            findings=tuple(_finding(ctx.target, result) for result in results),
            notes=("audits that ask GitHub (known-vulnerable actions, impostor commits) were off: zizmor ran offline",),
            argv=tuple(str(part) for part in (*argv, "--", "…")),
            exit_code=exit_code,
            seconds=seconds,
        ),
    )


def _missed(target: Target, batch: list[str], done: Finished) -> dict[str, str]:
    text = done.stderr.read_text("utf-8", "replace")
    seen = {
        target.relative(found[1].strip())
        for line in text.splitlines()
        if "audit" in line and (found := COMPLETED.search(line))
    }
    warnings = [line.partition("zizmor::registry::input: ")[2] for line in text.splitlines() if " WARN " in line]
    unnamed = next((warning for warning in warnings if warning and "file://" not in warning), "")
    missed = {}
    for path in batch:
        if path not in seen:
            said = next((warning for warning in warnings if f"file://./{path} " in warning), unnamed)
            missed[path] = said[:300] or "not a readable workflow, action or Dependabot file"
    return missed


def _rule(result: _Result) -> Rule:
    judged = judgements("zizmor").get(result.ident, Judgement())
    return Rule(result.ident, result.ident.replace("-", " "), result.desc, judged.fix, result.url)


def _finding(target: Target, result: _Result) -> Finding:
    judged = judgements("zizmor").get(result.ident, Judgement())
    place = next((place for place in result.locations if place.symbolic.kind == "Primary"), None)
    if place is None and not result.locations:
        raise Inconclusive(f"zizmor's finding {result.ident} has no place")
    place = place or result.locations[0]
    start = place.concrete.location.start_point
    # what belongs to it may stand on the next line: `secrets: inherit` under `uses:`
    ends = [place.concrete.location.end_point.row]
    for related in result.locations:
        span = related.concrete.location
        if related.symbolic.kind == "Related" and ends[0] <= span.start_point.row <= ends[0] + 2:
            ends.append(span.end_point.row)
    return Finding(
        rule=result.ident,
        severity=judged.severity or SEVERITIES.get(result.determinations.severity, Severity.UNKNOWN),
        confidence=result.determinations.confidence.lower(),
        message=f"{result.desc}: {place.symbolic.annotation}",
        location=Location(
            target.relative(place.symbolic.key.Local.verbatim_path), start.row + 1, start.column + 1, max(ends) + 1
        ),
        cwe=judged.cwe,
        owasp=judged.owasp,
        fix=judged.fix,
        suppression=Suppression("inSource", "# zizmor: ignore") if result.ignored else None,
    )


CHECK = Check(
    id="workflows",
    stage=Stage.SOURCE,
    summary="GitHub workflows and actions: script injection, triggers, pinning (zizmor)",
    applies=applies,
    run=run,
    tools=("zizmor",),
    tags=("cicd",),
    deadline=300.0,
)

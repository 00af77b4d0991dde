"""Source in several languages with semgrep and vallum's own rules: injection by data flow, JWT, TLS, crypto, secrets.

Cannot see: data flow from one function into another, or over the wire (the staged checks do that); languages without
rules. Fix: each finding says it. `# nosemgrep` is counted and shown, never obeyed here; `.semgrepignore` and `.gitignore`
hide nothing. More rules: `[checks.semgrep] options = { rules = ["rules/own.yaml"] }`, files of the target.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule, Suppression
from vallum.outcome import Database, Outcome, Run, Tool
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks._rulepack import ANYTHING, LANGUAGES, kinds_of, needed, own_pack, user_pack
from vallum_checks.common import (
    Markers,
    batches,
    chart_folders,
    conclude,
    coverage,
    decode,
    ended,
    is_template,
    start_of,
)


class _Point(msgspec.Struct):
    line: int
    col: int


class _Extra(msgspec.Struct):
    message: str = ""
    severity: str = ""
    metadata: dict[str, Any] = {}


class _Result(msgspec.Struct):
    check_id: str
    path: str
    start: _Point
    end: _Point
    extra: _Extra


class _Error(msgspec.Struct):
    type: Any = ""
    message: str = ""
    path: str = ""
    rule_id: str = ""


class _Paths(msgspec.Struct):
    scanned: list[str] = []


class _Time(msgspec.Struct):
    rules: list[str] = []


class _Report(msgspec.Struct):
    results: list[_Result]
    errors: list[_Error]
    paths: _Paths
    time: _Time | None = None


MAX_BYTES = 4 << 20
"""A source file above this is not looked at and said so: 3 MB of blank lines cost 9 s. `options = { max-bytes = … }`."""
RULE_SECONDS = 60
"""Seconds of one rule on one file. Passing it is an error in the report, hence incomplete."""
QUIET = {"SEMGREP_ENABLE_VERSION_CHECK": "0", "SEMGREP_SEND_METRICS": "off"}
"""Without the first, offline, every start waits for a minute and a half."""
FLAGS = (
    *("--experimental", "-j", "1", "--json", "--time", "--metrics=off", "--disable-version-check", "--disable-nosem"),
    *("--no-git-ignore", "--x-ignore-semgrepignore-files", "--timeout", str(RULE_SECONDS), "--timeout-threshold", "1"),
)
SEVERITIES = {
    "CRITICAL": Severity.CRITICAL,
    "ERROR": Severity.HIGH,
    "HIGH": Severity.HIGH,
    "WARNING": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "INFO": Severity.LOW,
    "LOW": Severity.LOW,
}
NOSEM = re.compile(r"\bnosem(grep)?\b")
NOSEM_ALONE = re.compile(r"^\s*(#|//|/\*|--|<!--)\s*nosem(grep)?\b")


def files(target: Target, languages: Iterable[str]) -> list[str]:
    """The files of the target in these languages, Helm templates left out (they are not YAML before they are rendered)."""
    spoken = set(languages)
    if spoken & ANYTHING:
        return list(target.files)
    names = {name for language in spoken for name in LANGUAGES.get(language, ())}
    charts = chart_folders(target)
    return [path for path in target.files if not names.isdisjoint(kinds_of(path)) and not is_template(charts, path)]


def applies(target: Target, config: Config) -> Planned | Skipped:
    """Where there is source in one of the languages of our rules, or the configuration names own rules."""
    shipped = ("python", "javascript", "typescript", "go", "java", "dockerfile", "yaml")
    if config.settings("semgrep").options.get("rules") or files(target, shipped):
        return Planned()
    return Skipped("no source in a language that the rules cover")


def run(ctx: Context) -> Outcome:
    """Every file by name; what semgrep must have loaded and read is counted by us before."""
    tool = ctx.tool("semgrep")
    packs = [pack for pack in (own_pack(), user_pack(ctx)) if pack.rules]
    rules = {name: spoken for pack in packs for name, spoken in pack.rules.items()}
    languages = frozenset[str]().union(*rules.values())
    unknown = languages - LANGUAGES.keys() - ANYTHING
    if unknown:
        raise Inconclusive(f"a rule is for {min(unknown)}, and vallum does not know which files that language has")
    expected = files(ctx.target, languages)
    limit = int(ctx.config.settings("semgrep").options.get("max-bytes", MAX_BYTES))
    missed = _unfit(ctx.target, expected, limit)
    argv: list[str | Path] = [tool.bin("semgrep"), "scan", *FLAGS, "--max-target-bytes", str(limit)]
    report = _Report([], [], _Paths())
    exit_code, seconds = 0, 0.0
    for number, batch in enumerate(batches([path for path in expected if path not in missed])):
        env = QUIET | {"HOME": str(ctx.scratch), "XDG_CONFIG_HOME": str(ctx.scratch)}
        wanted = needed(rules, batch)  # files of rules for other languages cost their parsing only
        chosen = [path for pack in packs for path, ids in pack.of.items() if not ids.isdisjoint(wanted)]
        configured = [part for path in chosen for part in ("--config", path)]
        names = [f"./{path}" for path in batch]
        done = ctx.run([*argv, *configured, "--", *names], name=f"semgrep-{number}", env=env)
        if not done.output():
            raise ended("semgrep", done)
        part = decode(done.output(), _Report, "semgrep", done)
        if done.exit_code != 0:
            raise Inconclusive(
                f"semgrep ended with {done.exit_code}: {_first(part.errors) or done.tail(300)}", done.tail()
            )
        loaded = frozenset(_own_id(name, rules) for name in part.time.rules) if part.time else frozenset()
        _all_loaded(wanted, loaded, part.errors)
        for result in part.results:
            result.check_id = _own_id(result.check_id, rules)
        report.results.extend(part.results)
        report.errors.extend(part.errors)
        report.paths.scanned.extend(part.paths.scanned)
        seconds += done.seconds
    scanned = {ctx.target.relative(path) for path in report.paths.scanned}
    for error in report.errors:
        missed.setdefault(_path(ctx.target, error), _said(error))
    for path in expected:
        if path not in scanned:
            missed.setdefault(path, "semgrep did not look at it and does not say why")
    marked = (Markers(ctx.target, NOSEM, "nosemgrep", "nosem"), Markers(ctx.target, NOSEM_ALONE, "nosemgrep", "nosem"))
    charts = chart_folders(ctx.target)
    templates = sum(1 for path in ctx.target.files if path.endswith((".yaml", ".yml")) and is_template(charts, path))
    return conclude(
        "semgrep",
        Run(
            tool=Tool("semgrep", tool.version, tool.digest),
            coverage=(coverage("files", expected, missed),),
            rules=tuple({result.check_id: _rule(result) for result in report.results}.values()),
            findings=tuple(_finding(ctx.target, result, marked) for result in report.results),
            databases=tuple(
                Database(name, f"{len(pack.paths)} files", len(pack.rules), digest=pack.digest)
                for name, pack in zip(("vallum rules", "rules of the target"), packs, strict=False)
            ),
            notes=(f"{templates} Helm templates were not looked at: they are no YAML before they are rendered",)
            if templates
            else (),
            argv=tuple(str(part) for part in (tool.bin("semgrep"), "scan", *FLAGS, "…")),
            exit_code=exit_code,
            seconds=seconds,
        ),
    )


def _unfit(target: Target, expected: list[str], limit: int) -> dict[str, str]:
    """What semgrep would pass over in silence: files over its size limit, and bytes that are no text."""
    missed = {}
    for path in expected:
        try:
            data = start_of(f"{target.base}/{path}", limit + 1)
        except OSError as error:
            missed[path] = f"cannot be read: {error.strerror}"
            continue
        if len(data) > limit:
            missed[path] = f"has more than {limit} bytes (options.max-bytes)"
        elif b"\0" in data:
            missed[path] = "not text"
    return missed


def _own_id(name: str, rules: Container[str]) -> str:
    """The id as it stands in the rule file: semgrep puts the folders before it where the file lies below its own folder."""
    parts = name.split(".")
    ids = (".".join(parts[number:]) for number in range(len(parts)))
    return next((known for known in ids if known in rules), name)


def _all_loaded(wanted: frozenset[str], loaded: frozenset[str], errors: list[_Error]) -> None:
    """Semgrep drops a bad rule beside good ones and exits 0."""
    lost = wanted - loaded
    if lost:
        why = next((_said(error) for error in errors if _own_id(error.rule_id, lost) in lost), "") or _first(errors)
        raise Inconclusive(
            f"semgrep loaded {len(wanted) - len(lost)} of {len(wanted)} rules, not {min(lost)}: {why or 'no reason given'}"
        )


def _first(errors: list[_Error]) -> str:
    return _said(errors[0]) if errors else ""


def _said(error: _Error) -> str:
    kind = (
        error.type
        if isinstance(error.type, str)
        else str(error.type[0])
        if isinstance(error.type, list) and error.type
        else ""
    )
    lines = error.message.splitlines()
    text = " ".join(part.strip() for part in lines[:2] if part.isprintable())[:240]
    return f"{kind}: {text}" if kind and text else kind or text or "an error without a message"


def _path(target: Target, error: _Error) -> str:
    try:
        return target.relative(error.path) if error.path else f"rule {error.rule_id or '?'}"
    except ValueError:
        return Path(error.path).name


def _rule(result: _Result) -> Rule:
    metadata = result.extra.metadata
    references = metadata.get("references") or [""]
    return Rule(
        id=result.check_id,
        name=result.check_id.rpartition(".")[2].replace("-", " "),
        description=str(metadata.get("cwe-name") or result.extra.message),
        help=str(metadata.get("fix", "")),
        uri=str(references[0]) if isinstance(references, list) else str(references),
    )


def _finding(target: Target, result: _Result, marked: tuple[Markers, Markers]) -> Finding:
    metadata = result.extra.metadata
    said = str(metadata.get("vallum-severity", ""))
    path = target.relative(result.path)
    return Finding(
        rule=result.check_id,
        severity=Severity(said)
        if said in {level.value for level in Severity}
        else SEVERITIES.get(result.extra.severity, Severity.UNKNOWN),
        confidence=str(metadata.get("confidence", "")).lower(),
        message=result.extra.message,
        location=Location(path, result.start.line, result.start.col, result.end.line),
        cwe=_numbers(metadata.get("cwe")),
        owasp=_labels(metadata.get("owasp")) + _labels(metadata.get("api")),
        fix=str(metadata.get("fix", "")),
        suppression=_suppression(path, result, marked),
    )


def _suppression(path: str, result: _Result, marked: tuple[Markers, Markers]) -> Suppression | None:
    """Semgrep heeds the comment on the first line of a match, or alone on the line before it."""
    line = result.start.line
    return marked[0].suppression(path, [line]) or marked[1].suppression(path, [line - 1])


def _labels(value: object) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value] if value else []
    return tuple(str(item) for item in values)


def _numbers(value: object) -> tuple[int, ...]:
    found = (re.match(r"(?:CWE-)?(\d+)", label) for label in _labels(value))
    return tuple(int(match[1]) for match in found if match)


CHECK = Check(
    id="semgrep",
    stage=Stage.SOURCE,
    summary="Source in Python, JavaScript, Go, Java, YAML: injection, JWT, TLS, crypto (semgrep, own rules)",
    applies=applies,
    run=run,
    tools=("semgrep",),
    tags=("sast",),
)

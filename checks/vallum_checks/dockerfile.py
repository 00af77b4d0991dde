"""Dockerfiles with hadolint: base images, package versions, users, shell pitfalls.

Cannot see: what the base image brings (the image check does that), files that COPY takes in. Fix: each finding says it
and links to hadolint's page. `# hadolint ignore=…` and `.hadolint.yaml` are counted or not looked at, never obeyed here.
"""

from __future__ import annotations

import re
from pathlib import Path

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule, Suppression
from vallum.outcome import Outcome, Run, Tool
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks.common import Judgement, batches, conclude, coverage, decode, ended, judgements, unreadable


class _Result(msgspec.Struct):
    code: str
    file: str
    level: str
    line: int
    message: str
    column: int = 0


UNPARSABLE = "DL1000"
SENSITIVE = "DL3064"
"""Sensitive data in ENV or ARG: its line is shown without values."""
LEVELS = {"error": Severity.HIGH, "warning": Severity.MEDIUM, "info": Severity.LOW, "style": Severity.INFO}
SHELL = {Severity.HIGH: Severity.LOW, Severity.MEDIUM: Severity.LOW}
"""ShellCheck's findings (SC…) are about the shell's pitfalls: low at most."""
PRAGMA = re.compile(r"^\s*#\s*hadolint\s+(global\s+)?ignore\s*=\s*([A-Z0-9,\s]+)", re.IGNORECASE)
CANARY = "FROM vallum.invalid/canary:latest\n"
CANARY_RULE = "DL3007"


def is_dockerfile(path: str) -> bool:
    """Whether the name says Dockerfile or Containerfile: `Dockerfile`, `Dockerfile.dev`, `api.dockerfile`."""
    name = path.rpartition("/")[2].lower()
    stem, _, suffix = name.partition(".")
    if name.endswith((".md", ".txt", ".dockerignore", ".j2", ".py", ".sh", ".yaml", ".yml", ".json")):
        return False
    return stem in {"dockerfile", "containerfile"} or suffix in {"dockerfile", "containerfile"}


def files(target: Target) -> list[str]:
    """The Dockerfiles of the target."""
    return [path for path in target.files if is_dockerfile(path)]


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Where there is a Dockerfile."""
    return Planned() if files(target) else Skipped("no Dockerfile")


def run(ctx: Context) -> Outcome:
    """Every Dockerfile by name, pragmas off, with an empty configuration of our own.

    hadolint does not say what it read. So each call also gets a Dockerfile of ours with a known mistake, last: where
    that is not reported, rules were off or the list was not worked through.
    """
    tool = ctx.tool("hadolint")
    expected = files(ctx.target)
    settings = ctx.scratch / "hadolint.yaml"
    settings.write_text("{}\n", "utf-8")  # empty is an error to hadolint
    canary = ctx.scratch / "Dockerfile"
    canary.write_text(CANARY, "utf-8")
    argv: list[str | Path] = [
        tool.bin("hadolint"),
        "--no-color",
        "--format",
        "json",
        "--disable-ignore-pragma",
        "--config",
        settings,
        "--",
    ]
    results: list[_Result] = []
    exit_code, seconds = 0, 0.0
    missed = unreadable(ctx.target, expected)
    for number, batch in enumerate(batches([path for path in expected if path not in missed])):
        done = ctx.run([*argv, *(f"./{path}" for path in batch), canary], name=f"hadolint-{number}")
        if done.exit_code not in {0, 1} or not done.output():
            raise ended("hadolint", done)
        part = decode(done.output(), list[_Result], "hadolint", done)
        if not any(result.file == str(canary) and result.code == CANARY_RULE for result in part):
            raise Inconclusive(
                "hadolint did not report the known mistake that is sent through with every run", done.tail()
            )
        results.extend(result for result in part if result.file != str(canary))
        exit_code, seconds = max(exit_code, done.exit_code), seconds + done.seconds
    missed |= {
        ctx.target.relative(result.file): f"not a readable Dockerfile: line {result.line}: {result.message}"[:300]
        for result in results
        if result.code == UNPARSABLE
    }
    pragmas = _Pragmas(ctx.target)
    found = [result for result in results if result.code != UNPARSABLE]
    return conclude(
        "hadolint",
        Run(
            tool=Tool("hadolint", tool.version, tool.digest),
            coverage=(coverage("Dockerfiles", expected, missed),),
            rules=tuple({result.code: _rule(result) for result in found}.values()),
            findings=tuple(_finding(ctx.target, result, pragmas) for result in found),
            argv=tuple(str(part) for part in (*argv, "…")),
            exit_code=exit_code,
            seconds=seconds,
        ),
    )


def _uri(code: str) -> str:
    return (
        f"https://www.shellcheck.net/wiki/{code}"
        if code.startswith("SC")
        else f"https://github.com/hadolint/hadolint/wiki/{code}"
    )


def _rule(result: _Result) -> Rule:
    judged = judgements("hadolint").get(result.code, Judgement())
    return Rule(result.code, f"hadolint {result.code}", result.message, judged.fix or result.message, _uri(result.code))


def _finding(target: Target, result: _Result, pragmas: _Pragmas) -> Finding:
    judged = judgements("hadolint").get(result.code, Judgement())
    severity = LEVELS.get(result.level, Severity.UNKNOWN)
    if result.code.startswith("SC"):
        severity = SHELL.get(severity, severity)
    path = target.relative(result.file)
    return Finding(
        rule=result.code,
        severity=judged.severity or severity,
        confidence="high",
        message=result.message,
        location=Location(
            path,
            result.line,
            result.column,
            result.line,
            pragmas.names(path, result.line) if result.code == SENSITIVE else "",
        ),
        cwe=judged.cwe,
        owasp=judged.owasp,
        fix=judged.fix or result.message,
        suppression=pragmas.suppression(path, result.line, result.code),
    )


class _Pragmas:
    """`# hadolint ignore=DL3008` holds for the next instruction, `# hadolint global ignore=…` for the whole file."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._files: dict[str, tuple[frozenset[str], dict[int, frozenset[str]]]] = {}

    def suppression(self, path: str, line: int, code: str) -> Suppression | None:
        if path not in self._files:
            self._files[path] = self._read(path)
        everywhere, lines = self._files[path]
        if code in everywhere or code in lines.get(line, frozenset()):
            return Suppression("inSource", "# hadolint ignore")
        return None

    def names(self, path: str, line: int) -> str:
        """The ENV or ARG instruction on `line` with the names that it sets, without their values."""
        lines = (self._target.root / path).read_text("utf-8", "replace").splitlines()
        instruction, _, rest = lines[line - 1].strip().partition(" ") if 0 < line <= len(lines) else ("", "", "")
        names = re.findall(r"(?:^|\s)([A-Za-z_]\w*)=", rest) or rest.split()[:1]
        return f"{instruction} " + " ".join(f"{name}=…" for name in names)

    def _read(self, path: str) -> tuple[frozenset[str], dict[int, frozenset[str]]]:
        text = (self._target.root / path).read_text("utf-8", "replace")
        everywhere: set[str] = set()
        lines: dict[int, frozenset[str]] = {}
        waiting: set[str] = set()
        for number, line in enumerate(text.splitlines(), 1):
            found = PRAGMA.match(line)
            if found:
                codes = {code.strip().upper() for code in found[2].split(",") if code.strip()}
                (everywhere if found[1] else waiting).update(codes)
            elif line.strip() and not line.lstrip().startswith("#"):
                lines[number] = frozenset(waiting)
                waiting = set()
        return frozenset(everywhere), lines


CHECK = Check(
    id="dockerfile",
    stage=Stage.SOURCE,
    summary="Dockerfiles: base images, users, package versions (hadolint)",
    applies=applies,
    run=run,
    tools=("hadolint",),
    tags=("iac", "docker"),
    deadline=300.0,
)

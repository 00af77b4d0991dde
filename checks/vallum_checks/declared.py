"""Checks that vallum.toml declares (`[[check]]`): anybody's tool, as strict as ours. A command that fails, an exit code that
was not declared, a report that cannot be read, an error that the report itself tells: each of them is incomplete.

Cannot see: whether the tool really looked at each file, unless its SARIF lists them (`lists-targets`). Fix: what the tool says.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

import msgspec

from vallum import artifacts
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.declaration import STDOUT, DeclaredCheck, expand
from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum.fingerprint import SECRET_CWES
from vallum.outcome import Database, Incomplete, Outcome, Run, Tool
from vallum.sarif.foreign import Foreign, clean, read_sarif
from vallum.sarif.junit import read_junit
from vallum.target import Target
from vallum_checks import _imported
from vallum_checks.common import conclude, coverage

HARD_CODED = 798
"""The CWE that a declared finder of secrets has at least, so that its excerpts are masked."""
_VERSION = re.compile(r"\d+(?:\.\d+)+[0-9A-Za-z.+-]*")


def checks(config: Config) -> tuple[Check, ...]:
    """The declared checks, each a Check like ours."""
    return tuple(make(declared) for declared in config.check)


def make(declared: DeclaredCheck) -> Check:
    """One declaration as a check."""

    def applies(target: Target, _config: Config) -> Planned | Skipped:
        if expected(target, declared) or declared.least_targets is not None:
            return Planned()
        return Skipped(f"no file matches {', '.join(declared.files)}")

    return Check(
        id=declared.id,
        stage=Stage(declared.stage),
        summary=declared.summary,
        applies=applies,
        run=lambda ctx: run(ctx, declared),
        tags=("declared",),
    )


def expected(target: Target, declared: DeclaredCheck) -> list[str]:
    """The files that the tool has to look at: those that match a glob, by whole path or, without a slash, by name."""
    globs = declared.files
    return [
        path
        for path in target.files
        if any(fnmatch(path if "/" in glob else PurePosixPath(path).name, glob) for glob in globs)
    ]


def run(ctx: Context, declared: DeclaredCheck) -> Outcome:
    """Run the command, or take what was imported, and believe no more than its report proves."""
    targets = expected(ctx.target, declared)
    least = declared.least_targets or 1
    if len(targets) < least:
        return Incomplete(
            f"{len(targets)} files match {', '.join(declared.files)}, at least {least} are to be looked at"
        )
    if declared.imports:
        return _outcome(declared, targets, *_imported.read(ctx, declared, read))
    places = {"root": str(ctx.target.root), "raw": str(ctx.raw), "scratch": str(ctx.scratch)}
    env = {name: os.environ[name] for name in declared.env if name in os.environ}
    argv = [expand(part, places) for part in declared.argv]
    version = _version(ctx, declared, places, env)
    databases = _databases(ctx, declared, places, env)
    done = ctx.run(argv, name="tool", env=env)
    if done.exit_code not in declared.ok_exit_codes:
        how = f"was killed by signal {-done.exit_code}" if done.exit_code < 0 else f"ended with {done.exit_code}"
        codes = ", ".join(map(str, declared.ok_exit_codes))
        said = "" if declared.secrets else done.tail()
        last = [line.strip() for line in said.splitlines() if line.strip()]
        raise Inconclusive(
            f"{clean(Path(argv[0]).name, 60)} {how}, which is none of ok-exit-codes ({codes})"
            f"{': ' + clean(last[-1], 300) if last else ''}",
            said,
        )
    report = read(declared, _report(ctx, declared), ctx.target.root, ctx.config.limits.report_mb)
    if declared.secrets:
        shutil.rmtree(ctx.raw, ignore_errors=True)
    program = shutil.which(argv[0]) or str(ctx.target.root / argv[0])
    tool = Tool(report.tool or Path(argv[0]).name, version or report.version, _digest(Path(program)))
    if not tool.version:
        raise Inconclusive("neither its report nor a `version` command says which version looked")
    result = Run(
        tool=tool,
        coverage=(),
        databases=databases,
        argv=tuple(argv),
        exit_code=done.exit_code,
        seconds=done.seconds,
    )
    return _outcome(declared, targets, report, result)


def read(declared: DeclaredCheck, path: Path, root: Path, limit_mb: int) -> Foreign:
    """The report at `path`; Inconclusive where there is none, or none to be believed."""
    reader: Callable[..., Foreign] = read_junit if declared.junit or path.suffix == ".xml" else read_sarif
    try:
        data = artifacts.read(path, limit_mb << 20)
        if not data.strip():
            raise Inconclusive("left an empty report")
        return reader(data, root, declared.levels)
    except FileNotFoundError:
        raise Inconclusive(f"left no report {path.name}") from None
    except (OSError, ValueError) as error:
        raise Inconclusive(f"its report cannot be read: {clean(str(error), 400)}") from None


def _report(ctx: Context, declared: DeclaredCheck) -> Path:
    name = declared.sarif or declared.junit
    if name == STDOUT:
        return ctx.raw / "tool.stdout"
    path = ctx.raw / name
    if not Path(os.path.realpath(path.parent)).is_relative_to(os.path.realpath(ctx.raw)):
        raise Inconclusive(f"its report {name} lies behind a link")
    return path


def _outcome(declared: DeclaredCheck, targets: list[str], report: Foreign, result: Run) -> Outcome:
    """The same rules for what ran here and what was imported."""
    missed = {path: why for path, why in report.missed.items() if path in set(targets)}
    notes = report.notes
    if declared.lists_targets:
        missed |= {
            path: "not in the report's list" for path in targets if path not in report.listed and path not in missed
        }
    else:
        notes = (
            *notes,
            "which files the tool looked at is not proved: its report names none, and its exit code is all",
        )
    result = msgspec.structs.replace(
        result,
        coverage=(coverage("files", targets, missed),),
        rules=report.rules,
        findings=tuple(_findings(declared, report.findings)),
        notes=(*result.notes, *notes),
    )
    if report.failed:
        more = f" (and {len(report.failed) - 1} more)" if len(report.failed) > 1 else ""
        return Incomplete(f"{result.tool.name} says that it could not do all: {report.failed[0]}{more}", result)
    return conclude(declared.id, result)


def _findings(declared: DeclaredCheck, findings: Iterable[Finding]) -> Iterable[Finding]:
    for finding in findings:
        if declared.secrets and not SECRET_CWES.intersection(finding.cwe):
            yield msgspec.structs.replace(finding, cwe=(*finding.cwe, HARD_CODED))
        else:
            yield finding


def _version(ctx: Context, declared: DeclaredCheck, places: dict[str, str], env: dict[str, str]) -> str:
    if not declared.version:
        return ""
    done = ctx.run([expand(part, places) for part in declared.version], name="version", env=env, deadline=60)
    found = _VERSION.search(done.output(1 << 20).decode("utf-8", "replace"))
    if done.exit_code != 0 or found is None:
        raise Inconclusive(f"its version command ended with {done.exit_code} and says no version", done.tail())
    return clean(found[0], 80)


def _databases(
    ctx: Context, declared: DeclaredCheck, places: dict[str, str], env: dict[str, str]
) -> tuple[Database, ...]:
    """The database, where it is young enough; Inconclusive where it is not, or nobody knows."""
    wanted = declared.database
    if wanted is None:
        return ()
    done = ctx.run([expand(part, places) for part in wanted.argv], name="database", env=env, deadline=60)
    words = done.output(1 << 20).decode("utf-8", "replace").split()
    if done.exit_code != 0 or not words:
        raise Inconclusive(f"its database command ended with {done.exit_code} and says no date", done.tail())
    try:
        date = _date(words[0])
        records = int(words[1]) if len(words) > 1 else 1
    except (ValueError, OverflowError, OSError):
        raise Inconclusive(f"its database command says {clean(' '.join(words), 80)!r}, which is no date") from None
    now = dt.datetime.now(dt.UTC)
    days = (now - date).total_seconds() / 86400
    if days > wanted.max_age_days or days < -1:
        age = f"{days:.0f} days old, more than {wanted.max_age_days}" if days > 0 else "from the future"
        raise Inconclusive(f"its database {wanted.name} is {age}")
    shown = date.isoformat(timespec="seconds").replace("+00:00", "Z")
    return (Database(wanted.name, wanted.argv[0], records, shown),)


def _date(word: str) -> dt.datetime:
    if word.isascii() and word.isdigit() and len(word) >= 9:
        return dt.datetime.fromtimestamp(int(word), dt.UTC)
    date = dt.datetime.fromisoformat(word)
    return date if date.tzinfo else date.replace(tzinfo=dt.UTC)


def _digest(program: Path) -> str:
    """SHA-256 of the program that was started, or nothing where it cannot be read."""
    try:
        with program.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""

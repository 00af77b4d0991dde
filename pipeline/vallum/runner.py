"""Run one check on one unit and leave an outcome, whatever happens. The only broad `except`: it becomes Incomplete."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from vallum import artifacts, completing
from vallum.artifacts import outcome_folder
from vallum.check import WHOLE, Check, Context, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Finding
from vallum.masking import Masker
from vallum.outcome import Completed, Incomplete, NotApplicable, Outcome, Run
from vallum.plan import now
from vallum.sarif import read_run, write_run
from vallum.sarif.foreign import strict_json
from vallum.target import Target

MAX_RECORD = 16 << 20
"""Bytes of a record.json that are read."""
MAX_RAW = 64 << 20
"""Bytes of a raw output that is kept."""
MAX_NOTES = 10_000
MAX_OPERATIONS = 50_000
MAX_MISSED = 1_000
"""Entries of Coverage.missed, see there."""


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """`record.json`: the outcome without its findings, which lie in `result.sarif` of that digest. Written last."""

    run: str
    check: str
    unit: str
    outcome: Outcome
    sarif: str = ""


def run_unit(check: Check, target: Target, config: Config, run_id: str, unit: str = WHOLE) -> Outcome:
    """Run the check on one unit and store its outcome; never raises but for KeyboardInterrupt."""
    return run_with(check, target, config, run_id, unit, check.run)


def run_with(
    check: Check, target: Target, config: Config, run_id: str, unit: str, body: Callable[[Context], Outcome]
) -> Outcome:
    """As run_unit, with another body than the check's own (the staged checks share one deployment)."""
    started, began = now(), time.monotonic()
    with context(check, target, config, unit) as ctx:
        outcome = guarded(check, ctx, body)
        return finish(check, ctx, run_id, outcome, started, time.monotonic() - began)


@contextlib.contextmanager
def context(check: Check, target: Target, config: Config, unit: str) -> Iterator[Context]:
    """A fresh outcome folder and a scratch folder that is removed afterwards."""
    folder = outcome_folder(target.root, check.id, unit)
    artifacts.folder(target.root)
    for place in (folder.parent, folder):
        if place.is_symlink() or (place.exists() and not place.is_dir()):
            place.unlink()  # a target may bring its own .vallum: nothing is written, or removed, through a link of it
    shutil.rmtree(folder, ignore_errors=True)
    raw = folder / "raw"
    raw.mkdir(parents=True)
    scratch = Path(tempfile.mkdtemp(prefix=f"vallum-{check.id}-"))
    settings = config.settings(check.id)
    target = target.without(settings.exclude)
    deadline = settings.deadline or check.deadline
    try:
        yield Context(target, config, unit, folder, raw, scratch, deadline)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def guarded(check: Check, ctx: Context, body: Callable[[Context], Outcome]) -> Outcome:
    """What the check says, or why it could not say it."""
    try:
        return prove(body(ctx))
    except Inconclusive as error:
        ctx.log.append(error.detail)
        return Incomplete(error.reason)
    except UserError as error:
        return Incomplete(f"{error.message} ({error.hint})" if error.hint else error.message)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a library may call sys.exit(0), which nox would count as success
        ctx.log.append(traceback.format_exc())
        return Incomplete(f"a bug in vallum's check {check.id}: {type(error).__name__}: {error}"[:500])


def prove(outcome: Outcome) -> Outcome:
    """Completed only with proof: something was looked at, and all of what was expected."""
    if not isinstance(outcome, Outcome):
        raise TypeError(f"a check must give back an outcome, not {type(outcome).__name__}")
    if not isinstance(outcome, Completed):
        return outcome
    run = outcome.run
    if not run.coverage:
        return Incomplete("the check does not say what it looked at", run)
    for coverage in run.coverage:
        if coverage.seen <= 0:
            return Incomplete(f"looked at no {coverage.unit} of {coverage.expected} expected", run)
        if coverage.seen < coverage.expected or coverage.missed:
            first = f": {coverage.missed[0].target} ({coverage.missed[0].why})" if coverage.missed else ""
            return Incomplete(f"looked at {coverage.seen} of {coverage.expected} {coverage.unit}{first}", run)
    for database in run.databases:
        if database.records <= 0:
            return Incomplete(f"the database {database.name} is empty", run)
    return outcome


def finish(check: Check, ctx: Context, run_id: str, outcome: Outcome, started: str, seconds: float) -> Outcome:
    """Complete the findings, write `result.sarif`, then `record.json`, and give back what was written."""
    try:
        return _store(check, ctx, run_id, outcome, started, seconds)
    except Exception as error:  # noqa: BLE001 - findings that cannot be written down are not a clean result
        ctx.log.append(traceback.format_exc())
        lost = Incomplete(f"a bug in vallum: the findings of {check.id} cannot be stored: {error}"[:500])
        return _store(check, ctx, run_id, lost, started, seconds)


def _store(check: Check, ctx: Context, run_id: str, outcome: Outcome, started: str, seconds: float) -> Outcome:
    sarif = b""
    masker = completing.masker(check, ctx, outcome)
    outcome = completing.masked(outcome, masker)
    if isinstance(outcome, Completed | Incomplete) and outcome.run is not None:
        run = msgspec.structs.replace(
            outcome.run,
            findings=tuple(completing.complete(check, ctx, outcome.run.findings, masker)),
            started=outcome.run.started or started,
            seconds=round(outcome.run.seconds or seconds, 3),
            argv=completing.portable(ctx, outcome.run.argv),
            notes=(*outcome.run.notes, *completing.excluded(ctx.target)),
        )
        outcome = Completed(run) if isinstance(outcome, Completed) else Incomplete(outcome.reason, run)
        reason = outcome.reason if isinstance(outcome, Incomplete) else ""
        sarif = write_run(check.id, run, isinstance(outcome, Completed), reason)
        artifacts.write(ctx.folder / "result.sarif", sarif)
    if any(ctx.log):
        artifacts.write(ctx.folder / "log.txt", masker.text("\n".join(ctx.log)).encode("utf-8", "replace"))
    if check.stage is Stage.SOURCE:
        shutil.rmtree(ctx.raw, ignore_errors=True)  # what tools say of source quotes it, secrets and all
    elif check.stage is not Stage.STAGED:
        _sweep(ctx.raw, masker)
    record = Record(
        run=run_id,
        check=check.id,
        unit=ctx.unit,
        outcome=_without_findings(outcome),
        sarif=hashlib.sha256(sarif).hexdigest() if sarif else "",
    )
    artifacts.write(ctx.folder / "record.json", msgspec.json.format(msgspec.json.encode(record)))
    return outcome


def _sweep(raw: Path, masker: Masker) -> None:
    """Mask what tools left there (addresses of package indexes with a password in them); what is too large to be read, goes."""
    for path in sorted(raw.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        if path.stat().st_size > MAX_RAW:
            path.unlink()
            continue
        before = path.read_bytes().decode("utf-8", "surrogateescape")
        after = masker.text(before)
        if after != before:
            artifacts.write(path, after.encode("utf-8", "surrogateescape"), durable=False)


def read(root: Path, check: str, unit: str, run_id: str, limit: int = artifacts.MAX_READ) -> Outcome:
    """The outcome that `check` left for `unit` in this run; Incomplete where there is none, or not a whole one.

    It may come from another machine, so nothing in it is believed that is not bounded: `limit` in bytes is of its findings.
    """
    folder = outcome_folder(root, check, unit)
    try:
        if folder.is_symlink() or folder.parent.is_symlink() or folder.parent.parent.is_symlink():
            return Incomplete("its outcome lies behind a link")
        data = artifacts.read(folder / "record.json", MAX_RECORD)
        strict_json(data)
        record = msgspec.json.decode(data, type=Record)
        if (record.check, record.unit) != (check, unit):
            return Incomplete("the outcome in its folder is another check's")
        if record.run != run_id:
            return Incomplete("left no outcome in this run (there is one of an earlier run)")
        outcome = record.outcome
        if isinstance(outcome, NotApplicable) or outcome.run is None:
            return prove(outcome)
        _bounded(outcome.run)
        data = artifacts.read(folder / "result.sarif", limit)
        if hashlib.sha256(data).hexdigest() != record.sarif:
            return Incomplete("its result.sarif is not the one that its record names")
        rules, findings = read_run(data)
        _inside(findings)
        run = msgspec.structs.replace(outcome.run, rules=rules, findings=findings)
        return prove(Completed(run)) if isinstance(outcome, Completed) else Incomplete(outcome.reason, run)
    except FileNotFoundError:
        return Incomplete("left no outcome: it did not run, or was ended")
    except (OSError, ValueError) as error:
        return Incomplete(f"its outcome cannot be read: {error}"[:500])


def _bounded(run: Run) -> None:
    """Refuse a record whose lists would flood every report."""
    missed = max((len(coverage.missed) for coverage in run.coverage), default=0)
    for length, limit, what in (
        (len(run.notes), MAX_NOTES, "notes"),
        (len(run.argv), MAX_NOTES, "arguments"),
        (len(run.databases), MAX_NOTES, "databases"),
        (len(run.coverage), MAX_NOTES, "kinds of coverage"),
        (missed, MAX_MISSED, "missed targets"),
        (len(run.operations), MAX_OPERATIONS, "operations"),
    ):
        if length > limit:
            raise ValueError(f"{length} {what}, more than {limit}")


def _inside(findings: Iterable[Finding]) -> None:
    """Refuse a path that is none below the root of a target; what it names is opened and linked to by others."""
    for path in {finding.location.path for finding in findings if finding.location is not None}:
        if path.startswith(("/", "\\", "file:")) or "\0" in path or ".." in path.split("/"):
            raise ValueError(f"the path {path[:100]!r} leaves the target")


def _without_findings(outcome: Outcome) -> Outcome:
    if isinstance(outcome, NotApplicable) or outcome.run is None:
        return outcome
    run: Run = msgspec.structs.replace(outcome.run, findings=(), rules=())
    return Completed(run) if isinstance(outcome, Completed) else Incomplete(outcome.reason, run)

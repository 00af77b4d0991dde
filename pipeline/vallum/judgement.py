"""From outcomes on disk to the verdict and its reports: gathers what the judge must know, judges, writes.

The judge itself (vallum.gate) reads nothing; what is read for it is read here: waivers, baseline, the day.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import gc
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import msgspec

from vallum import artifacts, baseline, gather, history, intelligence, mergebase, vex, waivers
from vallum.baseline import Baseline
from vallum.config import Config
from vallum.errors import UserError
from vallum.gate import judge
from vallum.intelligence import Intelligence
from vallum.outcome import NotApplicable, Outcome
from vallum.plan import Plan
from vallum.policy import Facts
from vallum.progress import say
from vallum.runner import read
from vallum.verdict import Notice, Promoted, Status, Verdict

if TYPE_CHECKING:
    from vallum.reports import Written

FILE = "verdict.json"
MAX_VERDICT = 4 << 30
"""Bytes: a million findings have half a gigabyte."""
MAX_SETTINGS = 64 << 20
"""Bytes of a settings file."""


_Kind = TypeVar("_Kind", bound=msgspec.Struct)
Settings = Callable[[str], bytes | None]
"""Gives a settings file, by its path below the target, as it counts: of the target, or of the merge base."""


def of_target(root: Path) -> Settings:
    """The target's own settings files."""

    def read(path: str) -> bytes | None:
        try:
            return artifacts.read(root / path, MAX_SETTINGS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}", "it must be a regular file") from None

    return read


def facts(
    made: Plan, config: Config, settings: Settings, changes: tuple[Notice, ...] = (), *, root: Path | None = None
) -> Facts:
    """What the judge must know beside the outcomes. `changes` are shown with the verdict.

    EPSS and KEV are read where the target's `root` is given; they are large, and no mistake of a person's is in them.

    Raises UserError with file and line where a waiver or the baseline is wrong; so it is called before anything runs, too.
    """
    today = dt.datetime.now(dt.UTC).date()
    checks = frozenset(planned.check for planned in made.checks)
    data = settings(waivers.FILE)
    waived = waivers.parse(data, today, config.policy.max_waiver_days, checks) if data is not None else ()
    waivers.know_services(waived, made.services)
    return Facts(
        today=today,
        waivers=waived,
        statements=tuple(each for name in config.policy.vex for each in _statements(config, settings, name, today)),
        baseline=_baseline(config, settings),
        intelligence=intelligence.load(root, config.intelligence, today) if root else Intelligence(),
        services=config.services,
        changes=changes,
    )


def changes(made: Plan) -> tuple[Notice, ...]:
    """What the change under judgement would do to the settings."""
    return tuple(Notice(note.file, note.text) for note in made.settings)


def _statements(config: Config, settings: Settings, name: str, today: dt.date) -> tuple[vex.Statement, ...]:
    data = settings(name)
    if data is None:
        raise UserError(f"the VEX file {name} does not exist", "it is named in [policy] vex")
    return vex.parse(data, name, today, config.policy.max_waiver_days)


def _baseline(config: Config, settings: Settings) -> Baseline | None:
    name = config.baseline.file or baseline.FILE
    data = settings(name)
    if data is not None:
        return baseline.decode(data, name)
    if config.baseline.file:
        raise UserError(f"the baseline {name} does not exist", "write one: vallum -s baseline")
    if config.policy.new_only:
        raise UserError(
            "the policy lets only new findings block, and there is no baseline",
            "write one (vallum -s baseline), name one ([baseline] file), or take `new-only` away",
        )
    return None


Outcomes = dict[tuple[str, str], Outcome]
"""By check and unit."""


def outcomes_of(root: Path, made: Plan, config: Config, session: str = "") -> Outcomes:
    """What the plan's checks left, or those of one session."""
    # nothing from here on makes cycles, and looking for them among a million findings costs more than the judging
    gc.disable()
    return {
        (planned.check, unit): read(root, planned.check, unit, made.run, config.limits.outcome_mb << 20)
        for planned in made.planned()
        if session in {"", gather.session_named(planned.check, planned.stage)}
        for unit in planned.units
    }


def judged(
    root: Path, made: Plan, seconds: float, config: Config | None = None, outcomes: Outcomes | None = None
) -> Verdict:
    """Judge what the plan's checks left; writes nothing. `config`: as the plan was made with, `outcomes`: what they left,
    where these are at hand."""
    config = config or gather.open_target(root)[1]
    outcomes = outcomes_of(root, made, config) if outcomes is None else outcomes
    seen, remarks = history.first_seen(root)
    shown = (*changes(made), *(Notice(f"{artifacts.FOLDER}/history.sqlite", remark) for remark in remarks))
    known = facts(made, config, mergebase.trusted(root).read, shown, root=root)
    found = (
        finding
        for outcome in outcomes.values()
        if not isinstance(outcome, NotApplicable) and outcome.run
        for finding in outcome.run.findings
    )
    informed = intelligence.remarks(found, known.intelligence, known.today)
    shown = (*shown, *(Notice("vallum.toml", f"intelligence: {remark}") for remark in informed))
    known = msgspec.structs.replace(known, first_seen=seen, changes=shown)
    return judge(config.policy, made, outcomes, known, seconds=seconds)


def warm() -> None:
    """Load what judging and reporting need, while the tools are at work."""
    import sqlite3  # noqa: F401 - the import is the point

    from vallum.reports import console, github, html  # noqa: F401 - so too
    from vallum.reports.template import template

    template()


def publish(root: Path, verdict: Verdict, also: Callable[[], None] = lambda: None) -> list[Written]:
    """Write the verdict first (no report, slow or failing, can lose it), then its reports, and do `also` beside the longest
    of them. Call it with one thread only."""
    from vallum import reports

    write_verdict(root, verdict)
    return reports.write_all(verdict, root, also)


def keep(root: Path, verdict: Verdict) -> tuple[list[Written], tuple[str, ...]]:
    """Write the verdict, its reports, and its place in the history; returns the files, and what the history has to say."""
    remarks: list[str] = []
    written = publish(root, verdict, lambda: remarks.extend(history.record(root, verdict)))
    return written, tuple(remarks)


def conclude(
    root: Path, made: Plan, seconds: float, config: Config | None = None, outcomes: Outcomes | None = None
) -> str:
    """Judge what the plan's checks left, write verdict and reports, tell the person; returns why it is no pass, or ''.

    `config` and `outcomes` are as for `judged`.
    """
    from vallum.reports import console
    from vallum.reports.github import emit

    verdict = judged(root, made, seconds, config, outcomes)
    with contextlib.suppress(UserError):  # judged again, it has still been promoted, or not
        before = _last(root, Fate)
        if before.run == verdict.run:
            verdict = msgspec.structs.replace(verdict, promotion=before.promotion)
    written, remarks = keep(root, verdict)
    for remark in remarks:
        say(f"  {remark}")
    problems = [f"{file.path.name}: {file.error}" for file in written if file.error]
    page = next((file.path for file in written if file.path.name == "index.html" and not file.error), None)
    console.show(verdict, page, problems)
    emit(verdict)
    return "" if verdict.status is Status.PASS else f"the verdict is {verdict.status.upper()}"


def write_verdict(root: Path, verdict: Verdict) -> None:
    """Write `verdict.json`, whole or not at all."""
    from vallum.reports import text

    artifacts.write(root / artifacts.FOLDER / FILE, text.with_findings(verdict, verdict.findings))


class Ending(msgspec.Struct, frozen=True):
    """Of a verdict what the exit code needs: a million findings need not be read again for it."""

    status: Status
    run: str


def last_verdict(root: Path) -> Verdict:
    """The verdict on disk; UserError where there is none."""
    return _last(root, Verdict)


class Fate(msgspec.Struct, frozen=True):
    """Of a verdict what became of it afterwards."""

    run: str
    promotion: Promoted | None = None


def last_ending(root: Path) -> Ending:
    """How the verdict on disk ended; UserError where there is none."""
    return _last(root, Ending)


def _last(root: Path, kind: type[_Kind]) -> _Kind:
    path = root / artifacts.FOLDER / FILE
    try:
        return msgspec.json.decode(artifacts.read(path, MAX_VERDICT), type=kind)
    except FileNotFoundError:
        raise UserError(f"there is no verdict in {root / artifacts.FOLDER}", "run `vallum` first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} cannot be read: {error}", "run `vallum` again") from None


def write_baseline(root: Path, arguments: tuple[str, ...]) -> str:
    """`vallum -s baseline`: keep the last verdict's findings as what was there before. What could not tell proves nothing."""
    if arguments:
        raise UserError(f"baseline takes no argument, not {arguments[0]!r}", "it writes vallum-baseline.json")
    root = root.resolve()
    verdict = last_verdict(root)
    data = of_target(root)(baseline.FILE)
    before = baseline.decode(data) if data is not None else None
    made = baseline.of(verdict, before=before)
    artifacts.write(root / baseline.FILE, baseline.encode(made))
    say(f"{baseline.FILE}: {len(made.findings)} findings of {made.commit[:12] or 'a tree without a commit'}")
    for result in verdict.checks:
        if result.check not in made.complete:
            say(f"  {result.check} did not run whole: what it finds later counts as new for all that is known")
    return ""

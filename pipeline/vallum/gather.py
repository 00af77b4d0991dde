"""Gathering is not judging: run a check, or the staged ones on one deployment, and leave outcomes on disk."""

from __future__ import annotations

import dataclasses
import functools
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import msgspec

from vallum import mergebase, plan, runner, worktree
from vallum.check import WHOLE, Check, Context, Stage
from vallum.config import Config, load
from vallum.errors import UserError
from vallum.outcome import Completed, Incomplete, Outcome
from vallum.progress import say
from vallum.target import Target, discover
from vallum_checks import CHECKS, declared

STAGED_SESSION = "dast"
DECLARED_SESSION = "declared"
RESERVED = frozenset(
    (
        *(STAGED_SESSION, DECLARED_SESSION, "pipeline", "plan", "gate", "stage", "unstage", "tools", "init", "explain"),
        *("import", "waive", "attest", "verify", "baseline", "history", "policy", "vex", "promote"),
    )
)
"""Names of sessions and commands, which no declared check may take."""
ADVISORIES = "VALLUM_ADVISORIES"
"""Set by `vallum --online`: the source of advisories of this run, before the configured one."""


def known_checks() -> frozenset[str]:
    """The ids of our own checks."""
    return frozenset(check.id for check in CHECKS)


def all_checks(config: Config) -> tuple[Check, ...]:
    """Our own checks, and those that the configuration declares."""
    return (*CHECKS, *declared.checks(config))


def open_target(root: Path) -> tuple[Target, Config]:
    """Configuration and target at `root`; UserError where something is wrong with them. A change is judged by the settings of
    what it is to be merged into (vallum.mergebase)."""
    settings = mergebase.trusted(root)
    config = settings.load(_load)[0]
    source = os.environ.get(ADVISORIES)
    if source:
        config = msgspec.structs.replace(config, advisories=msgspec.structs.replace(config.advisories, source=source))
    return dataclasses.replace(discover(root, config), renamed=settings.renames()), config


def _load(root: Path) -> Config:
    return load(root, known_checks(), RESERVED)


def make_plan(root: Path, scope: tuple[str, ...] = ()) -> tuple[plan.Plan, Target, Config]:
    """Plan all checks on the target and write the plan down."""
    made, target, config = work_out(root, scope)
    if config.promotion is not None:  # what is promoted must be what was looked at
        made = msgspec.structs.replace(made, tree=worktree.state(target.root))
    plan.store(target.root, made)
    return made, target, config


def work_out(root: Path, scope: tuple[str, ...] = ()) -> tuple[plan.Plan, Target, Config]:
    """The plan that make_plan would write down."""
    target, config = open_target(root)
    made = plan.make(all_checks(config), target, config, scope)
    settings = mergebase.trusted(root)
    if settings.base:
        before = settings.load(_load)[1]
        made = plan.keep(made, plan.make(all_checks(before), discover(root, before), before, scope))
    return plan.under(made, settings), target, config


def session_of(check: Check) -> str:
    """The nox session that runs the check: the staged ones share one deployment and so one session, and so do the declared
    ones, because nox knows its sessions before the target."""
    return session_named(check.id, check.stage)


def session_named(check: str, stage: str) -> str:
    """As session_of, for a check of a plan."""
    if stage == Stage.STAGED:
        return STAGED_SESSION
    return check if check in known_checks() else DECLARED_SESSION


def current_plan(root: Path) -> plan.Plan:
    """The plan of the running pipeline; a session started by hand makes one of its own first."""
    if os.environ.get("VALLUM_RUN"):
        return plan.load(root.resolve())
    try:
        return plan.load(root.resolve())
    except UserError:
        return make_plan(root)[0]


def run_check(check: Check, root: Path) -> None:
    """Run one check on each of its planned units; the outcomes are on disk afterwards, whatever happened."""
    target, config = open_target(root)
    run_units(check, current_plan(root), target, config)


def run_units(check: Check, made: plan.Plan, target: Target, config: Config) -> None:
    """As run_check, where plan, target and configuration are at hand."""
    units = next((p.units for p in made.checks if p.check == check.id), ())
    if not units:
        reason = next((p.reason for p in made.checks if p.check == check.id), "not planned")
        say(f"  {check.id:<16} not run: {reason}")
    for unit in units:
        say_start(check.id, unit)
        began = time.monotonic()
        outcome = runner.run_unit(check, target, config, made.run, unit)
        say_end(check.id, unit, outcome, time.monotonic() - began)


def run_declared(root: Path) -> None:
    """Run the planned checks of the configuration, one after the other."""
    target, config = open_target(root)
    _run_declared(current_plan(root), target, config)


def _run_declared(made: plan.Plan, target: Target, config: Config) -> None:
    checks = declared.checks(config)
    if not checks:
        say(f"  {DECLARED_SESSION:<16} not run: vallum.toml declares no check")
    for check in checks:
        run_units(check, made, target, config)


def run_staged(root: Path) -> None:
    """Deploy, run the planned staged checks, take down."""
    target, config = open_target(root)
    _run_staged(current_plan(root), target, config)


def sessions(made: plan.Plan, target: Target, config: Config) -> dict[str, Callable[[], None]]:
    """The sessions that run the plan, those that take longest first, and what each does."""
    own = {check.id: check for check in CHECKS}
    bodies: dict[str, Callable[[], None]] = {}
    for planned in made.planned():
        name = session_named(planned.check, planned.stage)
        if name == STAGED_SESSION:
            bodies[name] = functools.partial(_run_staged, made, target, config)
        elif name == DECLARED_SESSION:
            bodies[name] = functools.partial(_run_declared, made, target, config)
        else:
            bodies[name] = functools.partial(run_units, own[name], made, target, config)
    return bodies


def _run_staged(made: plan.Plan, target: Target, config: Config) -> None:
    from vallum_checks import dast

    planned = {p.check for p in made.planned()}
    checks = [check for check in CHECKS if check.stage is Stage.STAGED and check.id in planned]
    if not checks:
        reasons = {p.reason for p in made.checks if p.stage == Stage.STAGED}
        say(f"  {STAGED_SESSION:<16} not run: {'; '.join(sorted(reasons))}")
        return
    started, began = plan.now(), time.monotonic()
    with ExitStack() as stack:
        contexts: dict[str, Context] = {
            check.id: stack.enter_context(runner.context(check, target, config, WHOLE)) for check in checks
        }
        for check in checks:
            say_start(check.id, WHOLE)

        def staged(check: Check) -> Callable[[Context], Outcome]:
            return lambda _: outcomes[check.id]

        outcomes: dict[str, Outcome] = {}

        def all_staged(_: Context) -> Outcome:
            outcomes.update(dast.run_staged(target, config, made.run, contexts))
            return outcomes[checks[0].id]

        # an exception before that is the outcome of every check
        first = runner.guarded(checks[0], contexts[checks[0].id], all_staged)
        for check in checks:
            ctx = contexts[check.id]
            outcome = runner.guarded(check, ctx, staged(check)) if check.id in outcomes else first
            done = runner.finish(check, ctx, made.run, outcome, started, time.monotonic() - began)
            say_end(check.id, WHOLE, done, time.monotonic() - began)


def say_start(check: str, unit: str) -> None:
    """Name before the wait."""
    say(f"  {_named(check, unit):<24} …")


def say_end(check: str, unit: str, outcome: Outcome, seconds: float) -> None:
    """One line a check: what came of it, how much was looked at, how long it took."""
    if isinstance(outcome, Completed | Incomplete) and outcome.run is not None:
        seen = ", ".join(f"{c.seen} of {c.expected} {c.unit}" for c in outcome.run.coverage)
        found = f"{len(outcome.run.findings)} findings; {seen}"
    else:
        found = ""
    word = "complete  " if isinstance(outcome, Completed) else "INCOMPLETE"
    reason = "" if isinstance(outcome, Completed) else outcome.reason
    say(f"  {_named(check, unit):<24} {word} {seconds:6.1f} s  {'; '.join(part for part in (reason, found) if part)}")


def _named(check: str, unit: str) -> str:
    return check if unit == WHOLE else f"{check} ({unit})"

"""Unrestricted resource consumption (OWASP API4:2023): logins and reads without a limit, pages of any size.

A burst is sent where a limit is demanded: the login, and the service that is public or holds the login; 60 requests a service.
It must end in 429 with Retry-After, or the service must state its limit and count down. Cannot see: a limit above the burst
that is not stated. Fix: limit by client and by user at the gateway, and refuse what is over it; docs/api-security.md has more.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from vallum import __version__
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run, Tool
from vallum.target import Target
from vallum_checks import dast
from vallum_checks.throttling_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.stage import Deployment

BURST = 60
"""Requests to one service in all: half of them to the login, where it has one."""
MOST = 500
DEMAND = ("gateway", "login")
"""`login`: the configured login. `gateway`: reads of each service that is public, and of the one that holds the login."""


def _applies(target: Target, config: Config) -> Planned | Skipped:
    said = dast.applies(target, config)
    if isinstance(said, Planned):
        options(config)
    return said


def options(config: Config) -> tuple[int, tuple[str, ...]]:
    """`[checks.throttling.options]`: `burst` requests a service, and what a limit is demanded of (`demand`): `login`, `gateway`,
    names of services. Raises UserError."""
    given = dict(config.settings("throttling").options)
    burst, demand = given.pop("burst", BURST), given.pop("demand", list(DEMAND))
    where = "checks.throttling.options"
    if given:
        raise UserError(f"{where}.{next(iter(given))} is not known", "known: burst, demand")
    if type(burst) is not int or not 10 <= burst <= MOST:
        raise UserError(f"{where}.burst cannot be {burst!r}", f"a number of requests from 10 to {MOST}")
    services = config.environment.services if config.environment is not None else {}
    if not isinstance(demand, list) or not all(entry in {*DEMAND, *services} for entry in demand):
        raise UserError(f"{where}.demand cannot be {demand!r}", f"a list of: {', '.join([*DEMAND, *sorted(services)])}")
    return burst, tuple(demand)


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Ask for pages of any size, then burst, on `deployment`. Partial results are kept."""
    from vallum.stage.calls import Caller, surfaces
    from vallum_checks.throttling_engine.bursts import Bursts
    from vallum_checks.throttling_engine.pages import Pages

    found, bare = surfaces(deployment, ctx.target, ctx.config)
    burst, demand = options(ctx.config)
    reason = ""
    with Caller(deployment) as caller:
        pages = Pages(deployment, caller, found, time.monotonic() + ctx.deadline / 2)
        bursts = Bursts(deployment, ctx, caller, found, burst, demand)
        try:
            pages.run()  # before the bursts: afterwards we may be refused
            asked = caller.requests
            bursts.run()
        except Inconclusive as error:
            ctx.log.append(error.detail)
            reason = error.reason
            asked = caller.requests
        notes = [
            *(f"{name} has no API definition: its operations were not tested" for name in bare),
            *pages.notes,
            *bursts.notes,
            f"{caller.requests} requests: {asked} for pages, {caller.requests - asked} in bursts",
        ]
    coverage = [
        Coverage(
            unit, len(expected), len(expected) - len(missed), tuple(Missed(*left) for left in missed.items())[:1000]
        )
        for unit, expected, missed in (
            ("limits", bursts.expected, bursts.missed),
            ("paged operations", pages.expected, pages.missed),
        )
        if expected
    ]
    findings = sorted([*bursts.findings, *pages.findings], key=lambda each: (each.service, each.rule, each.message))
    run = Run(
        tool=Tool("vallum", __version__),
        coverage=tuple(coverage),
        rules=tuple(rule.rule() for rule in RULES.values()),
        findings=tuple(findings),
        notes=tuple(notes),
    )
    if reason:
        return Incomplete(reason, run)
    return (
        Completed(run) if coverage else Incomplete("nothing that is demanded a limit of was found in a definition", run)
    )


CHECK = Check(
    id="throttling",
    stage=Stage.STAGED,
    summary="logins and reads without a rate limit, pages of any size",
    applies=_applies,
    run=_run,
    tags=("dast", "api"),
    deadline=300.0,
)

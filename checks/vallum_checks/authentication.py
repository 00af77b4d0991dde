"""Broken authentication (OWASP API2:2023): operations that answer without a login or to a forged token, logins to be guessed at.

Every operation that declares security (of gRPC: every unary method that is not named as public) is called with a login,
without one, and with tokens that must be refused: changed, unsigned, expired, signed with another key. The login is tried with
at most 30 wrong passwords. Cannot see: an operation for which no request succeeds with any user's login (it counts as missed).
Fix: each finding says it; docs/api-security.md has more.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from vallum import __version__
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Finding
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run, Tool
from vallum.target import Target
from vallum_checks import dast
from vallum_checks.authentication_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.stage import Deployment

ATTEMPTS = 30
"""Wrong passwords in all, for all logins of a deployment."""
MAX_HOURS = 24
"""How long a token may live: OWASP ASVS 4.0.3, 3.3.2, lets a session of level 2 last 12 hours before the next login."""
_ALSO = re.compile(r"[\w.-]+ (GET|HEAD|POST|PUT|PATCH|DELETE) /\S*")


def _applies(target: Target, config: Config) -> Planned | Skipped:
    said = dast.applies(target, config)
    if isinstance(said, Skipped) or config.environment is None:
        return said
    options(config)
    if config.environment.login is None or config.environment.login.kind == "none":
        return Skipped("no [environment.login] is configured: without a login nothing can be proved about one")
    return said


def options(config: Config) -> tuple[frozenset[str], float, int]:
    """`[checks.authentication.options]`: `also` (`SERVICE METHOD /path` of operations that declare no security and should),
    `max-hours` a token may live, `attempts` at logins in all. Raises UserError."""
    given = dict(config.settings("authentication").options)
    also, hours, attempts = given.pop("also", []), given.pop("max-hours", MAX_HOURS), given.pop("attempts", ATTEMPTS)
    where = "checks.authentication.options"
    if given:
        raise UserError(f"{where}.{next(iter(given))} is not known", "known: also, attempts, max-hours")
    if not isinstance(also, list) or not all(isinstance(entry, str) and _ALSO.fullmatch(entry) for entry in also):
        raise UserError(f"{where}.also cannot be {also!r}", 'a list such as ["orders GET /metrics"]')
    if isinstance(hours, bool) or not isinstance(hours, int | float) or hours <= 0:
        raise UserError(f"{where}.max-hours cannot be {hours!r}", "a number of hours above 0")
    if type(attempts) is not int or not 4 <= attempts <= ATTEMPTS:
        raise UserError(f"{where}.attempts cannot be {attempts!r}", f"a number from 4 to {ATTEMPTS}")
    return frozenset(also), float(hours), attempts


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Call the operations of every definition on `deployment`, then guess at its logins. Partial results are kept."""
    from vallum.stage.calls import Caller, surfaces
    from vallum_checks.authentication_engine.entrances import Entrances
    from vallum_checks.authentication_engine.forging import Forging

    found, bare = surfaces(deployment, ctx.target, ctx.config, with_rpc=True)
    also, hours, attempts = options(ctx.config)
    with Caller(deployment) as caller:
        forging = Forging(deployment, ctx, caller, found, also, hours)
        entrances = Entrances(deployment, ctx, caller, found, attempts)
        reason = ""
        try:
            forging.run()
            sent = caller.requests
            entrances.run()
        except Inconclusive as error:
            ctx.log.append(error.detail)
            reason = error.reason
            sent = caller.requests
        notes = [
            *(f"{name} has no API definition: its operations were not tested" for name in bare),
            *forging.notes,
            *entrances.notes,
            f"{caller.requests} requests: {sent} to operations, {caller.requests - sent} to logins",
        ]
    coverage = [_coverage("operations", forging.expected, forging.missed)] if forging.expected else []
    coverage.append(_coverage("logins", entrances.expected, entrances.missed))
    run = Run(
        tool=Tool("vallum", __version__),
        coverage=tuple(part for part in coverage if part.expected),
        rules=tuple(rule.rule() for rule in RULES.values()),
        findings=tuple(_ordered([*forging.findings, *entrances.findings])),
        notes=tuple(notes),
    )
    if reason:
        return Incomplete(reason, run)
    return Completed(run) if run.coverage else Incomplete("there is no operation with a login and no login to try", run)


def _coverage(unit: str, expected: list[str], missed: dict[str, str]) -> Coverage:
    left = tuple(Missed(label, why) for label, why in missed.items())
    return Coverage(unit, len(expected), len(expected) - len(left), left[:1000])


def _ordered(findings: Iterable[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: (finding.service, finding.rule, finding.message))


CHECK = Check(
    id="authentication",
    stage=Stage.STAGED,
    summary="operations without a login or with a forged token, guessable keys, logins without a limit",
    applies=_applies,
    run=_run,
    tags=("dast", "api"),
    deadline=600.0,
)

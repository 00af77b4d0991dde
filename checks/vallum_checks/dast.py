"""The frame of the dynamic checks: bring the services up, attack, prove that the target outlived it, take them down.

Each check gets a deployment of its own, one after the other: an attack deletes and changes objects, and a scanner must not
meet what another has left. A failure of the deployment is the outcome of every check that was planned on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING

import msgspec

from vallum import operations
from vallum.check import Context, Planned, Skipped
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Exchange, Finding
from vallum.outcome import Incomplete, NotApplicable, Outcome, Run
from vallum.process import tail
from vallum.target import Target

if TYPE_CHECKING:
    from vallum.stage import Deployment
    from vallum.stage.redact import Redactor

LOG_TAIL = 2000
"""Characters of each service's log that go into the log of an outcome that is not complete."""


def attacks() -> dict[str, Callable[[Deployment, Context], Outcome]]:
    """What can be done to a deployment, by check: the quickest first, and last what uses all cores, when no other check of the
    run wants them. One line for a new dynamic check."""
    from vallum_checks import authentication, authorization, schemathesis, throttling, transport, zap

    return {
        authentication.CHECK.id: authentication.run_on,
        throttling.CHECK.id: throttling.run_on,
        authorization.CHECK.id: authorization.run_on,
        transport.CHECK.id: transport.run_on,
        zap.CHECK.id: zap.run_on,
        schemathesis.CHECK.id: schemathesis.run_on,
    }


def applies(target: Target, config: Config) -> Planned | Skipped:
    """Dynamic checks need a configured environment. Raises UserError where it cannot work, before anything starts."""
    if config.environment is None:
        return Skipped("no [environment] is configured, so there is nothing staged to attack (docs/staging.md)")
    from vallum.stage import settings

    settings.check(config.environment, target.root)
    return Planned()


def run_staged(target: Target, config: Config, run_id: str, contexts: dict[str, Context]) -> dict[str, Outcome]:
    """Run the checks named by `contexts`, each on a fresh deployment; an outcome for each of them, always."""
    from vallum.stage import deploy

    outcomes: dict[str, Outcome] = {}
    down = ""
    for name, attack in attacks().items():
        if name not in contexts:
            continue
        ctx, began = contexts[name], time.monotonic()
        if down:
            outcomes[name] = Incomplete(down)
            continue
        with ExitStack() as stack:
            try:
                deployment = stack.enter_context(deploy(target, config, run_id))
                deployment.liveness()
            except (Inconclusive, UserError) as error:
                down = f"the deployment did not come up: {_say(error)}"
                ctx.log.append(error.detail if isinstance(error, Inconclusive) else "")
                outcomes[name] = Incomplete(down)
                continue
            outcomes[name] = _attack(attack, deployment, ctx)
        outcomes[name] = _timed(outcomes[name], time.monotonic() - began)
    for name in contexts.keys() - outcomes.keys():
        outcomes[name] = Incomplete(f"{name} is not a check that can run on a staged deployment")
    return outcomes


def run_alone(name: str, ctx: Context) -> Outcome:
    """Run one dynamic check on a deployment of its own."""
    return run_staged(ctx.target, ctx.config, "alone", {name: ctx})[name]


def _attack(attack: Callable[[Deployment, Context], Outcome], deployment: Deployment, ctx: Context) -> Outcome:
    """Attack, then prove that the target is still alive and we are still logged in; nothing secret leaves."""
    from vallum.stage.guard import guarded

    environment = ctx.config.environment
    with guarded(deployment, environment.requests_per_second if environment is not None else None) as guard:
        try:
            outcome = attack(deployment, ctx)
        except Inconclusive as error:
            outcome = Incomplete(error.reason)
            ctx.log.append(error.detail)
    try:
        deployment.liveness()
        problems = guard.problems()
    except Inconclusive as error:
        problems = [f"after the attack: {error.reason}", *guard.problems(dead=True)]
        ctx.log.append(error.detail)
    for problem in problems:
        if not isinstance(outcome, Incomplete) or problem.removeprefix("after the attack: ") not in outcome.reason:
            outcome = _spoiled(outcome, problem)
    outcome = _noted(outcome, guard.notes())
    if isinstance(outcome, Incomplete):
        ctx.log.extend(f"{name}:\n{tail(path, LOG_TAIL)}" for name, path in deployment.logs.items() if path.is_file())
    outcome = _with_operations(deployment, outcome)
    redactor = deployment.redactor
    for number, text in enumerate(ctx.log):
        ctx.log[number] = redactor.text(text)
    redactor.sweep(ctx.raw)
    return _redacted(redactor, outcome)


def _timed(outcome: Outcome, seconds: float) -> Outcome:
    """The outcome with its own share of the time, from the start of its deployment to its end."""
    return _changed(outcome, lambda _: {"seconds": round(seconds, 3)})


def _changed(outcome: Outcome, fields: Callable[[Run], dict[str, object]]) -> Outcome:
    """The outcome with these fields of its run as `fields` makes them from it; one without a run stays as it is."""
    if isinstance(outcome, NotApplicable) or outcome.run is None:
        return outcome
    run = msgspec.structs.replace(outcome.run, **fields(outcome.run))
    return msgspec.structs.replace(outcome, run=run)


def _with_operations(deployment: Deployment, outcome: Outcome) -> Outcome:
    """The outcome with what became of each declared operation: what the check says, and what was kept of its requests."""
    ledger = deployment.ledger

    def fields(run: Run) -> dict[str, object]:
        for service in deployment.urls:
            ledger.seen(service, deployment.traffic.asked(service))
        reached = operations.merged([*run.operations, *ledger.entries()])
        return {"operations": reached, "notes": (*run.notes, *ledger.notes())}

    return _changed(outcome, fields)


def _noted(outcome: Outcome, notes: list[str]) -> Outcome:
    """The outcome with more notes in it."""
    return _changed(outcome, lambda run: {"notes": (*run.notes, *notes)})


def _redacted(redactor: Redactor, outcome: Outcome) -> Outcome:
    """Every string without the run's secrets, and raw HTTP messages without the values of credential headers."""

    def redacted(finding: Finding) -> Finding:
        said = finding.exchange
        if said is None:
            return finding
        return msgspec.structs.replace(
            finding, exchange=Exchange(redactor.text(said.request), redactor.text(said.response))
        )

    return _changed(redactor.struct(outcome), lambda run: {"findings": tuple(map(redacted, run.findings))})


def _spoiled(outcome: Outcome, reason: str) -> Outcome:
    if isinstance(outcome, NotApplicable):
        return Incomplete(reason)
    if isinstance(outcome, Incomplete):
        return msgspec.structs.replace(outcome, reason=f"{outcome.reason}; {reason}")
    return Incomplete(reason, outcome.run)


def _say(error: Inconclusive | UserError) -> str:
    if isinstance(error, Inconclusive):
        return error.reason
    return f"{error.message} ({error.hint})" if error.hint else error.message

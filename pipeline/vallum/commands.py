"""What the sessions that are no checks do: plan, pipeline, gate, stage, unstage, tools. Each returns why it failed, or ''."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec

from vallum import artifacts, gather, judgement, mergebase, plan
from vallum.artifacts import locked
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.process import tail
from vallum.progress import say
from vallum.target import Target
from vallum.workers import run_all
from vallum_checks import CHECKS


def plan_command(root: Path, selected: tuple[str, ...]) -> str:
    """Write the plan and show it; with `--json` the sessions that it needs go to stdout, as the list of a CI matrix."""
    planned = _plan(root, tuple(name for name in selected if name != "--json"))
    if "--json" in selected:
        sys.stdout.write(msgspec.json.encode(list(gather.sessions(*planned))).decode() + "\n")
    return ""


def _plan(root: Path, selected: tuple[str, ...]) -> tuple[plan.Plan, Target, Config]:
    """Write the plan and show it."""
    made, target, config = gather.make_plan(root, scope(root, selected))
    judgement.facts(
        made, config, mergebase.trusted(target.root).read
    )  # what is wrong there is said before anything runs
    if config.promotion is not None:
        from vallum import promote as promotes

        promotes.check(config.promotion, target.root)
    services = ", ".join(service.name for service in target.services) or "none found"
    say(f"vallum {made.vallum} on {target.name}: {len(target.files)} files; services: {services}")
    for check in made.checks:
        units = "" if check.units in ((), ("_",)) else f" ({', '.join(check.units)})"
        optional = " [optional]" if check.require == "optional" else ""
        say(
            f"  {check.check:<16} {check.summary + units + optional if check.units else 'not planned: ' + check.reason}"
        )
    return made, target, config


def pipeline(root: Path, selected: tuple[str, ...]) -> str:
    """Plan, run every planned check, then judge whatever is there."""
    root = root.resolve()
    artifacts.folder(root)
    with locked(root / artifacts.FOLDER / "lock", f"another vallum is at work on {root}"):
        began = time.monotonic()
        for name in (
            judgement.FILE,
            "plan.json",
        ):  # if we are killed, no earlier run's pass must lie there as this one's
            (root / artifacts.FOLDER / name).unlink(missing_ok=True)
        planned = _plan(root, selected)
        made, config = plan.load(root), planned[2]
        say(f"running {len(made.planned())} checks")
        outcomes: judgement.Outcomes = {}
        _run_sessions(
            root,
            gather.sessions(*planned),
            lambda session: outcomes.update(judgement.outcomes_of(root, made, config, session)),
        )
        return judgement.conclude(root, made, time.monotonic() - began, config, outcomes)


def gate(root: Path, _selected: tuple[str, ...]) -> str:
    """Judge the outcomes that are there."""
    root = root.resolve()
    return judgement.conclude(root, plan.load(root), 0.0)


def tools(_root: Path, selected: tuple[str, ...]) -> str:
    """Build the environments of all tools, or of the selected checks'."""
    from vallum.tools import prepare

    failed = []
    for name in sorted({tool for check in CHECKS if not selected or check.id in selected for tool in check.tools}):
        try:
            env = prepare(name)
            say(f"  {name:<16} {env.version}")
        except Inconclusive as error:
            failed.append(name)
            say(f"  {name:<16} {error.reason}")
    return f"cannot install {', '.join(failed)}" if failed else ""


def stage(root: Path, _selected: tuple[str, ...]) -> str:
    """Bring the deployment up and leave it; the addresses go to stdout."""
    from vallum.stage import stage as staged

    target, config = gather.open_target(root)
    try:
        sys.stdout.write(staged.up(target, config, os.environ.get("VALLUM_RUN", "by-hand")) + "\n")
    except Inconclusive as error:
        return error.reason
    return ""


def unstage(root: Path, _selected: tuple[str, ...]) -> str:
    """Take the deployment down."""
    from vallum.stage import stage as staged

    say(staged.down(root.resolve()))
    return ""


def scope(root: Path, selected: tuple[str, ...]) -> tuple[str, ...]:
    """The checks that a selection of checks and sessions names; UserError for an unknown one."""
    if not selected:
        return ()
    checks = gather.all_checks(gather.open_target(root)[1])
    known = {check.id for check in checks}
    for session in (gather.STAGED_SESSION, gather.DECLARED_SESSION):
        if session in selected:
            inner = [check.id for check in checks if gather.session_of(check) == session]
            if not inner:
                raise UserError(f"{session!r} has no checks here", "vallum.toml declares none")
            selected = tuple(name for name in (*selected, *inner) if name != session)
    for name in selected:
        if name not in known:
            raise UserError(f"there is no check named {name!r}", f"known: {', '.join(sorted(known))}")
    return tuple(dict.fromkeys(selected))


def _run_sessions(root: Path, bodies: dict[str, Callable[[], None]], ended: Callable[[str], None]) -> None:
    """Each session in a copy of this process. How they end proves nothing: a killed one has left no outcome."""
    log = root / artifacts.FOLDER / "run.log"
    bad = run_all(bodies, os.cpu_count() or 2, log, judgement.warm, ended)
    for said in bad:
        say(f"  {said}")
    for last in tail(log, 4000).splitlines()[-6:] if bad else ():
        say(f"  {last}")


def last_ending(root: Path) -> judgement.Ending:
    """How the verdict on disk ended."""
    return judgement.last_ending(root)


def init(root: Path, arguments: tuple[str, ...]) -> str:
    """Write a first vallum.toml and workflow."""
    from vallum import init as writes

    return writes.init(root, arguments)


def import_report(root: Path, arguments: tuple[str, ...]) -> str:
    """Take in a report that was made elsewhere."""
    from vallum import imports

    return imports.import_command(root, arguments)


def explain(root: Path, arguments: tuple[str, ...]) -> str:
    """Say all there is to say of one finding."""
    from vallum import explain as explains

    return explains.explain(root, arguments)


def waive(root: Path, arguments: tuple[str, ...]) -> str:
    """Let one finding pass until a day."""
    from vallum import waive as waives

    return waives.waive(root, arguments)


def attest(root: Path, arguments: tuple[str, ...]) -> str:
    """Sign what the last verdict rests on, or make a key."""
    from vallum import attest as attests

    return attests.attest(root, arguments)


def verify(root: Path, arguments: tuple[str, ...]) -> str:
    """Prove that a verdict and all that it rests on are as they were signed."""
    from vallum import attest as attests

    return attests.verify(root, arguments)


def promote(root: Path, arguments: tuple[str, ...]) -> str:
    """Promote what passed, watch it, and bring back what was where it goes wrong."""
    from vallum import promote as promotes

    return promotes.promote(root, arguments)


def history(root: Path, arguments: tuple[str, ...]) -> str:
    """Show what is known of earlier runs, or unite it with another history."""
    from vallum.history import show

    return show.show(root, arguments)


COMMANDS: dict[str, Callable[[Path, tuple[str, ...]], str]] = {
    "plan": plan_command,
    "pipeline": pipeline,
    "gate": gate,
    "tools": tools,
    "stage": stage,
    "unstage": unstage,
    "init": init,
    "explain": explain,
    "history": history,
    "attest": attest,
    "verify": verify,
    "promote": promote,
    "waive": waive,
    "baseline": judgement.write_baseline,
    "import": import_report,
}

"""Checks become nox sessions here, and only here. `register()` is what a noxfile calls.

nox orders, selects, parallelises and shows; it does not judge. `pipeline` starts the checks as a child nox, whatever
becomes of it, and then judges the outcomes on disk. `gate` judges what is there (the fan-in after a matrix).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path

import nox

from vallum.check import Check, Stage
from vallum.errors import UserError
from vallum.gather import DECLARED_SESSION, STAGED_SESSION, run_check, run_declared, run_staged
from vallum.process import ended_by_signals
from vallum.progress import say
from vallum_checks import CHECKS

OWN_SESSIONS = {
    "pipeline": "everything that applies, in parallel, then the gate and the report (the default)",
    "plan": "what would run and what would not, and why; writes .vallum/plan.json",
    "gate": "judge the outcomes that are there, write verdict and reports",
    STAGED_SESSION: "bring the services up, log in, attack them with ZAP and schemathesis, take them down",
    DECLARED_SESSION: "the checks that vallum.toml declares ([[check]]), one after the other",
    "stage": "bring the staged deployment up and leave it",
    "unstage": "take the staged deployment down",
    "tools": "build every tool's environment ahead (cached, from hashed locks)",
    "init": "write a commented vallum.toml and a GitHub workflow from what is found; overwrites nothing",
    "explain": "one finding in full: `-- ID`",
    "history": "what was open for how long, over all runs; `-- --merge FILE` unites two histories",
    "attest": "sign what the last verdict rests on: `-- --key FILE`; make a key: `-- --new-key FILE`",
    "verify": "prove that a signed verdict, its report and outcomes are unchanged: `-- ENVELOPE --key FILE.pub`",
    "promote": "after a pass: run the configured promotion, watch health, roll back by itself where it goes wrong",
    "waive": "let one finding pass until a day: `-- ID --reason … --owner … --until YYYY-MM-DD`",
    "baseline": "keep the last verdict's findings as what was there before, in vallum-baseline.json",
    "import": "take in a report made elsewhere: `-- FILE.sarif --check ID --commit SHA --tool NAME`",
}


def register(names: Iterable[str] | None = None) -> None:
    """Make the sessions. A name that exists already is refused: nox itself would replace it and only warn."""
    wanted = dict(OWN_SESSIONS)
    taken = [name for name in (*wanted, *(c.id for c in CHECKS)) if name in nox.registry.get()]
    if taken:
        raise UserError(
            f"this noxfile already has a session named {taken[0]!r}",
            "rename it: vallum's sessions keep their names, or a replaced check would pass unseen",
        )
    nox.options.error_on_missing_interpreters = True
    bodies: dict[str, tuple[str, tuple[str, ...], Callable[[nox.Session], None]]] = {
        name: (summary, (), _own(name)) for name, summary in wanted.items()
    }
    for check in CHECKS:
        if check.stage is not Stage.STAGED:
            bodies[check.id] = (check.summary, (check.stage, *check.tags), _check(check))
    staged_tags = {tag for check in CHECKS if check.stage is Stage.STAGED for tag in (check.stage, *check.tags)}
    for name, (summary, tags, body) in bodies.items():
        if names is not None and name not in set(names):
            continue
        body.__doc__ = summary
        body.__name__ = name
        make = nox.session(
            name=name,
            python=False,
            venv_backend="none",
            default=name == "pipeline",
            tags=sorted(staged_tags) if name == STAGED_SESSION else list(tags),
            allow_parallel=name not in {"pipeline", "gate", "plan"},
        )
        make(body)


def _root(session: nox.Session) -> Path:
    return Path(os.environ.get("VALLUM_ROOT") or session.invoked_from)


def _own(name: str) -> Callable[[nox.Session], None]:
    def body(session: nox.Session) -> None:
        from vallum import commands

        with ended_by_signals():
            try:
                if name == STAGED_SESSION:
                    run_staged(_root(session))
                elif name == DECLARED_SESSION:
                    run_declared(_root(session))
                else:
                    failed = commands.COMMANDS[name](_root(session), tuple(session.posargs))
                    if failed:
                        session.error(failed)
            except UserError as error:
                say(f"error: {error.message}")
                if error.hint:
                    say(f"hint: {error.hint}")
                session.error(error.message)

    return body


def _check(check: Check) -> Callable[[nox.Session], None]:
    def body(session: nox.Session) -> None:
        with ended_by_signals():
            try:
                run_check(check, _root(session))
            except UserError as error:
                session.error(error.message)

    return body

"""schemathesis sends what each API definition allows and forbids, logged in, and watches for errors and open doors."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import FILE as SETTINGS
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run, Tool
from vallum.process import clean_environment, start, stop
from vallum.target import Target
from vallum_checks import dast

if TYPE_CHECKING:
    import subprocess  # noqa: TID251 - only its type; vallum.process starts

    from vallum.stage import Deployment
    from vallum.stage.calls import Surface
    from vallum_checks.schemathesis_engine.report import Tested

EXAMPLES = 8
"""Generated requests for each operation and phase. On the shop (48 operations) 15 find what 8 find; 22 CPU seconds in all."""
NATIVE = frozenset({"openapi", "graphql"})
"""The kinds of definitions that schemathesis reads."""
SEED = 20261122
"""Fixed, with --generation-deterministic: the same code gives the same findings."""
AT_ONCE = min(2, os.cpu_count() or 1)
"""Services attacked at the same time."""
PHASES = "examples,coverage,fuzzing"
NO_PROXY = dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"), "") | dict.fromkeys(
    ("http_proxy", "https_proxy", "all_proxy", "no_proxy"), ""
)
"""No proxy but the scope's, and nothing past it."""
METHODS = ("get", "put", "post", "delete", "patch", "trace")
"""Undeclared methods that are tried on each path. OPTIONS is CORS's, and QUERY makes old servers hang up."""
MAX_FILE = 512 << 20
"""Bytes of the event log of one service."""


def _applies(target: Target, config: Config) -> Planned | Skipped:
    said = dast.applies(target, config)
    if isinstance(said, Skipped) or config.environment is None:
        return said
    from vallum.api import formats

    _options(config)
    if not any(formats.defined(target, service) for service in config.environment.services.values()):
        return Skipped("no service of [environment] has an OpenAPI definition, or another that says its operations")
    return said


def _options(config: Config) -> tuple[int, int]:
    """`[checks.schemathesis.options]`: examples and seed."""
    options = {"examples": EXAMPLES, "seed": SEED} | config.settings("schemathesis").options
    for name, value in options.items():
        if name not in ("examples", "seed") or type(value) is not int or not 0 < value < 1 << 31:
            raise UserError(
                f"checks.schemathesis.options.{name} cannot be {value!r}", "examples and seed are numbers above 0"
            )
    return options["examples"], options["seed"]


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Test the operations of every definition on `deployment`. Partial results are kept in an Incomplete outcome."""
    from vallum.stage.calls import surfaces
    from vallum_checks.schemathesis_engine import report
    from vallum_checks.schemathesis_engine.rules import rules

    everything, bare = surfaces(deployment, ctx.target, ctx.config)
    found = [surface for surface in everything if surface.definition.kind in NATIVE]
    if not found:
        raise Inconclusive("no service's API definition is of a kind that schemathesis reads: OpenAPI, GraphQL")
    env = ctx.tool("schemathesis")
    # the largest first, so that no core waits for it at the end
    ordered = sorted(found, key=lambda surface: -len(surface.definition.operations))
    jobs = {surface.service: _argv(ctx, env.bin("schemathesis"), deployment, surface) for surface in ordered}
    reasons, codes = _run_all(ctx, deployment, jobs)
    tested = {}
    for surface in found:
        name = surface.service
        result = report.read(surface, ctx.raw / f"{name}.json", ctx.scratch / f"{name}.ndjson", deployment.headers())
        tested[name] = result
        if name in codes:
            reasons += _incomplete(name, codes[name], result, logged_in=deployment.session is not None)
    notes = [f"{name} has no API definition: its operations were not tested" for name in bare]
    notes += [
        f"{surface.service}: schemathesis reads no {surface.definition.kind} definition: its operations were not tested"
        for surface in everything
        if surface not in found
    ]
    if deployment.session is None:
        notes.append("no [environment.login] is configured: what needs a login was tested only from outside")
    run = Run(
        tool=Tool("schemathesis", env.version, env.digest),
        coverage=(_coverage(found, tested),),
        rules=rules(finding for result in tested.values() for finding in result.findings),
        findings=tuple(finding for result in tested.values() for finding in result.findings),
        notes=(*notes, *(note for result in tested.values() for note in result.notes)),
        argv=tuple(jobs[next(iter(jobs))]),
        exit_code=max(codes.values(), default=None),
        operations=tuple(each for surface in found for each in tested[surface.service].operations(surface)),
    )
    return Incomplete("; ".join(reasons), run) if reasons else Completed(run)


def _argv(ctx: Context, program: Path, deployment: Deployment, surface: Surface) -> list[str]:
    """The command for one service. The login is in the environment: a configuration file names the variable."""
    examples, seed = _options(ctx.config)
    headers = "\n".join(
        f'{json.dumps(key)} = "${{VALLUM_LOGIN_{number}}}"' for number, key in enumerate(deployment.headers())
    )
    endpoint = surface.definition.operations[0].template
    # Of a GraphQL schema in a file schemathesis wants the endpoint; one that it asks for itself says where it is.
    where = ["--url", surface.url + endpoint] if surface.definition.kind == "graphql" else ["--origin", surface.url]
    methods = json.dumps(METHODS)
    name = surface.service
    settings = ctx.scratch / f"{name}.toml"
    settings.write_text(
        f"[headers]\n{headers}\n[cache]\nenabled = false\n[phases.coverage]\nunexpected-methods = {methods}\n", "utf-8"
    )
    return [
        *(str(program), "--config-file", str(settings), "run", str(_schema(ctx, surface))),
        *(*where, "--phases", PHASES, "--max-examples", str(examples)),
        *("--seed", str(seed), "--generation-deterministic", "--continue-on-failure", "--no-shrink"),
        *("--proxy", deployment.proxy, "--tls-verify", "false"),
        *("--suppress-health-check", "all", "--request-timeout", "10", "--max-redirects", "0", "--no-color"),
        *("--report", "json,ndjson", "--report-json-path", str(ctx.raw / f"{name}.json")),
        *("--report-ndjson-path", str(ctx.scratch / f"{name}.ndjson")),
    ]


def _schema(ctx: Context, surface: Surface) -> Path | str:
    """The definition's file. One that refers to other files is given whole: schemathesis must read nothing by itself."""
    from vallum.api.references import FILES

    definition = surface.definition
    if definition.kind == "graphql":
        return definition.path if surface.path != SETTINGS else surface.url + definition.operations[0].template
    if FILES not in definition.document:
        return definition.path
    whole = ctx.scratch / f"{surface.service}.json"
    whole.write_text(json.dumps(definition.document, default=str), "utf-8")
    return whole


def _run_all(ctx: Context, deployment: Deployment, jobs: dict[str, list[str]]) -> tuple[list[str], dict[str, int]]:
    """Run the commands, AT_ONCE at a time, until all have ended, the deadline, or the death of a service.

    Returns the reasons why it is not whole, and the exit codes of those that ended.
    """
    login = {f"VALLUM_LOGIN_{number}": value for number, value in enumerate(deployment.headers().values())}
    env = clean_environment({**login, **NO_PROXY, "TMPDIR": str(ctx.scratch)})
    end = time.monotonic() + ctx.deadline
    waiting = list(jobs)
    running: dict[str, subprocess.Popen[bytes]] = {}
    codes: dict[str, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < AT_ONCE:
                name = waiting.pop(0)
                out = ctx.raw / f"{name}.stdout"
                running[name] = start(jobs[name], cwd=ctx.scratch, env=env, stdout=out, max_file=MAX_FILE)
            for name, process in list(running.items()):
                if (code := process.poll()) is not None:
                    codes[name] = code
                    stop(running.pop(name), 0.2)
            deployment.check_services()
            if time.monotonic() > end:
                late = ", ".join(sorted([*running, *waiting]))
                return [f"schemathesis passed its deadline of {ctx.deadline:.0f} s at {late}"], codes
            time.sleep(0.05)
    except Inconclusive as error:
        ctx.log.append(error.detail)
        return [error.reason], codes
    finally:
        for process in running.values():
            stop(process, 1.0)
    return [], codes


def _incomplete(name: str, code: int, tested: Tested, *, logged_in: bool) -> list[str]:
    """Why the result of a service is not whole: judged on the report, because the exit code says 1 for too much."""
    if code == -signal.SIGXFSZ:
        return [f"{name}: the event log grew over {MAX_FILE} bytes"]
    if code not in (0, 1):
        return [f"{name}: schemathesis ended with exit code {code}{f': {tested.broken}' if tested.broken else ''}"]
    if tested.broken:
        return [f"{name}: {tested.broken}"]
    if logged_in and tested.seen and tested.refused >= tested.seen:
        return [f"{name}: every operation answered 401 or 403 only, although logged in"]
    return []


def _coverage(found: list[Surface], tested: dict[str, Tested]) -> Coverage:
    from vallum_checks.schemathesis_engine.report import label_of

    missed = [
        Missed(f"{surface.service} {operation}", "no answer came from it")
        for surface in found
        for operation in surface.definition.operations
        if label_of(operation) not in tested[surface.service].reached
    ]
    expected = sum(len(surface.definition.operations) for surface in found)
    return Coverage("operations", expected, expected - len(missed), tuple(missed[:1000]))


CHECK = Check(
    id="schemathesis",
    stage=Stage.STAGED,
    summary="requests generated from each API definition",
    applies=_applies,
    run=_run,
    tools=("schemathesis",),
    tags=("dast", "api"),
    deadline=900,
)

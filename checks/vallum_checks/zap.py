"""ZAP attacks every staged service, logged in, seeded with its API definition and its pages (vallum_checks.zap_engine)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run
from vallum.target import Target
from vallum_checks import dast

if TYPE_CHECKING:
    from vallum.stage import Deployment
    from vallum.stage.calls import Surface


def applies(target: Target, config: Config) -> Planned | Skipped:
    """As every dynamic check. Raises UserError for a rule file that cannot be read and for settings that cannot work."""
    plan = dast.applies(target, config)
    if isinstance(plan, Skipped) or config.environment is None:
        return plan
    from vallum_checks.zap_engine import levels

    levels.read(target.root, config.zap.rules)
    for name in config.zap.service_minutes:
        if name not in config.environment.services:
            known = ", ".join(sorted(config.environment.services))
            raise UserError(f"zap.service-minutes: there is no service `{name}`", f"known: {known}")
    if config.zap.release and not config.zap.release_sha256:
        raise UserError("zap.release is not pinned", "give the package's SHA-256 as zap.release-sha256")
    return plan


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Scan each service that has an API definition or an HTML page. Raises Inconclusive where none has."""
    from vallum.stage.calls import surfaces
    from vallum_checks import zap_engine
    from vallum_checks.zap_engine import levels

    defined = {surface.service: surface for surface in surfaces(deployment, ctx.target, ctx.config)[0]}
    targets, bare = [], []
    silent: list[Surface] = []  # what has operations, and none that can be called
    for name, url in deployment.urls.items():
        surface = defined.get(name)
        if surface is not None and surface.definition.kind == "grpc":
            continue  # ZAP's proxy speaks HTTP/1.1: the definition's notes say that it is not tested
        pages = ("/",) if _is_page(deployment, url) else ()
        if surface is None and not pages:
            bare.append(name)
            continue
        if surface is not None and not surface.definition.operations and not pages:
            silent.append(surface)
            continue
        targets.append(
            zap_engine.ScanTarget(
                service=name,
                base_url=url,
                openapi=surface.definition.path if surface else None,
                openapi_relative=surface.path if surface else "",
                pages=pages,
                definition=surface.definition if surface else None,
            )
        )
    if not targets:
        raise Inconclusive("no staged service has an API definition or an HTML page at /, so ZAP has nowhere to begin")
    attack = zap_engine.attack(
        targets,
        config=ctx.config,
        scratch=ctx.scratch,
        raw=ctx.raw,
        deadline=ctx.deadline,
        auth=deployment.headers(),
        levels=levels.read(ctx.target.root, ctx.config.zap.rules),
        proxy=deployment.proxy,
    )
    run = Run(
        tool=attack.tool,
        coverage=tuple(_with(attack.coverage, silent)),
        rules=tuple(attack.rules),
        findings=tuple(attack.findings),
        databases=tuple(attack.databases),
        operations=attack.operations,
        notes=(
            *attack.notes,
            *(f"{name} has neither an API definition nor a page at /: not attacked" for name in bare),
        ),
    )
    return Incomplete(attack.incomplete, run) if attack.incomplete else Completed(run)


def _with(coverage: Iterable[Coverage], silent: list[Surface]) -> Iterator[Coverage]:
    """The coverage with the operations of services that cannot be called at all."""
    missed = tuple(
        Missed(f"{surface.service} {operation}", f"unsupported: {operation.unsupported}")
        for surface in silent
        for operation in surface.definition.unsupported
    )
    for part in coverage:
        if part.unit == "operations" and missed:
            yield Coverage(part.unit, part.expected + len(missed), part.seen, (*part.missed, *missed)[:1000])
            missed = ()
        else:
            yield part
    if missed:
        yield Coverage("operations", len(missed), 0, missed[:1000])


def _is_page(deployment: Deployment, url: str) -> bool:
    """Whether `/` answers with HTML, so that a spider has something to follow."""
    import httpx

    try:
        with deployment.scope.client(timeout=10) as client, client.stream("GET", url + "/") as answer:
            return answer.status_code < 400 and "html" in answer.headers.get("content-type", "")
    except httpx.HTTPError:
        return False


CHECK = Check(
    id="zap",
    stage=Stage.STAGED,
    summary="ZAP attacks the staged services, logged in",
    applies=applies,
    run=_run,
    tags=("dast",),
    deadline=1800,
)

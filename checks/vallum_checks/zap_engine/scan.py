"""One attack on a staged deployment: seed, spider, scan, prove that it was whole, and read the alerts."""

from __future__ import annotations

import time
from pathlib import Path

from vallum.api import openapi as definition
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.outcome import Database, Tool
from vallum.progress import say
from vallum_checks.zap_engine import equipment, proof, results, route, steps, watch
from vallum_checks.zap_engine.client import ZapGone
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.levels import Levels
from vallum_checks.zap_engine.model import Attack, ScanTarget
from vallum_checks.zap_engine.provide import provided


def attack(
    targets: list[ScanTarget],
    *,
    config: Config,
    scratch: Path,
    raw: Path,
    deadline: float,
    auth: dict[str, str],
    levels: Levels | None = None,
    proxy: str = "",
) -> Attack:
    """Attack the services with the first ZAP that works.

    `deadline` is in seconds from now, `auth` the headers of a logged-in request, `scratch` and `raw` existing folders,
    `levels` what the rule file says, `proxy` the address of the scope's proxy, through which ZAP sends everything.
    Nothing but the targets' addresses is requested. Raises Inconclusive where no ZAP works or nothing could be attacked;
    a scan that was not whole returns what it found, and why in `incomplete`.
    """
    began = time.monotonic()
    end = began + deadline
    if not targets:
        raise Inconclusive("there is no service to attack")
    definitions = {
        target.service: target.definition or definition.read(target.openapi or Path())
        for target in targets
        if target.definition or target.openapi
    }
    if not any(d.operations for d in definitions.values()) and not any(target.pages for target in targets):
        raise Inconclusive("there is nothing to attack: no operation in any definition, and no page")
    gone = watch.dead(((target.service, target.base_url + "/") for target in targets), proxy)
    if gone:
        raise Inconclusive(f"{gone[0]} does not answer before the attack")
    with provided(config, scratch, raw) as zap:
        say(f"zap        {zap.kind} ZAP {zap.version} is up after {time.monotonic() - began:.1f} s")
        with route.through(zap.zap, proxy):
            return _run(Engagement(targets, definitions, config, raw, end, auth, zap, levels or Levels(), proxy))


def _run(e: Engagement) -> Attack:
    """The whole attack. Where ZAP is lost or refuses on the way, what was found until then is kept."""
    try:
        equipment.equip(e)
        try:
            _steps(e)
        except Inconclusive as error:
            e.problems.append(error.reason)
            if error.detail:
                (e.raw / "zap-gone.txt").write_text(e.redactor.text(error.detail), "utf-8")
        try:
            results.snapshot(e, whole=True)
        except ZapGone as error:  # what was saved on the way is kept, without the exchanges
            e.problems.append(error.reason)
        found = results.everything_found(e)
    finally:
        steps.leave(e)
    kind, here = e.provided.kind, e.equipment
    passive = (Database("ZAP passive scan rules", kind, here.passive),) if here.passive else ()
    return Attack(
        tool=Tool("ZAP", e.provided.version, e.provided.digest),
        findings=found[0],
        rules=found[1],
        coverage=results.coverage(e),
        databases=(Database("ZAP active scan rules", kind, here.active), *passive),
        incomplete="; ".join(dict.fromkeys(e.problems)),
        notes=(*results.about(e), *dict.fromkeys(e.notes)),
        operations=tuple(results.operations(e)),
    )


def _steps(e: Engagement) -> None:
    steps.prepare(e)
    steps.fill_tree(e)
    steps.spider(e)
    if not e.baseline:
        steps.scan(e)
        steps.late(e)
    elif not e.equipment.passive:
        steps.scan(e)  # with the rules that only look
    steps.passive(e)
    proof.prove(e)

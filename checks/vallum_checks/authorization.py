"""Broken authorization (OWASP API1, API3, API5 and API6:2023): objects, properties and functions of others, from the wrong user.

The first ordinary user of `[environment.users]` makes and owns objects; the second, and nobody, then read, change and delete
them. Administrators' operations are called by others, properties that are not for clients are sent, and answers are held
against their schemas. Cannot see: objects that no path names, and rules of the business beyond prices that a client sets.
Fix: each finding says it; docs/api-security.md has more.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from vallum import __version__
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run, Tool
from vallum.target import Target
from vallum_checks import dast

if TYPE_CHECKING:
    from vallum.stage import Deployment
    from vallum_checks.authorization_engine.model import Actor, Engagement

_LABEL = re.compile(r"[\w.-]+ (GET|HEAD|POST|PUT|PATCH|DELETE) /\S*")
_PLACE = re.compile(r"[\w.-]+ /\S*\{[^}/]+\}")


def _applies(target: Target, config: Config) -> Planned | Skipped:
    said = dast.applies(target, config)
    if isinstance(said, Skipped) or config.environment is None:
        return (
            Skipped(f"{said.reason}; API1, API3, API5 and API6:2023 are not tested")
            if isinstance(said, Skipped)
            else said
        )
    from vallum.api import formats

    options(config)
    services = config.environment.services.values()
    if not any(formats.find(target, service) and not formats.is_rpc(target, service) for service in services):
        return Skipped(
            "no service of [environment] has an API definition: API1, API3, API5 and API6:2023 are not tested"
        )
    return said


def options(config: Config) -> dict[str, Any]:
    """`[checks.authorization.options]`: `admin-operations` and `public-operations`, lists of `SERVICE METHOD /path`, and
    `objects`, which maps `SERVICE /path/{parameter}` to the identifier of an object of the first user's. Raises UserError."""
    given = dict(config.settings("authorization").options)
    where = "checks.authorization.options"
    for name, value in given.items():
        if name in {"admin-operations", "public-operations"}:
            if not isinstance(value, list) or not all(isinstance(one, str) and _LABEL.fullmatch(one) for one in value):
                raise UserError(f"{where}.{name} cannot be {value!r}", 'a list such as ["orders GET /metrics"]')
        elif name == "objects":
            fits = isinstance(value, dict) and all(
                _PLACE.fullmatch(key) and isinstance(one, str | int) and not isinstance(one, bool)
                for key, one in value.items()
            )
            if not fits:
                raise UserError(
                    f"{where}.objects cannot be {value!r}", 'a table such as { "orders /orders/{number}" = 1 }'
                )
            given["objects"] = {key: str(one) for key, one in value.items()}
        else:
            raise UserError(f"{where}.{name} is not known", "known: admin-operations, objects, public-operations")
    return given


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Try every definition's operations on `deployment` as the wrong user. Partial results are kept in an Incomplete outcome."""
    from vallum.stage.calls import Caller, surfaces
    from vallum_checks.authorization_engine import attack, properties
    from vallum_checks.authorization_engine.model import Engagement, site_of
    from vallum_checks.authorization_engine.rules import RULES

    found, bare = surfaces(deployment, ctx.target, ctx.config)
    sites = [site_of(surface) for surface in found if surface.definition.document]
    settings = options(ctx.config)
    _known(settings, [f"{site.surface.service} {operation}" for site in sites for operation in site.operations])
    first, second, admin = cast(deployment, ctx.config)
    with Caller(deployment) as caller:
        engagement = Engagement(caller, sites, first, second, admin, ctx.deadline, settings)
        reason = ""
        try:
            attack.run(engagement)
        except Inconclusive as error:
            ctx.log.append(error.detail)
            reason = error.reason
        notes = [
            *(f"{name} has no API definition: its operations were not tested" for name in bare),
            *(
                f"{surface.service}: a definition of kind {surface.definition.kind} has no paths of objects: not tested"
                for surface in found
                if not surface.definition.document
            ),
            *attack.notes(engagement),
        ]
        run = Run(
            tool=Tool("vallum", __version__),
            coverage=(_coverage(engagement),),
            rules=tuple(rule.rule() for rule in RULES),
            findings=tuple(
                properties.masked(one)
                for one in sorted(engagement.found.values(), key=lambda one: (one.service, one.rule, one.message))
            ),
            notes=tuple(notes),
            operations=attack.reach(engagement),
        )
    if reason:
        return Incomplete(reason, run)
    return Completed(run) if sites else Incomplete("no service has an OpenAPI definition", run)


def cast(deployment: Deployment, config: Config) -> tuple[Actor | None, Actor | None, Actor | None]:
    """The first two ordinary users and the first administrator; None for those that are not configured."""
    from vallum_checks.authorization_engine.answers import Identity
    from vallum_checks.authorization_engine.model import Actor

    configured = config.environment.users if config.environment is not None else {}
    ordinary: list[Actor] = []
    admins: list[Actor] = []
    for name, user in deployment.users.items():
        given = configured[name].username if name in configured else ""
        names = {one for one in (name, given) if one and "{" not in one}
        actor = Actor(name or "the user", user.session.header, Identity(names))
        (admins if user.role == "admin" else ordinary).append(actor)
    return (
        ordinary[0] if ordinary else None,
        ordinary[1] if len(ordinary) > 1 else None,
        admins[0] if admins else None,
    )


def _known(settings: dict[str, Any], labels: list[str]) -> None:
    """Raise Inconclusive where the settings name an operation that no definition declares: it would be left out silently."""
    paths = {" ".join(label.split()[::2]) for label in labels}
    for name in ("admin-operations", "public-operations"):
        for label in settings.get(name, ()):
            if label not in labels:
                raise Inconclusive(f"checks.authorization.options.{name}: no definition declares `{label}`")
    for place in settings.get("objects", {}):
        if not any(path == place or path.startswith(place + "/") for path in paths):
            raise Inconclusive(f"checks.authorization.options.objects: no definition has the path `{place}`")


def _coverage(engagement: Engagement) -> Coverage:
    expected = sum(len(site.operations) for site in engagement.sites)
    left = tuple(Missed(f"{service} {operation}", why) for (service, operation), why in engagement.missed.items())
    return Coverage("operations", expected, expected - len(left), left[:1000])


CHECK = Check(
    id="authorization",
    stage=Stage.STAGED,
    summary="objects, functions and properties of other users, called by the wrong one",
    applies=_applies,
    run=_run,
    tags=("dast", "api"),
    deadline=600.0,
)

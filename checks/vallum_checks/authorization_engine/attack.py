"""The order of things: what reads goes before what changes, what changes before what deletes, and at the end we tidy up."""

from __future__ import annotations

from vallum.outcome import Reach
from vallum_checks.authorization_engine import bola, functions, objects, properties
from vallum_checks.authorization_engine.model import Engagement, keys_of


def run(e: Engagement) -> None:
    """Try everything on every site. Raises Inconclusive past the deadline; what was found until then is in `e`."""
    for site in e.sites:
        for operation in site.operations:
            if operation.unsupported:
                e.miss(site, operation, operation.unsupported)
    objects.survey(e)
    objects.find(e)
    for site in e.sites:
        if e.first is not None:
            bola.read(e, site)
        functions.call(e, site, reading=True)
    for site in e.sites:
        if e.first is not None:
            bola.change(e, site)
            properties.assign(e, site)
        properties.expose(e, site)
    for site in e.sites:
        functions.call(e, site, reading=False)
    for site in e.sites:
        if e.first is not None:
            bola.delete(e, site)
    _tidy(e)
    bola.change_passwords(e)


def _tidy(e: Engagement) -> None:
    """Delete what we have made, where the API can and it is still there."""
    if e.first is None:
        return
    for site in e.sites:
        for operation, path in sorted(site.trash, key=lambda item: -len(item[1])):
            if e.ask(site, operation, e.first, path).ok:
                e.count("removed")


def notes(e: Engagement) -> list[str]:
    """What was tried and what was not, in lines for the report."""
    said = []
    if e.second is None:
        who = "one ordinary user" if e.first is not None else "no user"
        said.append(
            f"not tested: API1:2023 between users: {who} of [environment.users] can log in, two ordinary ones are needed"
        )
    if e.first is None:
        said += [
            "not tested: API1:2023 and API3:2023: no ordinary user can log in, so nothing is known to be somebody's",
            "not tested: API5:2023 as an ordinary user: administrators' operations were only called without a login",
            "not tested: API6:2023: no ordinary user can log in",
        ]
    elif e.admin is None:
        said.append(
            "API5:2023: no user with the role admin is configured: administrators' operations are those that their path, tags, "
            "scopes or roles tell, and were not compared with an administrator's answer"
        )
    count = e.counts.get
    kinds = sum(1 for site in e.sites for _ in site.things)
    said.append(
        f"API1:2023: {count('object', 0)} operations have an object in their path: {count('tried', 0)} tried on an object of one "
        f"user's alone, {count('public', 0)} open to everybody by definition, {count('shared', 0)} on objects for all users; "
        f"{kinds} kinds of objects found"
    )
    said.append(
        f"API3:2023: {count('written', 0)} operations were sent properties that are not for clients, the answers of "
        f"{count('compared', 0)} were compared with their schemas"
    )
    said.append(f"API5:2023: {count('function', 0)} operations are for administrators and were called by others")
    if e.first is not None:
        said.append(
            "API6:2023: whether a client sets prices and amounts was tried; other misuse of a business flow was not tested"
        )
    said.append(
        f"{e.caller.requests} requests to {sum(len(site.operations) for site in e.sites)} operations; "
        f"{count('restored', 0)} changes put back, {count('removed', 0)} objects that were made here removed"
    )
    return said


def reach(e: Engagement) -> tuple[Reach, ...]:
    """How far each operation was reached."""
    return tuple(
        Reach(
            service=site.surface.service,
            method=operation.method,
            path=operation.template,
            name=operation.name,
            secured=operation.secured,
            reached=key in e.reached,
            authenticated=key in e.logged_in,
            attacked=key in e.attacked,
            why=e.missed.get(key, "" if key in e.reached else _why(operation.template)),
        )
        for site in e.sites
        for operation in site.operations
        for key in [(site.surface.service, operation)]
    )


def _why(template: str) -> str:
    return "not called by this check" if not keys_of(template) else "no object to call it with"

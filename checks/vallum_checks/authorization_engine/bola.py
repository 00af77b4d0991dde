"""Broken object level authorization (API1): the second user, and nobody, read, change and delete the first user's objects."""

from __future__ import annotations

from typing import Any

from vallum.api.model import Operation
from vallum.stage.calls import Answer
from vallum_checks.authorization_engine import rules
from vallum_checks.authorization_engine.answers import differs, leaves, one, shows
from vallum_checks.authorization_engine.declared import body_shape, follow
from vallum_checks.authorization_engine.model import (
    OUTSIDE,
    REFUSED,
    Actor,
    Engagement,
    Site,
    Thing,
    keys_of,
    shape_of,
    unclear,
    without_passwords,
)

_UNLIKELY = "999999937"
"""An identifier that no object has: an operation that answers it like a real one does not depend on the object."""


def targets(e: Engagement, site: Site, methods: frozenset[str]) -> list[tuple[Operation, Thing]]:
    """The operations with an object of the first user's alone to try; why the others are none is counted or said."""
    found = []
    for operation in e.ordinary(site):
        keys = keys_of(operation.template)
        if not keys or operation.method not in methods:
            continue
        e.count("object")
        thing = site.things.get(keys[-1])
        if e.public(site, operation):
            e.count("public")
        elif thing is None:
            e.miss(site, operation, site.without.get(keys[-1], "no first user is configured"))
        elif thing.private or (thing.owned and (operation.method != "GET" or operation.secured)):
            e.count("tried")
            found.append((operation, thing))
        elif thing.private is None:
            e.miss(site, operation, thing.why)
        else:
            e.count("shared")
    return found


def read(e: Engagement, site: Site) -> None:
    """Read what is the first user's."""
    if e.first is None:
        return
    for operation, thing in targets(e, site, frozenset({"GET"})):
        path = site.path(operation)
        mine = e.ask(site, operation, e.first, path)
        if not mine.ok:
            e.miss(site, operation, f"{e.first.name} is answered {mine.status or mine.why} for an own object")
            continue
        # What names its owner and is given to all who are logged in is a directory; but not to nobody, if a login is declared.
        for actor in _others(e) if thing.private else [OUTSIDE]:
            answer = e.ask(site, operation, actor, path)
            if unclear(answer):
                e.miss(site, operation, f"{actor.name} is answered {answer.status or answer.why}, which tells nothing")
            if answer.status == 401 and actor is e.second and not _accepted(e, site):
                e.miss(site, operation, f"the login of {actor.name} is not accepted by {site.surface.service}")
            if not answer.ok or not shows(mine, answer):
                continue
            if not _tells(mine):
                e.miss(
                    site, operation, f"{actor.name} is answered too, and {e.first.name} has nothing there to compare"
                )
                continue
            control = e.ask(site, operation, e.first, _elsewhere(operation, thing, path))
            if control.ok and shows(mine, control):
                e.count("independent")
                break
            rule = rules.OBJECT_OPEN if actor is OUTSIDE else rules.OBJECT_READ
            e.report(rule, site, operation, f"{actor.name} reads an object of {e.first.name} ({thing.why})", answer)
            break


def change(e: Engagement, site: Site) -> None:
    """Change what is the first user's; what was changed is put back. Passwords are left for the very end."""
    for operation, thing in targets(e, site, frozenset({"POST", "PUT", "PATCH"})):
        example = e.example(site, operation)
        if example is not None and without_passwords(example) != example:
            e.last.append((site, operation, thing))
        else:
            _attempt(e, site, operation, thing)


def change_passwords(e: Engagement) -> None:
    """Set another user's password, as the last of all: after it, that user cannot log in."""
    for site, operation, thing in e.last:
        path = site.path(operation)
        for actor in _others(e):
            answer = e.ask(site, operation, actor, path)
            if answer.ok:
                _report(e, site, operation, thing, actor, answer)
                break
            if answer.status not in REFUSED:
                e.miss(
                    site,
                    operation,
                    f"answers {actor.name} {answer.status or answer.why}, which may be about the request",
                )


def delete(e: Engagement, site: Site) -> None:
    """Delete what is the first user's: the inner objects first."""
    found = targets(e, site, frozenset({"DELETE"}))
    for operation, thing in sorted(found, key=lambda item: -item[0].template.count("{")):
        _attempt(e, site, operation, thing)


def _others(e: Engagement) -> list[Actor]:
    """Who tries: nobody first, for what is open to nobody is open to all."""
    return [OUTSIDE, *([e.second] if e.second is not None else [])]


def _accepted(e: Engagement, site: Site) -> bool:
    """Whether the second user's login counts at this service: some operation that needs one does not answer it 401."""
    if e.second is None:
        return False
    for operation in site.seen:
        if operation.method == "GET" and "{" not in operation.template and not e.public(site, operation):
            return e.ask(site, operation, e.second).status != 401
    return True


def _attempt(e: Engagement, site: Site, operation: Operation, thing: Thing) -> None:
    if e.first is None:
        return
    path = site.path(operation)
    witness = witness_of(e, site, operation)
    before = e.ask(site, witness[0], e.first, witness[1]) if witness else None
    old = one(before.json()) if before is not None and before.ok else {}
    body = changed_body(e, site, operation, old)
    for actor in _others(e):
        answer = e.ask(site, operation, actor, path, body)
        if unclear(answer):
            e.miss(site, operation, f"{actor.name} is answered {answer.status or answer.why}, which tells nothing")
            return
        if answer.status in REFUSED:
            continue
        if not answer.ok:
            # A body may be judged before its sender: then the same from the owner must have been fine.
            own = e.ask(site, operation, e.first, path, body)
            if not own.ok:
                e.miss(site, operation, f"the request is answered {own.status or own.why} to {e.first.name} too")
                return
            continue
        if witness is None or before is None or not before.ok:
            e.miss(site, operation, f"it answers {actor.name} {answer.status}, and nothing reads the object back")
            return
        after = e.ask(site, witness[0], e.first, witness[1])
        happened = _gone(after) if operation.method == "DELETE" else False
        if not happened:
            happened = differs(before, after, e.ask(site, witness[0], e.first, witness[1]))
        if happened:
            _report(e, site, operation, thing, actor, answer)
            if operation.method in {"PUT", "PATCH"} and body is not None:
                restore(e, site, operation, path, body, old)
            return
        if shows(before, answer):
            rule = rules.OBJECT_OPEN if actor is OUTSIDE else rules.OBJECT_READ
            e.report(rule, site, operation, f"its answer shows {actor.name} an object of {e.first.name}", answer)
            return


def _report(e: Engagement, site: Site, operation: Operation, thing: Thing, actor: Actor, answer: Answer) -> None:
    verb, rule = "changes", rules.OBJECT_CHANGED
    if operation.method == "DELETE":
        verb, rule = "deletes", rules.OBJECT_DELETED
    if actor is OUTSIDE:
        rule = rules.OBJECT_OPEN
    name = e.first.name if e.first is not None else ""
    e.report(rule, site, operation, f"{actor.name} {verb} an object of {name} ({thing.why})", answer)


def restore(
    e: Engagement, site: Site, operation: Operation, path: str, body: dict[str, Any], old: dict[str, Any]
) -> None:
    """Send the old values of what was changed, as the owner."""
    if e.first is not None:
        e.ask(site, operation, e.first, path, {name: old.get(name, value) for name, value in body.items()})
        e.count("restored")


def witness_of(e: Engagement, site: Site, operation: Operation) -> tuple[Operation, str] | None:
    """What shows the first user the state of the object: the same path, the object itself, or its collection."""
    keys = keys_of(operation.template)
    places = [shape_of(operation.template), *([keys[-1], keys[-1].rpartition("/")[0]] if keys else [])]
    for place in places:
        reader = site.by_shape.get(("GET", place))
        if reader is None or reader.unsupported or e.mark(site, reader) is not None:
            continue
        path = site.path(reader)
        if path and e.first is not None and e.ask(site, reader, e.first, path).ok:
            return reader, path
    return None


def changed_body(e: Engagement, site: Site, operation: Operation, old: dict[str, Any]) -> dict[str, Any] | None:
    """The body of the definition's example with the object's own values, and one of them another; None: it takes none."""
    example = e.example(site, operation)
    if example is None:
        return None
    body = {name: old.get(name, value) for name, value in example.items()}
    shape = body_shape(site.document, operation)
    for name, value in body.items():
        schema = follow(site.document, (shape.properties if shape is not None else {}).get(name))
        if schema.keys() & {"enum", "format", "pattern", "const"} or name.lower().endswith("id"):
            continue
        if isinstance(value, str) and "@" not in value:
            return {**body, name: "vallum" if value != "vallum" else "vallum2"}
    for name, value in body.items():
        if isinstance(value, bool):
            return {**body, name: not value}
        if isinstance(value, int | float) and not name.lower().endswith("id"):
            return {**body, name: value + 1 if example.get(name) == value else example[name]}
    return example


def _tells(answer: Answer) -> bool:
    """Whether an answer says anything: an empty list proves nothing."""
    data = answer.json()
    return bool(answer.body) if data is None else any(value not in (None, "") for value in leaves(data).values())


def _gone(after: Answer) -> bool:
    return after.status in {404, 410}


def _elsewhere(operation: Operation, thing: Thing, path: str) -> str:
    """The same path for an object that does not exist."""
    before, _, last = thing.path.rpartition("/")
    unlikely = _UNLIKELY if last.isdigit() else f"vallum-{_UNLIKELY}"
    return f"{before}/{unlikely}{path[len(thing.path) :]}" if "{" in operation.template else path

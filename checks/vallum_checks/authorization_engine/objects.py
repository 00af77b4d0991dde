"""Finding objects that are the first user's: made by a POST, listed, linked, or named by the definition's examples."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from vallum.api.model import Operation
from vallum.stage.calls import Answer
from vallum_checks.authorization_engine import declared
from vallum_checks.authorization_engine.answers import (
    identifier,
    is_id,
    is_user,
    learn,
    one,
    owner,
    rows,
    shows,
)
from vallum_checks.authorization_engine.model import (
    OUTSIDE,
    Actor,
    Engagement,
    Site,
    Thing,
    keys_of,
    parameter_of,
    shape_of,
)

CANDIDATES = 4
"""Identifiers that are tried for one kind of object."""


def survey(e: Engagement) -> None:
    """Send what needs no object: first what makes something, then what reads, as both users. Learns who the users are."""
    if e.first is None:
        return
    for actor in (e.first, e.second):
        if actor is not None:
            _read_token(actor)
    for site in e.sites:
        _find_prefix(e, site)
        for operation in _plain(e, site, "POST"):
            if e.example(site, operation) is not None or shape_of(operation.template) + "/{}" in site.members:
                site.posts[operation] = e.ask(site, operation, e.first)
        for operation in _plain(e, site, "GET"):
            mine = e.ask(site, operation, e.first)
            if mine.status == 0:
                e.miss(site, operation, f"no answer ({mine.why})")
            if e.second is not None and mine.ok and not e.public(site, operation):
                theirs = e.ask(site, operation, e.second)
                learn(e.first.identity, e.second.identity, [mine.json()], [theirs.json()])


def find(e: Engagement) -> None:
    """Fill every site's `things`, those that others hang on first."""
    if e.first is None:
        return
    for site in e.sites:
        linked = dict(_linked(site))
        for key, parameter in sorted(_keys(site).items(), key=lambda item: item[0].count("{}")):
            above = key.rpartition("/")[0]
            parents = keys_of(above)
            if parents and parents[-1] not in site.things:
                site.without[key] = site.without.get(parents[-1], "the object above it was not found")
                continue
            collection = site.things[parents[-1]].path + above[len(parents[-1]) :] if parents else above
            if "{" in collection:
                site.without[key] = "its path has two parameters in one segment"
                continue
            _find_one(e, site, key, parameter, collection, linked.get(key, ""))


def _find_one(e: Engagement, site: Site, key: str, parameter: str, collection: str, linked: str) -> None:
    """Find an object of the shape `key` below the concrete path `collection`."""
    first = e.first
    if first is None:
        return
    made = linked or _made(e, site, key, parameter, collection)
    mine, theirs = _listed(e, site, key, parameter, collection)
    reader = site.by_shape.get(("GET", key))
    segment = key.rpartition("/")[2]
    tried, best = 0, None
    for value in _candidates(e, site, key, made, mine, theirs, reader):
        if tried == CANDIDATES:
            break
        tried += 1
        path = f"{collection}/{segment.replace('{}', quote(value, safe=''), 1)}"
        row: dict[str, Any] = mine.get(value, {})
        if reader is not None and e.mark(site, reader) is None:
            answer = e.ask(site, reader, first, path)
            if not answer.ok:
                continue
            row = one(answer.json()) or row
        thing = _judge(
            e, site, reader, Thing(path, "", private=None, made=value == made), value, row, mine, theirs, collection
        )
        if thing is None:
            continue
        if thing.private or best is None or (best.private is None and thing.private is False):
            best = thing
        if best.private:
            break
    if best is not None:
        site.things[key] = best
    else:
        site.without[key] = f"no object of {first.name} was found or could be made at {key}"


def _judge(
    e: Engagement,
    site: Site,
    reader: Operation | None,
    thing: Thing,
    value: str,
    row: dict[str, Any],
    mine: dict[str, dict[str, Any]],
    theirs: dict[str, dict[str, Any]] | None,
    collection: str,
) -> Thing | None:
    """The thing with what can be told of its owner; None where it is known to be somebody else's."""
    if e.first is None:
        return None
    who, name = e.first.identity, e.first.name
    belongs = owner(row, who)
    owned = belongs is True or is_user(row, who, collection)
    path, made = thing.path, thing.made
    alone = value in mine and theirs is not None and value not in theirs
    if belongs is False and not made and not alone and who.numbers:
        return None
    if reader is not None and e.public(site, reader):
        return Thing(path, "everybody may read it", private=False, owned=owned, made=made)
    if theirs is not None and value in theirs:
        return Thing(path, "it is listed for both users", private=False, owned=owned, made=made)
    if made and value not in mine and theirs and mine.keys() & theirs.keys():
        return Thing(path, "its collection is the same for both users", private=False, owned=owned, made=made)
    if site.silent and reader is not None and not owned:
        outside = e.ask(site, reader, OUTSIDE, path)
        if outside.ok and shows(e.ask(site, reader, e.first, path), outside):
            return Thing(
                path, "everybody reads it, and the definition declares no login", private=False, owned=owned, made=made
            )
    if made:
        return Thing(path, f"{name} made it", private=True, owned=owned, made=made)
    if alone:
        return Thing(path, f"it is listed for {name} alone", private=True, owned=owned)
    if owned:
        return Thing(path, f"it names {name}", private=True, owned=owned)
    if key_given(e, site, path):
        return Thing(path, f"the settings say that it is {name}'s", private=True, owned=owned)
    return Thing(path, "whose it is cannot be told", private=None, owned=owned)


def key_given(e: Engagement, site: Site, path: str) -> bool:
    """Whether the settings name this object as the first user's."""
    return any(
        path.endswith("/" + quote(value, safe="")) and len(keys_of(label.partition(" ")[2])) > 0
        for label, value in e.objects.items()
        if label.partition(" ")[0] == site.surface.service
    )


def _candidates(
    e: Engagement,
    site: Site,
    key: str,
    made: str,
    mine: dict[str, dict[str, Any]],
    theirs: dict[str, dict[str, Any]] | None,
    reader: Operation | None,
) -> Iterator[str]:
    """Identifiers to try, the surest first, each once."""
    seen: set[str] = set()
    given = [
        value
        for label, value in e.objects.items()
        if label.partition(" ")[0] == site.surface.service and shape_of(label.partition(" ")[2]) == key
    ]
    alone = [value for value in mine if theirs is None or value not in theirs]
    example = []
    if reader is not None:
        concrete = e.request(site, reader).path.removeprefix(site.prefix)
        example = [unquote(concrete.rpartition("/")[2])]
    identity = e.first.identity if e.first is not None else None
    own = [*sorted(identity.numbers), *sorted(identity.names)] if identity is not None else []
    for value in (*given, made, *alone[:2], *own[:2], *list(mine)[:1], *example):
        if value and value not in seen:
            seen.add(value)
            yield value


def _made(e: Engagement, site: Site, key: str, parameter: str, collection: str) -> str:
    """The identifier of an object that the first user has made by a POST to the collection."""
    operation = site.by_shape.get(("POST", key.rpartition("/")[0]))
    if operation is None or e.first is None or operation.unsupported or e.mark(site, operation) is not None:
        return ""
    answer = site.posts.get(operation)
    if answer is None:
        answer = site.posts[operation] = e.ask(site, operation, e.first, collection)
    if not answer.ok:
        return ""
    value = made_id(answer, parameter, collection)
    throw_away(site, key, collection, value)
    return value


def made_id(answer: Answer, parameter: str, collection: str) -> str:
    """The identifier in the answer of a POST: of the object, or in Location."""
    value = identifier(one(answer.json()), parameter, collection)
    if not value and (place := urlsplit(answer.headers.get("location", "")).path):
        before, _, last = place.rstrip("/").rpartition("/")
        value = unquote(last) if before.endswith(collection) else ""
    return value


def throw_away(site: Site, key: str, collection: str, value: str) -> None:
    """Remember an object that we made, to be deleted at the end where the API can."""
    remover = site.by_shape.get(("DELETE", key))
    if value and remover is not None:
        path = f"{collection}/{key.rpartition('/')[2].replace('{}', quote(value, safe=''), 1)}"
        if (remover, path) not in site.trash:
            site.trash.append((remover, path))


def _listed(
    e: Engagement, site: Site, key: str, parameter: str, collection: str
) -> tuple[dict[str, dict[str, Any]], dict[str, dict[str, Any]] | None]:
    """The rows of the collection by identifier, for the first user and the second; None: there is no list to compare."""
    operation = site.by_shape.get(("GET", key.rpartition("/")[0]))
    if operation is None or e.first is None or e.mark(site, operation) is not None or operation.unsupported:
        return {}, None
    listed = []
    for actor in (e.first, e.second):
        answer = e.ask(site, operation, actor, collection) if actor is not None else None
        found = rows(answer.json()) if answer is not None and answer.ok else None
        listed.append({identifier(row, parameter, collection): row for row in found or []} if answer else None)
    mine, theirs = listed
    for one_list in listed:
        if one_list is not None:
            one_list.pop("", None)
    return mine or {}, theirs


def _linked(site: Site) -> Iterator[tuple[str, str]]:
    """Identifiers of objects that links of the definition lead to, from answers to what the first user has made."""
    named = {
        str(declared.table(site.document, operation).get("operationId", "")): operation for operation in site.operations
    }
    for operation, answer in site.posts.items():
        for target, parameter, pointer in declared.links(site.document, operation) if answer.ok else ():
            if target not in named:
                continue
            value: Any = answer.json()
            for part in pointer.split("/"):
                value = value.get(part) if isinstance(value, dict) else None
            template = named[target].template
            for key in keys_of(template):
                if is_id(value) and parameter_of(template, key) == parameter:
                    yield key, str(value)


def _plain(e: Engagement, site: Site, method: str) -> list[Operation]:
    return [one for one in e.ordinary(site) if one.method == method and "{" not in one.template]


def _keys(site: Site) -> dict[str, str]:
    """The shapes of all objects that the paths lead to, with the names of their parameters."""
    return {
        key: parameter_of(operation.template, key)
        for operation in site.operations
        for key in keys_of(operation.template)
    }


def _find_prefix(e: Engagement, site: Site) -> None:
    """Leave the servers' prefix out where nothing answers below it, and something does without."""
    plain = _plain(e, site, "GET")[:3]
    if not site.prefix or not plain or e.first is None:
        return
    prefix = site.prefix
    if any(e.ask(site, operation, e.first).status not in {0, 404} for operation in plain):
        return
    site.prefix = ""
    if all(e.ask(site, operation, e.first).status in {0, 404} for operation in plain):
        site.prefix = prefix


def _read_token(actor: Actor) -> None:
    """Learn what a JSON Web Token (RFC 7519) says of its user, who is the caller: it is not verified, only read."""
    for value in actor.header().values():
        parts = value.rpartition(" ")[2].split(".")
        if len(parts) != 3:
            continue
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, binascii.Error):
            continue
        for name in ("sub", "user_id", "uid", "userId", "id"):
            if isinstance(claims, dict) and is_id(claims.get(name)):
                actor.identity.numbers.add(str(claims[name]))
        for name in ("preferred_username", "username", "email"):
            if isinstance(claims, dict) and is_id(claims.get(name)):
                actor.identity.names.add(str(claims[name]))

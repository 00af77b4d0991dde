"""Broken object property level authorization (API3): writing what is not for clients (and prices, API6), returning too much."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from vallum.api.model import Operation
from vallum.finding import Exchange, Finding
from vallum.severity import Severity
from vallum.stage.calls import Answer
from vallum_checks._api import ApiRule
from vallum_checks.authorization_engine import rules
from vallum_checks.authorization_engine.answers import is_id, one, squeeze
from vallum_checks.authorization_engine.bola import witness_of
from vallum_checks.authorization_engine.declared import answer_schema, body_shape, follow, shape, words
from vallum_checks.authorization_engine.model import (
    Engagement,
    Site,
    parameter_of,
    shape_of,
    unclear,
    without_passwords,
)
from vallum_checks.authorization_engine.objects import made_id, throw_away

PRIVILEGE = re.compile(
    r"^(is_?)?(roles?|admin|administrator|superuser|staff|permissions?|scopes?|groups?|verified|approved|owner(_?id)?|user_?id|"
    r"tenant(_?id)?|account_?id|customer_?id|created_?by|plan|tier|level)$",
    re.IGNORECASE,
)
MONEY = re.compile(r"(price|cost|amount|balance|discount|credit|fee|subtotal|total|salary|refund)s?$", re.IGNORECASE)
_SECRET = re.compile(
    r"passw(or)?d|passwd|^pwd$|pass_?hash|secret|private_?key|api_?key|^ssn$|social_?security|card_?number|credit_?card|"
    r"^cvv|^cvc|^iban$|^pin$|(^|_)(reset|api|session|remember|auth|bearer)_?tokens?$|^token$|mfa_?(key|seed)|otp_?(key|seed)",
    re.IGNORECASE,
)
_HARMLESS = re.compile(
    r"^(is|has|needs|must|expir\w*|chang\w*|updat\w*|hint|policy|length|strength|last_?(4|four)|type|set|url|uri|id|at|.*_at)$",
    re.IGNORECASE,
)
_TIMES = re.compile(r"(_at|At|_on|date|Date|time|Time)$|^(created|updated|modified|version|etag|href|links?|_.*)$")
_PAIR = re.compile(r'"([^"\\]{1,100})"(\s*:\s*)"((?:[^"\\]|\\.)+)("|$)')
ALONE = 5
"""Properties that are tried one by one where a body with all of them is refused."""
DEEPEST = 4


def assign(e: Engagement, site: Site) -> None:
    """Send properties that are not for clients with each operation that makes or changes an object, and read them back."""
    if e.first is None:
        return
    for operation in e.ordinary(site):
        if operation.method not in {"POST", "PUT", "PATCH"} or e.example(site, operation) is None:
            continue
        path = site.path(operation)
        thing = site.thing(operation)
        if not path or (thing is not None and not thing.private and not thing.owned):
            continue
        makes = operation in site.posts or thing is None or shape_of(operation.template) + "/{}" in site.members
        if operation.method == "POST" and not makes:
            continue
        if operation.method != "POST" and not without_passwords(e.example(site, operation)):
            continue  # nothing but a password, which is not ours to change
        e.count("written")
        _assign(e, site, operation, path)


def _assign(e: Engagement, site: Site, operation: Operation, path: str) -> None:
    first = e.first
    body = e.example(site, operation)
    if first is None or body is None:
        return
    witness = witness_of(e, site, operation) if operation.method != "POST" else None
    old: dict[str, Any] = {}
    if witness is not None:
        old = one(e.ask(site, witness[0], first, witness[1]).json())
        body = without_passwords({name: old.get(name, value) for name, value in body.items()})
        base = None
    else:
        base = site.posts.get(operation) or e.ask(site, operation, first, path, body)
        if base.status in {400, 409, 422} and operation.method == "POST":
            body = _fresh(site, operation, body)
            base = e.ask(site, operation, first, path, body)
            _keep(site, operation, path, base)
        if not base.ok:
            if base.status not in {401, 403}:
                e.miss(site, operation, f"its example is answered {base.status or base.why} to {first.name}")
            return
        old = one(base.json()) or one(_read_made(e, site, operation, path, _keep(site, operation, path, base)).json())
    wanted = _wanted(e, site, operation, old, base)
    if not wanted:
        return
    taken = _send(e, site, operation, path, body, wanted, old, witness)
    if taken is None:
        taken = {}
        order = sorted(wanted, key=lambda name: (not PRIVILEGE.search(name), not MONEY.search(name), name))
        for name in order[:ALONE]:
            one_taken = _send(e, site, operation, path, body, {name: wanted[name]}, old, witness)
            if one_taken:
                taken |= one_taken
    for name, (answer, lasting) in taken.items():
        rule, severity = _kind(name)
        said = "read back" if lasting else "in the answer, nothing reads it back"
        e.report(rule, site, operation, f"the client sets `{name}` ({said})", answer, parameter=name, severity=severity)
    if taken and operation.method != "POST":
        back = {name: old[name] for name in taken if name in old}
        e.ask(site, operation, first, path, {**body, **back})
        e.count("restored")


def _send(
    e: Engagement,
    site: Site,
    operation: Operation,
    path: str,
    body: Mapping[str, Any],
    extra: Mapping[str, Any],
    old: Mapping[str, Any],
    witness: tuple[Operation, str] | None,
) -> dict[str, tuple[Answer, bool]] | None:
    """Send `extra` on top of `body`: which of it was taken, with the proof. None: the request was refused."""
    if e.first is None:
        return None
    answer = e.ask(site, operation, e.first, path, {**body, **extra})
    if answer.status == 409 and operation.method == "POST":
        answer = e.ask(site, operation, e.first, path, {**_fresh(site, operation, body), **extra})
    if not answer.ok:
        if unclear(answer) and len(extra) == 1:
            said = answer.status or answer.why
            e.miss(site, operation, f"with `{next(iter(extra))}` it is answered {said}, which tells nothing")
        return None
    proof, lasting = answer, False
    if operation.method == "POST":
        again = _read_made(e, site, operation, path, _keep(site, operation, path, answer))
        proof, lasting = (again, True) if again.ok else (answer, False)
    elif witness is not None:
        again = e.ask(site, witness[0], e.first, witness[1])
        proof, lasting = (again, True) if again.ok else (answer, False)
    now = one(proof.json())
    return {name: (proof, lasting) for name, value in extra.items() if now.get(name) == value != old.get(name)}


def _read_made(e: Engagement, site: Site, operation: Operation, path: str, made: str) -> Answer:
    """The object that a POST has made, read by its owner; an empty answer where nothing reads it."""
    reader = site.by_shape.get(("GET", shape_of(operation.template) + "/{}"))
    if e.first is None or not made or reader is None or reader.unsupported or e.mark(site, reader) is not None:
        return Answer(0)
    return e.ask(site, reader, e.first, f"{path}/{quote(made, safe='')}")


def _keep(site: Site, operation: Operation, path: str, answer: Answer) -> str:
    """The identifier of what a POST has made, which is deleted at the end."""
    key = shape_of(operation.template) + "/{}"
    member = site.members.get(key)
    if member is None or not answer.ok:
        return ""
    made = made_id(answer, parameter_of(member.template, key), path)
    throw_away(site, key, path, made)
    return made


def _wanted(
    e: Engagement, site: Site, operation: Operation, old: Mapping[str, Any], base: Answer | None
) -> dict[str, Any]:
    """Properties that a client may not write, each with a value that the object does not have."""
    takes = body_shape(site.document, operation)
    writable = {name for name, schema in takes.properties.items() if not _only_read(site, schema)} if takes else set()
    given = shape(site.document, answer_schema(site.document, operation, base.status if base is not None else 200))
    names: dict[str, Any] = {name: schema for name, schema in given.properties.items() if name not in writable}
    names |= {name: {} for name in old if name not in writable and name not in names}
    if takes is not None:
        names |= {name: schema for name, schema in takes.properties.items() if name not in writable}
    known = bool(writable)
    found = {}
    for name, schema in names.items():
        if squeeze(name) in {"id", "uuid", "self"} or _TIMES.search(name):
            continue
        if not known and not _only_read(site, schema) and not (PRIVILEGE.search(name) or MONEY.search(name)):
            continue
        if name not in old and not _only_read(site, schema) and _kind(name)[1] is Severity.MEDIUM:
            continue
        value = _other(e, name, old.get(name), follow(site.document, schema))
        if value is not None:
            found[name] = value
    return found


def _only_read(site: Site, schema: Any) -> bool:
    return follow(site.document, schema).get("readOnly") is True


def _other(e: Engagement, name: str, old: Any, schema: Mapping[str, Any]) -> Any:
    """A value of the same kind that is not `old`; None where none can be thought of."""
    options = schema.get("enum")
    if isinstance(options, list):
        return next((option for option in options if option not in (old, None)), None)
    kind = schema.get("type")
    if isinstance(old, bool) or kind == "boolean":
        return (
            not old if isinstance(old, bool) else None
        )  # one of two values proves nothing where the old one is not known
    if isinstance(old, int | float) or kind in {"integer", "number"}:
        if MONEY.search(name):
            return 0.01 if kind == "number" or isinstance(old, float) else 1 if old != 1 else 2
        others = sorted(e.second.identity.numbers) if e.second is not None else []
        if PRIVILEGE.search(name) and others and others[0].isdigit() and int(others[0]) != old:
            return int(others[0])
        return (old or 0) + 1
    if isinstance(old, str) or kind == "string":
        if re.search(r"role", name, re.IGNORECASE):
            return "admin" if old != "admin" else "user"
        return "vallum" if old != "vallum" else "vallum2"
    return None


def _fresh(site: Site, operation: Operation, body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with other texts where any will do: names may have to be unique."""
    takes = body_shape(site.document, operation)
    fresh = dict(body)
    for name, value in body.items():
        schema = follow(site.document, takes.properties.get(name)) if takes else {}
        if isinstance(value, str) and not schema.keys() & {"enum", "pattern", "const"}:
            before, at, host = value.partition("@")
            fresh[name] = f"{before}2{at}{host}" if not schema.get("format") or at else value
    return fresh


def _kind(name: str) -> tuple[ApiRule, Severity]:
    if MONEY.search(name):
        return rules.PRICE, Severity.HIGH
    if PRIVILEGE.search(name) or _SECRET.search(name):
        return rules.MASS_ASSIGNMENT, Severity.HIGH
    return rules.MASS_ASSIGNMENT, Severity.MEDIUM


def expose(e: Engagement, site: Site) -> None:
    """Compare the good answers that the first user got with their schemas."""
    for operation, answer in site.seen.items():
        data = answer.json()
        if data is None or e.mark(site, operation) is not None:
            continue
        e.count("compared")
        schema = answer_schema(site.document, operation, answer.status)
        undeclared = sorted(set(_undeclared(site, data, schema)))
        secret = {name for name, value in _properties(data) if _is_secret(name, value, operation)}
        for name in sorted(secret):
            said = "which the definition does not declare" if name in undeclared else "which the definition declares"
            e.report(
                rules.SECRET_RETURNED, site, operation, f"its answer holds `{name}`, {said}", answer, parameter=name
            )
        rest = [name for name in undeclared if name not in secret]
        if rest:
            named = ", ".join(f"`{name}`" for name in rest[:8]) + (", …" if len(rest) > 8 else "")
            e.report(rules.UNDECLARED, site, operation, f"its answer holds {named}, which is not declared", answer)


def _undeclared(site: Site, value: Any, schema: Any, depth: int = 0) -> Iterator[str]:
    if isinstance(value, list):
        for item in value[:20]:
            yield from _undeclared(site, item, follow(site.document, schema).get("items"), depth + 1)
    if not isinstance(value, dict) or schema is None or depth > DEEPEST:
        return
    known = shape(site.document, schema)
    for name, inner in value.items():
        if name in known.properties:
            yield from _undeclared(site, inner, known.properties[name], depth + 1)
        elif not known.open:
            yield str(name)


def _properties(value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    for item in value[:20] if isinstance(value, list) else ():
        yield from _properties(item, depth + 1)
    if isinstance(value, dict) and depth <= DEEPEST:
        for name, inner in value.items():
            yield str(name), inner
            if isinstance(inner, dict | list):
                yield from _properties(inner, depth + 1)


def _is_secret(name: str, value: Any, operation: Operation) -> bool:
    """Whether the property is a secret by its name, and has a value that is not masked."""
    if (
        not is_id(value)
        or not _SECRET.search(name)
        or re.fullmatch(r"[*•xX.-]{3,}\d{0,4}|\[?(redacted|hidden)\]?", str(value))
    ):
        return False
    if re.search(r"token", name, re.IGNORECASE) and operation.method != "GET":
        return False  # what hands out tokens must return them
    rest = _SECRET.sub("", name).strip("_-")
    return not any(_HARMLESS.match(part) for part in (rest, *words(rest)))


def masked(one_finding: Finding) -> Finding:
    """The finding without the values of secrets in its evidence: that there is one is the proof."""
    exchange = one_finding.exchange
    if exchange is None:
        return one_finding

    def hide(match: re.Match[str]) -> str:
        return f'"{match[1]}"{match[2]}"[redacted]{match[4]}' if _SECRET.search(match[1]) else match[0]

    return msgspec.structs.replace(one_finding, exchange=Exchange(exchange.request, _PAIR.sub(hide, exchange.response)))

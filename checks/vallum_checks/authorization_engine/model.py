"""What the parts of the check share: who calls, which sites are called, what came back, what was found and what was not."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vallum.api.model import PASSWORD, Operation, Request
from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum.severity import Severity
from vallum.stage.calls import Answer, Caller, Surface
from vallum_checks._api import ApiRule, finding
from vallum_checks.authorization_engine import declared
from vallum_checks.authorization_engine.answers import Identity

_PLACEHOLDER = re.compile(r"\{([^}]*)\}")
_LOGIN = re.compile(r"log-?_?in|sign-?_?in|/(o?auth|tokens?|sessions?)\b", re.IGNORECASE)
_CONDITIONS = frozenset({"if-match", "if-none-match", "if-modified-since", "if-unmodified-since", "if-range", "range"})
"""RFC 9110, section 13.1: with an invented value a request fails before anybody is asked who sent it."""
REFUSED = frozenset({401, 403, 404, 405, 410})
"""Answers that keep a caller out. What else is not 2xx may be about the request, and is asked again as its owner."""
LONGEST_WAIT = 65.0
"""Seconds: most limits count by the minute."""


@dataclass(frozen=True)
class Actor:
    """A caller: its name in messages, what gives the headers of its login, and what it is called in answers."""

    name: str
    header: Callable[[], Mapping[str, str]] = field(repr=False, default=dict)
    identity: Identity = field(default_factory=Identity)


OUTSIDE = Actor("nobody logged in")


@dataclass(frozen=True)
class Thing:
    """An object at `path` (percent-encoded, without the servers' prefix). `private`: it is the first user's and nobody else's;
    None where that cannot be told. `owned`: it names the first user as its owner. `why` is the proof, `made`: by us."""

    path: str
    why: str
    private: bool | None
    owned: bool = False
    made: bool = False


@dataclass
class Site:
    """One service's API: its operations by method and shape, and one for each shape (`members`).

    `silent`: its definition asks for no login anywhere. `things` are the objects by the shape of their path, `without` says where
    none was found; `posts` what came of the first user's requests that make something; `seen` the first good answer of each
    operation; `trash` what we made and can delete.
    """

    surface: Surface
    prefix: str
    silent: bool
    by_shape: dict[tuple[str, str], Operation]
    members: dict[str, Operation]
    things: dict[str, Thing] = field(default_factory=dict)
    without: dict[str, str] = field(default_factory=dict)
    posts: dict[Operation, Answer] = field(default_factory=dict)
    ordinary: tuple[Operation, ...] | None = None
    seen: dict[Operation, Answer] = field(default_factory=dict)
    trash: list[tuple[Operation, str]] = field(default_factory=list)

    @property
    def document(self) -> Mapping[str, Any]:
        """The API definition's own document."""
        return self.surface.definition.document

    @property
    def operations(self) -> tuple[Operation, ...]:
        """What it declares."""
        return self.surface.definition.operations

    def thing(self, operation: Operation) -> Thing | None:
        """The object that the operation is about, by the last of its path parameters."""
        keys = keys_of(operation.template)
        return self.things.get(keys[-1]) if keys else None

    def path(self, operation: Operation) -> str:
        """The operation's path with the objects that were found; empty where one is missing."""
        keys = keys_of(operation.template)
        if not keys:
            return operation.template
        thing = self.things.get(keys[-1])
        return thing.path + shape_of(operation.template)[len(keys[-1]) :] if thing is not None else ""


class Engagement:
    """One run of the check. `first` is the user whose objects are tried, `second` the one who tries; None: not configured."""

    def __init__(
        self,
        caller: Caller,
        sites: list[Site],
        first: Actor | None,
        second: Actor | None,
        admin: Actor | None,
        deadline: float,
        settings: Mapping[str, Any],
    ) -> None:
        self.caller = caller
        self.sites = sites
        self.first, self.second, self.admin = first, second, admin
        self._deadline = deadline
        self._end = time.monotonic() + deadline
        self.admin_operations: frozenset[str] = frozenset(settings.get("admin-operations", ()))
        self.public_operations: frozenset[str] = frozenset(settings.get("public-operations", ()))
        self.objects: Mapping[str, str] = settings.get("objects", {})
        self.found: dict[tuple[object, ...], Finding] = {}
        self.missed: dict[tuple[str, Operation], str] = {}
        self.reached: set[tuple[str, Operation]] = set()
        self.logged_in: set[tuple[str, Operation]] = set()
        self.attacked: set[tuple[str, Operation]] = set()
        self.counts: dict[str, int] = {}
        self.last: list[tuple[Site, Operation, Thing]] = []

    def ask(
        self, site: Site, operation: Operation, actor: Actor, path: str = "", body: Mapping[str, Any] | None = None
    ) -> Answer:
        """Send the operation as `actor`; `path` and the JSON `body` in the place of the definition's examples.

        Raises Inconclusive past the deadline.
        """
        if time.monotonic() > self._end:
            raise Inconclusive(f"the check passed its deadline of {self._deadline:.0f} s")
        request = self.request(site, operation)
        if path:
            request = replace(request, path=site.prefix + path)
        if body is not None:
            kind = request.content_type if "json" in request.content_type else "application/json"
            request = replace(request, body=json.dumps(body).encode(), content_type=kind)
        answer = self.caller.send(site.surface, request, actor.header())
        if answer.status == 429:
            time.sleep(min(_wait(answer), max(0.0, self._end - time.monotonic())))
            answer = self.caller.send(site.surface, request, actor.header())
        key = (site.surface.service, operation)
        if answer.status not in {0, 404, 405, 501}:
            self.reached.add(key)
            if actor is not OUTSIDE and answer.status not in {401, 403}:
                self.logged_in.add(key)
        if answer.status and actor is not self.first:
            self.attacked.add(key)
        if answer.ok and actor is self.first:
            site.seen.setdefault(operation, answer)
        return answer

    def request(self, site: Site, operation: Operation) -> Request:
        """The operation's request with the definition's examples, without conditions on a state that nobody knows, and without
        optional parameters whose values could only be guessed."""
        made = site.surface.definition.request(operation, lambda _before, _name: "", site.prefix)
        guessed = declared.guessed(site.document, operation)
        headers = (pair for pair in made.headers if pair[0].lower() not in _CONDITIONS and pair[0] not in guessed)
        return replace(made, headers=tuple(headers), query=tuple(pair for pair in made.query if pair[0] not in guessed))

    def example(self, site: Site, operation: Operation) -> dict[str, Any] | None:
        """The operation's JSON body with the definition's examples; None where it is no JSON object."""
        request = self.request(site, operation)
        if not request.body or "json" not in request.content_type:
            return None
        try:
            value = json.loads(request.body)
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def report(
        self,
        rule: ApiRule,
        site: Site,
        operation: Operation,
        message: str,
        answer: Answer,
        parameter: str = "",
        severity: Severity | None = None,
    ) -> None:
        """Keep a finding; one of the same weakness at the same operation and parameter is enough."""
        key = (site.surface.service, operation, parameter, min(rule.cwe))
        text = f"{operation}: {message}"
        self.found.setdefault(key, finding(rule, site.surface, operation, text, answer, parameter, severity))

    def miss(self, site: Site, operation: Operation, why: str) -> None:
        """Say that something expected of the operation could not be tried; the first reason is kept."""
        self.missed.setdefault((site.surface.service, operation), why)

    def count(self, what: str) -> None:
        """Count for the notes."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def label(self, site: Site, operation: Operation) -> str:
        """As the settings name an operation."""
        return f"{site.surface.service} {operation}"

    def mark(self, site: Site, operation: Operation) -> declared.Mark | None:
        """Why it is for administrators; None where it is for everybody."""
        label = self.label(site, operation)
        if label in self.admin_operations:
            return declared.Mark("admin-operations", declared=True)
        if label in self.public_operations:
            return None
        return declared.mark(site.document, operation)

    def public(self, site: Site, operation: Operation) -> bool:
        """Whether the definition or the settings give it to everybody. A definition that is silent on logins says nothing."""
        return self.label(site, operation) in self.public_operations or not (operation.secured or site.silent)

    def ordinary(self, site: Site) -> tuple[Operation, ...]:
        """The operations for ordinary users, without those that log in or out, and what cannot be requested."""
        if site.ordinary is None:
            site.ordinary = tuple(
                operation
                for operation in site.operations
                if not operation.unsupported
                and (not operation.late or operation.method == "DELETE")
                and not enters(operation)
                and self.mark(site, operation) is None
            )
        return site.ordinary


def unclear(answer: Answer) -> bool:
    """Whether an answer tells nothing of who may do what: none at all, a limit of requests, a failure of the service."""
    return answer.status in {0, 429} or answer.status >= 500


def _wait(answer: Answer) -> float:
    """Seconds to wait where there were too many requests: Retry-After (RFC 9110, 10.2.3), at most LONGEST_WAIT."""
    said = answer.headers.get("retry-after", "")
    return min(float(said), LONGEST_WAIT) if said.isdigit() else 1.0


def enters(operation: Operation) -> bool:
    """Whether it is a login: those have limits of their own, and answer tokens by right."""
    return operation.login and bool(_LOGIN.search(operation.template))


def without_passwords(value: Any, depth: int = 0) -> Any:
    """A body without its passwords, at any depth: what we send as its owner must leave the login as it is."""
    if isinstance(value, dict) and depth < 8:
        kept = {key: without_passwords(one, depth + 1) for key, one in value.items() if not PASSWORD.match(str(key))}
        return {key: one for key, one in kept.items() if one or not value[key]}
    return value


def site_of(surface: Surface) -> Site:
    """The site of a service."""
    operations = surface.definition.operations
    return Site(
        surface,
        surface.definition.prefix,
        silent=not any(operation.secured for operation in operations),
        by_shape={(operation.method, shape_of(operation.template)): operation for operation in operations},
        members={shape_of(operation.template): operation for operation in operations},
    )


def shape_of(template: str) -> str:
    """The template without the names of its parameters: `/a/{x}/b` → `/a/{}/b`."""
    return _PLACEHOLDER.sub("{}", template)


def keys_of(template: str) -> list[str]:
    """The shapes of the objects that a path leads to: `/a/{x}/b/{y}/c` → [`/a/{}`, `/a/{}/b/{}`]."""
    parts = shape_of(template).split("/")
    return ["/".join(parts[: number + 1]) for number, part in enumerate(parts) if "{}" in part]


def parameter_of(template: str, key: str) -> str:
    """The name of the last parameter in the part of the template that has the shape `key`."""
    names = _PLACEHOLDER.findall(template)
    return str(names[key.count("{}") - 1])

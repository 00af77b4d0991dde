"""The logins of a deployment under wrong passwords: the configured one, and those that the definitions declare."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum_checks._api import finding
from vallum_checks._logins import Door, at_login, wait
from vallum_checks._logins import door as door_of
from vallum_checks.authentication_engine import logins
from vallum_checks.authentication_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.api.model import Operation
    from vallum.check import Context
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface

OTHERS = 2
"""Pairs of wrong passwords at each login beside the configured one: two answers must agree before they count."""
MOST_OTHERS = 2
"""Of those logins, and of operations that take the name of a user who has lost the password: 8 requests for each kind."""


class Entrances:
    """The logins of a deployment. After `run`: what was found, expected and missed."""

    def __init__(
        self, deployment: Deployment, ctx: Context, caller: Caller, surfaces: list[Surface], attempts: int
    ) -> None:
        self._deployment = deployment
        self._ctx = ctx
        self._caller = caller
        self._surfaces = surfaces
        self._left = attempts
        self.findings: list[Finding] = []
        self.expected: list[str] = []
        self.missed: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        """First a few at the logins that are only declared, then the rest at the configured one."""
        from vallum_checks._attempts import Elsewhere

        door = door_of(self._deployment, self._ctx.config, self._caller)
        if isinstance(door, str):
            self.notes.append(f"not tested: wrong passwords at the configured login: {door}")
            return
        self._declared(door)
        try:
            tried = logins.attempt(door.send, door.name, self._left // 2)
        except Elsewhere as error:
            self.notes.append(f"not tested: wrong passwords at the configured login: {error.reason}")
        else:
            self.expected.append(door.label)
            self._judge(door, tried)
        wait(self._deployment, self._caller)

    def _judge(self, door: Door, tried: logins.Tried) -> None:
        if why := _unusable(tried):
            self.missed[door.label] = why
            return
        for answers, who in ((tried.made_up, "an unknown user"), (tried.seeded, "a user")):
            if door.enters(answers[0]):
                self._add(
                    "any-password", f"{door.label} lets {who} in with a wrong password", answers[0], None, "password"
                )
                return
        self._limit(door, tried)
        self._tells(tried, None)

    def _declared(self, door: Door) -> None:
        """What the definitions declare beside the configured login: logins, and what helps who has lost the password."""
        budget = {True: MOST_OTHERS, False: MOST_OTHERS}
        for surface in self._surfaces:
            for operation in surface.definition.operations:
                label = f"{surface.service} {operation.method} {surface.definition.prefix}{operation.template}"
                recovery = bool(logins.RECOVERY.search(operation.template))
                if label == door.label or operation.method not in {"POST", "PUT"} or operation.secured:
                    continue
                send = self._sender(surface, operation) if operation.login or recovery else None
                if send is None:
                    continue
                if not budget[operation.login]:
                    self.notes.append(f"{label} was not tried: {MOST_OTHERS} others of its kind were")
                    continue
                budget[operation.login] -= 1
                self._left -= 2 * OTHERS if operation.login else 0
                self.expected.append(label)
                tried = logins.attempt(send, door.name, OTHERS)
                if why := _unusable(tried):
                    self.missed[label] = why
                else:
                    self._tells(tried, (surface, operation))

    def _sender(self, surface: Surface, operation: Operation) -> Callable[[str, str], Answer] | None:
        """Sends the operation's example with another user in it; None where it has no place for one."""
        from dataclasses import replace

        try:
            request = surface.definition.request(operation, lambda _before, _name: "")
        except Inconclusive:
            return None  # the operation cannot be called at all: what tests operations says so
        kind = request.content_type
        if logins.filled(request.body, kind, "somebody", "something") is None:
            return None

        def send(username: str, given: str) -> Answer:
            body = logins.filled(request.body, kind, username, given) or b""
            return self._caller.send(surface, replace(request, body=body))

        return send

    def _limit(self, door: Door, tried: logins.Tried) -> None:
        """Whether somebody who guesses is stopped: by an answer, by a delay, or by a lock that does not show."""
        label = door.label
        stranger, known = (logins.limited_at(answers, name) for answers, name in tried.named())
        if known or stranger:
            self.notes.append(
                f"{label} stops guessing: answer {known or stranger} for a user was refused or slowed down"
            )
            if bool(known) != bool(stranger):
                self.notes.append(f"{label} stops guesses only for names that {'exist' if known else 'do not exist'}")
            return
        try:
            door.owner()
        except Inconclusive as error:
            self.notes.append(
                f"{label} locks users without saying so: with the right password afterwards: {error.reason}"
            )
            return
        total = sum(not answer.why for answer in [*tried.made_up, *tried.seeded])
        message = f"{label} takes {len(tried.seeded)} wrong passwords for one user and {total} in all, and nothing slows it down"
        self._add("no-login-limit", message, tried.seeded[-1], None, "password")

    def _tells(self, tried: logins.Tried, place: tuple[Surface, Operation] | None) -> None:
        """Whether the answers, or their time, tell a user's name from one that was made up."""
        label = str(place[1]) if place else "the login"
        if what := logins.difference(tried):
            message = f"{label} tells whether a user exists by {what}"
            self._add("user-enumeration", message, tried.made_up[0], place, "username")
        if seconds := logins.slower(tried):
            word = "longer" if seconds > 0 else "less long"
            message = f"{label} tells whether a user exists by its time: a known name takes {word} (see the notes)"
            self.notes.append(f"{label}: a known name takes {abs(seconds) * 1000:.0f} ms {word} than an unknown one")
            self._add("user-enumeration-time", message, tried.seeded[0], place, "username")

    def _add(
        self, rule: str, message: str, answer: Answer, place: tuple[Surface, Operation] | None, parameter: str
    ) -> None:
        if place is None:
            found = at_login(RULES[rule], self._ctx.config, self._surfaces, message, answer, parameter)
        else:
            found = finding(RULES[rule], *place, message, answer, parameter)
        self.findings.append(found)


def _unusable(tried: logins.Tried) -> str:
    """Why the answers say nothing about wrong passwords; empty where they do."""
    for answer in (*tried.made_up, *tried.seeded):
        if not answer.status:
            return f"no answer ({answer.why})"
        if answer.status >= 500 and answer.status != 503:
            return f"it answers {answer.status} to a wrong password"
    if all(answer.why for answer in tried.seeded) and not logins.limited_at(tried.seeded, tried.names[1]):
        return f"a wrong password was never sent: {tried.seeded[0].why}"
    return ""

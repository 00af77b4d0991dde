"""Bursts where a limit is demanded: some tens of requests, one after the other, as fast as the service answers."""

from __future__ import annotations

import functools
import re
import secrets
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum_checks import _logins
from vallum_checks._api import finding
from vallum_checks.throttling_engine import stated
from vallum_checks.throttling_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.api.model import Operation
    from vallum.check import Context
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface

REFUSALS = {429, 503, 423, 403}
"""What answers over a limit. Only the first is right, and the others count only where the first answer was another one."""
CANDIDATES = 5
"""Operations that are tried for one that answers 2xx."""
_EXEMPT = re.compile(r"(health|ready|live|alive|ping|status|metrics|version)[a-z]*/?$", re.IGNORECASE)
"""Paths that are rightly exempt: an orchestrator asks them all the time."""


class Bursts:
    """The limits that are demanded. After `run`: what was found, expected and missed."""

    def __init__(
        self,
        deployment: Deployment,
        ctx: Context,
        caller: Caller,
        surfaces: list[Surface],
        burst: int,
        demand: tuple[str, ...],
    ) -> None:
        self._deployment = deployment
        self._ctx = ctx
        self._caller = caller
        self._surfaces = surfaces
        self._burst = burst
        self._demand = demand
        self._met = 429
        self.findings: list[Finding] = []
        self.expected: list[str] = []
        self.missed: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        """Reads first: a burst at the login may lock this client out."""
        environment = self._ctx.config.environment
        login = environment.login.service if environment is not None and environment.login is not None else ""
        asked = "login" in self._demand and bool(login) and bool(self._deployment.users)
        for surface in self._surfaces:
            if self._demanded(surface.service, login):
                self._reads(surface, self._burst // 2 if asked and surface.service == login else self._burst)
        if asked:
            self._login(login)
        _logins.wait(self._deployment, self._caller)

    def _demanded(self, service: str, login: str) -> bool:
        settings = self._ctx.config.services.get(service)
        gateway = service == login or (settings is not None and settings.exposure == "public")
        return service in self._demand or ("gateway" in self._demand and gateway)

    # -- reads --------------------------------------------------------------------------------------------------------

    def _reads(self, surface: Surface, budget: int) -> None:
        reads = [
            operation
            for operation in surface.definition.operations
            if operation.method == "GET" and not operation.late and not _EXEMPT.search(operation.template)
        ]
        reads.sort(key=lambda operation: operation.template.count("{"))
        header = self._deployment.headers()
        kinds: list[tuple[str, list[Operation], Mapping[str, str]]] = [
            ("open reads", [operation for operation in reads if not operation.secured], {})
        ]
        if header:
            kinds.append(("reads with a login", [operation for operation in reads if operation.secured], header))
        kinds = [kind for kind in kinds if kind[1]]
        for word, operations, headers in kinds:
            label = f"{surface.service} {word}"
            self.expected.append(label)
            chosen = self._chosen(surface, operations, headers)
            if isinstance(chosen, int) and chosen in {429, self._met}:
                self.notes.append(f"{label}: refused with {chosen} from the first request on, after the burst before")
                continue
            if isinstance(chosen, int):
                self.missed[label] = f"none of {min(len(operations), CANDIDATES)} operations answers 2xx"
                continue
            operation, send = chosen
            answers, seconds = self._send(send, budget // len(kinds) - 1)
            self._judge(label, answers, seconds, "no-limit", (surface, operation))

    def _chosen(
        self, surface: Surface, operations: list[Operation], headers: Mapping[str, str]
    ) -> tuple[Operation, Callable[[], Answer]] | int:
        """The first operation that answers 2xx, and what sends it; else the last status."""
        status = 0
        for operation in operations[:CANDIDATES]:
            try:
                request = surface.definition.request(operation, lambda _before, _name: "")
            except Inconclusive:
                continue
            answer = self._caller.send(surface, request, headers)
            if answer.ok:
                return operation, functools.partial(self._caller.send, surface, request, headers)
            status = answer.status
            if status in {429, self._met}:
                break
        return status

    # -- the login ----------------------------------------------------------------------------------------------------

    def _login(self, service: str) -> None:
        from vallum_checks._attempts import Elsewhere

        door = _logins.door(self._deployment, self._ctx.config, self._caller)
        if isinstance(door, str):
            self.notes.append(f"not tested: a limit of the configured login: {door}")
            return
        label = f"{service} logins"
        budget = self._burst // 2 if self._demanded(service, service) else self._burst
        try:
            answers, seconds = self._send(
                lambda: door.send(_logins.stranger(door.name), f"vallum-{secrets.token_hex(8)}"), budget
            )
        except Elsewhere as error:
            self.notes.append(f"not tested: a limit of the configured login: {error.reason}")
            return
        self.expected.append(label)
        self._judge(label, answers, seconds, "login-no-limit", None)

    # -- both ---------------------------------------------------------------------------------------------------------

    def _send(self, send: Callable[[], Answer], count: int) -> tuple[list[Answer], float]:
        """At most `count` requests; ends with the first refusal."""
        began = time.monotonic()
        answers: list[Answer] = []
        for _ in range(count):
            answers.append(send())
            if _refused(answers):
                break
        return answers, time.monotonic() - began

    def _judge(
        self, label: str, answers: list[Answer], seconds: float, rule: str, place: tuple[Surface, Operation] | None
    ) -> None:
        """What the answers say of a limit on `rule`'s class; without a `place` it is the configured login."""
        silent = next((answer for answer in answers if not answer.status), None)
        if silent is not None:
            self._deployment.check_services()
            self.missed[label] = f"a request got no answer ({silent.why})"
            return
        last = answers[-1]
        count = len(answers)
        if _refused(answers):
            self._met = last.status
            self.notes.append(f"{label}: request {count} was refused with {last.status} after {seconds:.1f} s")
            lacks = "status 429" if last.status != 429 else "" if stated.retry_after(last.headers) else "Retry-After"
            if lacks:
                message = f"{label} have a limit, but what is over it is refused without {lacks}"
                self._add("limit-answer", message, last, place)
            return
        if stated.counts_down([stated.remaining(answer.headers) for answer in answers]):
            left = stated.remaining(last.headers)
            self.notes.append(
                f"{label}: {count} requests were answered, and each said how many are left ({left} in the end)"
            )
            return
        self.notes.append(f"{label}: {count} requests were answered in {seconds:.1f} s")
        message = f"{label} have no limit that {count} requests in a row meet, and none is stated"
        self._add(rule, message, last, place)

    def _add(self, rule: str, message: str, answer: Answer, place: tuple[Surface, Operation] | None) -> None:
        if place is not None:
            self.findings.append(finding(RULES[rule], *place, message, answer))
        else:
            self.findings.append(_logins.at_login(RULES[rule], self._ctx.config, self._surfaces, message, answer))


def _refused(answers: list[Answer]) -> bool:
    last = answers[-1].status
    return last == 429 or (last in REFUSALS and answers[0].status != last)

"""Calling every operation that declares a login: with one, without one, and with tokens that must be refused."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum_checks._api import finding
from vallum_checks._logins import at_login
from vallum_checks.authentication_engine import issued, public_keys, tokens
from vallum_checks.authentication_engine.issued import token_of
from vallum_checks.authentication_engine.rules import RULES

if TYPE_CHECKING:
    from vallum.api.model import Operation, Request
    from vallum.check import Context
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface
    from vallum.stage.login import User

THOROUGH = 2
"""Operations of each service that also get the rare forms of a forged token: what reads tokens is shared by all of a service."""
_ENDS_LOGIN = re.compile(r"log-?_?out|sign-?_?out|log-?_?off|revoke|shutdown", re.IGNORECASE)


class Forging:
    """The operations of a deployment under forged tokens. After `run`: what was found, expected and missed."""

    def __init__(
        self,
        deployment: Deployment,
        ctx: Context,
        caller: Caller,
        surfaces: list[Surface],
        also: frozenset[str],
        hours: float,
    ) -> None:
        self._deployment = deployment
        self._ctx = ctx
        self._caller = caller
        self._surfaces = surfaces
        self._also = also
        self._hours = hours
        self._end = time.monotonic() + ctx.deadline / 2
        users = list(deployment.users.values())
        self._users = [
            *users[:1],
            *(u for u in users[1:] if u.role == "admin"),
            *(u for u in users[1:] if u.role != "admin"),
        ]
        self._key: bytes | None = None
        self._weak = ""
        self._public: list[bytes] = []
        self._proved = False
        self.findings: list[Finding] = []
        self.expected: list[str] = []
        self.missed: dict[str, str] = {}
        self.notes: list[str] = []

    def run(self) -> None:
        """Test what the definitions declare as secured, one operation after the other."""
        work = [
            (surface, operation)
            for surface in self._surfaces
            for operation in surface.definition.operations
            if operation.secured or self._label(surface, operation) in self._also
        ]
        unknown = self._also - {self._label(surface, operation) for surface, operation in work}
        self.missed |= dict.fromkeys(
            sorted(unknown), "no definition declares this operation of checks.authentication.options"
        )
        self.expected = [*(self._label(*pair) for pair in work), *sorted(unknown)]
        if not self._users:
            return
        self._read_token()
        # What reads comes before what writes, and what ends objects or the login comes last.
        work.sort(key=lambda pair: (pair[1].late, pair[1].method != "GET"))
        thorough: dict[str, int] = {}
        for surface, operation in work:
            label = self._label(surface, operation)
            if _ENDS_LOGIN.search(operation.template):
                self._without(surface, operation)
                continue
            if time.monotonic() > self._end:
                self.missed[label] = "the time was up"
                continue
            rare = thorough.get(surface.service, 0) < THOROUGH
            why, refuses = self._test(surface, operation, rare=rare)
            if why:
                self.missed[label] = why
            elif rare and refuses:
                thorough[surface.service] = thorough.get(surface.service, 0) + 1
        if self._weak and not self._proved:
            self._report_key(None)
        self._visit_public()

    def _visit_public(self) -> None:
        """Public gRPC methods, which nothing else calls: with a login and without, so that they count as reached."""
        for surface in self._surfaces:
            for operation in surface.definition.operations if surface.definition.kind == "grpc" else ():
                if operation.secured or self._label(surface, operation) in self._also:
                    continue
                try:
                    request = surface.definition.request(operation, lambda _before, _name: "")
                except Inconclusive as error:
                    self.notes.append(f"{self._label(surface, operation)} could not be called: {error.reason}")
                    continue
                if time.monotonic() > self._end or _ENDS_LOGIN.search(operation.template):
                    continue
                self._caller.send(surface, request, self._users[0].session.header())
                self._caller.send(surface, request)

    def _label(self, surface: Surface, operation: Operation) -> str:
        name = f" {operation.name}" if operation.name else ""
        return f"{surface.service} {operation.method} {surface.definition.prefix}{operation.template}{name}"

    def _test(self, surface: Surface, operation: Operation, *, rare: bool) -> tuple[str, bool]:
        """Test one operation. Returns why it could not be, or nothing; and whether it asks for a login at all."""
        try:
            request = surface.definition.request(operation, lambda _before, _name: "")
        except Inconclusive as error:
            return error.reason, False
        # A late operation takes away what it is called on: its call with a login comes last.
        user, known = (self._users[0], None) if operation.late else self._succeeds(surface, request)
        without = self._caller.send(surface, request)
        if not without.status:
            self._deployment.check_services()
            return f"no answer ({without.why})", False
        if without.ok:
            self._add("no-token", surface, operation, f"{operation} answers {without.shown} without a token", without)
            return "", False
        sent: list[tuple[tokens.Form, Answer]] = []
        broken: Answer | None = None
        for form in self._forms(user, rare=rare):
            if any(done.rule == form.rule and self._accepted(answer, without, known) for done, answer in sent):
                continue
            if any(
                done.rule in {"signature", "invalid-token"} and self._accepted(answer, without, known)
                for done, answer in sent
            ):
                break  # nothing is verified here: every other form would say the same
            answer = self._caller.send(surface, request, self._header(user, form.token))
            sent.append((form, answer))
            broken = broken or (answer if answer.status >= 500 else None)
        if rare:
            for text in tokens.broken():
                answer = self._caller.send(surface, request, self._header(user, text))
                sent.append((tokens.Form("invalid-token", "what is no token at all", text), answer))
                broken = broken or (answer if answer.status >= 500 else None)
        if known is None:
            user, known = self._succeeds(surface, request)
        hit = self._judge(surface, operation, sent, without, known)
        if broken is not None and known.status < 500:
            self._add(
                "token-error", surface, operation, f"{operation} answers {broken.shown} to a malformed token", broken
            )
        if rare and self._weak and not self._proved and not hit & {"signature", "invalid-token"}:
            self._prove_key(surface, request, user, without, known)
        if hit:
            return "", True
        return self._doubt(without, known), without.status in {401, 403}

    def _judge(
        self,
        surface: Surface,
        operation: Operation,
        sent: list[tuple[tokens.Form, Answer]],
        without: Answer,
        known: Answer,
    ) -> set[str]:
        """Add a finding for each rule that an accepted form broke; the rules."""
        hit: set[str] = set()
        for form, answer in sent:
            if form.rule not in hit and self._accepted(answer, without, known):
                hit.add(form.rule)
                self._add(form.rule, surface, operation, f"{operation} accepts {form.what}", answer)
            if form.rule in {"signature", "invalid-token"} and form.rule in hit:
                break
        return hit

    def _accepted(self, answer: Answer, without: Answer, known: Answer | None) -> bool:
        """Whether a forged token opened: 2xx, or the very answer that a login gets where none gets 401 or 403."""
        if answer.ok:
            return True
        return (
            known is not None
            and without.status in {401, 403}
            and known.status not in {0, 400, 401, 403}
            and known.status < 500
            and answer.status == known.status
        )

    def _doubt(self, without: Answer, known: Answer) -> str:
        """Why the refusals prove nothing; empty where they do."""
        if known.status in {0, 401, 403}:
            shown = f"answers {known.shown}" if known.status else f"does not answer ({known.why})"
            return f"it {shown} with every user's login"
        if known.status >= 500:
            return f"it answers {known.shown} with a login"
        if without.status in {401, 403} or known.ok:
            return ""
        return f"it answers {known.shown} with a login and {without.shown} without: give it an example that succeeds"

    def _succeeds(self, surface: Surface, request: Request) -> tuple[User, Answer]:
        """The first user with whose login the request is 2xx, and the answer; else the answer that is nearest to it."""
        best: tuple[User, Answer] | None = None
        for user in self._users:
            answer = self._caller.send(surface, request, user.session.header())
            if answer.ok:
                return user, answer
            if best is None or best[1].status in {0, 401, 403}:
                best = user, answer
        if best is None:
            raise Inconclusive("no user is logged in")
        return best

    def _without(self, surface: Surface, operation: Operation) -> None:
        """An operation that ends the login: only from outside, because the login is needed afterwards."""
        label = self._label(surface, operation)
        self.expected.remove(label)
        self.notes.append(f"{label} was called only without a token: it would end the login")
        try:
            answer = self._caller.send(surface, surface.definition.request(operation, lambda _before, _name: ""))
        except Inconclusive as error:
            self.notes.append(f"{label} could not be called: {error.reason}")
            return
        if answer.ok:
            self._add("no-token", surface, operation, f"{operation} answers {answer.shown} without a token", answer)

    def _header(self, user: User, token: str) -> dict[str, str]:
        own = token_of(user)
        return {name: value.replace(own, token) for name, value in user.session.header().items()}

    def _forms(self, user: User, *, rare: bool) -> Iterator[tokens.Form]:
        own = token_of(user)
        jwt = tokens.parse(own)
        if jwt is None:
            # A changed name and password is a wrong password: it would lock the user out.
            forms = tokens.nobody() if self._basic() else tokens.opaque(own)
            for form in forms:
                self._deployment.redactor.add(form.token)  # nearly the token, and perhaps in a header of another name
                yield form
            return
        yield from tokens.changed(jwt)
        unsigned = list(tokens.unsigned(jwt))
        yield from unsigned if rare else unsigned[:1]
        if rare:
            yield from tokens.keyed(jwt)
            yield from tokens.confused(jwt, self._public)
            if self._key is not None:
                yield from tokens.resigned(jwt, self._key)

    def _basic(self) -> bool:
        environment = self._ctx.config.environment
        return environment is not None and environment.login is not None and environment.login.kind == "basic"

    # -- the token itself ---------------------------------------------------------------------------------------------

    def _read_token(self) -> None:
        """What can be known of the first user's token without sending it: its end, its key."""
        jwt = tokens.parse(token_of(self._users[0]))
        if jwt is None and self._basic():
            return
        if jwt is None:
            self.notes.append(
                "the token is no JSON Web Token: it was changed, cut short and made up; its end cannot be read"
            )
            return
        if why := issued.too_long(jwt, self._hours):
            self._at_login("token-lifetime", why)
        # Where our tokens are signed by HMAC, a service may take another issuer's, with a key pair, as well.
        self._public = public_keys.exposed(self._caller, self._deployment.urls.values(), self._deployment.scope)
        if jwt.algorithm in tokens.HASHES:
            key = issued.find_key(jwt, self._deployment, self._ctx)
            self._key, self._weak = key.value, key.weak
            self.notes += key.notes
        if self._public or jwt.algorithm not in tokens.HASHES:
            self.notes.append(
                f"tokens are signed with {jwt.algorithm}; {len(self._public)} texts of public keys were tried"
            )
        if self._key is None:
            self.notes.append(
                "the signing key is not known: expiry, audience and issuer of a well-signed token were not tested"
            )

    def _prove_key(self, surface: Surface, request: Request, user: User, without: Answer, known: Answer) -> None:
        """Send a token of our own making, as an administrator's where tokens speak of roles."""
        jwt = tokens.parse(token_of(user))
        if jwt is None or self._key is None:
            return
        answer = self._caller.send(surface, request, self._header(user, tokens.promoted(jwt, self._key)))
        if self._accepted(answer, without, known):
            self._proved = True
            self._report_key(answer, f"; {surface.service} {request.operation} accepts a token that was signed with it")

    def _report_key(self, answer: Answer | None, proof: str = "") -> None:
        self._at_login("guessable-key", f"the key that signs tokens {self._weak}{proof}", answer)

    # -- findings -----------------------------------------------------------------------------------------------------

    def _add(self, rule: str, surface: Surface, operation: Operation, message: str, answer: Answer | None) -> None:
        self.findings.append(finding(RULES[rule], surface, operation, message, answer))

    def _at_login(self, rule: str, message: str, answer: Answer | None = None) -> None:
        self.findings.append(at_login(RULES[rule], self._ctx.config, self._surfaces, message, answer))

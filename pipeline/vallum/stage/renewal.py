"""Keeping our users logged in during an attack: a token that expires is renewed, and what failed meanwhile is not hidden.

A 401 alone says little: scanners provoke it, and some operations always answer it. So the probe of the login is asked, and
only where that too answers 401 or 403 is the login renewed. Requests that still carry the old token get the new one.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass, field

from vallum.errors import Inconclusive
from vallum.stage.login import Session
from vallum.stage.scope import Scope
from vallum.stage.wire import Head

TRUSTED = 0.5
"""Seconds for which a proof counts: a scanner that collects 401 must not double the requests. What expires within them is
answered 401 once more."""
AGAIN = 5.0
"""Seconds between two attempts to log in again."""
SOON = 12.0
"""Seconds before the time that a token endpoint named at which its token is renewed: more than two rounds of `check`."""
THRESHOLD = 20.0
"""Seconds without a login, or with a service down, from which on an attack proves nothing although it recovered. Not below one
request's time-out (vallum.stage.scope.TIMEOUT, 20 s), so that a single slow answer is no outage."""


@dataclass
class Outage:
    """Whether something holds, and since when it does not. Times of time.monotonic()."""

    name: str
    since: float = 0.0
    reason: str = ""
    longest: float = 0.0
    times: int = 0

    def fails(self, reason: str) -> None:
        """It does not hold now."""
        if not self.since:
            self.since = time.monotonic()
            self.times += 1
        self.reason = reason

    def holds(self) -> None:
        """It holds (again)."""
        if self.since:
            self.longest = max(self.longest, time.monotonic() - self.since)
            self.since = 0.0


@dataclass
class Kept:
    """One session, and what became of it."""

    session: Session
    outage: Outage
    lock: threading.Lock = field(default_factory=threading.Lock)
    proved: float = 0.0
    tried: float = 0.0
    renewed: int = 0
    retired: dict[bytes, tuple[bytes, ...]] = field(default_factory=dict)


class Keeper:
    """Watches over the users' sessions. Safe to use from several threads."""

    def __init__(self, sessions: Iterable[Session], scope: Scope) -> None:
        self._scope = scope
        self._kept = [
            Kept(session, Outage(f"the login of user {number}")) for number, session in enumerate(sessions, 1)
        ]

    def carried(self, head: Head) -> tuple[Kept, tuple[bytes, ...]] | None:
        """Whose current login a request carries, and what that consists of."""
        for kept in self._kept:
            held = _held(kept.session)
            if any(secret in head.get(name) for name, secret in held):
                return kept, tuple(secret for _, secret in held)
        return None

    def current(self, head: Head) -> Head:
        """The request with logins that were replaced meanwhile replaced in it."""
        for kept in self._kept:
            if not kept.retired:
                continue
            now = dict(_held(kept.session))
            for number, (name, value, line) in enumerate(head.fields):
                if name not in now:
                    continue
                old = next((old for old in kept.retired.get(name, ()) if old in value), b"")
                if old:
                    head.fields[number] = (name, value.replace(old, now[name]), line.replace(old, now[name]))
        return head

    def ended(self, carried: tuple[Kept, tuple[bytes, ...]], status: int) -> bool:
        """After an answer to a request with a login: whether there is a newer one by now, so that asking again makes sense."""
        kept, secrets = carried
        if status != 401 and not (300 <= status < 400 and not kept.session.token):
            return False
        with kept.lock:
            if tuple(secret for _, secret in _held(kept.session)) != secrets:
                return True
            if time.monotonic() - kept.proved < TRUSTED:
                return False
            return self._prove(kept)

    def check(self) -> None:
        """Ask every login's probe, and log in again where it says no or will soon. For every few seconds."""
        for kept in self._kept:
            with kept.lock:
                left = kept.session.remaining
                if left is None or left > SOON or not self._renew(kept):
                    self._prove(kept)

    def _prove(self, kept: Kept) -> bool:
        """Whether the login was replaced. The lock is held."""
        status, why = self._probe(kept.session)
        if 200 <= status < 300:
            kept.proved = time.monotonic()
            kept.outage.holds()
            return False
        kept.outage.fails(why)
        return (status in (401, 403) or 300 <= status < 400) and self._renew(kept)

    def _renew(self, kept: Kept) -> bool:
        """Log in again; whether it went well. The lock is held."""
        if time.monotonic() - kept.tried < AGAIN:
            return False
        kept.tried = time.monotonic()
        old = _held(kept.session)
        try:
            kept.session.renew()
        except Inconclusive as error:
            kept.outage.fails(error.reason)
            return False
        for name, secret in set(old) - set(_held(kept.session)):
            kept.retired[name] = (*kept.retired.get(name, ()), secret)
        kept.renewed += 1
        kept.proved = time.monotonic()
        kept.outage.holds()
        return True

    def _probe(self, session: Session) -> tuple[int, str]:
        import httpx

        path = "/" + session.probe.split("/", 3)[-1].partition("?")[0]
        try:
            with self._scope.client(counted=False) as client:
                status = client.get(session.probe, headers=session.header()).status_code
        except httpx.HTTPError as error:
            return 0, f"GET {path} did not answer ({type(error).__name__})"
        return status, f"GET {path} answers {status}"

    def problems(self) -> list[str]:
        """Why the attack was not whole: a sentence for each login that was lost for longer than may be."""
        said = []
        for kept in self._kept:
            outage = kept.outage
            if outage.since:
                said.append(f"the login ended during the attack and could not be renewed: {outage.reason}")
            elif outage.longest > THRESHOLD:
                said.append(f"{outage.name} did not count for {outage.longest:.0f} s of the attack: {outage.reason}")
        return said

    def notes(self) -> list[str]:
        """What happened and was mended."""
        return [f"{kept.outage.name} ended and was renewed {kept.renewed} times" for kept in self._kept if kept.renewed]


def _held(session: Session) -> list[tuple[bytes, bytes]]:
    """What of each of a session's headers is the secret: the token, where it is in it, else the whole value."""
    token = session.token
    return [
        (name.lower().encode(), (token if token and token in value else value).encode("latin-1", "replace"))
        for name, value in session.header().items()
    ]

"""A login that was proved: its headers, and how it is renewed. A token that a service does not ask for proves nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from vallum.errors import Inconclusive
from vallum.logins import Login
from vallum.stage.login.conversation import Conversation, Page
from vallum.stage.login.kind import Account, Credentials, Kind
from vallum.stage.scope import Scope


class Session:
    """A login that was proved. What it holds is known to the redactor and is written nowhere. Safe in several threads."""

    def __init__(
        self,
        account: Account,
        kind: Kind,
        scope: Scope,
        quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """Log in and prove it. During `quiet()` nothing is written that may hold a token which is not known yet.

        Raises Inconclusive where the login is refused, or proves nothing.
        """
        self._account = account
        self._kind = kind
        self._scope = scope
        self._quiet = quiet
        self._lock = threading.Lock()
        with Conversation(scope, account.redactor) as talk:
            self._held = kind.log_in(account, talk)
        self.prove()

    def __repr__(self) -> str:
        return f"Session({self._account.login.kind} at {self._account.login.service})"

    def header(self) -> dict[str, str]:
        """The headers that make a request a logged-in one: the token's, or Cookie, or both."""
        return dict(self._held.headers)

    @property
    def token(self) -> str:
        """The bearer token, as it stands in `header()`; empty where the session is held by cookies or another header."""
        return self._held.token

    @property
    def remaining(self) -> float | None:
        """Seconds until the token expires, by what the token endpoint said; None where nothing was said."""
        expires = self._held.expires
        return None if expires is None else expires - time.monotonic()

    @property
    def probe(self) -> str:
        """The URL that answers 2xx only to a logged-in request."""
        return self._account.url + self._account.login.probe

    def prove(self) -> None:
        """Raise Inconclusive unless the probe is 2xx with the login and refused without.

        Refused is 401 or 403; where cookies hold the session, a redirect elsewhere (to the login page) too. An expired token
        is not renewed here: what was asked with it was asked by nobody.
        """
        self._prove(self._held)

    def renew(self) -> None:
        """Log in again, with the refresh token where there is one, and put the new token and cookies in place.

        Of several threads that ask at once one logs in, and the others get what it got. Raises Inconclusive where that
        fails; what was held before stays.
        """
        before = self._held
        with self._lock:
            if self._held is not before:
                return
            with self._quiet():
                after = self._again(before)
                self._prove(after)
            self._held = after

    def again(self) -> None:
        """Log in once more, by name and password even where there is a refresh token, and prove it. What is held stays.

        Raises Inconclusive where that fails.
        """
        with self._quiet(), Conversation(self._scope, self._account.redactor) as talk:
            self._prove(self._kind.log_in(self._account, talk))

    def attempt(self, talk: Conversation, login: Login, username: str, password: str) -> Credentials:
        """Go through the login in `talk` as `login` says, with another name and password, and `000000` where a code is asked for.

        Raises Inconclusive where that ends without credentials; what `accepts` says of credentials is what counts.
        """
        values = {**self._account.values, "username": username, "password": password, "totp": "000000"}
        with self._quiet():
            return self._kind.log_in(replace(self._account, login=login, values=values, totp=None), talk)

    def accepts(self, got: Credentials) -> bool:
        """Whether the probe is 2xx with credentials that were got by an `attempt`."""
        with Conversation(self._scope, self._account.redactor) as talk:
            return talk.request("GET", self.probe, headers=got.headers).ok

    def _again(self, before: Credentials) -> Credentials:
        with Conversation(self._scope, self._account.redactor) as talk:
            if self._kind.renew is None or not before.refresh_token:
                return self._kind.log_in(self._account, talk)
            return self._kind.renew(self._account, talk, before)

    def _prove(self, held: Credentials) -> None:
        login = self._account.login
        where = f"{login.service} GET {login.probe.partition('?')[0]}"
        what = "the token" if held.token else "the session's cookies" if "Cookie" in held.headers else "the credentials"
        with Conversation(self._scope, self._account.redactor) as talk:
            page = talk.request("GET", self.probe, headers=held.headers)
            if not page.ok:
                raise Inconclusive(f"not logged in: {where} answers {page.status} with {what}")
        with Conversation(self._scope, self._account.redactor) as talk:
            page = talk.request("GET", self.probe)
            if page.status in {401, 403} or ("Cookie" in held.headers and _leads_elsewhere(page)):
                return
        expected = "401 or 403"
        if "Cookie" in held.headers:
            expected += " or a redirect to the login page"
        raise Inconclusive(
            f"the login cannot be proved: {where} answers {page.status} without {what}, {expected} was expected; "
            "choose an environment.login.probe that needs the login"
        )


def _leads_elsewhere(page: Page) -> bool:
    """Whether a redirect leaves the page that was asked for, as one to a login page does."""
    return bool(page.location) and page.location.partition("?")[0] != page.url.partition("?")[0]


@dataclass(frozen=True)
class User:
    """A user of the deployment who is logged in. `role` is `admin` or an ordinary one; `name` is empty where none is named."""

    name: str
    role: str
    session: Session = field(repr=False)

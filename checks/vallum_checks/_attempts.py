"""Attempts at the configured login: gone through whole, as the configuration says, with another name and password each time.

A form's page is asked for anew, with its hidden fields; redirects are followed; of OpenID Connect the flow begins anew. What is
compared is what came of the request with the password. Whether somebody was let in is said by the probe, not by that answer.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl, urldefrag, urlsplit

from vallum.errors import Inconclusive
from vallum.finding import Exchange
from vallum.stage.calls import EVIDENCE, Answer
from vallum.stage.login.conversation import Conversation, Page
from vallum.stage.login.forms import read
from vallum.stage.login.kind import Credentials, texts
from vallum.stage.scope import Scope, origin_of

if TYPE_CHECKING:
    from vallum.environments import Environment
    from vallum.logins import Login
    from vallum.stage import Deployment
    from vallum.stage.calls import Caller
    from vallum.stage.login import Session


class Elsewhere(Inconclusive):
    """What asks for the password is not part of the deployment: no check attacks it."""


@dataclass(frozen=True)
class Attempt(Answer):
    """What came of one attempt: the answer behind the redirects, and the time of the requests with the name or the password.

    `why` with a status: the password was never asked for. `place`: service, method and path of the request with it. `got` is
    what the login ended with, which may be nothing of worth; in `body` hidden fields are empty, as they change each time.
    """

    place: tuple[str, str, str] | None = None
    got: Credentials | None = field(repr=False, default=None)


@dataclass(frozen=True)
class _Asked:
    """One request of a login. `page` is missing where no answer came, and `why` says the reason."""

    method: str
    url: str
    type: str
    body: bytes
    seconds: float
    page: Page | None
    why: str = ""

    def holds(self, text: str) -> bool:
        """Whether it carries `text` as a value, in its body or its query."""
        fields = parse_qsl(urlsplit(self.url).query, keep_blank_values=True)
        if "json" in self.type:
            return text in texts(json.loads(self.body))
        fields += parse_qsl(self.body.decode("utf-8", "replace"), keep_blank_values=True)
        return text in (value for _, value in fields)


class _Recorded(Conversation):
    """A login that is written down. A request with one of `secrets` in it goes to the deployment only."""

    def __init__(self, deployment: Deployment, scope: Scope, caller: Caller, secrets: tuple[str, str]) -> None:
        super().__init__(scope, deployment.redactor)
        self._inside = deployment.scope
        self._caller = caller
        self._secrets = secrets
        self.asked: list[_Asked] = []

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", type_: str = ""
    ) -> Page:
        """As a Conversation. Raises Elsewhere where the name or the password would leave the deployment."""
        url = urldefrag(url).url
        asked = _Asked(method, url, type_, body, 0.0, None)
        if not self._inside.allows(url) and any(map(asked.holds, self._secrets)):
            where = urlsplit(url)
            raise Elsewhere(
                f"{where.scheme}://{where.netloc} asks for the password, which is not part of the deployment"
            )
        self._check(url)
        self._caller.requests += 1
        began = time.monotonic()
        try:
            page = super().request(method, url, headers=headers, body=body, type_=type_)
        except Inconclusive as error:
            self.asked.append(_Asked(method, url, type_, body, time.monotonic() - began, None, error.reason))
            raise
        self.asked.append(_Asked(method, url, type_, body, time.monotonic() - began, page))
        return page


class Attempts:
    """Attempts at one login, in the name of whoever."""

    def __init__(
        self, deployment: Deployment, environment: Environment, caller: Caller, session: Session, login: Login
    ) -> None:
        self._deployment = deployment
        self._caller = caller
        self._session = session
        self._login = login
        self._scope = deployment.scope
        if login.allow:
            self._scope = self._scope.with_also(login.allow)
            self._scope.limit(environment.requests_per_second)

    def send(self, username: str, password: str) -> Attempt:
        """Try a name with a password. Raises Elsewhere."""
        talk = _Recorded(self._deployment, self._scope, self._caller, (username, password))
        got, refused = None, ""
        with talk:
            try:
                got = self._session.attempt(talk, self._login, username, password)
            except Elsewhere:
                raise
            except Inconclusive as error:  # how a login says no; what was answered is what counts
                refused = error.reason
        return self._attempt(talk.asked, username, password, got, refused)

    def enters(self, answer: Answer) -> bool:
        """Whether an attempt has logged somebody in: the probe answers 2xx to what it got."""
        return isinstance(answer, Attempt) and answer.got is not None and self._session.accepts(answer.got)

    def _attempt(
        self, asked: list[_Asked], username: str, password: str, got: Credentials | None, refused: str
    ) -> Attempt:
        if not asked:
            raise Inconclusive(refused)
        with_password = [number for number, one in enumerate(asked) if one.holds(password)]
        at = with_password[-1] if with_password else len(asked) - 1
        end = at
        while end + 1 < len(asked) and _leads_to(asked[end], asked[end + 1]):
            end += 1
        seconds = sum(one.seconds for one in asked if one.holds(username) or one.holds(password))
        decisive, last = asked[at], asked[end]
        request = f"{decisive.method} {_path(decisive.url)} HTTP/1.1\r\nContent-Type: {decisive.type}\r\n\r\n"
        request = (request + decisive.body[:EVIDENCE].decode("utf-8", "replace"))[:EVIDENCE]
        place = (self._service(decisive.url), decisive.method, urlsplit(decisive.url).path or "/")
        if decisive.page is None or last.page is None:
            return Attempt(
                0, why=decisive.why or last.why, seconds=seconds, exchange=Exchange(request, ""), place=place
            )
        headers = {name.lower(): value for name, value in last.page.headers.items()}
        if end > at:
            headers["location"] = decisive.page.location
        pages = [decisive.page, *([last.page] if end > at else [])]
        return Attempt(
            last.page.status,
            headers,
            _without_hidden(last.page),
            "" if with_password else refused,
            seconds,
            Exchange(request, "\r\n\r\n".join(map(_message, pages))),
            place=place,
            got=got,
        )

    def _service(self, url: str) -> str:
        at = origin_of(url)
        return next((name for name, own in self._deployment.urls.items() if origin_of(own) == at), self._login.service)


def _leads_to(one: _Asked, other: _Asked) -> bool:
    return one.page is not None and bool(one.page.location) and urldefrag(one.page.location).url == other.url


def _path(url: str) -> str:
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def _message(page: Page) -> str:
    lines = [f"HTTP/1.1 {page.status}", *(f"{name}: {value}" for name, value in page.headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + page.text)[:EVIDENCE]


def _without_hidden(page: Page) -> bytes:
    """The body, without what stands in hidden fields unless it is a word: a token that is new each time tells nothing."""
    text = page.text
    try:
        forms = read(page)
    except Inconclusive:  # a form that leads to what is no URL: its page is compared as it is
        return page.body
    for form in forms:
        for name, value in form.fields:
            word = value.replace("-", "").replace("_", "").isalpha() and len(value) < 16
            if name in form.hidden and len(value) >= 6 and not word:
                text = text.replace(escape(value), "").replace(value, "")
    return text.encode()

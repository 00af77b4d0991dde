"""What a kind of login is, and what it works with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from vallum.errors import Inconclusive
from vallum.logins import Login
from vallum.stage.login.conversation import Conversation, Page, learn
from vallum.stage.login.totp import Totp
from vallum.stage.placeholders import fill, names
from vallum.stage.redact import Redactor

KEY = "environment.login"


@dataclass(frozen=True)
class Credentials:
    """What makes a request a logged-in one. `token` is a bearer token or empty; `expires` a time of time.monotonic()."""

    headers: Mapping[str, str] = field(repr=False)
    token: str = field(repr=False, default="")
    refresh_token: str = field(repr=False, default="")
    id_token: str = field(repr=False, default="")
    expires: float | None = None


@dataclass
class Account:
    """One user at the login: the table, the placeholders' values, and the redactor that is told each secret."""

    login: Login
    urls: Mapping[str, str]
    redactor: Redactor = field(repr=False)
    values: dict[str, str] = field(repr=False)
    totp: Totp | None = None

    @property
    def url(self) -> str:
        """The origin of the login's service."""
        return self.urls[self.login.service]

    def learn(self, value: str) -> str:
        """Make a token or code known to the redactor; returns it."""
        self.redactor.add(value)
        return value

    def learn_captured(self, value: str) -> str:
        """The same for a value that may be a plain word."""
        learn(self.redactor, value)
        return value

    def fill(self, text: str, key: str, **more: str) -> str:
        """`text` with its placeholders replaced; {totp} by a code that was not used yet."""
        return str(self.fill_all(text, key, **more))

    def fill_all(self, tree: Any, key: str, **more: str) -> Any:
        """The same for all texts in lists and tables: one request, so one code."""
        values = {**self.values, **more}
        if self.totp is not None and any("totp" in names(text) for text in texts(tree)):
            values["totp"] = self.totp.next()
            self.redactor.add_code(values["totp"])
        return _filled(tree, key, values)

    def credentials(self, talk: Conversation, token: str = "") -> Credentials:
        """The headers as the table says: the token's where there is one, else (or besides) the cookies that were set.

        Raises Inconclusive where there is neither.
        """
        login = self.login
        headers = {name: self.fill(value, f"{KEY}.headers.{name}") for name, value in login.headers.items()}
        if token:
            headers[login.header] = self.fill(login.value, f"{KEY}.value", token=self.learn(token))
        if not token or login.cookies:
            cookies = talk.cookies(self.url + login.probe, self.urls)
            if cookies:
                headers["Cookie"] = cookies
            elif not token:
                raise Inconclusive("cannot log in: no service set a cookie")
        return Credentials(headers, token)

    def refused(self, page: Page, what: str = "") -> Inconclusive:
        """The exception for a login that was not accepted; the answer's beginning, redacted, is its detail."""
        shown = self.redactor.text(page.text[:500])
        return Inconclusive(
            f"cannot log in: {self.login.service} {page.where} {what or f'answers {page.status}'}", shown
        )


@dataclass(frozen=True)
class Kind:
    """A kind of login: one file, one line in KINDS.

    `needs` are the keys of `[environment.login]` that must be set, `takes` those that may be; the ones that all kinds take
    are in `settings.COMMON`. `renew` gets what is held, for its refresh token; without one a renewal is a new login.
    """

    needs: tuple[str, ...]
    takes: tuple[str, ...]
    log_in: Callable[[Account, Conversation], Credentials]
    renew: Callable[[Account, Conversation, Credentials], Credentials] | None = None


def texts(tree: Any) -> list[str]:
    """All texts in a tree of tables and lists."""
    if isinstance(tree, str):
        return [tree]
    if isinstance(tree, dict):
        return [text for value in tree.values() for text in texts(value)]
    if isinstance(tree, list | tuple):
        return [text for value in tree for text in texts(value)]
    return []


def _filled(tree: Any, key: str, values: Mapping[str, str]) -> Any:
    if isinstance(tree, str):
        return fill(tree, key, values)
    if isinstance(tree, dict):
        return {name: _filled(value, f"{key}.{name}", values) for name, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_filled(value, f"{key}[{number}]", values) for number, value in enumerate(tree)]
    return tree


def dig(value: Any, path: str) -> Any:
    """What stands at a dotted path of a JSON document (`data.tokens.0.value`); None where nothing does."""
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isascii() and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value


def token_in(account: Account, page: Page, path: str) -> str:
    """The token at `path` of a JSON answer. Raises Inconclusive where there is none that fits into a header."""
    document = page.json()
    if document is None:
        raise account.refused(page, "answers no JSON")
    token = dig(document, path)
    if not isinstance(token, str) or not token or any(not "!" <= letter <= "~" for letter in token):
        where = f"{account.login.service} {page.where}"
        raise Inconclusive(f"cannot log in: the answer of {where} has no token at `{path}`")
    return account.learn(token)

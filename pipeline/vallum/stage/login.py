"""Logging in to a staged deployment, and proving it: a token that a service does not ask for proves nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vallum.environments import Environment, Login
from vallum.errors import Inconclusive
from vallum.stage.redact import Redactor
from vallum.stage.settings import fill

DEADLINE = 15.0
"""Seconds for one request as a whole."""
MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""


class Session:
    """A login that was proved. Its token is known to the redactor and is written nowhere."""

    def __init__(self, login: Login, url: str, token: str) -> None:
        self._login = login
        self._url = url
        self.token = token

    def __repr__(self) -> str:
        return f"Session({self._login.service})"

    def header(self) -> dict[str, str]:
        """The header that makes a request a logged-in one."""
        return {self._login.header: self._login.value.replace("{token}", self.token)}

    @property
    def probe(self) -> str:
        """The URL that answers 2xx only to a logged-in request."""
        return self._url + self._login.probe

    def prove(self) -> None:
        """Raise Inconclusive unless the probe is 2xx with the token and 401 or 403 without."""
        where = f"{self._login.service} GET {self._login.probe}"
        with_token, _ = _request("GET", self.probe, headers=self.header())
        if not 200 <= with_token < 300:
            raise Inconclusive(f"not logged in: {where} answers {with_token} with the token")
        without, _ = _request("GET", self.probe)
        if without not in (401, 403):
            raise Inconclusive(
                f"the login cannot be proved: {where} answers {without} without a token, 401 or 403 was expected; "
                "choose an environment.login.probe that needs the login"
            )


@dataclass(frozen=True)
class User:
    """A user of the deployment who is logged in. `role` is `admin` or an ordinary one; `name` is empty where none is named."""

    name: str
    role: str
    session: Session


def log_in_all(
    environment: Environment, urls: Mapping[str, str], secrets: Mapping[str, str], redactor: Redactor
) -> dict[str, User]:
    """Log in each of `environment.users`, or the one login that names none. Empty where no login is configured."""
    login = environment.login
    if login is None:
        return {}
    if not environment.users:
        return {"": User("", "user", log_in(login, urls, secrets, redactor))}
    values = {f"secret.{name}": value for name, value in secrets.items()}
    users = {}
    for name, user in environment.users.items():
        key = f"environment.users.{name}"
        username, password = fill(user.username, key, values), fill(user.password, key, values)
        redactor.add(password)
        users[name] = User(name, user.role, log_in(login, urls, secrets, redactor, username, password))
    return users


def log_in(
    login: Login,
    urls: Mapping[str, str],
    secrets: Mapping[str, str],
    redactor: Redactor,
    username: str = "",
    password: str = "",
) -> Session:
    """Log in as configured and prove it. Raises Inconclusive where the answer holds no token or the proof fails."""
    values = {f"secret.{name}": value for name, value in secrets.items()} | {"username": username, "password": password}
    body = {field: fill(value, f"environment.login.json.{field}", values) for field, value in login.json.items()}
    status, answer = _request(login.method, urls[login.service] + login.path, body=body)
    where = f"{login.service} {login.method} {login.path}"
    if not 200 <= status < 300:
        shown = redactor.text(answer.decode("utf-8", "replace")[:500])
        raise Inconclusive(f"cannot log in: {where} answers {status}", shown)
    token = _token(answer, login.token, where)
    redactor.add(token)
    session = Session(login, urls[login.service], token)
    session.prove()
    return session


def _token(answer: bytes, path: str, where: str) -> str:
    try:
        value: Any = json.loads(answer)
    except ValueError:
        raise Inconclusive(f"cannot log in: {where} answers no JSON") from None
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if not isinstance(value, str) or not value or any(not "!" <= letter <= "~" for letter in value):
        raise Inconclusive(f"cannot log in: the answer of {where} has no token at `{path}`")
    return value


def _request(
    method: str, url: str, *, headers: Mapping[str, str] | None = None, body: Mapping[str, str] | None = None
) -> tuple[int, bytes]:
    """One request to a staged service, redirects not followed; bounded as a whole in time and size."""
    import httpx

    end = time.monotonic() + DEADLINE
    path = url.split("/", 3)[-1]
    try:
        with (
            httpx.Client(trust_env=False, timeout=httpx.Timeout(5.0)) as client,
            client.stream(method, url, headers=dict(headers or {}), json=body) as response,
        ):
            content = b""
            for chunk in response.iter_raw():
                content += chunk
                if time.monotonic() > end:
                    raise Inconclusive(f"{method} /{path} took more than {DEADLINE:.0f} s")
                if len(content) > MAX_ANSWER:
                    raise Inconclusive(f"{method} /{path} answered more than {MAX_ANSWER} bytes")
            return response.status_code, content
    except httpx.HTTPError as error:
        raise Inconclusive(f"{method} /{path} did not answer: {type(error).__name__}") from None

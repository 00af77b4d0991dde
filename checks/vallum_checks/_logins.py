"""The configured login, asked by somebody else: what the checks that send wrong passwords share."""

from __future__ import annotations

import base64
import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.finding import Finding, Location
from vallum.finding import Operation as Place
from vallum_checks._api import ApiRule, finding, found

if TYPE_CHECKING:
    from vallum.config import Config
    from vallum.environments import Environment
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface

USERNAME = re.compile(
    r"^(user|user_?name|login|login_?name|e?-?mail|email_?address|account|identifier|handle)$", re.IGNORECASE
)
PASSWORD = re.compile(r"^(password|passwd|pwd|pass|secret|pin)$", re.IGNORECASE)
WAIT = 90.0
"""Seconds that are waited for a limit to pass: more than a window of a minute."""
AGENT = {"Accept": "*/*", "User-Agent": "vallum"}


@dataclass(frozen=True)
class Door:
    """The configured login. `send` tries a user name with a password; `name` and `password` are a seeded user's."""

    label: str
    send: Callable[[str, str], Answer]
    name: str
    password: str


def door(deployment: Deployment, config: Config, caller: Caller) -> Door | None:
    """The configured login where it takes a name and a password in JSON or by HTTP Basic; None for the other kinds."""
    environment = config.environment
    login = environment.login if environment is not None else None
    if environment is None or login is None or login.kind not in {"json", "basic"}:
        return None
    values = {f"secret.{name}": value for name, value in deployment.secrets.items()}
    values |= {f"url.{name}": value for name, value in deployment.urls.items()}
    name, password = _seeded(environment, values)
    method, path = place(config)
    url = deployment.urls[login.service] + path
    if not name or (login.kind == "json" and not _body(environment, values, "somebody", "something")):
        return None

    def send(username: str, given: str) -> Answer:
        if login.kind == "basic":
            both = base64.b64encode(f"{username}:{given}".encode()).decode()
            return caller.raw(method, url, {**AGENT, login.header: f"Basic {both}"})
        headers = {**AGENT, "Content-Type": "application/json"}
        return caller.raw(method, url, headers, _body(environment, values, username, given))

    return Door(f"{login.service} {method} {path}", send, name, password)


def place(config: Config) -> tuple[str, str]:
    """Method and path of the configured login; of the probe, where nothing else is asked with a password."""
    login = config.environment.login if config.environment is not None else None
    if login is None:
        raise Inconclusive("no login is configured")
    if login.kind in {"json", "form"} and login.path:
        return login.method, login.path
    return "GET", login.probe


def wait(deployment: Deployment, caller: Caller) -> None:
    """Until what was met has passed and each user's login counts again, `WAIT` seconds at most: what comes after us proves the
    logins, and must not be refused for what we did."""
    end = time.monotonic() + WAIT
    for user in deployment.users.values():
        while time.monotonic() < end:
            answer = caller.raw("GET", user.session.probe, {**AGENT, **user.session.header()})
            if answer.ok:
                break
            seconds = answer.headers.get("retry-after", "").strip()
            pause = float(seconds) if seconds.isdecimal() else 2.0
            time.sleep(min(max(pause, 1.0), max(end - time.monotonic(), 0.0)))


def stranger(name: str) -> str:
    """A name that nobody has, of the same length where that is long enough, and an address where the other is one."""
    local, at, domain = name.partition("@")
    return f"v{secrets.token_hex(16)}"[: max(8, len(local))] + at + domain


def at_login(
    rule: ApiRule,
    config: Config,
    surfaces: list[Surface],
    message: str,
    answer: Answer | None = None,
    parameter: str = "",
) -> Finding:
    """A finding on the configured login: at its line in the definition, or in the configuration where none declares it."""
    method, path = place(config)
    service = config.environment.login.service if config.environment and config.environment.login else ""
    for surface in surfaces:
        for operation in surface.definition.operations:
            declared = surface.definition.prefix + operation.template
            if (surface.service, operation.method, declared) == (service, method, path):
                return finding(rule, surface, operation, message, answer, parameter)
    return found(rule, service, Location("vallum.toml"), Place(method, path, parameter), message, answer)


def _seeded(environment: Environment, values: Mapping[str, str]) -> tuple[str, str]:
    """Name and password of the seeded user who is tried: the last ordinary one, because the first attacks. Empty: none."""
    from vallum.stage.placeholders import fill

    users, login = environment.users, environment.login
    ordinary = [name for name, user in users.items() if user.role != "admin"] or list(users)
    if ordinary:
        user, where = users[ordinary[-1]], f"environment.users.{ordinary[-1]}"
        return fill(user.username, where, values), fill(user.password, where, values)
    if login is None:
        return "", ""
    where = "environment.login"
    if login.username:
        return fill(login.username, where, values), fill(login.password, where, values)
    found = (next((text for key, text in login.json.items() if kind.match(key)), "") for kind in (USERNAME, PASSWORD))
    name, password = (fill(text, where, values) for text in found)
    return name, password


def _body(environment: Environment, values: Mapping[str, str], username: str, password: str) -> bytes:
    """The body of the configured login with another user; empty where it has no place for a name and a password."""
    from vallum.stage.placeholders import fill

    fields = dict(environment.login.json) if environment.login is not None else {}
    given = {**values, "username": username, "password": password, "totp": "000000"}
    for placeholder, pattern in (("{username}", USERNAME), ("{password}", PASSWORD)):
        if not any(placeholder in text for text in fields.values()):
            name = next((name for name in fields if pattern.match(name)), None)
            if name is None:
                return b""
            fields[name] = placeholder
    filled = {name: fill(text, f"environment.login.json.{name}", given) for name, text in fields.items()}
    return json.dumps(filled).encode()

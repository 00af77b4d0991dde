"""The configured login, asked by somebody else: what the checks that send wrong passwords share."""

from __future__ import annotations

import base64
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
    from vallum.logins import Login
    from vallum.stage import Deployment
    from vallum.stage.calls import Answer, Caller, Surface

USERNAME = re.compile(
    r"^(user|user_?name|login|login_?name|e?-?mail|email_?address|account|identifier|handle)$", re.IGNORECASE
)
PASSWORD = re.compile(r"^(password|passwd|pwd|pass|secret|pin)$", re.IGNORECASE)
WAIT = 90.0
"""Seconds that are waited for a limit to pass: more than a window of a minute."""
_TOKEN_URL = re.compile(r"(?:\{url\.(?P<service>[^}]+)\})?(?P<path>/[^?{]*)")
"""A token endpoint of the deployment, as it is configured."""
AGENT = {"Accept": "*/*", "User-Agent": "vallum"}


@dataclass(frozen=True)
class Door:
    """The configured login, and a seeded user's `name`. `send` tries a name with a password (vallum_checks._attempts.Elsewhere:
    not part of the deployment); `enters` says whether that let somebody in; `owner` logs the seeded user in as configured, and
    raises Inconclusive where that fails."""

    label: str
    name: str
    send: Callable[[str, str], Answer]
    enters: Callable[[Answer], bool]
    owner: Callable[[], None]


def door(deployment: Deployment, config: Config, caller: Caller) -> Door | str:
    """The configured login, or why wrong passwords cannot be tried at it."""
    environment = config.environment
    login = environment.login if environment is not None else None
    if environment is None or login is None:
        raise Inconclusive("no login is configured")
    if why := _without_password(login):
        return why
    values = {f"secret.{name}": value for name, value in deployment.secrets.items()}
    values |= {f"url.{name}": value for name, value in deployment.urls.items()}
    key, name = _seeded(environment, values)
    user, asked = deployment.users.get(key), _open(login)
    if not name or user is None or asked is None:
        return "it has no field for a user name and a password that could be filled otherwise"
    service, method, path = place(config)
    label = f"{service} {method} {path}"
    if login.kind == "oidc":
        label = f"{login.service} OpenID Connect login"
    elif login.kind == "form":
        label = f"{login.service} form {login.path}"
    if login.kind == "basic":
        url = deployment.urls[service] + path

        def send(username: str, given: str) -> Answer:
            both = base64.b64encode(f"{username}:{given}".encode()).decode()
            return caller.raw(method, url, {**AGENT, login.header: f"Basic {both}"})

        return Door(label, name, send, lambda answer: answer.ok, user.session.again)
    from vallum_checks._attempts import Attempts

    attempts = Attempts(deployment, environment, caller, user.session, asked)
    return Door(label, name, attempts.send, attempts.enters, user.session.again)


def place(config: Config) -> tuple[str, str, str]:
    """Service, method and path of the configured login; of the probe, where nothing else is known to be asked."""
    login = config.environment.login if config.environment is not None else None
    if login is None:
        raise Inconclusive("no login is configured")
    if login.kind in {"json", "form"} and login.path:
        return login.service, login.method, login.path
    token_url = (
        _TOKEN_URL.fullmatch(login.oauth.token_url) if login.kind == "oauth2" and login.oauth is not None else None
    )
    if token_url is not None:
        return token_url["service"] or login.service, "POST", token_url["path"]
    return login.service, "GET", login.probe


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
    from vallum_checks._attempts import Attempt

    service, method, path = (answer.place if isinstance(answer, Attempt) else None) or place(config)
    for surface in surfaces:
        for operation in surface.definition.operations:
            declared = surface.definition.prefix + operation.template
            if (surface.service, operation.method, declared) == (service, method, path):
                return finding(rule, surface, operation, message, answer, parameter)
    return found(rule, service, Location("vallum.toml"), Place(method, path, parameter), message, answer)


def _without_password(login: Login) -> str:
    """Why a login takes no password; empty where it takes one."""
    if login.kind == "header":
        return "it is a fixed header, so there is no password"
    if login.kind == "script":
        return "it is a recorded script, and which of its answers refuses a password is not known"
    if login.kind == "oauth2" and login.oauth is not None and login.oauth.grant != "password":
        return f"the grant {login.oauth.grant} takes no password of a user"
    return ""


def _seeded(environment: Environment, values: Mapping[str, str]) -> tuple[str, str]:
    """Who is tried, by the key in `users` and the name to log in with: the last ordinary one, as the first attacks."""
    from vallum.stage.placeholders import fill

    users, login = environment.users, environment.login
    ordinary = [name for name, user in users.items() if user.role != "admin"] or list(users)
    if ordinary:
        return ordinary[-1], fill(users[ordinary[-1]].username, f"environment.users.{ordinary[-1]}", values)
    if login is None:
        return "", ""
    fields = {**login.json, **login.form}
    name = login.username or next((text for field, text in fields.items() if USERNAME.match(field)), "")
    return "", fill(name, "environment.login", values)


def _open(login: Login) -> Login | None:
    """The login with placeholders for a name and a password, where it is configured for one user; None: it has no such fields."""
    import msgspec

    which = {"json": "json", "form": "form", "oidc": "form"}.get(login.kind)
    if which is None:
        return login
    fields = dict(getattr(login, which))
    for placeholder, pattern in (("{username}", USERNAME), ("{password}", PASSWORD)):
        if not any(placeholder in text for text in fields.values()):
            name = next((name for name in fields if pattern.match(name)), None)
            if name is None:
                return None
            fields[name] = placeholder
    return msgspec.structs.replace(login, **{which: fields})

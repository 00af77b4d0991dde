"""Logging in to a staged deployment, and proving it. A kind of login is one file and one line in KINDS."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from vallum.environments import Environment
from vallum.logins import Login
from vallum.stage.login import basic, form, header, json_request, oauth2, oidc, script
from vallum.stage.login.kind import KEY, Account, Kind
from vallum.stage.login.session import Session, User
from vallum.stage.login.totp import parse
from vallum.stage.placeholders import fill
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope

__all__ = ["KINDS", "Session", "User", "log_in", "log_in_all"]

KINDS: dict[str, Kind] = {
    "basic": basic.KIND,
    "form": form.KIND,
    "header": header.KIND,
    "json": json_request.KIND,
    "oauth2": oauth2.KIND,
    "oidc": oidc.KIND,
    "script": script.KIND,
}
"""By `environment.login.kind`; `none` logs nobody in."""

Quiet = Callable[[], AbstractContextManager[None]]


def log_in_all(
    environment: Environment,
    urls: Mapping[str, str],
    secrets: Mapping[str, str],
    redactor: Redactor,
    quiet: Quiet = nullcontext,
    scope: Scope | None = None,
) -> dict[str, User]:
    """Log in each of `environment.users`, or the one login that names none. Empty where no login is configured.

    `quiet` is for later renewals: during it no log may be written, because a token that is in it is not known yet. `scope` is
    what may be asked, where that is more than the services' addresses.
    """
    login = environment.login
    if login is None or login.kind == "none":
        return {}
    values = {f"secret.{name}": value for name, value in secrets.items()}
    values |= {f"url.{name}": value for name, value in urls.items()}
    if not environment.users:
        session = log_in(login, urls, values, redactor, (KEY, login.username, login.password, login.totp), quiet, scope)
        return {"": User("", "user", session)}
    users = {}
    for name, user in environment.users.items():
        who = (f"environment.users.{name}", user.username, user.password, user.totp or login.totp)
        users[name] = User(name, user.role, log_in(login, urls, values, redactor, who, quiet, scope))
    return users


def log_in(
    login: Login,
    urls: Mapping[str, str],
    values: Mapping[str, str],
    redactor: Redactor,
    who: tuple[str, str, str, str],
    quiet: Quiet = nullcontext,
    scope: Scope | None = None,
) -> Session:
    """Log one user in as configured, and prove it. `who` is the table's key, name, password and second factor, unfilled.

    Only the deployment's services and `environment.login.allow` are asked. Raises Inconclusive where it fails.
    """
    key, username, password, second = who
    known = dict(values)
    if username:
        known["username"] = fill(username, f"{key}.username", values)
        known["password"] = fill(password, f"{key}.password", values)
        redactor.add(known["password"])
    totp = None
    if second:
        secret = fill(second, f"{key}.totp", values)
        redactor.add(secret)
        totp = parse(secret, f"{key}.totp")
        redactor.add(base64.b32encode(totp.key).decode().rstrip("="))
    account = Account(login, urls, redactor, known, totp)
    return Session(account, KINDS[login.kind], (scope or Scope(urls)).with_also(login.allow), quiet)

"""What `[environment.login]` and `[environment.users]` mean: everything that can be wrong is said before anything starts."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import msgspec

from vallum.environments import Environment
from vallum.errors import UserError
from vallum.logins import Login, LoginStep, OAuth
from vallum.stage.login import KINDS
from vallum.stage.login.kind import KEY, texts
from vallum.stage.placeholders import NAME, PATH, fill
from vallum.stage.scope import origin_of

COMMON = ("kind", "service", "probe", "allow", "username", "password", "totp", "headers")
"""The keys that every kind takes."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A field name (RFC 9110, section 5.1)."""
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_URL = re.compile(r"(?:/|https?://|\{url\.)[!-~]*")
_HINT = "see docs/login.md"


def check(environment: Environment, names: Mapping[str, str]) -> None:
    """Raise UserError, with the key, for whatever is wrong. `names` are the placeholders {secret.NAME} and {url.NAME}."""
    login = environment.login
    if login is None or login.kind == "none":
        if environment.users:
            raise UserError("environment.users: nobody can log in without [environment.login]", _HINT)
        return
    _check_keys(login)
    _check_places(login, environment)
    given = dict(names)
    if environment.users or login.username:
        given |= {"username": "", "password": ""}
    if environment.users and (login.username or login.password):
        raise UserError(f"{KEY}.username: the names are in [environment.users]", "write them in one place")
    _check_users(environment, names)
    if login.totp:
        fill(login.totp, f"{KEY}.totp", names)
    if login.totp or (environment.users and all(user.totp for user in environment.users.values())):
        given["totp"] = ""
    for option, value in (("username", login.username), ("password", login.password)):
        fill(value, f"{KEY}.{option}", names)
    for option in ("json", "form"):
        _check_texts(getattr(login, option), f"{KEY}.{option}", given)
    if login.oauth is not None:
        _check_oauth(login, login.oauth, given)
    elif login.kind == "basic" and "username" not in given:
        raise UserError(f"{KEY}: whose name and password? There are no [environment.users]", _HINT)
    captured = _check_steps(login.steps, given)
    _check_headers(login, {**given, **dict.fromkeys(captured, "")}, "token" in captured)


def _check_keys(login: Login) -> None:
    """The keys that a kind needs are there, and none that would mean nothing to it."""
    kind = KINDS[login.kind]
    for name in ("service", "probe", *kind.needs):
        if not getattr(login, name):
            raise UserError(f"{KEY}.{name} is missing: the kind `{login.kind}` needs it", _HINT)
    defaults = Login()
    for field in msgspec.structs.fields(Login):
        known = field.name in {*COMMON, *kind.needs, *kind.takes}
        if not known and getattr(login, field.name) != getattr(defaults, field.name):
            taken = sorted({*kind.needs, *kind.takes})
            raise UserError(
                f"{KEY}.{field.encode_name} means nothing to the kind `{login.kind}`",
                f"besides what every kind takes, it takes {', '.join(taken)}",
            )


def _check_places(login: Login, environment: Environment) -> None:
    if login.service not in environment.services:
        raise UserError(
            f"{KEY}.service: there is no service `{login.service}`", f"known: {', '.join(sorted(environment.services))}"
        )
    for option, value in (("path", login.path), ("probe", login.probe)):
        if (value or option == "probe") and not PATH.fullmatch(value):
            raise UserError(f"{KEY}.{option}: {value!r} is not a path", "begin it with a slash")
    for number, origin in enumerate(login.allow):
        try:
            origin_of(origin)
        except ValueError:
            raise UserError(
                f"{KEY}.allow[{number}]: {origin!r} is no origin", 'such as "https://login.example.com"'
            ) from None


def _check_users(environment: Environment, names: Mapping[str, str]) -> None:
    for name, user in environment.users.items():
        key = f"environment.users.{name}"
        if not NAME.fullmatch(name):
            raise UserError(f"{key}: a user's name has letters, digits, `-`, `_` and `.` only", "rename it")
        for option, value in (("username", user.username), ("password", user.password), ("totp", user.totp)):
            fill(value, f"{key}.{option}", names)


def _check_oauth(login: Login, oauth: OAuth, given: Mapping[str, str]) -> None:
    key = f"{KEY}.oauth"
    needed = ["client_id"]
    needed += ["issuer", "redirect_uri"] if login.kind == "oidc" else ["token_url"]
    if login.kind == "oauth2" and oauth.grant == "refresh_token":
        needed.append("refresh_token")
    encoded = {field.name: field.encode_name for field in msgspec.structs.fields(OAuth)}
    for name in needed:
        if not getattr(oauth, name):
            raise UserError(f"{key}.{encoded[name]} is missing", _HINT)
    for name in ("token_url", "issuer", "redirect_uri"):
        value = getattr(oauth, name)
        if value and not _URL.fullmatch(value):
            raise UserError(f"{key}.{encoded[name]}: {value!r} is no URL", "whole, a path, or one with {url.NAME}")
    if login.kind == "oauth2" and oauth.grant == "password" and "username" not in given:
        raise UserError(f"{key}.grant: whose password? There are no [environment.users]", _HINT)
    for name, path in encoded.items():
        _check_texts(getattr(oauth, name), f"{key}.{path}", given)


def _check_steps(steps: Iterable[LoginStep], given: Mapping[str, str]) -> set[str]:
    """The names that the steps take out of the answers."""
    captured: set[str] = set()
    for number, step in enumerate(steps):
        key = f"{KEY}.steps[{number}]"
        if not _URL.fullmatch(step.url):
            raise UserError(f"{key}.url: {step.url!r} is no URL", "whole, a path, or one with {url.NAME}")
        if sum(map(bool, (step.json, step.form, step.body))) > 1:
            raise UserError(f"{key} sends more than one of json, form and body", "keep one")
        known = {**given, **dict.fromkeys(captured, "")}
        for name in ("url", "headers", "json", "form", "body"):
            _check_texts(getattr(step, name), f"{key}.{name}", known)
        for name, capture in step.capture.items():
            if not _VARIABLE.fullmatch(name):
                raise UserError(f"{key}.capture: {name!r} is no name", "letters, digits, `-` and `_`")
            sources = (capture.json, capture.header, capture.cookie, capture.regex)
            if sum(map(bool, sources)) != 1:
                raise UserError(f"{key}.capture.{name} names not exactly one place", "json, header, cookie or regex")
            _check_regex(capture.regex, f"{key}.capture.{name}.regex")
            captured.add(name)
    return captured


def _check_regex(pattern: str, key: str) -> None:
    try:
        groups = re.compile(pattern).groups
    except re.error as error:
        raise UserError(f"{key}: {error}", "a regular expression as Python reads it") from None
    if pattern and not groups:
        raise UserError(f"{key} has no group", 'the value is what stands in the first group: name="x" value="([^"]+)"')


def _check_headers(login: Login, given: Mapping[str, str], captured: bool) -> None:
    with_token = login.kind in {"json", "oauth2", "oidc"} or captured
    if with_token and "{token}" not in login.value:
        raise UserError(f"{KEY}.value has no {{token}}", 'such as value = "Bearer {token}"')
    value = {**given, "token": ""} if login.kind != "header" else given
    fill(login.value, f"{KEY}.value", value)
    for name in (login.header, *login.headers):
        if not _HEADER.fullmatch(name):
            raise UserError(f"{KEY}.header: {name!r} is not the name of a header", 'such as "Authorization"')
    _check_texts(login.headers, f"{KEY}.headers", given)


def _check_texts(tree: object, key: str, given: Mapping[str, str]) -> None:
    if isinstance(tree, dict):
        for name, value in tree.items():
            _check_texts(value, f"{key}.{name}", given)
        return
    for text in texts(tree):
        fill(text, key, given)

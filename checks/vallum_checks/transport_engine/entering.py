"""Logging in as a person does, for the cookies that come of it: the configured credentials in each login of the definition."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl, urlencode

from vallum.api.model import Request
from vallum.config import Config
from vallum.stage import Deployment
from vallum.stage.calls import Surface
from vallum.stage.login import forms
from vallum.stage.login.conversation import Page
from vallum.stage.placeholders import fill
from vallum_checks.transport_engine.wire import Line, Reply


def credentials(deployment: Deployment, config: Config) -> dict[str, str]:
    """The first user's, by the names of the configured login's fields; empty where no user name and password are configured."""
    environment = config.environment
    if environment is None or environment.login is None:
        return {}
    login = environment.login
    user = next(iter(environment.users.values()), None)
    values = {f"secret.{name}": value for name, value in deployment.secrets.items()}
    for name in ("username", "password"):
        values[name] = fill(getattr(user or login, name), f"environment.login.{name}", values)
    return {
        field: fill(text, f"environment.login.{field}", values)
        for field, text in {**login.json, **login.form}.items()
        if isinstance(text, str) and text in {"{username}", "{password}"}
    }


def log_in(line: Line, surface: Surface, request: Request, given: Mapping[str, str]) -> Reply | None:
    """The login's answer; None where its body does not have the configured login's fields, so that no one could be let in.

    A form's page is fetched first, for its hidden fields and cookies.
    """
    headers = dict(request.headers) | {"Content-Type": request.content_type}
    url = surface.url + request.path
    if "json" in request.content_type:
        body = _object(request.body)
        if not given or not given.keys() <= body.keys():
            return None
        return line.ask(request.operation.method, url, headers, json.dumps(body | dict(given)).encode())
    if "urlencoded" not in request.content_type:
        return None
    form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
    if not given or not given.keys() <= form.keys():
        return None
    page = line.ask("GET", url)
    read = forms.read(Page("GET", url, page.status, dict(page.headers), page.body))
    hidden = {name: value for each in read for name, value in each.fields if name in each.hidden}
    if page.cookies:
        headers["Cookie"] = "; ".join(cookie.partition(";")[0] for cookie in page.cookies)
    return line.ask(request.operation.method, url, headers, urlencode(form | hidden | dict(given)).encode())


def _object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

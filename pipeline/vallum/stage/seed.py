"""Filling a deployment with data, and logging its users in: `populate`, once everything is ready, for every kind of environment.

The seed's command and the requests that name no user come before the login (they may make the users), the others after it.
What fails is Inconclusive: an attack on an empty deployment would prove little and look clean.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from vallum.environments import Environment, Seed, SeedRequest
from vallum.errors import Inconclusive, UserError
from vallum.process import tail
from vallum.stage import leftovers, readiness
from vallum.stage.login import User, log_in_all
from vallum.stage.placeholders import PATH, PLACEHOLDER, fill
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "JAVA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What the command sees of our environment: no token, no proxy, no HOME."""
_METHOD = re.compile(r"[A-Z]{3,10}")
_SAVED = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_Fill = Callable[[str, str], str]


def check(environment: Environment, names: Mapping[str, str]) -> None:
    """Raise UserError, with the key, for what is wrong with `[environment.seed]`. `names` are the known placeholders."""
    seed = environment.seed
    if seed is None:
        return
    for number, word in enumerate(seed.command):
        fill(word, f"environment.seed.command[{number}]", names)
    for variable, value in seed.env.items():
        fill(value, f"environment.seed.env.{variable}", names)
    known = dict(names)
    for request in _ordered(seed):
        key = f"environment.seed.request[{seed.request.index(request)}]"
        if request.service not in environment.services:
            raise UserError(f"{key}.service: there is no service `{request.service}`", "name one of the services")
        if request.user and request.user not in environment.users:
            raise UserError(f"{key}.user: there is no user `{request.user}`", "name one of [environment.users]")
        if not PATH.fullmatch(request.path):
            raise UserError(f"{key}.path: {request.path!r} is not a path", "begin it with a slash")
        if not _METHOD.fullmatch(request.method):
            raise UserError(f"{key}.method: {request.method!r} is no method", "such as POST")
        for name, value in request.headers.items():
            if not _HEADER.fullmatch(name) or any(letter in value for letter in "\r\n\0"):
                raise UserError(f"{key}.headers: {name!r} cannot be a header", "correct it")
        for name in request.save:
            if not _SAVED.fullmatch(name):
                raise UserError(f"{key}.save: {name!r} cannot be a placeholder's name", "letters, digits, `-` and `_`")

        def filled(text: str, where: str, known: Mapping[str, str] = known, key: str = key) -> str:
            return fill(text, f"{key}.{where}", known)

        _texts(request, filled)
        known |= {f"saved.{name}": "" for name in request.save}


def populate(
    environment: Environment,
    root: Path,
    folder: Path,
    urls: Mapping[str, str],
    secrets: Mapping[str, str],
    redactor: Redactor,
    *,
    alive: Callable[[], None],
    quiet: Callable[[], AbstractContextManager[None]] = nullcontext,
    scope: Scope | None = None,
) -> dict[str, User]:
    """Fill the deployment at `urls` with what `[environment.seed]` says, and log its users in; returns them.

    `root` is the target's top, `folder` the state folder of the environment. `alive` raises when a service has ended, `quiet`
    is what log_in_all wants. Raises Inconclusive where anything of it fails.
    """
    seed = environment.seed
    values: dict[str, Any] = {f"url.{name}": url for name, url in urls.items()}
    values |= {f"secret.{name}": value for name, value in secrets.items()}
    scope = scope or Scope(urls)
    if seed is not None and seed.command:
        _run(seed, root, folder, values, redactor, alive)
    with scope.client(counted=False) as client:
        for request in _ordered(seed) if seed is not None else ():
            if not request.user:
                _send(client, request, urls, values, {}, redactor)
        users = log_in_all(environment, urls, secrets, redactor, quiet, scope)
        for request in _ordered(seed) if seed is not None else ():
            if request.user:
                _send(client, request, urls, values, users[request.user].session.header(), redactor)
    return users


def _ordered(seed: Seed) -> list[SeedRequest]:
    """The requests of nobody, then those of users."""
    return sorted(seed.request, key=lambda request: bool(request.user))


def _run(
    seed: Seed, root: Path, folder: Path, values: Mapping[str, str], redactor: Redactor, alive: Callable[[], None]
) -> None:
    key = "environment.seed"
    argv = [fill(word, f"{key}.command", values) for word in seed.command]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    environment |= {name: fill(value, f"{key}.env.{name}", values) for name, value in seed.env.items()}
    environment[leftovers.LABEL] = str(folder)
    with tempfile.TemporaryDirectory(prefix="vallum-seed-") as private:  # what it prints may be a secret
        environment["HOME"] = private
        command = readiness.Command(argv, root, environment, Path(private) / "out.txt")
        code = readiness.run(command, time.monotonic() + seed.seconds, alive)
        said = redactor.text(tail(command.out, 2000))
    if code == 0:
        return
    how = f"did not end within {seed.seconds:g} s" if code is None else f"ended with exit code {code}"
    last = said.splitlines()[-1][:300] if said else "it printed nothing"
    raise Inconclusive(f"seeding failed: {seed.command[0]} {how}: {last}", said)


def _send(
    client: httpx.Client,
    request: SeedRequest,
    urls: Mapping[str, str],
    values: dict[str, Any],
    login: Mapping[str, str],
    redactor: Redactor,
) -> None:
    """Send one request, and keep what it saves in `values`."""
    import httpx

    where = f"{request.service} {request.method} {request.path.partition('?')[0]}"
    known = {name: str(value) for name, value in values.items()}
    in_path = {name: quote(value, safe="") for name, value in known.items()}

    def filled(text: str, place: str) -> str:
        return fill(text, f"environment.seed.request.{place}", in_path if place == "path" else known)

    path, headers, body = _texts(request, filled, values)
    try:
        with client.stream(
            request.method,
            urls[request.service] + path,
            headers={**headers, **login},
            json=body if request.json is not None else None,
        ) as answer:
            content = b""
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER:
                    raise Inconclusive(f"seeding failed: {where} answered more than {MAX_ANSWER} bytes")
    except httpx.HTTPError as error:
        raise Inconclusive(f"seeding failed: {where} did not answer ({type(error).__name__})") from None
    shown = redactor.text(content[:2000].decode("utf-8", "replace"))
    if answer.status_code not in request.expect:
        expected = ", ".join(map(str, request.expect))
        raise Inconclusive(f"seeding failed: {where} answered {answer.status_code}, expected {expected}", shown)
    for name, path in request.save.items():
        values[f"saved.{name}"] = _value(content, path, where, shown)


def _texts(
    request: SeedRequest, filled: _Fill, typed: Mapping[str, Any] | None = None
) -> tuple[str, dict[str, str], Any]:
    """Path, headers and JSON of a request with the placeholders filled in. A text that is one placeholder for a saved value
    becomes that value, a number for instance."""

    def inside(value: Any) -> Any:
        if isinstance(value, str):
            text = filled(value, "json")
            whole = PLACEHOLDER.fullmatch(value)
            return typed.get(whole[1], text) if whole and typed is not None else text
        if isinstance(value, list):
            return [inside(item) for item in value]
        if isinstance(value, dict):
            return {name: inside(item) for name, item in value.items()}
        return value

    headers = {name: filled(value, f"headers.{name}") for name, value in request.headers.items()}
    return filled(request.path, "path"), headers, inside(request.json)


def _value(content: bytes, path: str, where: str, shown: str) -> str | int | float | bool:
    """What stands at a dotted path of a JSON answer; numbers count in lists."""
    import json

    try:
        value: Any = json.loads(content)
    except (ValueError, RecursionError):
        raise Inconclusive(f"seeding failed: {where} answered no JSON, and `{path}` was to be saved", shown) from None
    for part in path.split("."):
        if isinstance(value, dict):
            value = value.get(part)
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            value = None
    if not isinstance(value, str | int | float | bool):
        raise Inconclusive(f"seeding failed: the answer of {where} has no value at `{path}`", shown)
    return value

"""The tables `[environment]` and `[zap]` of `vallum.toml`: what is staged, who logs in to it, what attacks it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vallum.tables import Table


class Ready(Table, frozen=True, kw_only=True):
    """How a service says that it is up, within `seconds`: an HTTP `path` that answers 2xx, or `tcp`, a port that is open, or
    a `command` that ends with 0 (placeholders as in the service's own command)."""

    path: str = "/"
    tcp: bool = False
    command: tuple[str, ...] = ()
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30


class StagedService(Table, frozen=True, kw_only=True):
    """One service of a `process` environment. Placeholders in `command` and `env`: {port} {state} {python} {url.NAME}
    {secret.NAME}."""

    directory: str
    command: tuple[str, ...]
    runtime: Literal["python", "node", "none"] = "none"
    install: str = ""
    env: dict[str, str] = {}
    ready: Ready = Ready()
    depends_on: tuple[str, ...] = ()
    openapi: str = ""


class SecretSource(Table, frozen=True, kw_only=True):
    """Where a secret comes from that is not made for the run. Exactly one: an environment variable `env`, a `file` outside the
    repository, or `vault`, `MOUNT/PATH#KEY` of a Vault's KV store (its address and token from VAULT_ADDR and VAULT_TOKEN)."""

    env: str = ""
    file: str = ""
    vault: str = ""


class EnvironmentUser(Table, frozen=True, kw_only=True):
    """A seeded user who can log in. `username` and `password` fill {username} and {password} in the login; they may name
    {secret.NAME}. `role` is `admin` for users who may call administrators' operations, any other word for ordinary ones."""

    username: str
    password: str
    role: str = "user"


class Login(Table, frozen=True, kw_only=True):
    """How to log in: one HTTP request whose JSON answer holds the token at the dotted path `token`. `probe` is a path that
    answers 2xx with the token and 401 or 403 without. {username} and {password} are those of each of `environment.users`."""

    service: str
    path: str
    method: str = "POST"
    json: dict[str, str] = {}
    token: str = "access_token"  # noqa: S105 - the name of a field
    header: str = "Authorization"
    value: str = "Bearer {token}"
    probe: str


class Environment(Table, frozen=True, kw_only=True):
    """The staged deployment. Only `process` exists so far: each service is a process group of this machine."""

    kind: Literal["process"] = "process"
    secrets: dict[str, Literal["generate"] | SecretSource] = {}
    services: dict[str, StagedService] = {}
    login: Login | None = None
    users: dict[str, EnvironmentUser] = {}


class Zap(Table, frozen=True, kw_only=True):
    """Where a ZAP is: a running daemon's `url` (its key in the environment variable named by `key-env`), else what is found.
    `minutes` is the budget of one active scan, `provide` what may be tried, in order."""

    url: str = ""
    key_env: str = "ZAP_API_KEY"
    image: str = ""
    minutes: Annotated[float, msgspec.Meta(gt=0)] = 10
    provide: tuple[Literal["daemon", "install", "container", "assembled"], ...] = (
        "daemon",
        "install",
        "container",
        "assembled",
    )

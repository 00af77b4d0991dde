"""The tables of logins in `[environment]` of `vallum.toml`: where secrets come from, who logs in, and how."""

from __future__ import annotations

from typing import Any, Literal

from vallum.tables import Table


class SecretSource(Table, frozen=True, kw_only=True):
    """Where a secret comes from that is not made for the run. Exactly one: an environment variable `env`, a `file` outside the
    repository, or `vault`, `MOUNT/PATH#KEY` of a Vault's KV store (its address and token from VAULT_ADDR and VAULT_TOKEN)."""

    env: str = ""
    file: str = ""
    vault: str = ""


class EnvironmentUser(Table, frozen=True, kw_only=True):
    """A seeded user who can log in. `username` and `password` fill {username} and {password} in the login, `totp` (the key of
    the one-time codes, base32 or an otpauth URI) makes {totp}; they may name {secret.NAME}. `role` is `admin` for users who
    may call administrators' operations, any other word for ordinary ones."""

    username: str
    password: str
    totp: str = ""
    role: str = "user"


class OAuth(Table, frozen=True, kw_only=True):
    """For the kinds `oauth2` (`token-url`, `grant`) and `oidc` (`issuer`, `redirect-uri`). A URL is whole, a path of the login's
    service, or names {url.NAME}. `client-auth`: the client's secret in the header or in the body; without a secret the client
    is a public one. `refresh-token` is for its grant; `parameters` go to the token endpoint besides."""

    grant: Literal["client_credentials", "password", "refresh_token"] = "client_credentials"
    token_url: str = ""
    issuer: str = ""
    redirect_uri: str = ""
    client_id: str = ""
    client_secret: str = ""
    client_auth: Literal["basic", "body"] = "basic"
    scope: str = ""
    refresh_token: str = ""
    parameters: dict[str, str] = {}


class Capture(Table, frozen=True, kw_only=True):
    """Where a value stands in an answer. Exactly one: a dotted path in its `json`, a `header`, a `cookie`, or a `regex` whose
    first group it is."""

    json: str = ""
    header: str = ""
    cookie: str = ""
    regex: str = ""


class LoginStep(Table, frozen=True, kw_only=True):
    """A request of a login `script`. It sends `json`, `form` (urlencoded) or `body`; `status` lists what it may answer (empty:
    2xx and 3xx); `follow` follows redirects; `capture` names values of the answer for what comes after."""

    url: str
    method: str = "GET"
    headers: dict[str, str] = {}
    json: dict[str, Any] = {}
    form: dict[str, str] = {}
    body: str = ""
    status: tuple[int, ...] = ()
    follow: bool = False
    capture: dict[str, Capture] = {}


class Login(Table, frozen=True, kw_only=True):
    """How to log in (docs/login.md). `probe` is a path of `service` that answers 2xx with the login and 401 or 403 without.
    {username}, {password} and {totp} are those of each of `environment.users`, or the ones given here. `allow` lists origins
    outside the deployment that the login may ask: an identity provider. Which of the other keys mean something, `kind` says.

    `json`: `method` `path` with the body `json`, the token at the dotted path `token` of the answer, or cookies where that is
    empty. `form`: the HTML form at `path`, its fields `form`. `value` of `header`, and `headers` besides, make a request a
    logged-in one; `cookies` sends the login's cookies besides a token."""

    kind: Literal["none", "header", "basic", "form", "json", "oauth2", "oidc", "script"] = "json"
    service: str = ""
    probe: str = ""
    allow: tuple[str, ...] = ()
    username: str = ""
    password: str = ""
    totp: str = ""
    path: str = ""
    method: str = "POST"
    json: dict[str, str] = {}
    form: dict[str, str] = {}
    token: str = "access_token"  # noqa: S105 - the name of a field
    header: str = "Authorization"
    value: str = "Bearer {token}"
    headers: dict[str, str] = {}
    cookies: bool = False
    oauth: OAuth | None = None
    steps: tuple[LoginStep, ...] = ()

"""`oauth2`: a token from a token endpoint (RFC 6749): client credentials, password, or refresh token.

`expires_in` is read. A renewal uses the refresh token where one came (section 6), and logs in anew where that is refused.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from urllib.parse import quote_plus

from vallum.errors import Inconclusive
from vallum.logins import Login, OAuth
from vallum.stage.login import basic
from vallum.stage.login.conversation import Conversation, Page
from vallum.stage.login.kind import KEY, Account, Credentials, Kind, dig, token_in

OAUTH = f"{KEY}.oauth"


def settings_of(login: Login) -> OAuth:
    """The table `[environment.login.oauth]`; `settings.check` has seen that it is there."""
    if login.oauth is None:
        raise AssertionError("checked before")
    return login.oauth


def url(account: Account, text: str, key: str) -> str:
    """A URL of the table: whole, with {url.NAME}, or a path of the login's service."""
    filled = account.fill(text, f"{OAUTH}.{key}")
    return account.url + filled if filled.startswith("/") else filled


def ask(account: Account, talk: Conversation, endpoint: str, fields: dict[str, str]) -> Credentials:
    """One request to the token endpoint, and what it gave. Raises Inconclusive where it gave no bearer token."""
    oauth = settings_of(account.login)
    client = account.fill(oauth.client_id, f"{OAUTH}.client-id")
    secret = account.fill(oauth.client_secret, f"{OAUTH}.client-secret")
    headers = {"Accept": "application/json"}
    sent = {
        **fields,
        **{name: account.fill(text, f"{OAUTH}.parameters.{name}") for name, text in oauth.parameters.items()},
    }
    if not secret:
        sent["client_id"] = client
    elif oauth.client_auth == "basic":  # section 2.3.1: both are form-urlencoded first
        account.learn(secret)
        headers["Authorization"] = basic.encode(account, quote_plus(client), quote_plus(secret))
    else:
        sent |= {"client_id": client, "client_secret": account.learn(secret)}
    page = talk.post_form(endpoint, list(sent.items()), headers)
    if not page.ok:
        raise account.refused(page, f"answers {page.status}{_error(page)}")
    answer = page.json()
    given = {name: value for name in ("access_token", "refresh_token", "id_token") if (value := _text(answer, name))}
    for value in given.values():
        account.learn(value)
    token = token_in(account, page, account.login.token)
    type_ = dig(answer, "token_type")
    if not isinstance(type_, str) or type_.lower() != "bearer":
        raise account.refused(page, "gives a token that is no bearer token")
    expires_in = _seconds(dig(answer, "expires_in"))
    return replace(
        account.credentials(talk, token),
        refresh_token=given.get("refresh_token", ""),
        id_token=given.get("id_token", ""),
        expires=None if expires_in is None else time.monotonic() + expires_in,
    )


def refresh(account: Account, talk: Conversation, endpoint: str, token: str) -> Credentials:
    """Section 6: a new token for a refresh token. One that is not replaced goes on being used."""
    oauth = settings_of(account.login)
    fields = {"grant_type": "refresh_token", "refresh_token": account.learn(token)}
    if oauth.scope and oauth.grant == "refresh_token":
        fields["scope"] = oauth.scope
    got = ask(account, talk, endpoint, fields)
    return got if got.refresh_token else replace(got, refresh_token=token)


def _log_in(account: Account, talk: Conversation) -> Credentials:
    oauth = settings_of(account.login)
    endpoint = url(account, oauth.token_url, "token-url")
    if oauth.grant == "refresh_token":
        return refresh(account, talk, endpoint, account.fill(oauth.refresh_token, f"{OAUTH}.refresh-token"))
    fields: dict[str, str] = {"grant_type": oauth.grant}
    if oauth.grant == "password":
        fields |= {name: account.values[name] for name in ("username", "password")}
    if oauth.scope:
        fields["scope"] = oauth.scope
    return ask(account, talk, endpoint, fields)


def _renew(account: Account, talk: Conversation, held: Credentials) -> Credentials:
    try:
        return refresh(
            account, talk, url(account, settings_of(account.login).token_url, "token-url"), held.refresh_token
        )
    except Inconclusive:
        return _log_in(account, talk)  # it says itself why not, where it fails too


def _text(answer: object, name: str) -> str:
    value = dig(answer, name)
    return value if isinstance(value, str) else ""


def _seconds(value: object) -> float | None:
    """`expires_in` is a number (section 5.1); some servers write it as text."""
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
        return float(value)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _error(page: Page) -> str:
    """The error code of section 5.2, where there is one."""
    error = dig(page.json(), "error")
    return f" ({error})" if isinstance(error, str) and re.fullmatch(r"[a-z_]{1,40}", error) else ""


KIND = Kind(
    needs=("oauth",),
    takes=("token", "header", "value", "cookies"),
    log_in=_log_in,
    renew=_renew,
)

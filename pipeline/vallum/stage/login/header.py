"""`header`: a fixed header, such as an API key or a token that was issued beforehand. Nothing is asked; the probe proves it."""

from __future__ import annotations

from vallum.stage.login.conversation import Conversation
from vallum.stage.login.kind import KEY, Account, Credentials, Kind


def _log_in(account: Account, _talk: Conversation) -> Credentials:
    login = account.login
    value = account.fill(login.value, f"{KEY}.value")
    scheme, _, token = value.partition(" ")
    bearer = token.strip() if scheme.lower() == "bearer" else ""
    account.learn(bearer or value)
    more = {name: account.fill(text, f"{KEY}.headers.{name}") for name, text in login.headers.items()}
    return Credentials({**more, login.header: value}, bearer)


KIND = Kind(needs=("value",), takes=("header",), log_in=_log_in)

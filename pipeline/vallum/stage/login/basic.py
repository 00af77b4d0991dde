"""`basic`: name and password with each request (RFC 7617, UTF-8). Nothing is asked; the probe proves it."""

from __future__ import annotations

import base64

from vallum.errors import Inconclusive
from vallum.stage.login.conversation import Conversation
from vallum.stage.login.kind import KEY, Account, Credentials, Kind


def encode(account: Account, name: str, secret: str) -> str:
    """The value of the header, known to the redactor."""
    return f"Basic {account.learn(base64.b64encode(f'{name}:{secret}'.encode()).decode())}"


def _log_in(account: Account, _talk: Conversation) -> Credentials:
    name, password = account.values.get("username", ""), account.values.get("password", "")
    if ":" in name:
        raise Inconclusive("cannot log in: a name with a colon cannot be sent by HTTP Basic (RFC 7617)")
    more = {key: account.fill(text, f"{KEY}.headers.{key}") for key, text in account.login.headers.items()}
    return Credentials({**more, account.login.header: encode(account, name, password)})


KIND = Kind(needs=(), takes=("header",), log_in=_log_in)

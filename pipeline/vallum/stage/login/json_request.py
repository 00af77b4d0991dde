"""`json`, the default: one request with a JSON body, whose JSON answer holds the token at the dotted path `token`.

With `token = ""` the cookies that the answer sets are the session.
"""

from __future__ import annotations

from vallum.stage.login.conversation import Conversation
from vallum.stage.login.kind import KEY, Account, Credentials, Kind, token_in


def _log_in(account: Account, talk: Conversation) -> Credentials:
    login = account.login
    body = account.fill_all(login.json, f"{KEY}.json")
    page = talk.post_json(login.method, account.url + login.path, body)
    if not page.ok:
        raise account.refused(page)
    return account.credentials(talk, token_in(account, page, login.token) if login.token else "")


KIND = Kind(needs=("path",), takes=("method", "json", "token", "header", "value", "cookies"), log_in=_log_in)

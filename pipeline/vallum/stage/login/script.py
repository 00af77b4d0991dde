"""`script`: a recorded list of requests, with values taken out of each answer for the requests after it.

Where a value named `token` was taken, it makes the header; otherwise the cookies are the session. Other values are used in
`value` and `headers` by their names.
"""

from __future__ import annotations

import re

from vallum.errors import Inconclusive
from vallum.logins import Capture, LoginStep
from vallum.stage.login.conversation import Conversation, Page
from vallum.stage.login.kind import KEY, Account, Credentials, Kind, dig


def _log_in(account: Account, talk: Conversation) -> Credentials:
    before = dict(account.values)
    try:
        for number, step in enumerate(account.login.steps):
            key = f"{KEY}.steps[{number}]"
            page = _send(account, talk, step, key)
            allowed = page.status in step.status if step.status else 200 <= page.status < 400
            if not allowed:
                raise account.refused(page, f"(step {number + 1}) answers {page.status}")
            for name, capture in step.capture.items():
                account.values[name] = _take(account, talk, page, name, capture)
        return account.credentials(talk, account.values.get("token", ""))
    finally:
        account.values = before  # a renewal takes them anew


def _send(account: Account, talk: Conversation, step: LoginStep, key: str) -> Page:
    filled = account.fill_all(
        {"url": step.url, "headers": step.headers, "json": step.json, "form": step.form, "body": step.body}, key
    )
    url = account.url + filled["url"] if filled["url"].startswith("/") else filled["url"]
    headers, method = filled["headers"], step.method
    if filled["json"]:
        page = talk.post_json(method, url, filled["json"], headers)
    elif filled["form"]:
        page = talk.post_form(url, list(filled["form"].items()), headers, method)
    else:
        page = talk.request(method, url, headers=headers, body=filled["body"].encode())
    return talk.follow(page) if step.follow else page


def _take(account: Account, talk: Conversation, page: Page, name: str, capture: Capture) -> str:
    """The value that `capture` names. Raises Inconclusive where it is not there, or would break out of a header."""
    found: object = None
    if capture.json:
        found = dig(page.json(), capture.json)
        found = str(found) if isinstance(found, int | float) and not isinstance(found, bool) else found
    elif capture.header:
        found = page.headers.get(capture.header.lower())
    elif capture.cookie:
        found = talk.cookie(capture.cookie)
    elif match := re.search(capture.regex, page.text):
        found = match[1]
    if not isinstance(found, str) or not found or any(letter < " " or letter == "\x7f" for letter in found):
        raise Inconclusive(f"cannot log in: the answer of {account.login.service} {page.where} holds no `{name}`")
    return account.learn(found) if name == "token" else account.learn_captured(found)


KIND = Kind(needs=("steps",), takes=("header", "value", "cookies"), log_in=_log_in)

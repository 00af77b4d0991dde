"""A token that was issued to one of our users: what can be known of it without sending it, its end and its key."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from vallum_checks.authentication_engine import guessable, tokens

if TYPE_CHECKING:
    from vallum.check import Context
    from vallum.stage import Deployment
    from vallum.stage.login import User

_FIND_JWT = re.compile(r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Key:
    """The key that signs tokens, where it was found. `weak` says where, if others can find it there too."""

    value: bytes | None = None
    weak: str = ""
    notes: tuple[str, ...] = ()


def token_of(user: User) -> str:
    """What makes a user's requests logged-in ones, as it stands in the header: a JWT, a token, or the longest cookie."""
    headers = user.session.header()
    for value in headers.values():
        if match := _FIND_JWT.search(value):
            return match[0]
    if user.session.token:
        return user.session.token
    if cookies := headers.get("Cookie", ""):
        return max((cookie.partition("=")[2] for cookie in cookies.split("; ")), key=len)
    return max((value.rpartition(" ")[2] for value in headers.values()), key=len)


def too_long(jwt: tokens.Jwt, most: float) -> str:
    """What is wrong with the end of a token that may live for `most` hours; empty where nothing is."""
    begin, end = (jwt.claims.get(name) for name in ("iat", "exp"))
    if not isinstance(end, int | float):
        return "tokens are issued without an end (`exp`)"
    hours = (end - (begin if isinstance(begin, int | float) else time.time())) / 3600
    return f"tokens live for {hours:.0f} hours, more than {most:.0f}" if hours > most else ""


def find_key(jwt: tokens.Jwt, deployment: Deployment, ctx: Context) -> Key:
    """Look for the key: in lists and names, in the files of the target, and among the run's own secrets."""
    fits = tokens.finds(jwt)
    count = 0
    for word in guessable.from_lists(guessable.names(ctx.config, tuple(deployment.urls))):
        count += 1
        for key in tokens.spellings(word):
            if fits(key):
                return Key(key, "is on the list of guessable keys")
    for word, path in guessable.from_files(ctx.target):
        count += 1
        for key in tokens.spellings(word):
            if fits(key):
                return Key(key, f"stands in {path}")
    tried = f"{count} guessable keys were tried on the token, without sending them"
    for secret in deployment.secrets.values():
        for key in tokens.spellings(secret):
            if fits(key):  # ours: it lets us sign what must be refused, and is no finding
                said = "the key is one of the run's own secrets: tokens that must be refused were signed with it"
                return Key(key, notes=(tried, said))
    return Key(notes=(tried,))

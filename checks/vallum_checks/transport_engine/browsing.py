"""What headers of answers say: cookies, Strict-Transport-Security, caches, credentials in addresses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, urlsplit

from vallum_checks.transport_engine import rules
from vallum_checks.transport_engine.tls import Weakness
from vallum_checks.transport_engine.wire import Reply

LEAST_AGE = 15_552_000
"""180 days in seconds; RFC 6797 names no figure, browsers' preload list wants a year."""
_SESSION = re.compile(r"sess|sid$|auth|token|jwt|login|remember", re.IGNORECASE)
_NO_SESSION = re.compile(r"csrf|xsrf", re.IGNORECASE)
_JWT = re.compile(r"eyJ[\w-]{5,}\.[\w-]{2,}\.")
SECRET = re.compile(
    r"(access|auth|id|refresh|bearer|session)[_-]?token|token|jwt|api[_-]?key|passw(or)?d|pwd|client[_-]?secret|secret"
    r"|session([_-]?id)?|sid|authorization",
    re.IGNORECASE,
)
"""Whole names of parameters that carry a credential; `page_token` and the like do not."""


def cookies(reply: Reply, *, https: bool) -> Iterator[tuple[str, Weakness]]:
    """Name of each session cookie that lacks an attribute, and the weakness."""
    for cookie in reply.cookies:
        first, *rest = [part.strip() for part in cookie.split(";")]
        name, _, value = first.partition("=")
        flags = {part.partition("=")[0].strip().lower(): part.partition("=")[2].strip().lower() for part in rest}
        if not value.strip('"') or flags.get("max-age") in {"0", "-1"} or "1970" in flags.get("expires", ""):
            continue  # it is being deleted
        if _NO_SESSION.search(name) or not (_SESSION.search(name) or _JWT.match(value)):
            continue
        if "httponly" not in flags:
            yield name, Weakness(rules.COOKIE_HTTPONLY, f"cookie {name}")
        if https and "secure" not in flags:
            yield name, Weakness(rules.COOKIE_SECURE, f"cookie {name}")
        if flags.get("samesite") not in {"lax", "strict"} and not (
            flags.get("samesite") == "none" and "secure" in flags
        ):
            yield name, Weakness(rules.COOKIE_SAMESITE, f"cookie {name}")


def hsts(reply: Reply) -> Weakness | None:
    """What is wrong with Strict-Transport-Security of an https answer."""
    value = reply.header("strict-transport-security")
    if not value:
        return Weakness(rules.NO_HSTS, "no Strict-Transport-Security")
    age = re.search(r'(?:^|;)\s*max-age\s*=\s*"?(\d+)"?\s*(?:;|$)', value, re.IGNORECASE)
    if age is None:
        return Weakness(rules.NO_HSTS, "Strict-Transport-Security has no max-age")
    seconds = int(age[1][:18])  # longer ones are centuries, and int() refuses thousands of digits
    if seconds < LEAST_AGE:
        return Weakness(rules.SHORT_HSTS, f"max-age is {seconds} seconds")
    return None


def shared_cache(reply: Reply) -> Weakness | None:
    """Whether a logged-in answer tells shared caches to keep it."""
    words = {part.strip().partition("=")[0].lower() for part in reply.header("cache-control").split(",")}
    loud = sorted(words & {"public", "s-maxage"})
    if 200 <= reply.status < 300 and loud and not words & {"no-store", "private"}:
        return Weakness(rules.SHARED_CACHE, f"Cache-Control has {' and '.join(loud)}")
    return None


def secrets_in(names: Iterable[str]) -> list[str]:
    """The names of query parameters that carry a credential."""
    return sorted({name for name in names if SECRET.fullmatch(name)})


def redirected_secrets(reply: Reply) -> list[str]:
    """Credentials in the address that an answer leads to, also behind `#`, where scripts find it."""
    parts = urlsplit(reply.header("location"))
    pairs = [*parse_qsl(parts.query), *parse_qsl(parts.fragment)]
    return secrets_in(name for name, value in pairs if value)

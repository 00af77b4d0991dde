"""An organisation's policy under the repository's: the repository can tighten it, and loosen only what it allows.

The file is TOML with `[policy]` and `[checks.NAME] require` as in vallum.toml, and `[organisation] allow = ["policy.sla", …]`.
It is named in the repository's `[organisation]` by `file` (a path), or by an https `url` with its `sha256`. What is fetched
is kept in the user's cache by digest, and the digest is compared at each use. The fetching of https is unverified: no such
address could be reached where this was written; it is tested over http, which is taken for this machine only.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vallum.errors import UserError

MAX_FILE = 1 << 20
"""Bytes of an organisation's file."""
DEADLINE = 20.0
"""Seconds to connect, and for each answer."""
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
_REQUIRE = ("off", "optional", "required")
Table = Mapping[str, Any]


def fetch(settings: Table, root: Path) -> tuple[str, bytes]:
    """The organisation's file that `[organisation]` names: its name for messages, and its bytes. Raises UserError."""
    file, url, digest = (str(settings.get(key, "")) for key in ("file", "url", "sha256"))
    if bool(file) == bool(url):
        raise UserError("[organisation] names either a `file` or a `url`", "see docs/policy.md")
    if digest and not re.fullmatch(r"[0-9a-f]{64}", digest):
        raise UserError("[organisation] sha256 is no SHA-256", "64 hexadecimal digits in small letters")
    if url and not digest:
        raise UserError("[organisation] url needs its `sha256`", "an unpinned address could change the policy at will")
    name = url or file
    data = _cached(url, digest) if url else _file(root / file, file)
    if digest and hashlib.sha256(data).hexdigest() != digest:
        raise UserError(f"{name} is not the file that sha256 names", f"it has {hashlib.sha256(data).hexdigest()}")
    return name, data


def parse(name: str, data: bytes) -> dict[str, Any]:
    """The file as a table. Only what can be held to is taken: `policy`, `checks.NAME.require` and `organisation.allow`."""
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{name}: {error}", "repair the organisation's file") from None
    for key in table:
        if key not in {"policy", "checks", "organisation"}:
            raise UserError(f"{name}: unknown key `{key}`", "known: policy, checks, organisation")
    own = table.get("organisation", {})
    if not isinstance(own, dict) or set(own) - {"allow"} or not _texts(own.get("allow", [])):
        raise UserError(f"{name}: [organisation] holds only `allow`, a list of keys", 'such as ["policy.sla"]')
    checks = table.get("checks", {})
    if not isinstance(checks, dict) or any(
        not isinstance(each, dict) or set(each) - {"require"} for each in checks.values()
    ):
        raise UserError(f"{name}: a check may only have `require` here", "the rest is the repository's")
    return table


def combine(own: Table, theirs: Table, refuse: Callable[[str, str], UserError]) -> dict[str, Any]:
    """The repository's table (`own`) on the organisation's; both are valid. `refuse(key, why)` makes a loosening's error."""
    allowed = frozenset(theirs.get("organisation", {}).get("allow", ()))

    def check(key: str, loose: str) -> None:
        if loose and key not in allowed:
            raise refuse(key, loose)

    policy = _policy(dict(own.get("policy", {})), dict(theirs.get("policy", {})), check)
    checks = {name: dict(each) for name, each in own.get("checks", {}).items()}
    for name, each in theirs.get("checks", {}).items():
        wanted = each.get("require")
        if wanted is None:
            continue
        given = checks.setdefault(name, {}).get("require", wanted)
        check(f"checks.{name}.require", "" if _rank(given) >= _rank(wanted) else f"{given!r}, they say {wanted!r}")
        checks[name]["require"] = given
    narrowed = {"exclude": own, **{f"checks.{name}.exclude": each for name, each in own.get("checks", {}).items()}}
    for key, table in narrowed.items():
        check(key, f"{', '.join(table['exclude'])} would not be looked at" if table.get("exclude") else "")
    return {**own, "policy": policy, "checks": checks}


def _policy(own: dict[str, Any], theirs: dict[str, Any], check: Callable[[str, str], None]) -> dict[str, Any]:
    merged = {**theirs, **own}
    for key, wanted in theirs.items():
        given = own.get(key)
        if given is None:
            continue
        if key == "block":
            check(f"policy.{key}", _lacks(given, wanted))
        elif key in _TIGHTER:
            check(f"policy.{key}", "" if _TIGHTER[key](given, wanted) else f"{given!r}, they say {wanted!r}")
        elif key == "sla":
            for severity, days in wanted.items():
                later = severity in given and given[severity] > days
                check("policy.sla", f"{severity} within {given[severity]} days, they say {days}" if later else "")
            merged[key] = {**wanted, **given}
        elif key in {"stages", "tiers"}:
            for name, table in wanted.items():
                if name in given:
                    check(f"policy.{key}", _lacks(given[name].get("block", ()), table.get("block", ())))
            merged[key] = {**wanted, **given}
        elif key in {"rule", "quorum", "vex"}:
            merged[key] = [*wanted, *given]
    # a stage's own thresholds stand in for the general ones, which they must not fall behind
    for name, table in own.get("stages", {}).items():
        if "block" in theirs and name not in theirs.get("stages", {}):
            check("policy.stages", _lacks(table.get("block", ()), theirs["block"]))
    if own.get("new-only") and not theirs.get("new-only"):
        check("policy.new-only", "only new findings would block")
    if own.get("quorum"):
        check("policy.quorum", "a quorum makes its checks optional one by one")
    if own.get("vex"):
        check("policy.vex", "statements let findings through")
    taken = {rule.get("name") for rule in theirs.get("rule", ())}
    for rule in own.get("rule", ()):
        if rule.get("name") in taken:
            raise UserError(
                f"the organisation has a rule {rule['name']!r} already", "give the repository's another name"
            )
    if any(rule.get("action") == "pass" for rule in own.get("rule", ())):
        check("policy.rule", 'a rule with action = "pass" lets findings through')
    return merged


_TIGHTER: Mapping[str, Callable[[Any, Any], bool]] = {
    "unknown": lambda given, wanted: given == "block" or wanted == "warn",
    "suppressions": lambda given, wanted: given == "forbid" or wanted == "count",
    "max-suppressions": lambda given, wanted: given <= wanted,
    "max-waiver-days": lambda given, wanted: given <= wanted,
    "coverage-min": lambda given, wanted: given >= wanted,
    "operations-min": lambda given, wanted: all(_floor(given, tier) >= _floor(wanted, tier) for tier in _TIERS),
    "new-only": lambda given, wanted: bool(wanted) or not given,
}


_TIERS: tuple[str, ...] = ("critical", "standard", "low")


def _floor(asked: Any, tier: str) -> float:
    """What `operations-min` asks for in a tier."""
    return float(asked.get(tier, 0)) if isinstance(asked, Mapping) else float(asked)


def _lacks(given: Any, wanted: Any) -> str:
    missing = [each for each in wanted if each not in given]
    return f"{', '.join(missing)} would not block" if missing else ""


def _rank(require: str) -> int:
    return _REQUIRE.index(require)


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(each, str) for each in value)


def _file(path: Path, name: str) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_FILE + 1)
    except OSError as error:
        raise UserError(
            f"the organisation's policy {name} cannot be read: {error.strerror}", "see [organisation]"
        ) from None
    return _bounded(data, name)


def _bounded(data: bytes, name: str) -> bytes:
    if len(data) > MAX_FILE:
        raise UserError(f"{name} has over {MAX_FILE} bytes", "that is no policy")
    return data


def _cached(url: str, digest: str) -> bytes:
    """From the cache where its digest is right, else fetched anew. A cache that cannot be written is done without."""
    base = os.environ.get("VALLUM_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    kept = Path(base) / ("organisation" if os.environ.get("VALLUM_CACHE") else "vallum/organisation") / f"{digest}.toml"
    with contextlib.suppress(OSError):
        data = kept.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            return data
    data = _download(url)
    if hashlib.sha256(data).hexdigest() == digest:
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=kept.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(temporary, kept)
    return data


def _download(url: str) -> bytes:
    import httpx

    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in LOOPBACK):
        raise UserError(f"{url}: only https", "the organisation's policy decides what passes")
    data = bytearray()
    try:
        with httpx.stream("GET", url, timeout=DEADLINE, follow_redirects=False) as answer:
            if answer.status_code != httpx.codes.OK:
                raise UserError(
                    f"{url} answers {answer.status_code}", "without the organisation's policy there is no verdict"
                )
            for chunk in answer.iter_bytes():
                data += chunk
                _bounded(bytes(data[: MAX_FILE + 1]), url)
    except httpx.HTTPError as error:
        raise UserError(
            f"{url} cannot be fetched: {error}", "without the organisation's policy there is no verdict"
        ) from None
    return bytes(data)

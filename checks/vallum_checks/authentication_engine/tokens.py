"""JSON Web Tokens (RFC 7519) that were not issued: what an attacker makes of one, or signs with a key that he guessed."""

from __future__ import annotations

import base64
import binascii
import functools
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

HASHES = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
NONES = ("none", "None", "NONE", "nOnE")
"""RFC 7515 compares names of algorithms by case; libraries that forbade only `none` fell to the others."""
LONG_AGO = 30 * 86400
"""Seconds that an expired token is past its end: more than any leeway."""
EMPTY_FILES = ("../" * 20 + "dev/null", "/dev/null")
"""Key ids that a service which reads keys from files finds, and finds empty."""


@dataclass(frozen=True)
class Jwt:
    """A signed token, taken apart."""

    raw: str
    header: Mapping[str, Any]
    claims: Mapping[str, Any]

    @property
    def algorithm(self) -> str:
        """As its header says."""
        return str(self.header.get("alg", ""))

    @property
    def signed(self) -> bytes:
        """What the signature is of."""
        return self.raw.rpartition(".")[0].encode()

    @property
    def signature(self) -> bytes:
        """Its bytes; empty where they cannot be read."""
        return _bytes(self.raw.rpartition(".")[2]) or b""


@dataclass(frozen=True)
class Form:
    """A token that must be refused. `rule` is the rule that it would break, `what` completes `… is accepted`."""

    rule: str
    what: str
    token: str


def parse(token: str) -> Jwt | None:
    """The token taken apart; None for one of another kind."""
    parts = token.split(".")
    if len(parts) != 3 or not parts[2]:
        return None
    try:
        header, claims = (json.loads(_bytes(part) or b"") for part in parts[:2])
    except (ValueError, RecursionError):
        return None
    return Jwt(token, header, claims) if isinstance(header, dict) and isinstance(claims, dict) else None


def changed(jwt: Jwt) -> tuple[Form, ...]:
    """The token with another signature, and with other claims under its signature."""
    first, rest = jwt.raw.rpartition(".")[0], jwt.signature
    claims = {**jwt.claims, "vallum": "changed"}
    payload = f"{jwt.raw.split('.')[0]}.{_part(claims)}.{jwt.raw.rpartition('.')[2]}"
    return (
        Form("signature", "a token whose signature was changed", f"{first}.{encoded(_flipped(rest))}"),
        Form("signature", "a token whose claims were changed under its signature", payload),
    )


def unsigned(jwt: Jwt) -> Iterator[Form]:
    """The token with `alg: none` in each spelling, and with its algorithm but no signature."""
    for name in NONES:
        header = {**jwt.header, "alg": name}
        yield Form("alg-none", f"a token with `alg: {name}`", f"{_part(header)}.{_part(jwt.claims)}.")
    yield Form("signature", "a token without its signature", jwt.raw.rpartition(".")[0] + ".")


def keyed(jwt: Jwt) -> Iterator[Form]:
    """Tokens that name their own key: an empty one by a path, one by SQL, the empty one, and one that they carry along."""
    yield Form("foreign-key", "a token signed with an empty key", hs(jwt.header, jwt.claims, b""))
    for path in EMPTY_FILES:
        header = {**jwt.header, "kid": path}
        yield Form("foreign-key", "a token whose `kid` leads to an empty file", hs(header, jwt.claims, b""))
    header = {**jwt.header, "kid": "vallum' UNION SELECT 'vallum"}
    yield Form("foreign-key", "a token whose `kid` makes up its key in SQL", hs(header, jwt.claims, b"vallum"))
    yield Form("foreign-key", "a token that brings its own key (`jwk`)", _own_key(jwt))


def confused(jwt: Jwt, keys: Iterable[bytes]) -> Iterator[Form]:
    """RS256 → HS256 (RFC 8725, section 2.1): signed with the text of the public key as if it were a shared one."""
    for key in keys:
        yield Form(
            "foreign-key", "a token signed by HMAC with the text of the public key", hs(jwt.header, jwt.claims, key)
        )


def broken() -> tuple[str, ...]:
    """What is no token at all, each in another way: an error here must be a refusal, not a failure of the service."""
    stranger = {"alg": "HS256", "typ": "JWT", "kid": "vallum-no-such-key"}
    return (
        "vallum",
        "e30.e30.e30",
        f"{_part([])}.{_part([])}.{encoded(b'vallum')}",
        f"{_part({'alg': 'vallum'})}.{_part({'sub': {}})}.{encoded(b'vallum')}",
        hs(stranger, {"sub": "1"}, secrets.token_bytes(32)),
    )


def resigned(jwt: Jwt, key: bytes) -> Iterator[Form]:
    """Where the key is known: tokens that are signed as they should be and must be refused all the same."""
    now = int(time.time())
    past = {**jwt.claims, "iat": now - LONG_AGO - 3600, "exp": now - LONG_AGO}
    past.pop("nbf", None)
    yield Form("expiry", "a token that has expired", hs(jwt.header, past, key))
    if "exp" in jwt.claims:
        endless = {name: value for name, value in jwt.claims.items() if name != "exp"}
        yield Form("expiry", "a token without `exp`", hs(jwt.header, endless, key))
    for name, word in (("aud", "for another audience"), ("iss", "of another issuer")):
        if name in jwt.claims:
            other = {**jwt.claims, name: "vallum-somebody-else"}
            yield Form("audience", f"a token {word} (`{name}`)", hs(jwt.header, other, key))


def promoted(jwt: Jwt, key: bytes) -> str:
    """The same user, signed with a key that was found, as an administrator where the token speaks of a role."""
    roles = {name: "admin" for name in ("role", "roles", "scope") if isinstance(jwt.claims.get(name), str)}
    return hs(jwt.header, {**jwt.claims, **roles}, key)


def opaque(token: str) -> tuple[Form, ...]:
    """What must be refused where tokens are of another kind: one letter other, cut short, made up."""
    middle = len(token) // 2
    letter = "a" if token[middle] != "a" else "b"
    made_up = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in token)
    return (
        Form("invalid-token", "a token with one letter changed", token[:middle] + letter + token[middle + 1 :]),
        Form("invalid-token", "a token that was cut short", token[: max(1, middle)]),
        Form("invalid-token", "a token that was made up", made_up),
    )


def nobody() -> tuple[Form, ...]:
    """Name and password of a made-up user, as HTTP Basic has them (RFC 7617)."""
    both = f"v{secrets.token_hex(12)}:{secrets.token_hex(12)}".encode()
    return (Form("invalid-token", "a made-up user's name and password", base64.b64encode(both).decode()),)


def finds(jwt: Jwt) -> Callable[[bytes], bool]:
    """A quick test of whether a key is the one that signed `jwt`; always no where it is not signed by HMAC."""
    digest = HASHES.get(jwt.algorithm)
    if digest is None:
        return lambda _: False
    signed, signature = jwt.signed, jwt.signature
    name = digest().name
    return lambda key: hmac.digest(key, signed, name) == signature


def spellings(word: str) -> Iterator[bytes]:
    """A key as bytes: as it stands, and what it means in base64, as some libraries take it."""
    yield word.encode("utf-8", "replace")
    if len(word) >= 16 and len(word) % 4 == 0:
        try:
            yield base64.b64decode(word, validate=True)
        except (binascii.Error, ValueError):
            return


def hs(header: Mapping[str, Any], claims: Mapping[str, Any], key: bytes) -> str:
    """A token signed by HMAC, with the algorithm of `header` where it is one of HMAC's, else HS256."""
    algorithm = header.get("alg") if header.get("alg") in HASHES else "HS256"
    signed = f"{_part({**header, 'alg': algorithm})}.{_part(claims)}"
    return f"{signed}.{encoded(hmac.digest(key, signed.encode(), HASHES[str(algorithm)]().name))}"


def encoded(data: bytes) -> str:
    """base64url without padding (RFC 7515, section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@functools.cache
def _pair() -> Any:
    from cryptography.hazmat.primitives.asymmetric import rsa

    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _own_key(jwt: Jwt) -> str:
    """Signed with a key pair made here, whose public half stands in the header (RFC 7515, section 4.1.3)."""
    from cryptography.hazmat.primitives.asymmetric import padding
    from cryptography.hazmat.primitives.hashes import SHA256

    key = _pair()
    public = key.public_key().public_numbers()
    jwk = {"kty": "RSA", "kid": "vallum", "use": "sig", "n": _number(public.n), "e": _number(public.e)}
    header = {**jwt.header, "alg": "RS256", "kid": "vallum", "jwk": jwk}
    signed = f"{_part(header)}.{_part(jwt.claims)}"
    return f"{signed}.{encoded(key.sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"


def _number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _part(value: Any) -> str:
    return encoded(json.dumps(value, separators=(",", ":")).encode())


def _bytes(part: str) -> bytes | None:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        return None


def _flipped(signature: bytes) -> bytes:
    return bytes([signature[0] ^ 0xFF]) + signature[1:] if signature else b"vallum"

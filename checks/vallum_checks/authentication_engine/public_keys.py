"""Public keys that a deployment shows: its JWKS (RFC 7517), found by OpenID discovery or in the usual places."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator
from typing import Any
from urllib.parse import urljoin

from vallum.stage.calls import Caller
from vallum.stage.scope import Scope

DISCOVERY = ("/.well-known/openid-configuration", "/.well-known/oauth-authorization-server")
PLACES = (
    "/.well-known/jwks.json",
    "/jwks.json",
    "/jwks",
    "/oauth2/jwks",
    "/oauth/jwks",
    "/certs",
    "/public-key",
    "/publickey",
)
"""Asked at each service."""


def exposed(caller: Caller, urls: Iterable[str], scope: Scope) -> list[bytes]:
    """The public keys of the services at `urls`, each in the texts that a service may hold it in. A key set elsewhere than in
    the deployment is not asked for."""
    texts: dict[bytes, None] = {}
    for url in urls:
        places = []
        for path in DISCOVERY:
            document = caller.raw("GET", url + path).json()
            named = document.get("jwks_uri") if isinstance(document, dict) else None
            if isinstance(named, str) and scope.allows(urljoin(url, named)):
                places.append(urljoin(url, named))
        for place in dict.fromkeys([*places, *(url + path for path in PLACES)]):
            answer = caller.raw("GET", place)
            if answer.ok:
                texts.update(dict.fromkeys(_texts(answer.json(), answer.body)))
    return list(texts)


def _texts(document: Any, body: bytes) -> Iterator[bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    keys: list[Any] = []
    if b"-----BEGIN PUBLIC KEY-----" in body and not isinstance(document, dict):
        yield body
        try:
            keys.append(serialization.load_pem_public_key(body))
        except ValueError:
            return
    entries = document.get("keys") if isinstance(document, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, dict):
            continue
        try:
            if entry.get("kty") == "RSA":
                keys.append(rsa.RSAPublicNumbers(_int(entry["e"]), _int(entry["n"])).public_key())
            elif entry.get("kty") == "EC" and entry.get("crv") == "P-256":
                keys.append(
                    ec.EllipticCurvePublicNumbers(_int(entry["x"]), _int(entry["y"]), ec.SECP256R1()).public_key()
                )
        except (KeyError, TypeError, ValueError, binascii.Error):
            continue
    for key in keys:
        pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        yield from (pem, pem.rstrip(b"\n"))
        if isinstance(key, rsa.RSAPublicKey):
            yield key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.PKCS1)


def _int(value: str) -> int:
    return int.from_bytes(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)), "big")

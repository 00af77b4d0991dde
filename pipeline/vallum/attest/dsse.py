"""DSSE envelopes (secure-systems-lab/dsse, protocol 1.0.2) signed with Ed25519 keys in PEM files, by the library cryptography.

What is signed is the pre-authentication encoding of payload type and payload, so neither can be taken for another. A
payload is given back only after its signature was found good; nothing of it is looked at before.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vallum import artifacts
from vallum.errors import UserError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as PrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey as PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
MAX_ENVELOPE = 64 << 20
MAX_KEY = 16 << 10
"""Bytes."""
MAX_SIGNATURES = 16


class Refused(Exception):
    """The envelope proves nothing; the message says why."""


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sig: str
    keyid: str = ""


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    payload_type: str
    payload: str
    signatures: tuple[_Signature, ...]


def encoding(payload_type: str, payload: bytes) -> bytes:
    """DSSE's PAE: what is signed."""
    kind = payload_type.encode("utf-8")
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def key_id(key: PublicKey) -> str:
    """How an envelope names a key: the SHA-256 of its 32 bytes. A hint for people; it proves nothing."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def seal(payload: bytes, key: PrivateKey, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The signed envelope, as JSON."""
    signature = key.sign(encoding(payload_type, payload))
    envelope = _Envelope(
        payload_type,
        base64.b64encode(payload).decode(),
        (_Signature(base64.b64encode(signature).decode(), key_id(key.public_key())),),
    )
    return msgspec.json.format(msgspec.json.encode(envelope)) + b"\n"


def open_sealed(data: bytes, key: PublicKey, payload_type: str = PAYLOAD_TYPE) -> bytes:
    """The payload, if one of the signatures is the key's over exactly this payload and type. Raises Refused."""
    from cryptography.exceptions import InvalidSignature

    if len(data) > MAX_ENVELOPE:
        raise Refused(f"the envelope is larger than {MAX_ENVELOPE >> 20} MB")
    try:
        envelope = msgspec.json.decode(data, type=_Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
        signatures = [base64.b64decode(one.sig, validate=True) for one in envelope.signatures[:MAX_SIGNATURES]]
    except (ValueError, RecursionError) as error:  # binascii's and msgspec's errors are ValueErrors
        raise Refused(f"it is no DSSE envelope, or a damaged one: {error}") from None
    if envelope.payload_type != payload_type:
        raise Refused(f"its payload is {envelope.payload_type[:80]!r}, not {payload_type!r}")
    for signature in signatures:
        with contextlib.suppress(InvalidSignature):
            key.verify(signature, encoding(envelope.payload_type, payload))
            return payload
    signer = next((one.keyid for one in envelope.signatures if one.keyid), "")
    if signer and signer != key_id(key):
        raise Refused(f"it is signed with another key ({signer[:16]!r}), not with this one ({key_id(key)[:16]!r})")
    raise Refused("no signature of this key fits: the envelope was changed after it was signed, or is another's")


def new_key(path: Path) -> Path:
    """Make a key pair: the private key at `path` (mode 0600, never replacing a file), the public one beside it as `.pub`."""
    keys, serialization = _library()
    key = keys.Ed25519PrivateKey.generate()
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = path.with_name(path.name + ".pub")
    shown = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    try:
        for file, content, mode in ((path, secret, 0o600), (public, shown, 0o644)):
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
            with os.fdopen(handle, "wb") as opened:
                os.fchmod(handle, mode)
                opened.write(content)
    except FileExistsError as error:
        raise UserError(f"{error.filename} exists, and no key is written over it", "choose another name") from None
    except OSError as error:
        raise UserError(f"cannot write {error.filename}: {error.strerror}", "choose a folder of your own") from None
    return public


def private_key(path: Path) -> PrivateKey:
    """The private key in a file that only its owner may read; UserError where it is none."""
    try:
        if os.stat(path).st_mode & 0o077:
            raise UserError(f"others may read the private key {path}", f"chmod 600 {path}")
    except OSError as error:
        raise UserError(
            f"cannot read {path}: {error.strerror}", "make one: vallum -s attest -- --new-key FILE"
        ) from None
    return private_key_of(_read(path), str(path))


def private_key_of(pem: bytes, name: str) -> PrivateKey:
    """The private key in a PEM text; `name` says in errors where it came from, the text is never shown."""
    keys, serialization = _library()
    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, _unsupported()):
        key = None
    if not isinstance(key, keys.Ed25519PrivateKey):
        raise UserError(f"{name} is no Ed25519 private key in PEM", "make one: vallum -s attest -- --new-key FILE")
    private: PrivateKey = key
    return private


def public_key(path: Path) -> PublicKey:
    """The public key in a PEM file; UserError where it is none."""
    keys, serialization = _library()
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, _unsupported()):
        key = None
    if not isinstance(key, keys.Ed25519PublicKey):
        raise UserError(f"{path} is no Ed25519 public key in PEM", "it is the file that ends in .pub")
    public: PublicKey = key
    return public


def _read(path: Path) -> bytes:
    try:
        return artifacts.read(path.resolve(), MAX_KEY)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "name the file of the key") from None
    except ValueError as error:
        raise UserError(f"{path} is no key: {error}", "name the file of the key") from None


def _library() -> tuple[Any, Any]:
    """Imported on use: `vallum -l` must not wait for it."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ed25519

    return ed25519, serialization


def _unsupported() -> type[Exception]:
    from cryptography.exceptions import UnsupportedAlgorithm

    error: type[Exception] = UnsupportedAlgorithm
    return error

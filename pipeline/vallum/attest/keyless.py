"""Signing without a key: sigstore's certificate for the identity of the CI job, and its public log. By the library sigstore.

It is an extra (`pip install "vallum[sigstore]"`). Signing is unverified: neither sigstore's services nor an identity to sign
with could be had where this was written. Verifying is tested, without a network, on an attestation that GitHub made public.
"""

from __future__ import annotations

from typing import Any

import msgspec

from vallum.attest.dsse import MAX_ENVELOPE, PAYLOAD_TYPE, Refused
from vallum.attest.evidence import Resource, Statement
from vallum.errors import UserError


def form(statement: Statement) -> Statement:
    """The statement with the subjects that sigstore takes: each with a name and a SHA-256.

    The commit, which is a SHA-1 of git's, is left to the predicate, where it is as well.
    """
    subject = tuple(
        Resource({"sha256": one.digest["sha256"]}, one.name or one.uri, one.uri)
        for one in statement.subject
        if "sha256" in one.digest
    )
    return msgspec.structs.replace(statement, subject=subject)


def seal(payload: bytes) -> bytes:
    """A sigstore bundle (JSON) of an in-toto statement, signed as the CI job that this runs in. Raises UserError, Refused."""
    _library()
    from sigstore.dsse import Statement as Signable
    from sigstore.errors import Error
    from sigstore.models import ClientTrustConfig
    from sigstore.oidc import IdentityError, IdentityToken, IssuerError, detect_credential
    from sigstore.sign import SigningContext

    try:
        token = detect_credential()
        if token is None:
            raise UserError(
                "attest --sigstore found no identity to sign with", "in a GitHub job: permissions: id-token: write"
            )
        context = SigningContext.from_trust_config(ClientTrustConfig.production())
        with context.signer(IdentityToken(token)) as signer:
            return signer.sign_dsse(Signable(payload)).to_json().encode()
    except (Error, IdentityError, IssuerError, OSError) as error:
        raise Refused(f"sigstore could not sign: {error}") from None


def open_sealed(data: bytes, identity: str, issuer: str, *, offline: bool) -> bytes:
    """The payload of a bundle that this identity signed, as this issuer says. Raises Refused.

    `offline` trusts the roots that the library has with it, else the ones that sigstore's repository names today.
    """
    _library()
    from sigstore.errors import Error
    from sigstore.models import Bundle
    from sigstore.verify import Verifier, policy

    if len(data) > MAX_ENVELOPE:
        raise Refused(f"the bundle is larger than {MAX_ENVELOPE >> 20} MB")
    try:
        bundle = Bundle.from_json(data)
        verifier = Verifier.production(offline=offline)
        kind, payload = verifier.verify_dsse(bundle, policy.Identity(identity=identity, issuer=issuer))
    except (Error, OSError, ValueError, RecursionError) as error:
        raise Refused(f"sigstore does not bear it out: {str(error)[:300]}") from None
    if kind != PAYLOAD_TYPE:
        raise Refused(f"its payload is {kind[:80]!r}, not {PAYLOAD_TYPE!r}")
    return bytes(payload)


def _library() -> Any:
    try:
        import sigstore
    except ImportError:
        raise UserError("sigstore is not installed", 'pip install "vallum[sigstore]"') from None
    return sigstore

"""Verifying what sigstore signed, without a network; signing is refused where there is no identity.

`data/public.sigstore.json` is a public attestation of GitHub's artifact-attestations-workflows (in sigstore's public log), as the
GitHub CLI 2.83.0 keeps it for its own tests (MIT licence).
"""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from tests.pipeline.test_attest import ENVELOPE, run, whole  # noqa: F401 - a fixture

from vallum.attest import evidence, keyless
from vallum.attest.dsse import Refused

BUNDLE = Path(__file__).parent / "data" / "public.sigstore.json"
WORKFLOW = "https://github.com/github/artifact-attestations-workflows/.github/workflows/attest.yml"
IDENTITY = f"{WORKFLOW}@09b495c3f12c7881b3cc17209a327792065c1a1d"
ISSUER = "https://token.actions.githubusercontent.com"


def opened(data: bytes, identity: str = IDENTITY, issuer: str = ISSUER) -> bytes:
    return keyless.open_sealed(data, identity, issuer, offline=True)


def test_a_public_attestation_is_verified_with_the_roots_of_the_library():
    payload = json.loads(opened(BUNDLE.read_bytes()))
    assert payload["_type"] == "https://in-toto.io/Statement/v1"
    with pytest.raises(Refused, match="no statement of a vallum verdict"):
        evidence.decode(opened(BUNDLE.read_bytes()))


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (WORKFLOW, ISSUER),
        (IDENTITY.replace("09b4", "09b5"), ISSUER),
        (IDENTITY, "https://accounts.example.com"),
        ("", ISSUER),
    ],
)
def test_another_identity_or_issuer_is_refused(identity, issuer):
    with pytest.raises(Refused, match="sigstore does not bear it out"):
        opened(BUNDLE.read_bytes(), identity, issuer)


def payload_of(bundle: dict) -> None:
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(b"github_provenance", b"github_provenancE", 1)
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(payload).decode()


def signature_of(bundle: dict) -> None:
    signature = bytearray(base64.b64decode(bundle["dsseEnvelope"]["signatures"][0]["sig"]))
    signature[-1] ^= 1
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()


def log_of(bundle: dict) -> None:
    bundle["verificationMaterial"]["tlogEntries"] = []


def type_of(bundle: dict) -> None:
    bundle["dsseEnvelope"]["payloadType"] = "text/plain"


@pytest.mark.parametrize("tamper", [payload_of, signature_of, log_of, type_of])
def test_a_tampered_bundle_is_refused(tamper):
    bundle = json.loads(BUNDLE.read_bytes())
    tamper(bundle)
    with pytest.raises(Refused):
        opened(json.dumps(bundle).encode())


@pytest.mark.parametrize("data", [b"", b"{}", b"[" * 100_000, b"\xff", b'{"mediaType": 3}'])
def test_what_is_no_bundle_is_refused(data):
    with pytest.raises(Refused):
        opened(data)


def test_our_statement_is_one_that_sigstore_signs(whole):  # noqa: F811
    import msgspec
    from sigstore.dsse import Statement

    statement = evidence.state(whole / "target", "2026-01-01T00:00:00Z")
    formed = keyless.form(statement)
    Statement(msgspec.json.encode(formed))
    assert evidence.decode(msgspec.json.encode(formed)) == formed
    assert evidence.differences(formed, whole / "target", keyless.form) == []
    assert formed.files() == statement.files()
    assert formed.predicate.evidence.commit


def test_the_commands(whole, tmp_path):  # noqa: F811
    root = whole / "target"
    nobody = {"GITHUB_ACTIONS": "", "ACTIONS_ID_TOKEN_REQUEST_URL": "", "SIGSTORE_ID_TOKEN": ""}
    done = run("-C", root, "-s", "attest", "--", "--sigstore", "--out", tmp_path / "o.json", cwd=tmp_path, env=nobody)
    assert done.returncode == 2, done.stderr
    assert "no identity to sign with" in done.stderr
    assert not (tmp_path / "o.json").exists()
    done = run("-C", root, "-s", "attest", "--", "--sigstore", "--key", whole / "key.pem", cwd=tmp_path)
    assert done.returncode == 2
    as_job = ("--identity", IDENTITY, "--issuer", ISSUER, "--offline")
    done = run("-C", root, "-s", "verify", "--", BUNDLE, *as_job, cwd=tmp_path)
    assert done.returncode == 1
    assert "no statement of a vallum verdict" in done.stderr
    done = run("-C", root, "-s", "verify", "--", root / ENVELOPE, *as_job, cwd=tmp_path)
    assert done.returncode == 1
    assert "sigstore does not bear it out" in done.stderr
    for arguments in ((), ("--identity", IDENTITY), (*as_job, "--key", whole / "key.pem.pub")):
        done = run("-C", root, "-s", "verify", "--", BUNDLE, *arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert "either a key, or an identity and its issuer" in done.stderr

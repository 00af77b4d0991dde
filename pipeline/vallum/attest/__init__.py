"""`vallum -s attest` signs what the last verdict rests on; `vallum -s verify` proves that nothing of it was changed.

Signing is with an Ed25519 key (a file, or the PEM text in the environment variable VALLUM_SIGNING_KEY), or with sigstore.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import msgspec

from vallum import artifacts
from vallum.attest import dsse, evidence, keyless
from vallum.attest.dsse import Refused
from vallum.errors import UserError
from vallum.plan import now
from vallum.progress import clean, say
from vallum.target import commit_of
from vallum.verdict import Status

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey as PrivateKey

ENVELOPE = f"{artifacts.FOLDER}/attestation.intoto.json"
KEY = "VALLUM_SIGNING_KEY"
SHOWN = 20
"""Differences that are said one by one."""
USAGE = {
    "attest": "vallum -s attest -- --key FILE [--out FILE], or --sigstore, or --new-key FILE; "
    f"without --key: the PEM text in {KEY}",
    "verify": "vallum -s verify -- ENVELOPE (--key FILE.pub | --identity WHO --issuer URL [--offline]) "
    "[--root DIR] [--commit SHA] [--any-verdict]",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}", USAGE[self.prog])


def attest(root: Path, arguments: tuple[str, ...]) -> str:
    """Sign the last verdict's evidence, or make a key; returns why it could not be signed, or ''."""
    parser = _Parser(prog="attest", add_help=False, allow_abbrev=False)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--new-key", type=Path)
    parser.add_argument("--sigstore", action="store_true")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args(list(arguments))
    if options.new_key is not None:
        public = dsse.new_key(options.new_key)
        say(f"{options.new_key} is the private key: keep it secret. {public} goes to whoever verifies.")
        return ""
    root = root.resolve()
    key = _key(options)
    try:
        statement = evidence.state(root, now())
    except Refused as error:
        return _line(f"there is nothing to sign: {error}")
    said, here = statement.predicate.evidence, commit_of(root)
    if here != said.commit:
        return f"the verdict is of commit {said.commit[:12] or 'unknown'}, checked out is {here[:12]}: run vallum again"
    out = options.out or root / ENVELOPE
    try:
        if key is None:
            sealed = keyless.seal(msgspec.json.encode(keyless.form(statement)))
        else:
            sealed = dsse.seal(msgspec.json.encode(statement), key)
        artifacts.write(out, sealed)
    except Refused as error:
        return _line(str(error))
    except OSError as error:
        raise UserError(f"cannot write {out}: {error.strerror}", "--out FILE") from None
    say(f"{out}: the verdict {said.status.upper()} of run {said.run} and {len(statement.files())} files")
    how = f"the key {dsse.key_id(key.public_key())[:16]}" if key is not None else "sigstore, as this job"
    say(f"  commit {said.commit or 'unknown'}; signed with {how}")
    for unit in said.missing:
        say(f"  {unit} left no outcome; the statement says so")
    return ""


def _key(options: argparse.Namespace) -> PrivateKey | None:
    """The key to sign with; None: sigstore needs none."""
    text = os.environ.get(KEY, "")
    if options.sigstore:
        if options.key is not None:
            raise UserError("attest signs with a key or with sigstore, not with both", USAGE["attest"])
        return None
    if options.key is not None:
        return dsse.private_key(options.key)
    if text:
        return dsse.private_key_of(text.encode("utf-8", "surrogateescape"), KEY)
    raise UserError("attest needs a key to sign with", USAGE["attest"])


def verify(root: Path, arguments: tuple[str, ...]) -> str:
    """Check signature, commit and every digest; returns what is wrong, or ''. Prints each difference."""
    parser = _Parser(prog="verify", add_help=False, allow_abbrev=False)
    parser.add_argument("envelope", type=Path)
    parser.add_argument("--key", type=Path)
    parser.add_argument("--identity", default="")
    parser.add_argument("--issuer", default="")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--root", type=Path, default=root)
    parser.add_argument("--commit", default="")
    parser.add_argument("--any-verdict", action="store_true")
    options = parser.parse_args(list(arguments))
    folder = options.root.resolve()
    if not folder.is_dir():
        raise UserError(f"{options.root} is not a folder", USAGE["verify"])
    if bool(options.key) is bool(options.identity) or bool(options.identity) is not bool(options.issuer):
        raise UserError("verify needs either a key, or an identity and its issuer", USAGE["verify"])
    key = dsse.public_key(options.key) if options.key else None
    try:
        sealed = artifacts.read(options.envelope, dsse.MAX_ENVELOPE)
    except (OSError, ValueError) as error:
        raise UserError(f"cannot read {options.envelope}: {error}", USAGE["verify"]) from None
    try:
        if key is not None:
            payload = dsse.open_sealed(sealed, key)
        else:
            payload = keyless.open_sealed(sealed, options.identity, options.issuer, offline=options.offline)
        statement = evidence.decode(payload)
    except Refused as error:
        return _line(f"not verified: {error}")
    said = statement.predicate.evidence
    wrong = _commit(said.commit, options.commit or commit_of(folder)) + evidence.differences(
        statement, folder, None if key else keyless.form
    )
    if said.status is not Status.PASS and not options.any_verdict:
        wrong.append(f"the signed verdict is {said.status.upper()} (--any-verdict takes it)")
    for text in wrong[:SHOWN]:
        say(f"  {text}")
    if wrong:
        more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return _line(f"not verified: {wrong[0]}{more}")
    signer = f"key {dsse.key_id(key)[:16]}" if key is not None else f"by {clean(options.identity)}"
    say(f"verified: the verdict {said.status.upper()} of run {said.run} and {len(statement.files())} files")
    say(f"  commit {said.commit or 'unknown'}; signed {statement.predicate.time_verified}, {signer}")
    return ""


def _commit(signed: str, here: str) -> list[str]:
    """The statement must be about the commit that is checked out, or that was named."""
    if signed == here:
        return []
    if not here:
        return [f"it is of commit {signed[:12]}, and what is here is no checkout: name the commit with --commit"]
    return [f"it is of commit {signed[:12] or 'unknown'}, not of {here[:12]}"]


def _line(text: str) -> str:
    """For the terminal, on one line: names of files are whoever's."""
    return clean(text.replace("\n", " "))

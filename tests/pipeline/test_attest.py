"""Signed evidence: a real verdict of a real bandit in a real git repository, and everything that may be tampered with."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.conftest import MAIN
from tests.pipeline.test_cli import WEAK, only

from vallum.attest import dsse, evidence
from vallum.errors import UserError
from vallum.outcome import Database, Tool
from vallum.verdict import CheckResult, Status, Verdict

if not os.environ.get("CI"):
    pytest.importorskip("cryptography", reason="an older development environment: install tests/requirements.txt")

ENVELOPE = ".vallum/attestation.intoto.json"


def run(*arguments: object, cwd: Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", str(MAIN), *map(str, arguments)],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def git(root: Path, *arguments: str) -> str:
    environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", root, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """A clean tree with a stale outcome of a check that is switched off now, judged (PASS), and signed."""
    top = tmp_path_factory.mktemp("evidence")
    root = top / "target"
    (root / "app").mkdir(parents=True)
    (root / "app" / "a.py").write_text("print('hello')\n")
    (root / "vallum.toml").write_text(only("bandit"))
    git(root, "init", "-q")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    done = run("-C", root, cwd=top)
    assert done.returncode == 0, done.stderr
    assert run("-s", "attest", "--", "--new-key", top / "key.pem", cwd=top).returncode == 0
    done = run("-C", root, "-s", "attest", "--", "--key", top / "key.pem", cwd=top)
    assert done.returncode == 0, done.stderr
    return top


@pytest.fixture
def signed(whole, tmp_path) -> Path:
    """A copy of it to tamper with."""
    top = tmp_path / "copy"
    shutil.copytree(whole, top, symlinks=True)
    return top


def verify(top: Path, *more: object, key: str = "key.pem.pub") -> subprocess.CompletedProcess[str]:
    root = top / "target"
    return run("-C", root, "-s", "verify", "--", root / ENVELOPE, "--key", top / key, *more, cwd=top)


def statement(top: Path) -> dict:
    return json.loads(base64.b64decode(json.loads((top / "target" / ENVELOPE).read_bytes())["payload"]))


def test_what_was_signed_is_verified(whole) -> None:
    done = verify(whole)
    assert done.returncode == 0, done.stderr
    assert "verified: the verdict PASS" in done.stderr
    said = statement(whole)
    commit = git(whole / "target", "rev-parse", "HEAD")
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://slsa.dev/verification_summary/v1"
    assert {"digest": {"gitCommit": commit}, "name": "target"} in said["subject"]
    predicate = said["predicate"]
    assert predicate["verificationResult"] == "PASSED"
    assert [one["name"].rpartition("/")[2] for one in predicate["inputAttestations"]] == ["record.json", "result.sarif"]
    ours = predicate[evidence.EVIDENCE]
    assert {one["name"] for one in ours["reports"]} >= {".vallum/report/index.html", ".vallum/report/findings.json"}
    assert [one["name"] for one in ours["tools"]] == ["bandit"]
    assert len(ours["tools"][0]["digest"]) == 64
    assert [one["name"] for one in ours["settings"]] == ["vallum.toml"]
    assert len(predicate["policy"]["digest"]["sha256"]) == 64


def test_every_bound_file_is_bound(signed) -> None:
    """Each one is changed by one byte, removed, and replaced by a link to itself: each time it fails and is named."""
    root = signed / "target"
    data = (root / ENVELOPE).read_bytes()
    public = dsse.public_key(signed / "key.pem.pub")
    sealed = evidence.decode(dsse.open_sealed(data, public))
    assert evidence.differences(sealed, root) == []
    assert len(sealed.files()) >= 9
    for name in sealed.files():
        path = root / name
        before = path.read_bytes()
        for change in ("byte", "missing", "link"):
            if change == "byte":
                path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            else:
                path.unlink()
            if change == "link":
                aside = signed / "aside"
                aside.write_bytes(before)
                path.symlink_to(aside)
            said = evidence.differences(sealed, root)
            assert any(name in text for text in said), (name, change, said)
            path.unlink(missing_ok=True)
            path.write_bytes(before)
    assert evidence.differences(sealed, root) == []


@pytest.mark.parametrize(
    "name",
    [
        ".vallum/report/index.html",
        ".vallum/outcomes/bandit/_/record.json",
        ".vallum/outcomes/bandit/_/result.sarif",
        ".vallum/verdict.json",
        "vallum.toml",
    ],
)
def test_a_tampered_file_fails_with_1_and_its_name(signed, name) -> None:
    path = signed / "target" / name
    path.write_bytes(path.read_bytes().replace(b"bandit", b"bandlt", 1) + b"\n")
    done = verify(signed)
    assert done.returncode == 1, done.stderr
    assert f"not verified: {name} was changed after it was signed" in done.stderr


def test_a_report_that_was_slipped_in_and_a_linked_folder_fail(signed) -> None:
    report = signed / "target" / ".vallum" / "report"
    (report / "release-notes\x1b[2J\n::error::.html").write_text("all is well")
    done = verify(signed)
    assert done.returncode == 1
    assert "is there and was not signed" in done.stderr
    assert "\x1b" not in done.stderr
    assert "\n::error" not in done.stderr
    shutil.move(report, signed / "elsewhere")
    report.symlink_to(signed / "elsewhere")
    assert verify(signed).returncode == 1


def test_an_outcome_that_appears_afterwards_fails(signed) -> None:
    """A check without an outcome was counted as such; one that is put there later was not judged."""
    root = signed / "target"
    record = root / ".vallum" / "outcomes" / "bandit" / "_" / "record.json"
    aside = record.read_bytes()
    record.unlink()
    assert run("-C", root, "-s", "gate", cwd=signed).returncode == 3
    assert run("-C", root, "-s", "attest", "--", "--key", signed / "key.pem", cwd=signed).returncode == 0
    said = statement(signed)["predicate"]
    assert said["verificationResult"] == "FAILED"
    assert said[evidence.EVIDENCE]["status"] == "incomplete"
    assert said[evidence.EVIDENCE]["missing"] == ["bandit/_"]
    assert verify(signed, "--any-verdict").returncode == 0
    record.write_bytes(aside)
    done = verify(signed, "--any-verdict")
    assert done.returncode == 1
    assert "record.json is there and was not signed" in done.stderr


def test_a_verdict_that_is_no_pass_is_verified_only_when_asked_for(signed) -> None:
    root = signed / "target"
    (root / "app" / "a.py").write_text(WEAK)
    assert run("-C", root, cwd=signed).returncode == 1
    assert run("-C", root, "-s", "attest", "--", "--key", signed / "key.pem", cwd=signed).returncode == 0
    done = verify(signed)
    assert done.returncode == 1
    assert "the signed verdict is FAIL" in done.stderr
    assert verify(signed, "--any-verdict").returncode == 0


def test_another_key_fails(signed) -> None:
    assert run("-s", "attest", "--", "--new-key", signed / "other.pem", cwd=signed).returncode == 0
    done = verify(signed, key="other.pem.pub")
    assert done.returncode == 1
    assert "signed with another key" in done.stderr


def test_an_envelope_that_was_cut_or_changed_fails(signed) -> None:
    path = signed / "target" / ENVELOPE
    whole = path.read_bytes()
    envelope = json.loads(whole)
    forged = json.loads(base64.b64decode(envelope["payload"]))
    forged["predicate"]["timeVerified"] = "2030-01-01T00:00:00Z"
    changed = {**envelope, "payload": base64.b64encode(json.dumps(forged).encode()).decode()}
    signature = bytearray(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature[0] ^= 1
    broken = {**envelope, "signatures": [{"sig": base64.b64encode(signature).decode()}]}
    for data, said in (
        (whole[: len(whole) // 2], "no DSSE envelope"),
        (b"", "no DSSE envelope"),
        (b"[" * 100_000, "no DSSE envelope"),
        (b'{"payloadType":' + b"[" * 100_000, "no DSSE envelope"),
        (b'{"more":' + b"[" * 100_000, "no DSSE envelope"),
        (json.dumps({**envelope, "payload": envelope["payload"][:-3]}).encode(), "no DSSE envelope"),
        (json.dumps({**envelope, "more": 1}).encode(), "no DSSE envelope"),
        (json.dumps({**envelope, "signatures": []}).encode(), "no signature"),
        (json.dumps(broken).encode(), "no signature"),
        (json.dumps(changed).encode(), "no signature"),
        (json.dumps({**envelope, "payloadType": "text/plain"}).encode(), "its payload is 'text/plain'"),
    ):
        path.write_bytes(data)
        done = verify(signed)
        assert done.returncode == 1, data
        assert f"not verified: {said}" in done.stderr or said in done.stderr


def test_a_payload_cannot_be_taken_for_another_type(signed) -> None:
    """Signed by the right key as another type, and put into an envelope that says ours: the type is part of what is signed."""
    key = dsse.private_key(signed / "key.pem")
    public = dsse.public_key(signed / "key.pem.pub")
    payload = base64.b64decode(json.loads((signed / "target" / ENVELOPE).read_bytes())["payload"])
    other = json.loads(dsse.seal(payload, key, "application/json"))
    with pytest.raises(dsse.Refused, match="its payload is"):
        dsse.open_sealed(json.dumps(other).encode(), public)
    with pytest.raises(dsse.Refused, match="no signature"):
        dsse.open_sealed(json.dumps({**other, "payloadType": dsse.PAYLOAD_TYPE}).encode(), public)
    # the lengths keep the border between type and payload where it is
    assert dsse.encoding("a", b"b c") != dsse.encoding("a b", b"c")
    assert dsse.encoding("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b"[]",
        b'{"_type":' + b"[" * 100_000,
        b'{"subject":[{"more":' + b"[" * 100_000,
        b'{"_type":"https://in-toto.io/Statement/v0.1"}',
    ],
)
def test_something_else_signed_by_the_right_key_is_no_verdict(signed, payload) -> None:
    (signed / "target" / ENVELOPE).write_bytes(dsse.seal(payload, dsse.private_key(signed / "key.pem")))
    done = verify(signed)
    assert done.returncode == 1
    assert "no statement of a vallum verdict" in done.stderr


def test_another_predicate_is_no_verdict(signed) -> None:
    said = statement(signed)
    said["predicateType"] = "https://slsa.dev/provenance/v1"
    sealed = dsse.seal(json.dumps(said).encode(), dsse.private_key(signed / "key.pem"))
    (signed / "target" / ENVELOPE).write_bytes(sealed)
    done = verify(signed)
    assert done.returncode == 1
    assert "not https://slsa.dev/verification_summary/v1" in done.stderr


def test_a_statement_that_the_files_do_not_bear_out_fails(signed) -> None:
    """Signed by a key that we trust, with all digests right and another tool: still not what the outcomes say."""
    said = statement(signed)
    said["predicate"][evidence.EVIDENCE]["tools"][0]["version"] = "99"
    sealed = dsse.seal(json.dumps(said).encode(), dsse.private_key(signed / "key.pem"))
    (signed / "target" / ENVELOPE).write_bytes(sealed)
    done = verify(signed)
    assert done.returncode == 1
    assert "the statement does not say what the verdict and the outcomes say" in done.stderr


def test_a_statement_of_another_commit_fails(signed) -> None:
    root = signed / "target"
    signed_commit = git(root, "rev-parse", "HEAD")
    git(root, "commit", "-q", "--allow-empty", "-m", "two")
    done = verify(signed)
    assert done.returncode == 1
    assert f"it is of commit {signed_commit[:12]}, not of" in done.stderr
    assert verify(signed, "--commit", signed_commit).returncode == 0
    shutil.rmtree(root / ".git")
    done = verify(signed)
    assert done.returncode == 1
    assert "no checkout" in done.stderr
    assert verify(signed, "--commit", signed_commit).returncode == 0


def test_a_verdict_of_another_commit_is_not_signed(signed) -> None:
    root = signed / "target"
    git(root, "commit", "-q", "--allow-empty", "-m", "two")
    done = run("-C", root, "-s", "attest", "--", "--key", signed / "key.pem", cwd=signed)
    assert done.returncode == 3
    assert "run vallum again" in done.stderr


@given(st.binary(max_size=200), st.integers(0, 2000))
def test_nothing_but_our_signature_opens_an_envelope(signed_bytes, noise, cut) -> None:
    data, public = signed_bytes
    for tampered in (noise, data[:cut] + noise, data[:cut] + noise + data[cut + len(noise) :]):
        try:
            payload = dsse.open_sealed(tampered, public)
        except dsse.Refused:
            continue
        assert payload == dsse.open_sealed(data, public)


@pytest.fixture(scope="module")
def signed_bytes(whole):
    return (whole / "target" / ENVELOPE).read_bytes(), dsse.public_key(whole / "key.pem.pub")


def test_the_root_may_lie_elsewhere(signed) -> None:
    moved = signed / "moved"
    shutil.move(signed / "target", moved)
    arguments = ("-s", "verify", "--", moved / ENVELOPE, "--key", signed / "key.pem.pub")
    assert run(*arguments, "--root", moved, cwd=signed).returncode == 0
    assert run(*arguments, cwd=signed).returncode == 1


def test_keys(signed) -> None:
    private, public = signed / "key.pem", signed / "key.pem.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert b"PRIVATE" not in public.read_bytes()
    with pytest.raises(UserError, match="exists"):
        dsse.new_key(private)
    public.chmod(0o600)
    with pytest.raises(UserError, match="no Ed25519 private key"):
        dsse.private_key(public)
    with pytest.raises(UserError, match="no Ed25519 public key"):
        dsse.public_key(private)
    private.chmod(0o644)
    with pytest.raises(UserError, match="others may read"):
        dsse.private_key(private)
    rsa = signed / "rsa.pem"
    subprocess.run(["openssl", "genrsa", "-out", rsa, "2048"], check=True, capture_output=True)
    rsa.chmod(0o600)
    with pytest.raises(UserError, match="no Ed25519 private key"):
        dsse.private_key(rsa)


def test_openssl_reads_our_keys_and_checks_our_signature(signed) -> None:
    envelope = json.loads((signed / "target" / ENVELOPE).read_bytes())
    message, signature = signed / "message", signed / "signature"
    message.write_bytes(dsse.encoding(envelope["payloadType"], base64.b64decode(envelope["payload"])))
    signature.write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    argv = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", signed / "key.pem.pub", "-rawin"]
    done = subprocess.run([*argv, "-in", message, "-sigfile", signature], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_key_may_come_from_the_environment_and_is_never_shown(signed) -> None:
    root = signed / "target"
    pem = (signed / "key.pem").read_text()
    done = run("-C", root, "-s", "attest", cwd=signed, env={"VALLUM_SIGNING_KEY": pem})
    assert done.returncode == 0, done.stderr
    assert verify(signed).returncode == 0
    done = run("-C", root, "-s", "attest", cwd=signed, env={"VALLUM_SIGNING_KEY": pem[:60]})
    assert done.returncode == 2
    assert pem.splitlines()[1][:20] not in done.stderr


def test_mistakes_are_the_persons(signed) -> None:
    root = signed / "target"
    for arguments in (
        ("-s", "attest"),
        ("-s", "attest", "--", "--kye", "x"),
        ("-s", "attest", "--", "--key", "no-such-file"),
        ("-s", "verify"),
        ("-s", "verify", "--", ENVELOPE),
        ("-s", "verify", "--", "no-such-file", "--key", signed / "key.pem.pub"),
        ("-s", "verify", "--", root / ENVELOPE, "--key", root / ENVELOPE),
    ):
        done = run("-C", root, *arguments, cwd=signed)
        assert done.returncode == 2, (arguments, done.stderr)
        assert "hint:" in done.stderr
    empty = signed / "empty"
    empty.mkdir()
    done = run("-C", empty, "-s", "attest", "--", "--key", signed / "key.pem", cwd=signed)
    assert done.returncode == 3
    assert "there is nothing to sign: .vallum/verdict.json is missing" in done.stderr


def result(check: str, unit: str, *notes: str) -> CheckResult:
    return CheckResult(
        check=check,
        stage="images",
        unit=unit,
        status="completed",
        require="required",
        tool=Tool("syft", "1.2", "ab" * 32),
        databases=(Database("OSV", "mirror", 9, "2026-11-01", "cd" * 32),),
        notes=notes,
    )


def test_images_tools_and_databases_are_bound_by_digest(tmp_path) -> None:
    pinned, counted, other = "1" * 64, "2" * 64, "3" * 64
    verdict = Verdict(
        status=Status.PASS,
        target="t",
        run="r",
        vallum="1",
        started="2026-11-22T00:00:00Z",
        checks=(
            result("image", "cart", f"the image registry.example/cart@sha256:{pinned}, read from its registry"),
            result(
                "image",
                "shop",
                f"the image x@sha256:{pinned} (sha256:{counted}, 3 layers)",
                f"(sha256:{other}, 1 layers)",
            ),
            result("image", "mail", "assembled"),
            result("other", "_", f"(sha256:{other}, 1 layers)"),
        ),
    )
    import msgspec

    (tmp_path / ".vallum").mkdir()
    (tmp_path / ".vallum" / "verdict.json").write_bytes(msgspec.json.encode(verdict))
    said = evidence.state(tmp_path, "2026-11-22T00:00:01Z")
    images = {one.uri: one.digest["sha256"] for one in said.subject if one.uri}
    assert images == {"image:cart": pinned, "image:shop": counted}
    ours = said.predicate.evidence
    assert {(one.name, one.digest) for one in ours.databases} == {("OSV (mirror)", "cd" * 32)}
    assert {(one.name, one.version, one.digest) for one in ours.tools} == {("syft", "1.2", "ab" * 32)}
    assert evidence.decode(msgspec.json.encode(said)) == said
    assert len(ours.missing) == 4
    bad = msgspec.structs.replace(verdict, checks=(result("..", "_"),))
    (tmp_path / ".vallum" / "verdict.json").write_bytes(msgspec.json.encode(bad))
    with pytest.raises(dsse.Refused, match="no folder's name"):
        evidence.state(tmp_path, "2026-11-22T00:00:01Z")

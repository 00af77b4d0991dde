"""The statement: what a verdict rests on, as an in-toto Statement v1 with SLSA's verification summary (v1) as its predicate.

It is made from what lies on disk, by one function for signing and for verifying: to verify is to make it anew and compare.
Bound are the commit, each image by digest, the verdict, the record and the SARIF of each outcome that the verdict counted,
every file of the report, the policy as it was judged by, the configuration, waiver and baseline files, and each tool and
database with its digest.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from vallum import __version__, artifacts
from vallum.attest.dsse import Refused
from vallum.runner import Record
from vallum.verdict import CheckResult, Status, Verdict

STATEMENT = "https://in-toto.io/Statement/v1"
SUMMARY = "https://slsa.dev/verification_summary/v1"
EVIDENCE = "https://example.invalid/vallum/evidence/v1"
"""The name of our part of the predicate: SLSA lets a predicate be extended by fields named with a URI."""
VERDICT = f"{artifacts.FOLDER}/verdict.json"
SETTINGS = ("vallum.toml", "pyproject.toml", "vallum-waivers.toml", "vallum-baseline.json")
RESULTS = {Status.PASS: "PASSED", Status.FAIL: "FAILED", Status.INCOMPLETE: "FAILED"}
MAX_FILES = 20_000
_IMAGE = re.compile(r"\((sha256:[0-9a-f]{64}), \d+ layers\)$")
_PINNED = re.compile(r"@(sha256:[0-9a-f]{64})\b")

Digests = dict[str, str]


class Resource(msgspec.Struct, frozen=True, omit_defaults=True):
    """in-toto's ResourceDescriptor, as far as it is used: a name and its digests by algorithm."""

    digest: Digests
    name: str = ""
    uri: str = ""


class Used(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A tool or a database that an outcome rests on, as its record says. `version`: of a database its date."""

    check: str
    unit: str
    name: str
    version: str
    digest: str


class Evidence(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """Our part. `missing` are planned units whose outcome is not there; `settings` the files of the repository that decide."""

    status: Status
    run: str
    started: str
    commit: str
    scope: tuple[str, ...]
    blocking: int
    tools: tuple[Used, ...]
    databases: tuple[Used, ...]
    missing: tuple[str, ...]
    settings: tuple[Resource, ...]
    reports: tuple[Resource, ...]


class _Verifier(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    version: dict[str, str]


class Predicate(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """SLSA's verification summary. An incomplete verdict is FAILED there, which knows two values; `status` says which."""

    verifier: _Verifier
    time_verified: str
    resource_uri: str
    policy: Resource
    input_attestations: tuple[Resource, ...]
    verification_result: str
    verified_levels: tuple[str, ...]
    evidence: Evidence = msgspec.field(name=EVIDENCE)


class Statement(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel", kw_only=True):
    """The whole payload."""

    type_: str = msgspec.field(name="_type")
    subject: tuple[Resource, ...]
    predicate_type: str
    predicate: Predicate

    def files(self) -> Digests:
        """Every file that is bound: path relative to the root to SHA-256."""
        evidence = self.predicate.evidence
        bound = (*self.subject, *self.predicate.input_attestations, *evidence.settings, *evidence.reports)
        return {one.name: one.digest["sha256"] for one in bound if one.name and not one.uri and "sha256" in one.digest}


def decode(payload: bytes) -> Statement:
    """Read a signed payload. Raises Refused where it states something else than a verdict of ours."""
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except (ValueError, RecursionError) as error:
        raise Refused(f"what is signed is no statement of a vallum verdict: {error}") from None
    for said, wanted in ((statement.type_, STATEMENT), (statement.predicate_type, SUMMARY)):
        if said != wanted:
            raise Refused(f"what is signed is {said[:80]!r}, not {wanted}")
    return statement


def state(root: Path, time: str) -> Statement:
    """The statement of the last verdict at `root`. `time` is when, ISO 8601 UTC. Raises Refused where it cannot be made."""
    data = _bytes(root, VERDICT)
    try:
        verdict = msgspec.json.decode(data, type=Verdict)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{VERDICT} cannot be read: {error}") from None
    outcomes: list[Resource] = []
    missing: list[str] = []
    for result in verdict.checks:
        found = _outcome(root, verdict, result)
        outcomes += found
        if not found:
            missing.append(f"{result.check}/{result.unit}")
    blocking = sum(service.blocking for service in verdict.services)
    return Statement(
        type_=STATEMENT,
        subject=(
            *([Resource({"gitCommit": verdict.commit}, verdict.target)] if verdict.commit else []),
            *_images(verdict),
            Resource({"sha256": hashlib.sha256(data).hexdigest()}, VERDICT),
        ),
        predicate_type=SUMMARY,
        predicate=Predicate(
            verifier=_Verifier("https://example.invalid/vallum", {"vallum": verdict.vallum or __version__}),
            time_verified=time,
            resource_uri=f"git+commit:{verdict.commit}" if verdict.commit else f"target:{verdict.target}",
            policy=Resource({"sha256": _policy(verdict)}, uri=f"{VERDICT}#policy"),
            input_attestations=tuple(outcomes),
            verification_result=RESULTS[verdict.status],
            verified_levels=(f"VALLUM_{verdict.status.upper()}",),
            evidence=Evidence(
                status=verdict.status,
                run=verdict.run,
                started=verdict.started,
                commit=verdict.commit,
                scope=verdict.scope,
                blocking=blocking,
                tools=tuple(_tools(verdict)),
                databases=tuple(_databases(verdict)),
                missing=tuple(missing),
                settings=tuple(_settings(root)),
                reports=tuple(_reports(root)),
            ),
        ),
    )


def differences(signed: Statement, root: Path, form: Callable[[Statement], Statement] | None = None) -> list[str]:
    """What is not as it was signed, each in a sentence; empty: all is. A file that was changed is not interpreted.

    `form` is what was done to the statement before it was signed.
    """
    said = []
    for name, digest in sorted(signed.files().items()):
        try:
            if _sha256(root, name) != digest:
                said.append(f"{name} was changed after it was signed")
        except Refused as error:
            said.append(str(error))
    if said:
        return said
    try:
        made = state(root, signed.predicate.time_verified)
        now = form(made) if form is not None else made
    except Refused as error:
        return [str(error)]
    said = [f"{name} is there and was not signed" for name in sorted(now.files().keys() - signed.files().keys())]
    if not said and now != signed:
        said.append("the statement does not say what the verdict and the outcomes say")
    return said


def _outcome(root: Path, verdict: Verdict, result: CheckResult) -> list[Resource]:
    """Record and SARIF of an outcome, or nothing where there is none of this run (which the verdict counts as incomplete)."""
    if {"/", "\0"} & {*result.check, *result.unit} or {".", ".."} & {result.check, result.unit}:
        raise Refused(f"the verdict names a check {result.check!r} of {result.unit!r}, which is no folder's name")
    folder = f"{artifacts.FOLDER}/outcomes/{result.check}/{result.unit}"
    if not os.path.lexists(root / folder / "record.json"):
        return []
    data = _bytes(root, f"{folder}/record.json")
    try:
        record = msgspec.json.decode(data, type=Record)
    except (ValueError, RecursionError) as error:
        raise Refused(f"{folder}/record.json cannot be read: {error}") from None
    if record.run != verdict.run:
        return []
    found = [Resource({"sha256": hashlib.sha256(data).hexdigest()}, f"{folder}/record.json")]
    if record.sarif:
        digest = _sha256(root, f"{folder}/result.sarif")
        if digest != record.sarif:
            raise Refused(f"{folder}/result.sarif is not the one that its record names")
        found.append(Resource({"sha256": digest}, f"{folder}/result.sarif"))
    return found


def _images(verdict: Verdict) -> Iterator[Resource]:
    """Each image by the digest of its configuration as we counted it, or by the one that its reference pins."""
    for result in verdict.checks:
        if result.check == "image":
            for note in result.notes:
                digest = _IMAGE.search(note) or _PINNED.search(note)
                if digest:
                    yield Resource({"sha256": digest[1].removeprefix("sha256:")}, uri=f"image:{result.unit}")
                    break


def _tools(verdict: Verdict) -> Iterator[Used]:
    for result in verdict.checks:
        if result.tool is not None:
            yield Used(result.check, result.unit, result.tool.name, result.tool.version, result.tool.digest)


def _databases(verdict: Verdict) -> Iterator[Used]:
    for result in verdict.checks:
        for one in result.databases:
            yield Used(result.check, result.unit, f"{one.name} ({one.source})", one.date, one.digest)


def _policy(verdict: Verdict) -> str:
    """The policy as the verdict says that it was judged by."""
    return hashlib.sha256(msgspec.json.encode(verdict.policy, order="deterministic")).hexdigest()


def _settings(root: Path) -> Iterator[Resource]:
    for name in SETTINGS:
        if os.path.lexists(root / name):
            yield Resource({"sha256": _sha256(root, name)}, name)


def _reports(root: Path) -> Iterator[Resource]:
    """Every file below report/. A link among them is refused: what it leads to could change unseen."""
    top = root / artifacts.FOLDER / "report"
    names = []
    for folder, folders, files in os.walk(top):
        folders.sort()
        names += [os.path.relpath(os.path.join(folder, name), root) for name in files]
        linked = next((name for name in folders if os.path.islink(os.path.join(folder, name))), None)
        if linked is not None or len(names) > MAX_FILES:
            raise Refused(f"{os.path.relpath(folder, root)} holds a link ({linked}), or more than {MAX_FILES} files")
    for name in sorted(names):
        yield Resource({"sha256": _sha256(root, name)}, name.replace(os.sep, "/"))


def _bytes(root: Path, name: str) -> bytes:
    try:
        return artifacts.read(_inside(root, name))
    except FileNotFoundError:
        raise Refused(f"{name} is missing") from None
    except (OSError, ValueError) as error:
        raise Refused(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _sha256(root: Path, name: str) -> str:
    try:
        handle = os.open(_inside(root, name), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            if not stat.S_ISREG(os.fstat(handle).st_mode):
                raise Refused(f"{name} is no regular file")
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        raise Refused(f"{name} is missing") from None
    except OSError as error:
        raise Refused(f"{name} cannot be read: {error.strerror}") from None


def _inside(root: Path, name: str) -> Path:
    """The path, if no part of it is a link or leads out: another folder's files must not pass for this one's."""
    path = root
    parts = name.split("/")
    for part in parts:
        path /= part
        if part in {"", ".", ".."} or os.path.islink(path):
            raise Refused(f"{name} is a link, or lies behind one")
    return path

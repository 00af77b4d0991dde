"""Kubernetes manifests, Terraform and Dockerfiles with checkov: privileges, shared namespaces, limits, open networks.

Cannot see: Helm templates (they are no YAML before they are rendered), Compose files (semgrep's rules do), what is really
deployed. Fix: each finding says it. `checkov:skip` is counted and shown, never obeyed here; `.checkov.yaml` is not read.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule, Suppression
from vallum.outcome import Outcome, Run, Tool
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks._manifests import Manifest, is_manifest, read_manifests
from vallum_checks.common import Judgement, conclude, coverage, decode, ended, judgements


class _Verdict(msgspec.Struct):
    result: str = ""
    suppress_comment: str = ""
    evaluated_keys: Any = None


class _Record(msgspec.Struct):
    check_id: str
    check_name: str
    check_result: _Verdict
    file_abs_path: str
    file_line_range: list[int]
    resource: str
    guideline: str | None = None


class _Results(msgspec.Struct):
    passed_checks: list[_Record] = []
    failed_checks: list[_Record] = []
    skipped_checks: list[_Record] = []
    parsing_errors: list[str] = []


class _Summary(msgspec.Struct):
    resource_count: int = 0
    parsing_errors: int = 0


class _Framework(msgspec.Struct):
    """One framework's part of the report. Where nothing at all was found, checkov writes the summary alone."""

    check_type: str = ""
    results: _Results = msgspec.field(default_factory=_Results)
    summary: _Summary = msgspec.field(default_factory=_Summary)


FRAMEWORKS = {"kubernetes": "manifests", "terraform": "Terraform files", "dockerfile": "Dockerfiles"}
PAGES = {
    "kubernetes": "https://www.checkov.io/5.Policy%20Index/kubernetes.html",
    "terraform": "https://www.checkov.io/5.Policy%20Index/terraform.html",
    "dockerfile": "https://www.checkov.io/5.Policy%20Index/dockerfile.html",
}
ENVIRONMENT = {
    "CKV_IGNORE_HIDDEN_DIRECTORIES": "False",
    "CKV_IGNORED_DIRECTORIES": "",
    "CKV_SKIP_PACKAGE_UPDATE_CHECK": "True",  # it asks the package index at every start with a fresh HOME
    "ANSI_COLORS_DISABLED": "1",
    "LOG_LEVEL": "ERROR",
}
DEFAULT = Severity.MEDIUM
RESOURCE = re.compile(rb"^\s*(resource|data|module|provider)\s", re.MULTILINE)


def _terraform(target: Target) -> list[str]:
    return target.select(".tf", ".tf.json")


def _dockerfiles(target: Target) -> list[str]:
    return target.select(names=("Dockerfile", "Dockerfile.*", "*.Dockerfile", "*.dockerfile", "Containerfile"))


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Where there is a Dockerfile, Terraform or a Kubernetes manifest."""
    if _dockerfiles(target) or _terraform(target) or any(is_manifest(target, path) for path in target.files):
        return Planned()
    return Skipped("no Kubernetes manifest, Terraform file or Dockerfile")


def run(ctx: Context) -> Outcome:
    """One checkov for all frameworks, over a copy of just these files: no settings of the target's, no passed-over folder."""
    read = read_manifests(ctx.target)
    tree = ctx.scratch / "tree"
    expected = {
        "kubernetes": sorted(read.files),
        "terraform": _terraform(ctx.target),
        "dockerfile": _dockerfiles(ctx.target),
    }
    copies, missed = _copy(ctx.target, tree, expected)
    missed["kubernetes"] |= read.missed
    present = [name for name, paths in expected.items() if any(path not in missed[name] for path in paths)]
    tool = ctx.tool("checkov")
    argv: list[str | Path] = [
        tool.bin("checkov"),
        "--skip-download",
        "--compact",
        "--output",
        "json",
        "--framework",
        *present,
    ]
    argv += ["--directory", tree]
    parts: list[_Framework] = []
    exit_code, seconds = None, 0.0
    if present:
        done = ctx.run(argv, name="checkov", cwd=ctx.scratch, env=ENVIRONMENT | {"HOME": str(ctx.scratch)})
        if done.exit_code not in {0, 1} or not done.output().strip():
            raise ended("checkov", done)
        # one framework: an object; several: a list
        output = done.output()
        several = output.lstrip().startswith(b"[")
        parts = (
            decode(output, list[_Framework], "checkov", done)
            if several
            else [decode(output, _Framework, "checkov", done)]
        )
        exit_code, seconds = done.exit_code, done.seconds
    for part in parts:
        for name in part.results.parsing_errors:
            missed[part.check_type][copies.get(Path(name), Path(name).name)] = "checkov cannot parse it"
        if part.summary.parsing_errors > len(part.results.parsing_errors):
            raise Inconclusive("checkov counts files that it cannot parse, and does not name them")
    _unseen(ctx.target, parts, copies, expected, missed)
    records = [
        (part.check_type, record)
        for part in parts
        for record in (*part.results.failed_checks, *part.results.skipped_checks)
    ]
    notes = []
    if read.templates:
        notes.append(f"{read.templates} Helm templates were not looked at: they are no YAML before they are rendered")
    if read.unsupported:
        notes.append(f"{read.unsupported} manifests are of kinds that checkov has no check for")
    return conclude(
        "checkov",
        Run(
            tool=Tool("checkov", tool.version, tool.digest),
            coverage=tuple(
                coverage(FRAMEWORKS[name], paths, missed[name]) for name, paths in expected.items() if paths
            ),
            rules=tuple({record.check_id: _rule(kind, record) for kind, record in records}.values()),
            findings=tuple(_finding(copies, read.manifests, record) for _, record in records),
            notes=tuple(notes),
            argv=tuple(str(part) for part in argv),
            exit_code=exit_code,
            seconds=seconds,
        ),
    )


def _copy(
    target: Target, tree: Path, expected: dict[str, list[str]]
) -> tuple[dict[Path, str], dict[str, dict[str, str]]]:
    """Copy the files: the copy's place → path, and for each framework what cannot be read, and why.

    Dockerfiles go into numbered folders under the one name that checkov knows for sure. Terraform keeps its tree, with the
    variables that lie beside it.
    """
    copies: dict[Path, str] = {}
    missed: dict[str, dict[str, str]] = {name: {} for name in FRAMEWORKS}
    for name, paths in expected.items():
        for number, path in enumerate(paths):
            place = tree / name / (f"{number}/Dockerfile" if name == "dockerfile" else path)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                shutil.copyfile(target.root / path, place)
            except OSError as error:
                missed[name][path] = f"cannot be read: {error.strerror or error}"[:200]
            copies[place] = path
    if expected["terraform"]:
        for path in target.select(".tfvars", ".tfvars.json"):
            place = tree / "terraform" / path
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(target.root / path, place)
    return copies, missed


def _unseen(
    target: Target,
    parts: list[_Framework],
    copies: dict[Path, str],
    expected: dict[str, list[str]],
    missed: dict[str, dict[str, str]],
) -> None:
    """Add to `missed` every file that stands in no record. Terraform without resources (variables, outputs) has none."""
    seen: dict[str, set[str]] = {name: set() for name in FRAMEWORKS}
    for part in parts:
        results = part.results
        for record in (*results.passed_checks, *results.failed_checks, *results.skipped_checks):
            path = copies.get(Path(record.file_abs_path))
            if path is None:
                raise Inconclusive(
                    f"checkov reports on a file that it was not given: {PurePosixPath(record.file_abs_path).name}"
                )
            seen[part.check_type].add(path)
    read_terraform = bool(seen["terraform"]) or any(part.check_type == "terraform" for part in parts)
    for name, paths in expected.items():
        for path in paths:
            if path in seen[name]:
                continue
            if name == "terraform" and (
                read_terraform or path in missed[name] or not RESOURCE.search((target.root / path).read_bytes())
            ):
                continue
            missed[name].setdefault(path, "checkov did not look at it and does not say why")


def _rule(framework: str, record: _Record) -> Rule:
    judged = judgements("checkov").get(record.check_id, Judgement())
    return Rule(
        id=record.check_id,
        name=record.check_name.rstrip("."),
        description=record.check_name,
        help=judged.fix or record.check_name,
        uri=record.guideline or PAGES.get(framework, ""),
    )


def _finding(copies: dict[Path, str], manifests: dict[str, list[Manifest]], record: _Record) -> Finding:
    judged = judgements("checkov").get(record.check_id, Judgement())
    path = copies[Path(record.file_abs_path)]
    start, end = (*record.file_line_range, 0, 0)[:2]
    skipped = record.check_result.result == "SKIPPED"
    return Finding(
        rule=record.check_id,
        severity=judged.severity or DEFAULT,
        confidence="high",
        message=f"{record.check_name.rstrip('.')}: {_resource(record)}",
        location=_place(path, max(start, 1), max(end, start, 1), manifests.get(path, []), record),
        cwe=judged.cwe,
        owasp=judged.owasp or ("A02:2025",),
        fix=judged.fix or record.check_name,
        suppression=Suppression("inSource", "checkov:skip", record.check_result.suppress_comment) if skipped else None,
    )


def _resource(record: _Record) -> str:
    """`Deployment.default.cart`, `aws_s3_bucket.logs`; of a Dockerfile only the instruction (its path is the copy's)."""
    return (
        record.resource.rpartition("Dockerfile.")[2] or "the image"
        if "Dockerfile." in record.resource
        else record.resource
    )


def _place(path: str, start: int, end: int, manifests: list[Manifest], record: _Record) -> Location:
    """The lines of the key that checkov judged, or of the deepest part of its path that is there; else the resource."""
    best: tuple[int, int, int] | None = None
    for manifest in manifests:
        if manifest.line <= end and manifest.end >= start:
            for key in _keys(record):
                found = manifest.find(key)
                if found is not None and (best is None or found[0] >= best[0]):
                    best = found
            if best is not None:
                return Location(path, best[1], 0, best[2])
    if start == end:
        return Location(path, start, 0, end)
    return Location(
        path, start, 0, end, _resource(record)[:240]
    )  # its first line says nothing about which resource it is


def _keys(record: _Record) -> Iterator[str]:
    keys = record.check_result.evaluated_keys
    for key in keys if isinstance(keys, list) else []:
        if isinstance(key, str):
            yield key


CHECK = Check(
    id="infrastructure",
    stage=Stage.SOURCE,
    summary="Kubernetes, Terraform, Dockerfiles: privileges, isolation, limits, open networks (checkov)",
    applies=applies,
    run=run,
    tools=("checkov",),
    tags=("iac", "kubernetes"),
    deadline=600.0,
)

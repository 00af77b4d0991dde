"""Secrets with the user's own gitleaks, where the configuration asks for it."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path, PurePosixPath

import msgspec

from vallum.check import Context
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Outcome, Run, Tool
from vallum.severity import Severity
from vallum_checks._texts import ALLOWED, CWE, FIX, OWASP, Texts
from vallum_checks.common import Markers, conclude, coverage, decode, ended

OWN_FILES = frozenset({".gitleaks.toml", ".gitleaksignore"})
CANARY = "vallum-canary.txt"
KEY = "AKIA" + "Z7QXW3N5RTBVLM2K"
"""Made up; in two parts, so that no scanner of secrets stops at this file."""
GENERIC = "generic-api-key"
"""gitleaks' guess by name and entropy; all its other rules know a format."""
WITH_LEAKS = 7


class _Leak(msgspec.Struct, rename="pascal"):
    RuleID: str = msgspec.field(name="RuleID")
    description: str = ""
    file: str = ""
    start_line: int = 0
    start_column: int = 0
    end_line: int = 0


def run_gitleaks(ctx: Context, texts: Texts) -> Outcome:
    """The user's own gitleaks on a copy of the text files, so that `.gitleaks.toml`, `.gitleaksignore` and links of the
    target do not count; the report is redacted by gitleaks itself."""
    program = shutil.which("gitleaks")
    if program is None:
        raise Inconclusive("gitleaks is not on PATH, and checks.secrets.options.tool asks for it")
    tree = ctx.scratch / "tree"
    copies = {path: copy for copy, path in texts.copies.items()}
    looked = [path for path in texts.paths if path not in texts.missed and PurePosixPath(path).name not in OWN_FILES]
    for path in texts.paths:
        if PurePosixPath(path).name in OWN_FILES:
            texts.missed.setdefault(path, "gitleaks takes it for its own settings")
    for path in looked:
        place = tree / path
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(copies.get(path, ctx.target.root / path), place)
    canary = tree / CANARY
    canary.write_text(f"key = {KEY}\n", "utf-8")
    report = ctx.scratch / "gitleaks.json"  # not raw/: redaction is gitleaks' promise, not ours
    argv = [
        program,
        "dir",
        "--no-banner",
        "--no-color",
        "--redact=100",
        "--ignore-gitleaks-allow",
        "--report-format",
        "json",
    ]
    argv += ["--report-path", str(report), "--exit-code", str(WITH_LEAKS), "."]
    done = ctx.run(argv, name="gitleaks", cwd=tree)
    if done.exit_code not in {0, WITH_LEAKS} or not report.is_file():
        raise ended("gitleaks", done)
    leaks = decode(report.read_bytes(), list[_Leak], "gitleaks", done)
    if not any(leak.file.endswith(CANARY) for leak in leaks):
        raise Inconclusive("gitleaks did not report the made-up key that is sent through with every run")
    leaks = [leak for leak in leaks if not leak.file.endswith(CANARY)]
    version = ctx.run([program, "version"], name="gitleaks-version").output().decode("utf-8", "replace").strip()
    digest = hashlib.sha256(Path(program).read_bytes()).hexdigest()
    marked = Markers(ctx.target, ALLOWED, "gitleaks:allow")
    findings = tuple(
        Finding(
            rule=leak.RuleID,
            severity=Severity.MEDIUM if leak.RuleID == GENERIC else Severity.HIGH,
            confidence="low" if leak.RuleID == GENERIC else "high",
            message=leak.description,
            location=Location(
                leak.file, leak.start_line, leak.start_column, leak.end_line, "(not shown: it holds a secret)"
            ),
            cwe=(CWE,),
            owasp=OWASP,
            fix=FIX,
            suppression=marked.suppression(leak.file, range(leak.start_line, leak.end_line + 1)),
        )
        for leak in leaks
    )
    return conclude(
        "gitleaks",
        Run(
            tool=Tool("gitleaks", version[:40], digest),
            coverage=(coverage("text files", texts.paths, texts.missed),),
            rules=tuple(
                {leak.RuleID: Rule(leak.RuleID, leak.RuleID, leak.description, FIX) for leak in leaks}.values()
            ),
            findings=findings,
            notes=texts.notes,
            argv=tuple(argv),
            exit_code=done.exit_code,
            seconds=done.seconds,
        ),
    )

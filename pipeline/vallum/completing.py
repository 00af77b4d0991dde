"""What every outcome is given before it is written down: service, excerpt, identity; and what is taken out of it: secrets,
and the folders of this machine."""

from __future__ import annotations

from pathlib import Path

import msgspec

from vallum import fingerprint, sources
from vallum.check import WHOLE, Check, Context, Stage
from vallum.context import Contexts
from vallum.finding import Finding, Location
from vallum.masking import Masker
from vallum.outcome import Completed, Incomplete, Missed, NotApplicable, Outcome
from vallum.target import Target

MAX_SNIPPET = 240
"""Characters of a code excerpt that are kept."""
KEEP_SECRETS = (
    ".env",
    ".npmrc",
    ".yarnrc",
    ".pypirc",
    "pip.conf",
    "requirements",
    "package-lock.json",
    "Pipfile",
    "uv.lock",
)
"""Beginnings of the names of files that may hold secrets for tools: package indexes are often named with a password."""


def portable(ctx: Context, argv: tuple[str, ...]) -> tuple[str, ...]:
    """The command without this machine's folders: to be read and repeated elsewhere, and the same in every run."""
    places = {str(ctx.raw): "raw", str(ctx.scratch): "$TMPDIR", str(ctx.target.root): "."}
    portable = []
    for number, given in enumerate(argv):
        part = Path(given).name if number == 0 else given
        for place, name in places.items():
            part = part.replace(place, name)
        portable.append(part)
    return tuple(portable)


def excluded(target: Target) -> tuple[str, ...]:
    """What the configuration keeps from the check is said in its record: it is not part of what was expected."""
    if not target.excluded:
        return ()
    listed = ", ".join(f"{pattern} ({count} files)" for pattern, count in sorted(target.excluded.items()))
    return (f"excluded by the configuration: {listed}",)


def masker(check: Check, ctx: Context, outcome: Outcome) -> Masker:
    """Knows the secrets of the files that findings quote, and of those in which tools and people keep some. A deployment's are
    known to its own redactor."""
    if check.stage is Stage.STAGED or isinstance(outcome, NotApplicable):
        return Masker(())
    paths = {path for path in ctx.target.files if Path(path).name.startswith(KEEP_SECRETS)}
    if outcome.run is not None:
        paths |= {finding.location.path for finding in outcome.run.findings if finding.location is not None}
    return Masker(_text(ctx.target, path) or "" for path in sorted(paths))


def masked(outcome: Outcome, masker: Masker) -> Outcome:
    """The outcome's own words without secrets; its findings are masked when they are completed."""
    if isinstance(outcome, NotApplicable):
        return outcome
    run = outcome.run
    if run is not None:
        coverage = tuple(
            msgspec.structs.replace(
                part, missed=tuple(Missed(missed.target, masker.text(missed.why)) for missed in part.missed)
            )
            for part in run.coverage
        )
        run = msgspec.structs.replace(run, coverage=coverage, notes=tuple(masker.text(note) for note in run.notes))
    if isinstance(outcome, Incomplete):
        return Incomplete(masker.text(outcome.reason), run)
    return Completed(run) if run is not None else outcome


def complete(check: Check, ctx: Context, findings: tuple[Finding, ...], masker: Masker) -> list[Finding]:
    """Set service, excerpt, identity and origin; mask secrets. Each file is read once."""
    lines: dict[str, list[str]] = {}
    completed = []
    for finding in findings:
        location = finding.location
        if location is not None and location.line and not location.snippet:
            text = _line(ctx.target, lines, location)
            location = msgspec.structs.replace(location, snippet=text)
        service = finding.service or (ctx.unit if ctx.unit != WHOLE else "")
        if not service and location is not None:
            service = ctx.target.service_of(location.path)
        finding = msgspec.structs.replace(  # noqa: PLW2901 - the same finding, made whole
            finding, location=location, service=service, checks=finding.checks or (check.id,)
        )
        if check.stage is not Stage.STAGED:
            secret = not fingerprint.SECRET_CWES.isdisjoint(finding.cwe)
            finding = masker.finding(finding, secret=secret)  # noqa: PLW2901
        completed.append(fingerprint.mask(finding))
    contexts = Contexts(lambda path: _text(ctx.target, path))

    def context(finding: Finding) -> str:
        place = finding.location
        secret = not fingerprint.SECRET_CWES.isdisjoint(finding.cwe)
        return contexts.of(place.path, place.line, place.column, masked=secret) if place is not None else ""

    return fingerprint.identify(completed, context, ctx.target.renamed)


def _text(target: Target, path: str) -> str | None:
    try:
        return sources.text(target, path)
    except (OSError, ValueError):
        return None


def _line(target: Target, cache: dict[str, list[str]], location: Location) -> str:
    if location.path not in cache:
        if len(cache) > 256:
            cache.clear()
        cache[location.path] = (_text(target, location.path) or "").splitlines()
    lines = cache[location.path]
    return lines[location.line - 1].strip()[:MAX_SNIPPET] if 0 < location.line <= len(lines) else ""

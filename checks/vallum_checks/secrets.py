"""Secrets in any text file with detect-secrets (or gitleaks): keys and tokens by their format, passwords by their name.

Cannot see: the history of the repository (only the files that are there now), secrets in binary files. Fix: withdraw the
secret where it was issued, then take it out of the source; removing the line alone does not help. What is found is shown
masked. `# pragma: allowlist secret` and `gitleaks:allow` are counted and shown, never obeyed here; baselines are not read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Outcome, Run, Tool
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks._gitleaks import run_gitleaks
from vallum_checks._texts import ALLOWED, CWE, FIX, MAX_BYTES, OWASP, Lines, Texts, masked, sort
from vallum_checks.common import Judgement, Markers, batches, conclude, coverage, decode, ended, judgements


class _Secret(msgspec.Struct):
    type: str
    hashed_secret: str
    line_number: int


class _Report(msgspec.Struct):
    results: dict[str, list[_Secret]]
    plugins_used: list[dict[str, object]]


PLUGINS = 26
"""Plugins of detect-secrets 1.5.0 without the one for public IP addresses, which are no secrets."""
FILTERS_OFF = (
    "detect_secrets.filters.allowlist.is_line_allowlisted",
    "detect_secrets.filters.heuristic.is_lock_file",
    "detect_secrets.filters.heuristic.is_non_text_file",
    "detect_secrets.filters.heuristic.is_swagger_file",
)
"""Filters by which the target could hide a file or a line; which files are looked at is decided here."""
ENTROPY = frozenset({"Base64 High Entropy String", "Hex High Entropy String"})
VAGUE = ENTROPY | {"Secret Keyword"}
HASHES = (".lock", ".sum", ".svg", ".map", ".css", ".resolved")
HASH_NAMES = frozenset({"package-lock.json", "npm-shrinkwrap.json", "packages.lock.json", "pnpm-lock.yaml", "go.sum"})
"""Files full of hashes by their nature: what entropy alone says about them is dropped, formats and names are not."""
NO_SECRET = re.compile(
    r"""(?ix) (secret|password|passwd|pwd|token|key|credential)s? \w* ["']? \s* [:=] \s* ["']?
    ( \{ | \[ | (inherit|true|false|none|null|string|str|write|read|required|optional|changeme|\*+|<[^>]*>)
    \b ["']? \s* ([,;})\#]|//|$) )"""
)
"""What a telling name is followed by where no secret is: a schema, a type, a word of a workflow, a placeholder."""
HASHED_REQUIREMENT = re.compile(r"(--hash=|\b)sha(1|224|256|384|512)[:=-]", re.IGNORECASE)
ALLOWED_NEXT = re.compile(r"pragma: ?allowlist[ -]nextline[ -]secret", re.IGNORECASE)


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Everywhere."""
    return Planned() if target.files else Skipped("no files")


def run(ctx: Context) -> Outcome:
    """Every text file by name. Binary files are not expected; their number is in the notes."""
    options = ctx.config.settings("secrets").options
    texts = sort(ctx.target, ctx.scratch, int(options.get("max-bytes", MAX_BYTES)))
    chosen = options.get("tool", "detect-secrets")
    if chosen == "detect-secrets":
        return _detect_secrets(ctx, texts)
    if chosen == "gitleaks":
        return run_gitleaks(ctx, texts)
    raise UserError(f"checks.secrets.options.tool: {chosen!r} is neither detect-secrets nor gitleaks")


def _detect_secrets(ctx: Context, texts: Texts) -> Outcome:
    tool = ctx.tool("detect-secrets")
    argv: list[str | Path] = [tool.bin("detect-secrets"), "-v", "-c", str(os.cpu_count() or 1), "scan"]
    argv += ["--no-verify", "--all-files"]
    argv += ["--disable-plugin", "IPPublicDetector"]
    argv += [part for name in FILTERS_OFF for part in ("--disable-filter", name)]
    copied = set(texts.copies.values())
    fit = [path for path in texts.paths if path not in texts.missed and path not in copied]
    fit.sort(key=lambda path: -texts.sizes[path])
    # It takes no file outside its working directory, and says nothing. The few copies first, and the largest files of the
    # rest, so that all cores are busy to the end.
    groups = [
        (ctx.scratch, [f"./{copy.relative_to(ctx.scratch)}" for copy in texts.copies]),
        (ctx.target.root, [f"./{path}" for path in fit]),
    ]
    found: list[tuple[str, _Secret]] = []
    seen: set[str] = set()
    exit_code, seconds = 0, 0.0
    for number, (folder, batch) in enumerate((folder, batch) for folder, names in groups for batch in batches(names)):
        done = ctx.run([*argv, "--", *batch], name=f"detect-secrets-{number}", cwd=folder)
        if done.exit_code != 0:
            raise ended("detect-secrets", done)
        report = decode(done.output(), _Report, "detect-secrets", done)
        if len(report.plugins_used) != PLUGINS:
            raise Inconclusive(f"detect-secrets used {len(report.plugins_used)} plugins, not {PLUGINS}")
        original = {
            PurePosixPath(name).as_posix(): texts.copies.get(folder / name, PurePosixPath(name).as_posix())
            for name in batch
        }
        for name, secrets in report.results.items():
            found.extend((original[name], secret) for secret in secrets)
        for line in done.stderr.read_text("utf-8", "surrogateescape").splitlines():
            before, checking, name = line.partition("\tChecking file: ")
            if checking and before.startswith("[scan]"):
                seen.add(original[name])
        seconds += done.seconds
    for path in texts.paths:
        if path not in seen:
            texts.missed.setdefault(path, "detect-secrets did not look at it and does not say why")
    kept = list(_worth_telling(found, ctx.target))
    return conclude(
        "detect-secrets",
        Run(
            tool=Tool("detect-secrets", tool.version, tool.digest),
            coverage=(coverage("text files", texts.paths, texts.missed),),
            rules=tuple({secret.type: _rule(secret.type) for _, secret in kept}.values()),
            findings=tuple(_findings(ctx.target, kept)),
            notes=texts.notes,
            argv=tuple(str(part) for part in (*argv, "--", "…")),
            exit_code=exit_code,
            seconds=seconds,
        ),
    )


def _worth_telling(found: list[tuple[str, _Secret]], target: Target) -> Iterator[tuple[str, _Secret]]:
    """Without entropy in files of hashes, and of several guesses about one line only the best."""
    best: dict[tuple[str, int], int] = {}
    for path, secret in found:
        place = (path, secret.line_number)
        best[place] = max(best.get(place, 0), _weight(secret))
    lines = Lines(target)
    told: set[tuple[str, int, str]] = set()
    for path, secret in found:
        weight = _weight(secret)
        if weight < best[path, secret.line_number]:
            continue
        name = PurePosixPath(path).name
        if secret.type in ENTROPY and (
            name.endswith(HASHES)
            or name in HASH_NAMES
            or HASHED_REQUIREMENT.search(lines.get(path, secret.line_number))
        ):
            continue
        if secret.type == "Secret Keyword" and NO_SECRET.search(lines.get(path, secret.line_number)):
            continue
        key = (path, secret.line_number, "" if secret.type in VAGUE else secret.type)
        if key not in told:
            told.add(key)
            yield path, secret


def _weight(secret: _Secret) -> int:
    return 0 if secret.type in ENTROPY else 1 if secret.type in VAGUE else 2


def _findings(target: Target, kept: list[tuple[str, _Secret]]) -> Iterator[Finding]:
    by_line: dict[tuple[str, int], set[str]] = {}
    for path, secret in kept:
        by_line.setdefault((path, secret.line_number), set()).add(secret.hashed_secret)
    lines = Lines(target)
    marked, before = (
        Markers(target, ALLOWED, "pragma: allowlist secret"),
        Markers(target, ALLOWED_NEXT, "pragma: allowlist secret"),
    )
    for path, secret in kept:
        judged = judgements("detect-secrets").get(secret.type, Judgement())
        number = secret.line_number
        yield Finding(
            rule=_identifier(secret.type),
            severity=judged.severity or Severity.UNKNOWN,
            confidence=judged.confidence,
            message=f"{secret.type} in the source",
            location=Location(path, number, 0, number, masked(lines.get(path, number), by_line[path, number])),
            cwe=tuple(sorted({CWE, *judged.cwe})),
            owasp=OWASP,
            fix=FIX,
            suppression=marked.suppression(path, [number]) or before.suppression(path, [number - 1]),
        )


def _identifier(kind: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", kind.lower()).strip("-")


def _rule(kind: str) -> Rule:
    return Rule(
        id=_identifier(kind),
        name=kind,
        description=f"{kind} in a file of the repository",
        help=FIX,
        uri="https://cheatsheetseries.owasp.org/cheatsheets/Secrets_Management_Cheat_Sheet.html",
    )


CHECK = Check(
    id="secrets",
    stage=Stage.SOURCE,
    summary="Secrets in any text file: keys and tokens by format, passwords by name (detect-secrets)",
    applies=applies,
    run=run,
    tools=("detect-secrets",),
    tags=("secrets",),
)

"""Python dependencies with pip-audit: published vulnerabilities of every pinned or resolved package of every manifest.

Reads requirements files (with what they include), `[project]` and dependency groups of pyproject.toml, uv.lock and
pylock.toml. pip-audit asks one loopback service that carries the configured advisories, so what it asked is counted: a package
that it skipped, or never asked about, makes the outcome incomplete. A manifest without exact versions is resolved by
`uv pip compile` first, without building anything. Severity is the advisory's: pip-audit has none.

Cannot see: what is installed by other means than a manifest (the image check does), transitive packages of a requirements
file that lists exact versions but not all of them. Fix: each finding names the version to upgrade to.

Options: `manifests` (more globs), `build` (true: let uv build packages to learn their dependencies, which runs their code).
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Completed, Coverage, Incomplete, Missed, NotApplicable, Outcome, Run, Tool
from vallum.process import Finished
from vallum.target import Target
from vallum.tools import ToolEnv, uv

if TYPE_CHECKING:
    from vallum.advisories.ecosystems import Query
    from vallum.advisories.findings import Use
    from vallum.advisories.mirror import Mirror
    from vallum.advisories.osv import Record
    from vallum.advisories.python_manifests import Manifest, Pin

PARALLEL = 2
"""pip-audit processes at once: each start costs about a second of CPU."""
MAX_MISSED = 1000


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str


class _Dependency(msgspec.Struct, frozen=True):
    name: str
    version: str = ""
    vulns: tuple[_Vulnerability, ...] = ()
    skip_reason: str = ""


class _Report(msgspec.Struct, frozen=True):
    dependencies: tuple[_Dependency, ...]


class _Audited(NamedTuple):
    """What one or more pip-audit processes said: ids by (name, version), reasons of what was skipped."""

    found: dict[tuple[str, str], tuple[str, ...]]
    skipped: dict[tuple[str, str], str]
    runs: tuple[Finished, ...]


def manifests(target: Target, config: Config) -> list[str]:
    """Paths of the Python manifests of the target, without the excluded ones."""
    from vallum.advisories.manifest_names import is_manifest

    settings = config.settings("pip-audit")
    extra = tuple(settings.options.get("manifests", ()))
    return [
        path
        for path in target.files
        if is_manifest(path, extra) and not any(fnmatch(path, pattern) for pattern in settings.exclude)
    ]


def applies(target: Target, config: Config) -> Planned | Skipped:
    """Where there is a Python manifest."""
    return Planned() if manifests(target, config) else Skipped("no Python manifest")


def run(ctx: Context) -> Outcome:
    """Read, resolve where needed, audit all at once, then demand an answer for every package."""
    from vallum.advisories.mirror import Mirror
    from vallum.advisories.python_manifests import read_all
    from vallum.advisories.source import open_source

    read = [one for one in read_all(ctx.target.root, manifests(ctx.target, ctx.config)) if one.relevant]
    missed = [Missed(where, why) for one in read for where, why in one.missed]
    notes = [f"{one.path}: {one.own} own folders are not looked up" for one in read if one.own]
    uses, more = _uses(ctx, read, notes)
    missed += more
    if not uses and not missed:
        return NotApplicable("no Python manifest names a dependency of others")
    source = open_source(ctx.config.advisories.source, ctx.target.root, ctx.config.advisories.max_age_days)
    pairs = sorted({(use.query.name, use.query.version) for use in uses})
    if not pairs:
        raise Inconclusive(f"no package could be read: {missed[0].target}: {missed[0].why}")
    if not source.covers("PyPI"):
        raise Inconclusive(
            f"the advisories in {source.database.source} know nothing of PyPI: every package would look sound"
        )
    tool = ctx.tool("pip-audit")
    with Mirror(source) as mirror:
        answers = source.lookup([use.query for use in uses])
        audited = _audit(ctx, tool, mirror, pairs)
    seen = {pair for pair in pairs if pair in audited.found and mirror.asked[_query(pair)]}
    missed += [
        Missed(f"{name} {version}", audited.skipped.get((name, version), "pip-audit did not ask about it"))
        for name, version in pairs
        if (name, version) not in seen
    ]
    missed += [
        Missed(f"{query.name} {query.version}", f"cannot be compared with {', '.join(answer.undecided[:3])}")
        for query, answer in answers.items()
        if answer.undecided
    ]
    rules: dict[str, Rule] = {}
    found: list[Finding] = []
    for use in uses:
        _findings(use, answers[use.query].records, audited, rules, found)
    bad = {one.target for one in missed}
    targets = bad | {f"{name} {version}" for name, version in pairs}
    unread = {one.path for one in read} & {target.partition(":")[0] for target in bad}
    result = Run(
        tool=Tool("pip-audit", tool.version, tool.digest),
        coverage=(
            Coverage("manifests", len(read), len(read) - len(unread)),
            Coverage("packages", len(targets), len(targets) - len(bad), tuple(missed[:MAX_MISSED])),
        ),
        rules=tuple(rules.values()),
        findings=tuple(found),
        databases=(source.database,),
        notes=tuple(notes),
        argv=audited.runs[0].argv,
        exit_code=max(one.exit_code for one in audited.runs),
    )
    if missed:
        return Incomplete(f"{len(missed)} not audited: {missed[0].target}: {missed[0].why}"[:500], result)
    return Completed(result)


def _query(pair: tuple[str, str]) -> Query:
    from vallum.advisories.ecosystems import query

    return query("PyPI", *pair)


def _uses(ctx: Context, read: Sequence[Manifest], notes: list[str]) -> tuple[list[Use], list[Missed]]:
    """Every package at every place; those of a manifest with loose versions come from its resolution."""
    uses: list[Use] = []
    missed: list[Missed] = []
    for one in read:
        uses += [_use(ctx, one.path, pin) for pin in one.pins]
        if one.loose:
            try:
                pins = _resolve(ctx, one)
            except Inconclusive as error:
                missed.append(Missed(one.path, error.reason))
                continue
            own = {
                (use.query.name, use.query.version) for use in uses if use.location and use.location.path == one.path
            }
            added = [_use(ctx, one.path, pin, via) for pin, via in pins]
            uses += [use for use in added if (use.query.name, use.query.version) not in own]
            notes.append(
                f"{one.path}: {len(one.loose)} requirements without an exact version, resolved to {len(pins)} packages"
            )
    return uses, missed


def _use(ctx: Context, path: str, pin: Pin, via: str = "") -> Use:
    from vallum.advisories.ecosystems import canonical_purl
    from vallum.advisories.findings import Use

    query = _query((pin.name, pin.version))
    where = Location(path, pin.line)
    return Use(query, pin.name, canonical_purl(query, ""), where, ctx.target.service_of(path), via)


def _resolve(ctx: Context, manifest: Manifest) -> list[tuple[Pin, str]]:
    """Exact versions of what the manifest allows today, each with the direct requirement that brings it.

    Raises Inconclusive where uv cannot resolve it (no index, a conflict, a package that would have to be built).
    """
    import sys

    from vallum import process
    from vallum.advisories.python_manifests import resolved

    name = "resolve-" + manifest.path.replace("/", "-")
    output = ctx.scratch / f"{name}.txt"
    build = ctx.config.settings("pip-audit").options.get("build") is True
    argv = [
        *(str(uv()), "pip", "compile", str(ctx.target.root / manifest.path), "--quiet", "--universal", "--no-header"),
        *(
            "--no-config",
            "--no-emit-index-url",
            "--no-progress",
            "--python",
            sys.executable,
            "--output-file",
            str(output),
        ),
        *(() if build else ("--no-build",)),
        *(("--all-extras",) if manifest.extras else ()),
        *(part for group in manifest.groups for part in ("--group", group)),
    ]
    done = process.run(
        argv,
        cwd=ctx.target.root,
        deadline=min(ctx.deadline, 300),
        stdout=ctx.raw / f"{name}.stdout",
        stderr=ctx.raw / f"{name}.stderr",
        scratch=ctx.scratch,
        installer=True,
    )
    if done.exit_code != 0 or not output.is_file():
        said = " ".join(done.tail(600).split())
        raise Inconclusive(f"its requirements have no exact versions and uv could not resolve them: {said[:300]}")
    return resolved(output.read_text("utf-8"), manifest)


def _audit(ctx: Context, tool: ToolEnv, mirror: Mirror, pairs: Sequence[tuple[str, str]]) -> _Audited:
    """All pairs in as few processes as possible: pip-audit refuses two versions of one package in one run."""
    groups: list[dict[str, str]] = []
    for name, version in pairs:
        group = next((group for group in groups if name not in group), None)
        if group is None:
            groups.append(group := {})
        group[name] = version

    def one(number: int) -> Finished:
        listed = ctx.scratch / f"audit-{number}.txt"
        listed.write_text("".join(f"{name}=={version}\n" for name, version in groups[number].items()), "utf-8")
        argv: list[str | Path] = [
            *(tool.bin("pip-audit"), "-r", listed, "--no-deps", "--disable-pip", "--progress-spinner", "off"),
            *("-s", "osv", "--osv-url", f"{mirror.address}/v1/query", "--timeout", "60", "-f", "json"),
            *("--cache-dir", ctx.scratch / f"cache-{number}"),
        ]
        here = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
        return ctx.run(argv, name=f"pip-audit-{number}", env=here, cwd=ctx.scratch)

    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(PARALLEL) as pool:
        runs = tuple(pool.map(one, range(len(groups))))
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    skipped: dict[tuple[str, str], str] = {}
    for group, done in zip(groups, runs, strict=True):
        _sort(_read(done, mirror), group, found, skipped)
    return _Audited(found, skipped, runs)


def _sort(
    report: _Report,
    group: dict[str, str],
    found: dict[tuple[str, str], tuple[str, ...]],
    skipped: dict[tuple[str, str], str],
) -> None:
    """What pip-audit looked up goes to `found`, what it skipped (and says in passing, with exit 0) to `skipped`."""
    for dependency in report.dependencies:
        if dependency.skip_reason or not dependency.version:
            pair = (dependency.name, group.get(dependency.name, ""))
            skipped[pair] = f"pip-audit skipped it: {dependency.skip_reason or 'no version'}"
        else:
            found[dependency.name, dependency.version] = tuple(one.id for one in dependency.vulns)


def _read(done: Finished, mirror: Mirror) -> _Report:
    """Exit 1 stands for vulnerabilities and for every error alike: only the report tells, and an error leaves none."""
    if mirror.failed:
        raise Inconclusive(f"the advisories could not be asked: {mirror.failed}", done.tail())
    lines = [line for line in done.tail().splitlines() if line.strip()]
    last = lines[-1][:300] if lines else "it said nothing"
    if done.exit_code not in {0, 1}:
        raise Inconclusive(f"pip-audit ended with {done.exit_code}: {last}", done.tail())
    try:
        report = msgspec.json.decode(done.output(), type=_Report)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise Inconclusive(f"pip-audit left no report: {last}", done.tail()) from None
    if not report.dependencies:
        raise Inconclusive("pip-audit reports no dependency at all", done.tail())
    return report


def _findings(
    use: Use, records: Sequence[Record], audited: _Audited, rules: dict[str, Rule], found: list[Finding]
) -> None:
    """The findings of one use: what pip-audit named, told by our records. A name that we do not know is an alarm."""
    from vallum.advisories.findings import build

    said = set(audited.found.get((use.query.name, use.query.version), ()))
    strange = said - {name for record in records for name in (record.id, *record.aliases)}
    if strange:
        raise Inconclusive(
            f"pip-audit names {', '.join(sorted(strange))} for {use.shown}, which no advisory we served has"
        )
    for rule, finding in build(use, records):
        if not said & {finding.rule, *finding.aliases} and (use.query.name, use.query.version) in audited.found:
            raise Inconclusive(
                f"pip-audit does not report {finding.rule} for {use.shown}, though the advisory was served"
            )
        rules.setdefault(rule.id, rule)
        found.append(finding)


CHECK = Check(
    id="pip-audit",
    stage=Stage.DEPENDENCIES,
    summary="Python dependencies against published advisories (pip-audit over OSV)",
    applies=applies,
    run=run,
    tools=("pip-audit",),
    tags=("sca", "python"),
)

"""Lock files of npm, Go, Java, Rust, Ruby, PHP, .NET and others: published vulnerabilities of what they pin.

syft reads the lock files into a CycloneDX bill of materials, whose packages are compared with the configured advisories by
package-url. Every lock file, and for npm every package, that syft passes over makes the outcome incomplete: it says nothing
about a file that it cannot parse. Python's requirements, pyproject, uv.lock and pylock are the pip-audit check's.

Cannot see: dependencies without a lock file (versions are chosen at install time then), vendored copies of code. Fix: each
finding names the version to upgrade to.

Options: `ecosystems-without-advisories` (`note`: packages of which the advisories know nothing are noted, not a gap).
"""

from __future__ import annotations

import shutil
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Location
from vallum.outcome import Completed, Coverage, Incomplete, Missed, NotApplicable, Outcome, Run
from vallum.target import Target

if TYPE_CHECKING:
    from vallum.advisories.sbom import Bill, Component

MAX_MISSED = 1000


def lock_files(target: Target, config: Config) -> list[str]:
    """Paths of the lock files of the target, without the excluded ones."""
    from vallum.images.locks import is_lock

    exclude = config.settings("packages").exclude
    return [path for path in target.files if is_lock(path) and not any(fnmatch(path, pattern) for pattern in exclude)]


def applies(target: Target, config: Config) -> Planned | Skipped:
    """Where there is a lock file of one of these ecosystems."""
    return Planned() if lock_files(target, config) else Skipped("no lock file but Python's")


def run(ctx: Context) -> Outcome:
    """Lock files alone, copied aside, so that nothing else of the tree is walked and no ignore rule hides one."""
    from vallum.advisories.source import open_source
    from vallum.images.compare import WITHOUT, compare
    from vallum.images.locks import BESIDE
    from vallum.images.syft import scan

    paths = lock_files(ctx.target, ctx.config)
    source = open_source(ctx.config.advisories.source, ctx.target.root, ctx.config.advisories.max_age_days)
    wanted, missed = _wanted(ctx, paths)
    if not missed and not any(wanted.values()):
        return NotApplicable("no lock file names a package of others")
    copies = ctx.scratch / "locks"
    for path in paths:
        folder = PurePosixPath(path).parent
        for name in (PurePosixPath(path).name, *BESIDE.get(PurePosixPath(path).name, ())):
            if (ctx.target.root / folder / name).is_file():
                (copies / folder).mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ctx.target.root / folder / name, copies / folder / name)
    found = scan(ctx, f"dir:{copies}", ctx.target.name)
    missed += _absent(wanted, found.bill)
    if not found.bill.components:
        raise Inconclusive(f"syft read no package of {len(paths)} lock files: {missed[0].target}: {missed[0].why}")
    texts: dict[str, str] = {}
    option = ctx.config.settings("packages").options.get(WITHOUT)
    result = compare(
        found.bill, source, lambda one: _places(ctx, one, texts), "note" if option == "note" else "incomplete"
    )
    unread = {one.target.partition(":")[0] for one in missed}
    missed += result.missed
    coverage = (
        Coverage("lock files", len(paths), len(paths) - len(unread)),
        Coverage("packages", result.expected, result.seen, tuple(missed[:MAX_MISSED])),
    )
    record = Run(
        tool=found.tool,
        coverage=coverage,
        rules=tuple(result.rules.values()),
        findings=tuple(result.findings),
        databases=(source.database,),
        notes=tuple(result.notes),
        argv=found.done.argv,
        exit_code=found.done.exit_code,
    )
    if missed:
        return Incomplete(f"{len(missed)} not compared: {missed[0].target}: {missed[0].why}"[:500], record)
    return Completed(record)


def _wanted(ctx: Context, paths: list[str]) -> tuple[dict[str, frozenset[tuple[str, str]] | bool], list[Missed]]:
    from vallum.images.locks import expected

    wanted: dict[str, frozenset[tuple[str, str]] | bool] = {}
    missed: list[Missed] = []
    for path in paths:
        try:
            wanted[path] = expected(ctx.target.root / path)
        except (OSError, ValueError) as error:
            missed.append(Missed(path, f"cannot be read: {error}"))
    return wanted, missed


def _absent(wanted: dict[str, frozenset[tuple[str, str]] | bool], bill: Bill) -> list[Missed]:
    """What a lock file names and syft does not."""
    found: dict[str, set[tuple[str, str]]] = {}
    for one in bill.components:
        name = one.query.name if one.query is not None else one.name
        for path in one.paths:
            found.setdefault(path.lstrip("/"), set()).add((name, one.version))
    missed = []
    everywhere = {pair for pairs in found.values() for pair in pairs}
    for path, need in wanted.items():
        if isinstance(need, bool):
            if need and not found.get(path):
                missed.append(Missed(path, "syft read no package of it"))
            continue
        missed += [
            Missed(f"{path}: {name} {version}", "syft did not read it") for name, version in sorted(need - everywhere)
        ]
        if need and not found.get(path):
            missed.append(Missed(path, "syft read no package of it"))
    return missed


def _places(ctx: Context, one: Component, texts: dict[str, str]) -> list[tuple[Location | None, str]]:
    from vallum.images.compare import line_of

    places: list[tuple[Location | None, str]] = []
    for path in dict.fromkeys(path.lstrip("/") for path in one.paths):
        file = ctx.target.root / path
        if path not in texts:
            texts[path] = file.read_text("utf-8", "replace") if file.is_file() else ""
        name = one.query.name.rpartition(":")[2] if one.query is not None else one.name
        places.append((Location(path, line_of(texts[path], name, one.version)), ctx.target.service_of(path)))
    return places or [(None, "")]


CHECK = Check(
    id="packages",
    stage=Stage.DEPENDENCIES,
    summary="npm, Go, Java and other lock files against published advisories (syft over OSV)",
    applies=applies,
    run=run,
    tools=("syft",),
    tags=("sca", "sbom"),
)

"""`vallum -s import`: a report that was made elsewhere becomes the outcome of a check declared with `imports = true`.

It is bound to a commit and a tool, lies in `.vallum/imported/<check>/`, and is read again, as strictly as any, when the
check runs. The same file about another commit than the one checked out is refused here and incomplete there.
"""

from __future__ import annotations

import argparse
import hashlib
import re
from pathlib import Path
from typing import NoReturn

import msgspec

from vallum import artifacts, gather, plan
from vallum.declaration import DeclaredCheck
from vallum.errors import Inconclusive, UserError
from vallum.progress import say
from vallum.target import Target
from vallum_checks import declared
from vallum_checks._imported import META, Imported, folder

_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
USAGE = "vallum -s import -- FILE --check ID --commit SHA --tool NAME"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"import: {message}", USAGE)


def import_command(root: Path, arguments: tuple[str, ...]) -> str:
    """Take the report in; UserError where it is refused. Writes the outcome at once where a plan waits for it."""
    parser = _Parser(prog="import", add_help=False, allow_abbrev=False)
    parser.add_argument("file", type=Path)
    for name in ("check", "commit", "tool"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args(arguments)
    target, config = gather.open_target(root)
    wanted = next((each for each in config.check if each.id == options.check), None)
    if wanted is None or not wanted.imports:
        known = ", ".join(each.id for each in config.check if each.imports) or "none"
        raise UserError(
            f"no check {options.check!r} waits for an import (declared: {known})",
            "declare it in vallum.toml: [[check]] with `imports = true`, so that its absence is noticed",
        )
    _same_commit(root, target, options.commit)
    path: Path = options.file
    suffix = ".xml" if path.suffix == ".xml" else ".sarif"
    try:
        data = artifacts.read(path.resolve() if not path.is_symlink() else path, config.limits.report_mb << 20)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path} cannot be imported: {error}", "give a regular file, or raise limits.report-mb"
        ) from None
    _readable(wanted, path, target, config.limits.report_mb, options.tool)
    artifacts.folder(root)
    place = folder(root, wanted.id)
    if place.is_symlink() or place.parent.is_symlink():
        raise UserError(f"{place} is a link", "remove it")
    artifacts.write(place / f"report{suffix}", data)
    meta = Imported(
        file=f"report{suffix}", sha256=hashlib.sha256(data).hexdigest(), commit=options.commit, tool=options.tool
    )
    artifacts.write(place / META, msgspec.json.encode(meta))
    say(f"  {wanted.id:<16} imported {len(data)} bytes of {options.tool} on {options.commit[:12]}")
    try:
        planned = any(each.check == wanted.id for each in plan.load(root).planned())
    except UserError:
        planned = False
    if planned:
        gather.run_check(declared.make(wanted), root)
    return ""


def _same_commit(root: Path, target: Target, commit: str) -> None:
    if not _COMMIT.fullmatch(commit):
        raise UserError(f"--commit {commit!r} is no full commit id", "give all 40 (or 64) hexadecimal digits")
    try:
        here = plan.load(root).commit or target.commit
    except UserError:
        here = target.commit
    if not here:
        raise UserError("the target has no commit that an import could be bound to", "import into a git checkout")
    if commit != here:
        raise UserError(f"the report is of commit {commit}, the plan of {here}", "run the tool on the planned commit")


def _readable(wanted: DeclaredCheck, path: Path, target: Target, limit_mb: int, tool: str) -> None:
    """Refuse at the door what the check could not use."""
    try:
        report = declared.read(wanted, path, target.root, limit_mb)
    except Inconclusive as error:
        raise UserError(f"{path.name}: {error.reason}", "import what the tool wrote, unchanged") from None
    if report.tool and report.tool.casefold() != tool.casefold():
        raise UserError(
            f"{path.name} is a report of {report.tool!r}, not of {tool!r}", "name the tool as its SARIF does"
        )

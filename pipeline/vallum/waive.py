"""`vallum -s waive -- ID --reason … --owner … --until YYYY-MM-DD`: put a waiver at the end of vallum-waivers.toml.

Instead of one finding's ID, a pattern: `--rule`, `--path`, `--package`, `--check`, `--service`, all of which must fit. It must
fit something in the last verdict, or nobody could see that it says what was meant. All else in the file stays as it is. What
the policy would refuse is refused here, before the file is touched.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path
from typing import Any, NoReturn

import msgspec

from vallum import gather, waivers
from vallum.errors import UserError
from vallum.explain import find
from vallum.judgement import last_verdict
from vallum.progress import say
from vallum.reports import text
from vallum.verdict import Judged, Verdict

PATTERN = tuple(field.name for field in msgspec.structs.fields(waivers.Match))
SHOWN = 10
"""Findings that are named of those that a pattern fits."""
USAGE = (
    "vallum -s waive -- (ID | [--rule ID] [--path GLOB] [--package NAME] [--check ID] [--service NAME]) "
    "--reason TEXT --owner WHO --until YYYY-MM-DD "
    "[--status affected|not_affected|under_investigation] [--justification WORD] [--ticket REF]"
)


class _Parser(argparse.ArgumentParser):
    """One that raises UserError instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"waive: {message}", USAGE)


def waive(root: Path, arguments: tuple[str, ...]) -> str:
    """Write the waiver and say where it stands; UserError for what is missing, wrong, or longer than the policy lets it."""
    root = root.resolve()
    options = _options(arguments)
    fitting = _fitting(last_verdict(root), options)
    _, config = gather.open_target(root)
    today = dt.datetime.now(dt.UTC).date()
    checks, most = gather.known_checks(), config.policy.max_waiver_days
    waivers.load(root, today, most, checks)  # a file that is refused is not made longer
    fields = {key: value for key, value in vars(options).items() if value and key not in PATTERN}
    match = _match(options)
    aimed = {"match": match} if match else {"id": fitting[0].finding.id}
    waiver = waivers.parse(_document(fields | aimed), today, most, checks)[0]
    if not waiver.holds(today):
        raise UserError(f"waive: {waiver.until} is past", "give a day to come")
    line = waivers.append(root, waiver)
    for judged in fitting[:SHOWN]:
        finding = judged.finding
        place = f"{finding.severity} {finding.rule} at {text.where(finding)}"
        say(f"{waivers.FILE}:{line}: {place} passes until {waiver.until}")
    if len(fitting) > SHOWN:
        say(f"  and {len(fitting) - SHOWN} more")
    if match and len(fitting) > waivers.BROAD:
        say(f"  this is broad: it lets {len(fitting)} findings through, and what comes later")
    say("  `vallum -s gate` judges again; the waiver is counted and shown")
    return ""


def _match(options: argparse.Namespace) -> dict[str, str]:
    return {key: getattr(options, key) for key in PATTERN if getattr(options, key)}


def _fitting(verdict: Verdict, options: argparse.Namespace) -> list[Judged]:
    """The findings of the last verdict that it would let through, at least one."""
    match = _match(options)
    if bool(match) is bool(options.id):
        raise UserError("waive: name either one finding or a pattern", USAGE)
    if options.id:
        return [find(verdict, options.id)]
    pattern = waivers.Waiver(
        match=msgspec.convert(match, waivers.Match), status="affected", reason="", owner="", until=dt.date.max
    )
    fitting = [judged for judged in verdict.findings if pattern.fits(judged.finding)]
    if not fitting:
        raise UserError(f"waive: nothing in the last verdict fits {pattern.scope}", "see .vallum/report/findings.json")
    return fitting


def _document(fields: dict[str, Any]) -> bytes:
    """The waiver as its own file, so that the reader of the file decides what is right."""
    try:
        return waivers.entry(msgspec.convert(fields, waivers.Waiver, strict=False)).encode("utf-8")
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise UserError(f"waive: {error}", USAGE) from None


def _options(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = _Parser(prog="vallum -s waive --", usage=USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("id", nargs="?", default="")
    for name in PATTERN:
        parser.add_argument(f"--{name}", default="")
    for name in ("reason", "owner", "until"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--status", default="affected")
    parser.add_argument("--justification", default="")
    parser.add_argument("--ticket", default="")
    return parser.parse_args(list(arguments))

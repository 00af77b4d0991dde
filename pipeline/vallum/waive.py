"""`vallum -s waive -- ID --reason … --owner … --until YYYY-MM-DD`: put a waiver at the end of vallum-waivers.toml.

All else in the file stays as it is. What the policy would refuse is refused here, before the file is touched.
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

USAGE = (
    "vallum -s waive -- ID --reason TEXT --owner WHO --until YYYY-MM-DD "
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
    judged = find(last_verdict(root), options.id)
    _, config = gather.open_target(root)
    today = dt.datetime.now(dt.UTC).date()
    checks, most = gather.known_checks(), config.policy.max_waiver_days
    waivers.load(root, today, most, checks)  # a file that is refused is not made longer
    fields = {key: value for key, value in vars(options).items() if value}
    waiver = waivers.parse(_document(fields | {"id": judged.finding.id}), today, most, checks)[0]
    if not waiver.holds(today):
        raise UserError(f"waive: {waiver.until} is past", "give a day to come")
    line = waivers.append(root, waiver)
    finding = judged.finding
    say(
        f"{waivers.FILE}:{line}: {finding.severity} {finding.rule} at {text.where(finding)} passes until {waiver.until}"
    )
    say("  `vallum -s gate` judges again; the waiver is counted and shown")
    return ""


def _document(fields: dict[str, Any]) -> bytes:
    """The waiver as its own file, so that the reader of the file decides what is right."""
    try:
        return waivers.entry(msgspec.convert(fields, waivers.Waiver, strict=False)).encode("utf-8")
    except (msgspec.ValidationError, UnicodeEncodeError) as error:
        raise UserError(f"waive: {error}", USAGE) from None


def _options(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = _Parser(prog="vallum -s waive --", usage=USAGE, add_help=False, allow_abbrev=False)
    parser.add_argument("id")
    for name in ("reason", "owner", "until"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--status", default="affected")
    parser.add_argument("--justification", default="")
    parser.add_argument("--ticket", default="")
    return parser.parse_args(list(arguments))

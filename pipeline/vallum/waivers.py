"""`vallum-waivers.toml`: one file for all tools. Each waiver has a reason, an owner and an end, or it is refused.

A waiver names one finding by its identity, or a pattern; it states what VEX states (status and justification, per
OpenVEX 0.2.0), so that it can be handed on. What it lets through is still counted and shown. Past its `until` the
finding blocks again.
"""

from __future__ import annotations

import datetime as dt
import difflib
import re
import tomllib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

import msgspec

from vallum import artifacts
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.verdict import Notice, Waived

FILE = "vallum-waivers.toml"
EXPIRING_DAYS = 14
SHORTEST = 8
"""Digits of an identity that a waiver must name at least."""
BROAD = 25
"""A pattern that lets through more findings than this is called too broad."""
_WILD = frozenset("*?[")
NAMED_PATTERNS = frozenset({"rule", "path", "package"})
"""A pattern without one of these speaks of a whole check or service."""

Status = Literal["not_affected", "affected", "under_investigation"]
Justification = Literal[
    "component_not_present",
    "vulnerable_code_not_present",
    "vulnerable_code_not_in_execute_path",
    "vulnerable_code_cannot_be_controlled_by_adversary",
    "inline_mitigations_already_exist",
]


class Match(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A pattern: all that is given must fit. `rule`, `path` and `package` take the wildcards of a shell, `*` crosses `/`."""

    check: str = ""
    rule: str = ""
    path: str = ""
    package: str = ""
    service: str = ""


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True):
    """One waiver. `id` is a finding's identity (or the first 8 and more of its digits), else `match` is a pattern.

    `status` and `justification` are VEX's: `not_affected` needs a justification; `affected` is an accepted risk.
    `until` is the last day on which it holds. `line` is where it stands in the file.
    """

    id: str = ""
    match: Match | None = None
    status: Status
    justification: Justification | None = None
    reason: str
    owner: str
    until: dt.date
    ticket: str = ""
    line: int = 0

    def fits(self, finding: Finding) -> bool:
        """Whether it speaks of that finding."""
        if self.id:
            return finding.id.startswith(self.id)
        pattern = self.match
        if pattern is None:
            return False
        place = finding.location.path if finding.location else ""
        package = finding.package.name if finding.package else ""
        names = (finding.rule, *finding.aliases)
        return (
            (not pattern.check or pattern.check in finding.checks)
            and (not pattern.rule or any(fnmatchcase(name, pattern.rule) for name in names))
            and (not pattern.path or fnmatchcase(place, pattern.path))
            and (not pattern.package or fnmatchcase(package, pattern.package))
            and (not pattern.service or pattern.service == finding.service)
        )

    def holds(self, today: dt.date) -> bool:
        """Whether it has not ended yet."""
        return today <= self.until

    @property
    def scope(self) -> str:
        """What it speaks of, in words."""
        if self.id:
            return f"finding {self.id[:12]}"
        given = msgspec.to_builtins(self.match) if self.match else {}
        return ", ".join(f"{key} {value}" for key, value in given.items())

    def waived(self) -> Waived:
        """As the verdict says it."""
        return Waived(
            file=FILE,
            line=self.line,
            reason=self.reason,
            owner=self.owner,
            until=self.until,
            ticket=self.ticket,
            status=self.status,
            justification=self.justification or "",
        )


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    waiver: tuple[dict[str, Any], ...] = ()


def load(root: Path, today: dt.date, max_days: int, checks: frozenset[str] = frozenset()) -> tuple[Waiver, ...]:
    """The waivers of the target at `root`; none where there is no file. UserError names the line of a refused one."""
    path = root / FILE
    try:
        data = artifacts.read(path, 16 << 20)
    except FileNotFoundError:
        return ()
    except (OSError, ValueError) as error:
        raise UserError(f"{FILE} cannot be read: {error}", "it must be a regular file") from None
    return parse(data, today, max_days, checks)


def parse(data: bytes, today: dt.date, max_days: int, checks: frozenset[str] = frozenset()) -> tuple[Waiver, ...]:
    """As `load`, from the file's bytes. `max_days` is the policy's longest waiver, counted from today."""
    try:
        text = data.decode("utf-8")
        entries = msgspec.convert(tomllib.loads(text), _File).waiver
    except (ValueError, RecursionError) as error:  # no UTF-8, no TOML, another shape
        raise UserError(f"{FILE}: {error}", "the file holds only [[waiver]] tables") from None
    lines = [number for number, line in enumerate(text.splitlines(), 1) if re.match(r"\s*\[\[\s*waiver\s*\]\]", line)]
    lines += [0] * (len(entries) - len(lines))
    return tuple(_waiver(entry, line, today, max_days, checks) for entry, line in zip(entries, lines, strict=False))


def _waiver(entry: dict[str, Any], line: int, today: dt.date, max_days: int, checks: frozenset[str]) -> Waiver:
    where = f"{FILE}:{line}"
    for key, what in (("owner", "an owner"), ("until", "an end"), ("reason", "a reason"), ("status", "a status")):
        if not entry.get(key):
            raise UserError(f"{where}: the waiver has no `{key}`", f"every waiver needs {what}")
    try:
        waiver = msgspec.structs.replace(msgspec.convert(entry, Waiver), line=line)
    except msgspec.ValidationError as error:
        raise UserError(f"{where}: {error}", "see docs/waivers.md") from None
    if bool(waiver.id) == (waiver.match is not None and waiver.match != Match()):
        raise UserError(f"{where}: the waiver must name either an `id` or a `match`", "`match = {}` fits nothing")
    if waiver.id and not re.fullmatch(r"[0-9a-f]{8,32}", waiver.id):
        raise UserError(f"{where}: {waiver.id!r} is no identity of a finding", "take 8 to 32 digits from the report")
    if waiver.status == "not_affected" and waiver.justification is None:
        raise UserError(
            f"{where}: `not_affected` needs a `justification`", "one of OpenVEX's five, see docs/waivers.md"
        )
    if waiver.until > today + dt.timedelta(days=max_days):
        raise UserError(
            f"{where}: it holds until {waiver.until}, longer than the {max_days} days that the policy allows",
            f"the last day it may hold is {today + dt.timedelta(days=max_days)}",
        )
    if waiver.match and waiver.match.check and checks and waiver.match.check not in checks:
        raise UserError(f"{where}: there is no check {waiver.match.check!r}", f"known: {', '.join(sorted(checks))}")
    return waiver


def know_services(waivers: Iterable[Waiver], services: Collection[str]) -> None:
    """UserError for a waiver of a service that is not there, with the nearest name that is."""
    for waiver in waivers:
        name = waiver.match.service if waiver.match else ""
        if name and name not in services:
            near = difflib.get_close_matches(name, sorted(services), n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(sorted(services)) or 'none'}"
            raise UserError(f"{FILE}:{waiver.line}: there is no service {name!r}", hint)


def index(waivers: Iterable[Waiver]) -> Callable[[Finding], list[Waiver]]:
    """A function from a finding to the waivers that speak of it. A look-up where they name an identity, rule or package."""
    by_id: defaultdict[str, list[Waiver]] = defaultdict(list)
    by_rule: defaultdict[str, list[Waiver]] = defaultdict(list)
    by_package: defaultdict[str, list[Waiver]] = defaultdict(list)
    others: list[Waiver] = []
    for waiver in waivers:
        pattern = waiver.match or Match()
        if waiver.id:
            by_id[waiver.id[:SHORTEST]].append(waiver)
        elif pattern.rule and not _WILD.intersection(pattern.rule):
            by_rule[pattern.rule].append(waiver)
        elif pattern.package and not _WILD.intersection(pattern.package):
            by_package[pattern.package].append(waiver)
        else:
            others.append(waiver)

    def fitting(finding: Finding) -> list[Waiver]:
        near = [*by_id.get(finding.id[:SHORTEST], ()), *others]
        if by_rule:
            near += [each for name in {finding.rule, *finding.aliases} for each in by_rule.get(name, ())]
        if by_package and finding.package is not None:
            near += by_package.get(finding.package.name, ())
        return [waiver for waiver in near if waiver.fits(finding)]

    return fitting


def best(waivers: Iterable[Waiver], today: dt.date) -> Waiver | None:
    """The one that lets a finding through today: of several the one that ends last."""
    holding = [waiver for waiver in waivers if waiver.holds(today)]
    return max(holding, key=lambda waiver: (waiver.until, -waiver.line), default=None)


def notices(waivers: tuple[Waiver, ...], used: Mapping[Waiver, int], today: dt.date, *, sure: bool) -> list[Notice]:
    """What rots in the file: unused, ended, ending soon, too broad. `used` counts findings; not `sure`: not all was looked at."""
    said: list[Notice] = []
    for waiver in waivers:
        left = (waiver.until - today).days
        texts = []
        if left < 0:
            texts.append(f"ended on {waiver.until}: {waiver.scope} blocks again")
        elif left <= EXPIRING_DAYS:
            texts.append(f"ends in {left} days, on {waiver.until}: {waiver.scope}")
        if not used.get(waiver, 0) and sure:
            texts.append(f"unused: nothing found fits {waiver.scope}")
        if waiver.match is not None:
            named = any(getattr(waiver.match, key) not in {"", "*", "**"} for key in NAMED_PATTERNS)
            if not named:
                texts.append(f"too broad: {waiver.scope} names no rule, path or package")
            elif used.get(waiver, 0) > BROAD:
                texts.append(f"too broad: {waiver.scope} lets {used[waiver]} findings through")
        said += [Notice(FILE, text, waiver.line) for text in texts]
    return said


def entry(waiver: Waiver) -> str:
    """The waiver as TOML, to be put at the end of the file, so that its comments and order stay."""
    quoted = {key: _quote(getattr(waiver, key)) for key in ("status", "reason", "owner") if getattr(waiver, key)}
    lines = ["[[waiver]]"]
    if waiver.id:
        lines.append(f"id = {_quote(waiver.id)}")
    elif waiver.match is not None:
        pairs = ", ".join(f"{key} = {_quote(value)}" for key, value in msgspec.to_builtins(waiver.match).items())
        lines.append(f"match = {{ {pairs} }}")
    lines.append(f"status = {quoted['status']}")
    if waiver.justification:
        lines.append(f"justification = {_quote(waiver.justification)}")
    lines += [f"reason = {quoted['reason']}", f"owner = {quoted['owner']}", f"until = {waiver.until.isoformat()}"]
    if waiver.ticket:
        lines.append(f"ticket = {_quote(waiver.ticket)}")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """A TOML basic string; JSON's escapes are a subset of TOML's but for the slash and surrogates, which do not occur."""
    return msgspec.json.encode(text).decode()


def append(root: Path, waiver: Waiver) -> int:
    """Put the waiver at the end of the file, all else untouched; returns its line. The file is replaced whole."""
    path = root / FILE
    try:
        before = artifacts.read(path, 16 << 20).decode("utf-8")
    except FileNotFoundError:
        before = (
            "# What may pass although a check found it. Each needs a reason, an owner and an end: docs/waivers.md\n"
        )
    if before and not before.endswith("\n"):
        before += "\n"
    text = before + "\n" + entry(waiver)
    tomllib.loads(text)  # what we write can be read
    artifacts.write(path, text.encode("utf-8"))
    return text[: text.rindex("[[waiver]]")].count("\n") + 1

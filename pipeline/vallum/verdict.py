"""The decision as data: what every report, the console and the exit code read, so that they cannot disagree."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from enum import StrEnum
from functools import cached_property

import msgspec

from vallum.finding import Finding, Rule
from vallum.outcome import Coverage, Database, Missed, Tool
from vallum.severity import Severity


class Status(StrEnum):
    """`incomplete` is red: something planned could not tell."""

    PASS = "pass"  # noqa: S105 - a verdict
    FAIL = "fail"
    INCOMPLETE = "incomplete"


class Disposition(StrEnum):
    """What the policy makes of a finding. `waived`: a waiver with an owner and an end, or a VEX statement, lets it through.

    `suppressed`: a marker in the source asked not to see it, and the policy lets it.
    """

    BLOCKS = "blocks"
    WARNS = "warns"
    WAIVED = "waived"
    SUPPRESSED = "suppressed"


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why the verdict is not a pass, as data and in words. `kind`: `blocked` or `incomplete`; `count` findings for blocked."""

    kind: str
    text: str
    check: str = ""
    service: str = ""
    severity: str = ""
    count: int = 0


class Waived(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What lets a finding through: the waiver on `line` of `file` (0: a VEX statement has none). `until` is its last day."""

    file: str
    line: int = 0
    reason: str
    owner: str
    until: dt.date
    ticket: str = ""
    status: str = ""
    justification: str = ""


class Judged(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding and what the policy made of it; `why` names the clause.

    `state` against the baseline: new, unchanged, updated, or empty where there is none or it could not tell.
    `urgency` says why it stands where it stands among those of its disposition (vallum.priority).
    """

    finding: Finding
    disposition: Disposition
    why: str
    state: str = ""
    waiver: Waived | None = None
    urgency: str = ""


class Notice(msgspec.Struct, frozen=True, omit_defaults=True):
    """Something that a person should tidy up or know, and where it stands: a waiver that rots, a changed setting."""

    file: str
    text: str
    line: int = 0

    @property
    def where(self) -> str:
        """`file:line`, or the file."""
        return f"{self.file}:{self.line}" if self.line else self.file


class Absent(msgspec.Struct, frozen=True, omit_defaults=True):
    """A finding of the baseline that is gone, as checks know that looked whole both then and now."""

    id: str
    severity: Severity
    rule: str
    checks: tuple[str, ...]
    path: str = ""


class Compared(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The baseline that the findings were held against: its commit, where it came from, and how many have which state."""

    commit: str
    source: str = ""
    new: int = 0
    unchanged: int = 0
    updated: int = 0
    unknown: int = 0
    absent: tuple[Absent, ...] = ()


class CheckResult(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One check on one unit (a service or `_`). `status`: completed, incomplete, not-applicable. `reason` for the last two."""

    check: str
    stage: str
    unit: str
    status: str
    require: str
    summary: str = ""
    reason: str = ""
    tool: Tool | None = None
    coverage: tuple[Coverage, ...] = ()
    databases: tuple[Database, ...] = ()
    notes: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    started: str = ""
    seconds: float = 0.0
    findings: int = 0


class NotTested(msgspec.Struct, frozen=True):
    """An open ring: what nobody looked at in this run, and why. `required`: it made the verdict incomplete."""

    what: str
    why: str
    required: bool = False


class ServiceOperations(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What all dynamic checks together did to the declared operations of one service (vallum.outcome.Reach has the words).

    `secured` of the `declared` need a login. `unreached` (at most 1,000) says of each why; `undeclared` (at most 1,000) are
    operations that answered and stand in no definition. `floor` is the share that the policy asks for, `undefined` says that
    there is no definition.
    """

    service: str
    declared: int = 0
    secured: int = 0
    reached: int = 0
    authenticated: int = 0
    attacked: int = 0
    unreached: tuple[Missed, ...] = ()
    undeclared: tuple[str, ...] = ()
    floor: float = 0.0
    undefined: bool = False


class ServiceVerdict(msgspec.Struct, frozen=True):
    """The verdict of one service, from the findings attributed to it and the checks on it. Name `` is the rest of the target."""

    name: str
    path: str
    status: Status
    counts: dict[str, int]
    blocking: int


class Promoted(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What became of it after the verdict (`vallum -s promote`). `state`: promoted, rolled-back, rollback-failed, quarantined,
    resolved; `text` says it, with the reason, in one sentence; `at` is when, ISO 8601 UTC."""

    state: str
    text: str
    at: str
    kind: str = ""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, dict=True):
    """What `verdict.json` holds. `findings` are sorted: blocking first, then what an attacker would take first.

    `scope` is empty for all planned checks, else those that the person selected. `rules` maps `check/rule` to its Rule.
    `notices` change no verdict. `compared` is there where a baseline is.
    `tree`: `clean` where the work tree was what `commit` says when the checks were planned, else how it differed; it is looked
    at where `[promotion]` is configured. Times in seconds and ISO 8601 UTC.
    """

    status: Status
    target: str
    run: str
    vallum: str
    started: str
    commit: str = ""
    seconds: float = 0.0
    scope: tuple[str, ...] = ()
    reasons: tuple[Reason, ...] = ()
    services: tuple[ServiceVerdict, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    not_tested: tuple[NotTested, ...] = ()
    findings: tuple[Judged, ...] = ()
    rules: dict[str, Rule] = {}
    policy: dict[str, str] = {}
    notices: tuple[Notice, ...] = ()
    compared: Compared | None = None
    operations: tuple[ServiceOperations, ...] = ()
    tree: str = ""
    promotion: Promoted | None = None

    @cached_property
    def counts(self) -> dict[Disposition, dict[Severity, int]]:
        """How many findings by disposition and severity; every report takes its numbers from here."""
        counted = Counter((judged.disposition, judged.finding.severity) for judged in self.findings)
        return {
            disposition: {severity: counted[disposition, severity] for severity in Severity}
            for disposition in Disposition
        }

    def total(self, disposition: Disposition) -> int:
        """How many findings have that disposition."""
        return sum(self.counts[disposition].values())


EXIT = {Status.PASS: 0, Status.FAIL: 1, Status.INCOMPLETE: 3}
"""Exit codes of `vallum` by verdict; 2 is the user's mistake, 4 our bug, 130 interrupted."""

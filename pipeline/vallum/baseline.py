"""What was there before: each finding's state against the merge base, in SARIF's words (2.1.0, section 3.27.24).

`new`, `unchanged`, `updated` (the same finding, another severity) and `absent` (gone). A check that could not tell on
either side can neither introduce nor repair anything: the state of what it found stays empty, which is "could not tell".
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable

import msgspec

from vallum.errors import UserError
from vallum.finding import Finding
from vallum.severity import Severity
from vallum.verdict import Absent, CheckResult, Verdict

FILE = "vallum-baseline.json"
SCHEMA = 1


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding of the baseline: enough to recognise it and to say what is gone. `seen` is the day it was first seen."""

    severity: Severity
    rule: str
    checks: tuple[str, ...]
    path: str = ""
    seen: str = ""


class _Kind(msgspec.Struct, frozen=True):
    """Which of the two files it is."""

    status: str | None = None


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a commit by identity, and the checks that looked whole then (`complete`) among those `planned`."""

    schema: int = SCHEMA
    commit: str
    source: str = ""
    complete: tuple[str, ...]
    findings: dict[str, Known]

    @property
    def name(self) -> str:
        """The commit that it is of, else where it came from."""
        return f"of {self.commit[:12]}" if self.commit else self.source

    def state(self, finding: Finding, complete_now: Container[str]) -> str:
        """`new`, `unchanged`, `updated`, or empty where it could not tell: a check that was incomplete introduces nothing."""
        known = self.findings.get(finding.id)
        if known is not None:
            return "unchanged" if known.severity == finding.severity else "updated"
        sure = all(check in self.complete and check in complete_now for check in finding.checks)
        return "new" if sure else ""

    def first_seen(self, identity: str) -> dt.date | None:
        """The day on which that finding was first put into a baseline."""
        known = self.findings.get(identity)
        try:
            return dt.date.fromisoformat(known.seen) if known is not None and known.seen else None
        except ValueError:
            return dt.date.min  # a day that is none is no excuse for its age

    def no_worse(self, finding: Finding) -> bool:
        """Whether it is proved to have been there before, as bad as now or worse. Unknown is only as bad as unknown."""
        known = self.findings.get(finding.id)
        if known is None:
            return False
        if Severity.UNKNOWN in {known.severity, finding.severity}:
            return known.severity == finding.severity
        return finding.severity.rank <= known.severity.rank

    def absent(self, present: Container[str], complete_now: Container[str]) -> tuple[Absent, ...]:
        """What is gone: not `present` (identities) any more, say checks that looked whole both then and now."""
        return tuple(
            Absent(id_, known.severity, known.rule, known.checks, known.path)
            for id_, known in sorted(self.findings.items(), key=lambda item: (-item[1].severity.rank, item[0]))
            if id_ not in present and all(check in self.complete and check in complete_now for check in known.checks)
        )


def of(verdict: Verdict, source: str = "", before: Baseline | None = None) -> Baseline:
    """The baseline that a verdict makes. What was known `before` keeps the day on which it was first seen."""
    known = before.findings if before else {}
    return Baseline(
        commit=verdict.commit,
        source=source,
        complete=tuple(sorted(complete(verdict.checks))),
        findings={
            judged.finding.id: Known(
                judged.finding.severity,
                judged.finding.rule,
                judged.finding.checks,
                judged.finding.location.path if judged.finding.location else "",
                (known[judged.finding.id].seen if judged.finding.id in known else "") or verdict.started[:10],
            )
            for judged in verdict.findings
        },
    )


def complete(results: Iterable[CheckResult]) -> frozenset[str]:
    """The checks that ran whole on every unit."""
    whole: dict[str, bool] = {}
    for result in results:
        whole[result.check] = whole.get(result.check, True) and result.status == "completed"
    return frozenset(check for check, all_units in whole.items() if all_units)


def encode(baseline: Baseline) -> bytes:
    """As a file that is kept in a repository: sorted, so that a change of it reads as a change of findings."""
    ordered = msgspec.structs.replace(baseline, findings=dict(sorted(baseline.findings.items())))
    return msgspec.json.format(msgspec.json.encode(ordered)) + b"\n"


def decode(data: bytes, name: str = FILE) -> Baseline:
    """Read it back, or make it of a whole verdict.json; UserError where it is neither."""
    try:
        kind = msgspec.json.decode(data, type=_Kind)
        if kind.status is not None:
            return of(msgspec.json.decode(data, type=Verdict), name)
        baseline = msgspec.json.decode(data, type=Baseline)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{name} is no baseline: {error}", "write it anew: vallum -s baseline") from None
    if baseline.schema != SCHEMA:
        raise UserError(f"{name} has schema {baseline.schema}, this vallum reads {SCHEMA}", "vallum -s baseline")
    return msgspec.structs.replace(baseline, source=baseline.source or name)

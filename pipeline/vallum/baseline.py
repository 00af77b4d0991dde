"""What was there before: each finding's state against the merge base, in SARIF's words (2.1.0, section 3.27.24).

`new`, `unchanged`, `updated` (the same finding, another severity) and `absent` (gone). A check that could not tell on
either side can neither introduce nor repair anything: the state of what it found stays empty, which is "could not tell".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec

from vallum import artifacts
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.severity import Severity
from vallum.verdict import Verdict

FILE = "vallum-baseline.json"
SCHEMA = 1


class Known(msgspec.Struct, frozen=True, omit_defaults=True):
    """One finding of the baseline: enough to recognise it and to say what is gone."""

    severity: Severity
    rule: str
    checks: tuple[str, ...]
    path: str = ""


class Baseline(msgspec.Struct, frozen=True, kw_only=True):
    """The findings of a commit by identity, and the checks that looked whole then (`complete`) among those `planned`."""

    schema: int = SCHEMA
    commit: str
    source: str = ""
    complete: tuple[str, ...]
    findings: dict[str, Known]

    def state(self, finding: Finding) -> str:
        """`new`, `unchanged`, `updated`, or empty where the baseline could not tell."""
        known = self.findings.get(finding.id)
        if known is not None:
            return "unchanged" if known.severity == finding.severity else "updated"
        return "new" if set(finding.checks) <= set(self.complete) else ""

    def absent(self, findings: Iterable[Finding], complete_now: Iterable[str]) -> dict[str, Known]:
        """What is gone: not found any more by checks that looked whole both then and now."""
        present = {finding.id for finding in findings}
        sure = set(self.complete) & set(complete_now)
        return {id_: known for id_, known in self.findings.items() if id_ not in present and set(known.checks) <= sure}


def of(verdict: Verdict, source: str = "") -> Baseline:
    """The baseline that a verdict makes."""
    status: dict[str, bool] = {}
    for result in verdict.checks:
        status[result.check] = status.get(result.check, True) and result.status == "completed"
    return Baseline(
        commit=verdict.commit,
        source=source,
        complete=tuple(sorted(check for check, whole in status.items() if whole)),
        findings={
            judged.finding.id: Known(
                judged.finding.severity,
                judged.finding.rule,
                judged.finding.checks,
                judged.finding.location.path if judged.finding.location else "",
            )
            for judged in verdict.findings
        },
    )


def encode(baseline: Baseline) -> bytes:
    """As a file that is kept in a repository: sorted, so that a change of it reads as a change of findings."""
    ordered = msgspec.structs.replace(baseline, findings=dict(sorted(baseline.findings.items())))
    return msgspec.json.format(msgspec.json.encode(ordered)) + b"\n"


def decode(data: bytes, name: str = FILE) -> Baseline:
    """Read it back; UserError where it is none."""
    try:
        baseline = msgspec.json.decode(data, type=Baseline)
    except msgspec.DecodeError as error:
        raise UserError(f"{name} is no baseline: {error}", "write it anew: vallum -s baseline") from None
    if baseline.schema != SCHEMA:
        raise UserError(f"{name} has schema {baseline.schema}, this vallum reads {SCHEMA}", "vallum -s baseline")
    return baseline


def load(root: Path) -> Baseline | None:
    """The baseline that is kept in the target, or None."""
    try:
        return decode(artifacts.read(root / FILE))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise UserError(f"{FILE} cannot be read: {error}", "write it anew: vallum -s baseline") from None


def tally(states: Mapping[str, int]) -> str:
    """In words: `3 new, 10 unchanged`."""
    return ", ".join(f"{count} {state or 'of unknown state'}" for state, count in states.items() if count)

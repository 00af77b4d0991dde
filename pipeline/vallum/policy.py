"""What the policy makes of findings: pure, one sighting at a time, the worst of them for what several checks saw.

A finding is disposed of by each of its sightings alone (one tool, its severity, its words), and then by the worst: so one
more sighting can only make it worse, whatever waivers, baseline and thresholds say.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Container, Iterable

import msgspec

from vallum import waivers
from vallum.baseline import Baseline
from vallum.config import Policy
from vallum.finding import Finding
from vallum.fingerprint import merge
from vallum.severity import Severity
from vallum.verdict import Compared, Disposition, Judged, Notice, Waived
from vallum.waivers import Waiver

_WORST = (Disposition.BLOCKS, Disposition.WAIVED, Disposition.WARNS, Disposition.SUPPRESSED)
"""Of several sightings the first of these. A waived one before one that only warns: the waiver is what it hangs on."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge must know beside the outcomes. The defaults let nothing through: on the last day every waiver has ended.

    `changes` says which settings the change under judgement would alter.
    """

    today: dt.date = dt.date.max
    waivers: tuple[Waiver, ...] = ()
    baseline: Baseline | None = None
    changes: tuple[Notice, ...] = ()


class Disposed(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, merged and disposed of; what rots among the waivers; and how the findings compare with the baseline."""

    judged: tuple[Judged, ...]
    notices: tuple[Notice, ...]
    compared: Compared | None


def dispose(
    policy: Policy, facts: Facts, findings: Iterable[Finding], *, complete: Container[str], whole: bool
) -> Disposed:
    """Dispose of all findings (sightings: not merged yet).

    `complete` are the checks that ran whole now; `whole` says that all that was planned did, so that what is not found is
    not there.
    """
    sightings: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        sightings[finding.id].append(finding)
    fitting = waivers.index(facts.waivers)
    used: Counter[Waiver] = Counter()
    judged = []
    for finding in merge(each for seen in sightings.values() for each in seen):
        seen = sightings[finding.id]
        fits = [fitting(each) for each in seen]
        used.update({waiver for found in fits for waiver in found})
        marked = all(each.suppression is not None for each in seen)
        verdicts = [_sighting(policy, facts, each, found, marked) for each, found in zip(seen, fits, strict=True)]
        disposition, why, waived = min(verdicts, key=lambda item: (_WORST.index(item[0]), item[1]))
        state = facts.baseline.state(finding, complete) if facts.baseline else ""
        judged.append(Judged(finding, disposition, why, state, waived))
    notices = waivers.notices(facts.waivers, used, facts.today, sure=whole)
    return Disposed(
        judged=tuple(judged),
        notices=(*facts.changes, *notices),
        compared=_compared(facts.baseline, judged, complete) if facts.baseline else None,
    )


def _sighting(
    policy: Policy, facts: Facts, finding: Finding, fits: list[Waiver], marked: bool
) -> tuple[Disposition, str, Waived | None]:
    """One sighting. `marked`: all sightings of the finding carry a marker in the source."""
    if marked and finding.suppression is not None and policy.suppressions == "count":
        return Disposition.SUPPRESSED, f"{finding.suppression.by} in the source", None
    waiver = waivers.best(fits, facts.today)
    if waiver is not None:
        waived = waiver.waived()
        return Disposition.WAIVED, f"waived by {waived.owner} until {waived.until}: {waived.reason}", waived
    blocks, clause = _threshold(policy, finding)
    if blocks and policy.new_only and facts.baseline is not None and facts.baseline.no_worse(finding):
        return Disposition.WARNS, f"policy: only new findings block; in the baseline {facts.baseline.name}", None
    return Disposition.BLOCKS if blocks else Disposition.WARNS, clause, None


def _threshold(policy: Policy, finding: Finding) -> tuple[bool, str]:
    severity = finding.severity
    blocks = policy.unknown == "block" if severity is Severity.UNKNOWN else severity in policy.block
    return blocks, f"policy: {severity} {'blocks' if blocks else 'does not block'}"


def _compared(baseline: Baseline, judged: list[Judged], complete: Container[str]) -> Compared:
    states = Counter(each.state for each in judged)
    present = {each.finding.id for each in judged}
    return Compared(
        commit=baseline.commit,
        source=baseline.source,
        new=states["new"],
        unchanged=states["unchanged"],
        updated=states["updated"],
        unknown=states[""],
        absent=baseline.absent(present, complete),
    )

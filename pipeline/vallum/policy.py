"""What the policy makes of findings: pure, one sighting at a time, the worst of them for what several checks saw.

A finding is disposed of by each of its sightings alone (one tool, its severity, its words), and then by the worst: so one
more sighting can only make it worse, whatever waivers, baseline and thresholds say.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections import Counter, defaultdict
from collections.abc import Callable, Container, Iterable, Mapping

import msgspec

from vallum import expressions, vex, waivers
from vallum.advisories.severity import score
from vallum.baseline import Baseline
from vallum.config import Policy, PolicyRule, Service
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.fingerprint import merge
from vallum.intelligence import Intelligence, Source
from vallum.severity import Severity
from vallum.verdict import Compared, Disposition, Judged, Notice, Waived
from vallum.waivers import Waiver

_WORST = (Disposition.BLOCKS, Disposition.WAIVED, Disposition.WARNS, Disposition.SUPPRESSED)
"""Of several sightings the first of these. A waived one before one that only warns: the waiver is what it hangs on."""


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge must know beside the outcomes. The defaults let nothing through: on the last day every waiver has ended.

    `first_seen` is by identity; a baseline knows it too. `services` are those that the configuration describes. `changes`
    says which settings the change under judgement would alter.
    """

    today: dt.date = dt.date.max
    waivers: tuple[Waiver, ...] = ()
    statements: tuple[vex.Statement, ...] = ()
    baseline: Baseline | None = None
    intelligence: Intelligence = Intelligence()
    first_seen: Mapping[str, dt.date] = {}
    services: Mapping[str, Service] = {}
    changes: tuple[Notice, ...] = ()


class Disposed(msgspec.Struct, frozen=True, kw_only=True):
    """The findings, merged and disposed of; what rots among the waivers; how the findings compare with the baseline; and how
    many of them some marker in the source asks not to see."""

    judged: tuple[Judged, ...]
    notices: tuple[Notice, ...]
    compared: Compared | None
    marked: int


def dispose(
    policy: Policy,
    facts: Facts,
    findings: Iterable[Finding],
    *,
    stages: Mapping[str, str],
    complete: Container[str],
    whole: bool,
) -> Disposed:
    """Dispose of all findings (sightings: not merged yet).

    `stages` is the ring of each check. `complete` are the checks that ran whole now; `whole` says that all that was planned
    did, so that what is not found is not there. Raises UserError for a rule that does not compile.
    """
    sightings: defaultdict[str, list[Finding]] = defaultdict(list)
    for finding in findings:
        sightings[finding.id].append(finding)
    judge = _Judge(policy, facts, stages, complete)
    fitting = waivers.index(facts.waivers)
    used: Counter[Waiver] = Counter()
    judged = []
    for seen in sightings.values():
        finding = seen[0]
        if len(seen) == 1 and judge.simple and finding.suppression is None:
            disposition, why = judge.threshold_of(finding)
            judged.append(Judged(finding, disposition, why))
            continue
        if len(seen) > 1:
            finding = merge(seen)[0]
        fits = [fitting(each) for each in seen] if facts.waivers else [[]] * len(seen)
        if any(fits):
            used.update({waiver for found in fits for waiver in found})
        marked = all(each.suppression is not None for each in seen)
        verdicts = [judge.sighting(each, found, marked) for each, found in zip(seen, fits, strict=True)]
        if len(verdicts) > 1:
            verdicts.sort(key=lambda item: (_WORST.index(item[0]), item[1]))
        disposition, why, waived = verdicts[0]
        state = facts.baseline.state(finding, complete) if facts.baseline else ""
        judged.append(Judged(finding, disposition, why, state, waived))
    notices = waivers.notices(facts.waivers, used, facts.today, sure=whole)
    return Disposed(
        judged=tuple(judged),
        notices=(*facts.changes, *notices),
        compared=_compared(facts.baseline, judged, complete) if facts.baseline else None,
        marked=sum(any(each.suppression is not None for each in seen) for seen in sightings.values()),
    )


def described(policy: Policy) -> dict[str, str]:
    """The policy as the verdict keeps it: the thresholds, and whatever else is not as it is by default."""
    shown = {
        "block": ", ".join(policy.block) or "nothing",
        "unknown": policy.unknown,
        "suppressions": policy.suppressions,
    }
    usual = msgspec.to_builtins(Policy())
    for key, value in msgspec.to_builtins(policy).items():
        if key not in shown and value != usual[key]:
            shown[key] = value if isinstance(value, str) else msgspec.json.encode(value, order="sorted").decode()
    return shown


def missing(policy: Policy, intelligence: Intelligence) -> tuple[str, ...]:
    """Which rules ask for what is not known, in words: they cannot tell."""
    sources: tuple[tuple[Source, str], ...] = (("kev", "finding.kev"), ("epss", "finding.epss"))
    return tuple(
        f"the policy's rule `{rule.name}` asks for {name}, and there is none: {why}"
        for rule in policy.rule
        for source, name in sources
        if name in expressions.named(rule.when) and (why := intelligence.why_not(source))
    )


class _Judge:
    """One policy and its facts, ready for many sightings."""

    def __init__(self, policy: Policy, facts: Facts, stages: Mapping[str, str], complete: Container[str]) -> None:
        self.policy, self.facts, self.stages, self.complete = policy, facts, stages, complete
        self.stated = vex.index(facts.statements)
        self.rules = [(rule, _compiled(rule)) for rule in policy.rule]
        names = {name for rule in policy.rule for name in expressions.named(rule.when)}
        self.asked = [(name, getter) for name, getter in _VALUES.items() if name in names]
        self.own: Mapping[str, tuple[Severity, ...]] = {name: each.block for name, each in policy.stages.items()}
        self.added: Mapping[str, tuple[Severity, ...]] = {name: each.block for name, each in policy.tiers.items()}
        self.simple = not (facts.waivers or facts.statements or facts.baseline or self.rules or policy.sla)
        """Only thresholds speak: of most findings of a run alike, so their word is kept."""
        self.kept: dict[tuple[Severity, tuple[str, ...], str], tuple[Disposition, str]] = {}

    def sighting(self, finding: Finding, fits: list[Waiver], marked: bool) -> tuple[Disposition, str, Waived | None]:
        """One sighting. `marked`: all sightings of the finding carry a marker in the source."""
        if marked and finding.suppression is not None and self.policy.suppressions == "count":
            return Disposition.SUPPRESSED, f"{finding.suppression.by} in the source", None
        waiver = waivers.best(fits, self.facts.today) if fits else None
        if waiver is not None:
            waived = waiver.waived()
            return Disposition.WAIVED, f"waived by {waived.owner} until {waived.until}: {waived.reason}", waived
        statement = self.stated(finding, self.facts.today) if self.facts.statements else None
        if statement is not None:
            waived = statement.waived()
            why = f"{waived.status}, says {waived.owner} in {waived.file}, until {waived.until}: {waived.reason}"
            return Disposition.WAIVED, why, waived
        disposition, why = self.unwaived(finding)
        return disposition, why, None

    def unwaived(self, finding: Finding) -> tuple[Disposition, str]:
        """Rules that block, then the deadline for repair, then the thresholds and what may let through what they block."""
        passes = ""
        values = self.values(finding) if self.rules else {}
        for rule, holds in self.rules:
            try:
                if not holds(values):
                    continue
            except expressions.CannotTell as error:
                return Disposition.BLOCKS, f"policy: rule `{rule.name}` cannot tell: {error}"
            if rule.action == "block":
                return Disposition.BLOCKS, f"policy: rule `{rule.name}`: {rule.message}"
            passes = passes or f"policy: rule `{rule.name}`: {rule.message}"
        days = self.policy.sla.get(finding.severity)
        first = self.first_seen(finding) if days is not None else None
        if days is not None and first is not None and (self.facts.today - first).days > days:
            return (
                Disposition.BLOCKS,
                f"policy: {finding.severity} is to be repaired within {days} days; seen since {first}",
            )
        blocks, clause = self.threshold(finding)
        if blocks and passes:
            return Disposition.WARNS, passes
        known = self.facts.baseline
        if blocks and self.policy.new_only and known is not None and known.no_worse(finding):
            return Disposition.WARNS, f"policy: only new findings block; this is in the baseline {known.name}"
        return Disposition.BLOCKS if blocks else Disposition.WARNS, clause

    def threshold_of(self, finding: Finding) -> tuple[Disposition, str]:
        """What the thresholds alone make of it."""
        alike = (finding.severity, finding.checks, finding.service)
        found = self.kept.get(alike)
        if found is None:
            blocks, clause = self.threshold(finding)
            found = self.kept[alike] = (Disposition.BLOCKS if blocks else Disposition.WARNS, clause)
        return found

    def threshold(self, finding: Finding) -> tuple[bool, str]:
        """Whether its severity blocks, in its ring and in its service."""
        severity = finding.severity
        stage = self.stage(finding) if self.own else ""
        own = self.own.get(stage)
        tier = self.service(finding).tier if self.added else ""
        added = self.added.get(tier, ())
        general = severity in (self.policy.block if own is None else own)
        if severity is Severity.UNKNOWN:
            general = self.policy.unknown == "block"
        where = f" in {stage}" if own is not None else ""
        if not general and severity in added:
            return True, f"policy: {severity} blocks in services of tier {tier}"
        return general, f"policy: {severity} {'blocks' if general else 'does not block'}{where}"

    def service(self, finding: Finding) -> Service:
        """What the configuration says of the finding's service."""
        return self.facts.services.get(finding.service, _UNDESCRIBED)

    def first_seen(self, finding: Finding) -> dt.date | None:
        """The first day that anybody knows of."""
        known = self.facts.baseline.first_seen(finding.id) if self.facts.baseline else None
        days = [day for day in (known, self.facts.first_seen.get(finding.id)) if day is not None]
        return min(days, default=None)

    def values(self, finding: Finding) -> dict[str, object]:
        """What the rules ask of it, and no more: most of the time goes into handing values over to CEL."""
        return {name: getter(self, finding) for name, getter in self.asked}

    def is_new(self, finding: Finding) -> bool:
        """Of which it is not proved that it is old, as bad as now."""
        baseline = self.facts.baseline
        return baseline is None or not baseline.no_worse(finding)

    def age(self, finding: Finding) -> int:
        """Days since anybody first saw it."""
        first = self.first_seen(finding)
        return max(0, (self.facts.today - first).days) if first else 0

    def stage(self, finding: Finding) -> str:
        """The ring of the check that saw it."""
        return next((self.stages[check] for check in finding.checks if check in self.stages), "")


_VALUES: Mapping[str, Callable[[_Judge, Finding], object]] = {
    "finding.severity": lambda _, finding: finding.severity.rank,
    "finding.severity_known": lambda _, finding: finding.severity is not Severity.UNKNOWN,
    "finding.check": lambda _, finding: finding.checks[0] if finding.checks else "",
    "finding.stage": lambda judge, finding: judge.stage(finding),
    "finding.rule": lambda _, finding: finding.rule,
    "finding.aliases": lambda _, finding: list(finding.aliases),
    "finding.cwe": lambda _, finding: list(finding.cwe),
    "finding.path": lambda _, finding: finding.location.path if finding.location else "",
    "finding.package": lambda _, finding: finding.package.name if finding.package else "",
    "finding.service": lambda _, finding: finding.service,
    "finding.confidence": lambda _, finding: finding.confidence,
    "finding.dynamic": lambda _, finding: finding.operation is not None,
    "finding.is_new": lambda judge, finding: judge.is_new(finding),
    "finding.fix_available": lambda _, finding: bool(finding.package and finding.package.fixed),
    "finding.age_days": lambda judge, finding: judge.age(finding),
    "finding.cvss": lambda _, finding: (score(finding.cvss) if finding.cvss else None) or 0.0,
    "finding.epss": lambda judge, finding: judge.facts.intelligence.probability(finding) or 0.0,
    "finding.kev": lambda judge, finding: judge.facts.intelligence.exploited(finding) is not None,
    "service.tier": lambda judge, finding: judge.service(finding).tier,
    "service.exposure": lambda judge, finding: judge.service(finding).exposure,
}
"""How each variable of vallum.expressions is found out."""
_UNDESCRIBED = Service(path="")


@functools.cache
def _compiled(rule: PolicyRule) -> expressions.Condition:
    try:
        return expressions.compiled(rule.when)
    except expressions.DoesNotCompile as error:
        raise UserError(f"the policy's rule `{rule.name}`: {error.reason}", "see docs/policy.md") from None


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

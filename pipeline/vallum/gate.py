"""The one judge. Pure: a plan, outcomes, a policy and facts in, a verdict out; nothing is read, run or written.

Laws, held by property tests: one more finding or one more Incomplete never turns red into green; no waiver and no baseline
turns a required Incomplete green; a waiver that has ended changes nothing; the order and the sharding of outcomes do not
matter; judging twice says the same.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import assert_never

import msgspec

from vallum import operations, priority
from vallum.baseline import complete
from vallum.check import WHOLE
from vallum.config import Policy
from vallum.coverage import sufficient
from vallum.finding import Finding, Rule
from vallum.outcome import Completed, Incomplete, NotApplicable, Outcome, Reach, Run, Tool
from vallum.plan import Plan, PlannedCheck
from vallum.policy import Facts, described, dispose, missing
from vallum.severity import Severity
from vallum.verdict import (
    CheckResult,
    Disposition,
    Judged,
    NotTested,
    Reason,
    ServiceOperations,
    ServiceVerdict,
    Status,
    Verdict,
)

Outcomes = Mapping[tuple[str, str], Outcome]
NOTHING = Facts()
NOT_TESTED = "not tested: "
"""So begins a note of a check on what it could not look at here: a line in every report, not only among its notes."""


def judge(policy: Policy, plan: Plan, outcomes: Outcomes, facts: Facts = NOTHING, *, seconds: float = 0.0) -> Verdict:
    """Judge the outcomes of a plan. A planned unit without an outcome counts as Incomplete."""
    results: list[CheckResult] = []
    reasons: list[Reason] = []
    not_tested: list[NotTested] = []
    findings: list[Finding] = []
    reached: list[Reach] = []
    rules: dict[str, Rule] = {}
    incomplete_services: set[str] = set()
    quorate = {check for quorum in policy.quorum for check in quorum.of}
    for planned in plan.checks:
        if not planned.units:
            not_tested.append(NotTested(f"{planned.check}: {planned.summary}", planned.reason))
        for unit in planned.units:
            outcome = outcomes.get((planned.check, unit)) or Incomplete("left no outcome: it did not run, or was ended")
            if planned.check in quorate:
                planned = msgspec.structs.replace(planned, require="quorum")  # noqa: PLW2901 - it is, from here on
            result, run = _result(planned, unit, sufficient(policy, outcome))
            results.append(result)
            if run is not None:
                findings.extend(run.findings)
                reached.extend(run.operations)
                rules |= {f"{planned.check}/{rule.id}": rule for rule in run.rules}
            if result.status != "completed":
                name = planned.check if unit == WHOLE else f"{planned.check} of {unit}"
                required = planned.require == "required"
                not_tested.append(NotTested(name, result.reason, required))
                if required:
                    reasons.append(
                        Reason("incomplete", f"{name}: {result.reason}", planned.check, "" if unit == WHOLE else unit)
                    )
                    incomplete_services.add("" if unit == WHOLE else unit)
    reasons += [Reason("incomplete", problem) for problem in plan.problems]
    if not any(result.status == "completed" for result in results):
        reasons.append(Reason("incomplete", "no check ran whole: nothing is known about this target"))
    figures = operations.by_service(reached, policy, facts.services)
    for service, text in _floors(policy, plan, figures):
        reasons.append(Reason("incomplete", text, service=service))
        incomplete_services.add(service)
    unmet = [*_quorums(policy, plan, complete(results)), *missing(policy, facts.intelligence)]
    if unmet:
        reasons += [Reason("incomplete", text) for text in unmet]
        incomplete_services.add("")
    disposed = dispose(
        policy,
        facts,
        findings,
        stages={planned.check: planned.stage for planned in plan.checks},
        complete=complete(results),
        whole=not plan.scope and all(result.status == "completed" for result in results),
    )
    exposed = frozenset(name for name, service in facts.services.items() if service.exposure == "public")
    order = priority.Order(facts.intelligence, exposed)
    groups: dict[Disposition, list[Judged]] = {disposition: [] for disposition in Disposition}
    for each in disposed.judged:
        groups[each.disposition].append(each)
    judged = [
        Judged(each.finding, each.disposition, each.why, each.state, each.waiver, order.explain(each.finding))
        for group in groups.values()
        for each in sorted(group, key=lambda each: order.key(each.finding))
    ]
    if policy.max_suppressions is not None and disposed.marked > policy.max_suppressions:
        text = f"{disposed.marked} findings carry a marker in the source, the policy takes {policy.max_suppressions}"
        reasons.insert(0, Reason("blocked", text))
    reasons = _blocked(judged) + reasons
    status = Status.PASS
    if reasons:
        status = Status.FAIL if any(reason.kind == "blocked" for reason in reasons) else Status.INCOMPLETE
    return Verdict(
        status=status,
        target=plan.target,
        run=plan.run,
        vallum=plan.vallum,
        started=plan.started,
        commit=plan.commit,
        seconds=round(seconds, 3),
        scope=plan.scope,
        reasons=tuple(reasons),
        services=_services(plan, judged, incomplete_services),
        checks=tuple(results),
        not_tested=(*not_tested, *_untested(results)),
        findings=tuple(judged),
        rules=rules,
        policy=described(policy),
        notices=disposed.notices,
        compared=disposed.compared,
        operations=figures,
        tree=plan.tree,
    )


def _untested(results: list[CheckResult]) -> list[NotTested]:
    """What checks say that they could not look at here."""
    return [
        NotTested(result.check, note.removeprefix(NOT_TESTED))
        for result in results
        for note in result.notes
        if note.startswith(NOT_TESTED)
    ]


def _quorums(policy: Policy, plan: Plan, whole: frozenset[str]) -> list[str]:
    """The quorums that are not met, in words. One of which no check applies or was selected asks for nothing."""
    asked = {planned.check for planned in plan.checks if planned.units or (planned.require == "off" and not plan.scope)}
    unmet = []
    for quorum in policy.quorum:
        there = sorted(whole.intersection(quorum.of))
        if asked.intersection(quorum.of) and len(there) < quorum.least:
            names = ", ".join(sorted(set(quorum.of)))
            unmet.append(f"{len(there)} of {names} ran whole, the policy asks for {quorum.least}")
    return unmet


def _floors(policy: Policy, plan: Plan, figures: tuple[ServiceOperations, ...]) -> tuple[tuple[str, str], ...]:
    """The floors of operation coverage that are not met. Where no dynamic check applies or was selected, none is asked for."""
    dynamic = [planned for planned in plan.checks if planned.stage == "staged"]
    if not policy.operations_min or not any(
        each.units or (each.require == "off" and not plan.scope) for each in dynamic
    ):
        return ()
    if not figures:
        return (("", "the policy asks for a share of the operations, and no dynamic check says which it reached"),)
    return operations.below(figures)


def _result(planned: PlannedCheck, unit: str, outcome: Outcome) -> tuple[CheckResult, Run | None]:
    run: Run | None
    match outcome:
        case Completed(run=run):
            status, reason = "completed", ""
        case Incomplete(reason=reason, run=run):
            status = "incomplete"
        case NotApplicable(reason=reason):
            # it was planned because it applies: a check that says otherwise when it runs did not look
            status, run = "incomplete", None
            reason = f"says that it does not apply: {reason}"
        case _:
            assert_never(outcome)
    found = run or Run(tool=Tool("", ""), coverage=())
    return (
        CheckResult(
            check=planned.check,
            stage=planned.stage,
            unit=unit,
            status=status,
            require=planned.require,
            summary=planned.summary,
            reason=reason,
            tool=found.tool if run else None,
            coverage=found.coverage,
            databases=found.databases,
            notes=found.notes,
            argv=found.argv,
            exit_code=found.exit_code,
            started=found.started,
            seconds=found.seconds,
            findings=len(found.findings),
        ),
        run,
    )


def _blocked(judged: list[Judged]) -> list[Reason]:
    """One reason for each check and severity that blocks, worst first."""
    alike = Counter(
        (item.finding.severity, item.finding.checks) for item in judged if item.disposition is Disposition.BLOCKS
    )
    counted = {(-severity.rank, ", ".join(checks), severity): count for (severity, checks), count in alike.items()}
    return [
        Reason(
            "blocked",
            f"{count} {severity} finding{'s' if count > 1 else ''} from {checks}",
            checks,
            severity=severity,
            count=count,
        )
        for (_, checks, severity), count in sorted(counted.items())
    ]


def _services(plan: Plan, judged: list[Judged], incomplete: set[str]) -> tuple[ServiceVerdict, ...]:
    """A check of the whole target that could not tell leaves every service unproved."""
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    blocking: Counter[str] = Counter()
    alike = Counter((item.finding.service, item.finding.severity, item.disposition) for item in judged)
    for (service, severity, disposition), count in alike.items():
        counts[service][severity] += count
        blocking[service] += count if disposition is Disposition.BLOCKS else 0
    names = {**dict(sorted(plan.services.items())), "": "."}
    verdicts = []
    for name, path in names.items():
        status = Status.PASS
        if blocking[name]:
            status = Status.FAIL
        elif name in incomplete or "" in incomplete or plan.problems:
            status = Status.INCOMPLETE
        verdicts.append(ServiceVerdict(name, path, status, {str(s): counts[name][s] for s in Severity}, blocking[name]))
    return tuple(verdicts)

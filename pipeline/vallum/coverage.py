"""The policy's floor of coverage: from which share of its targets a check that missed some counts as whole. Pure."""

from __future__ import annotations

import msgspec

from vallum.config import Policy
from vallum.outcome import Completed, Incomplete, Outcome, Run


def sufficient(policy: Policy, outcome: Outcome) -> Outcome:
    """The outcome, Completed where its only gap is one of coverage and the policy's floor allows that.

    Decided from the figures: the reason must be the sentence that says this very gap and no other, each unit must reach the
    floor, and no database may be empty.
    """
    if policy.coverage_min >= 1 or not isinstance(outcome, Incomplete) or outcome.run is None:
        return outcome
    run = outcome.run
    enough = run.coverage and all(
        part.seen > 0 and part.expected > 0 and part.seen / part.expected >= policy.coverage_min
        for part in run.coverage
    )
    if (
        not enough
        or any(database.records <= 0 for database in run.databases)
        or not _only_coverage(outcome.reason, run)
    ):
        return outcome
    lost = "; ".join(
        f"{part.seen} of {part.expected} {part.unit}"
        for part in run.coverage
        if part.seen < part.expected or part.missed
    )
    note = f"counts as whole: {lost}, the policy's floor is {policy.coverage_min:g} ({outcome.reason})"
    return Completed(msgspec.structs.replace(run, notes=(*run.notes, note)))


def _only_coverage(reason: str, run: Run) -> bool:
    """Whether `reason` is what the runner or a check says of nothing but targets that were missed."""
    total = sum(len(part.missed) for part in run.coverage)
    for part in run.coverage:
        first = part.missed[0] if part.missed else None
        named = f": {first.target} ({first.why})" if first else ""
        if part.seen < part.expected and reason == f"looked at {part.seen} of {part.expected} {part.unit}{named}":
            return True
        if first is None:
            continue
        gap = (
            f" did not look at {part.expected - part.seen} of {part.expected} {part.unit}: {first.target}: {first.why}"
        )
        counted = tuple(f"{total} not {verb}: {first.target}: {first.why}"[:500] for verb in ("compared", "audited"))
        if reason.endswith(gap) or reason in counted:
            return True
    return False

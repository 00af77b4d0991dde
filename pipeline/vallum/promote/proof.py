"""Whether the last verdict may be promoted. Nothing that lies on disk is believed because it says so: the checks are planned
anew, the outcomes are judged anew, and the work tree is compared with the commit."""

from __future__ import annotations

import datetime as dt
import os
import re
from pathlib import Path

import msgspec

from vallum import artifacts, attest, gather, judgement, mergebase, plan, worktree
from vallum.errors import UserError
from vallum.plan import Plan
from vallum.promote.settings import named
from vallum.promotions import Promotion
from vallum.target import commit_of
from vallum.verdict import Status, Verdict

CLOCK = dt.timedelta(minutes=2)
"""How far the clock of the machine that judged may be ahead of ours."""
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


class Quarantined(Exception):
    """Nothing is promoted. `blocked`: the policy said no (exit code 1); else something could not be proved (3)."""

    def __init__(self, why: str, verdict: Verdict | None = None, *, blocked: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.verdict = verdict
        self.blocked = blocked


def prove(root: Path, settings: Promotion) -> Verdict:
    """The verdict as it was judged just now, a pass. Raises Quarantined; UserError for a mistake in the settings."""
    try:
        on_disk = judgement.last_verdict(root)
        made = plan.load(root)
    except UserError as error:
        raise Quarantined(f"{error.message}: {error.hint}") from None
    if on_disk.run != made.run:
        raise Quarantined(f"the verdict is of run {on_disk.run}, the plan of run {made.run}: run vallum again")
    if settings.public_key:
        _signed(root, settings.public_key, on_disk)
    verdict = msgspec.structs.replace(judgement.judged(root, made, on_disk.seconds), promotion=on_disk.promotion)
    if verdict.status is not Status.PASS:
        first = verdict.reasons[0].text if verdict.reasons else "it says no reason"
        more = f", and {len(verdict.reasons) - 1} more" if len(verdict.reasons) > 1 else ""
        said = (
            "" if on_disk.status is not Status.PASS else "verdict.json says pass, and the outcomes do not bear it out; "
        )
        raise Quarantined(
            f"{said}gate failed ({verdict.status.upper()}): {first}{more}",
            verdict,
            blocked=verdict.status is Status.FAIL,
        )
    if on_disk.status is not Status.PASS:
        raise Quarantined(f"the verdict on disk is {on_disk.status.upper()}: run vallum again", verdict)
    for why in (
        _whole(root, made),
        _tree(root, verdict),
        _age(verdict, made, settings.max_age_minutes),
        touched(root, settings),
    ):
        if why:
            raise Quarantined(why, verdict)
    return verdict


def scanned(verdict: Verdict) -> frozenset[str]:
    """The digests of images that a check of this verdict looked at whole."""
    whole = (each for each in verdict.checks if each.check == "image" and each.status == "completed")
    return frozenset(digest for each in whole for note in each.notes for digest in _DIGEST.findall(note))


def _signed(root: Path, key: str, on_disk: Verdict) -> None:
    arguments = (str(root / attest.ENVELOPE), "--key", str(root / key))
    try:
        wrong = attest.verify(root, arguments)
    except UserError as error:
        raise Quarantined(f"the evidence is not signed: {error.message}", on_disk) from None
    if wrong:
        raise Quarantined(f"the evidence does not verify: {wrong}", on_disk)


def _whole(root: Path, made: Plan) -> str:
    """A plan with fewer checks than these settings and files ask for was made for something else, or was edited."""
    if made.scope:
        return f"the verdict is on {', '.join(made.scope[:5])} alone, which is none on the whole"
    if os.environ.get(mergebase.TRUST_CHANGE) or any("--trust-change" in note.text for note in made.settings):
        return "the change was judged by its own settings (--trust-change)"
    before = {each.check: each for each in made.checks}
    for planned in gather.work_out(root)[0].planned():
        had = before.get(planned.check)
        lost = [unit for unit in planned.units if had is None or unit not in had.units]
        if lost:
            return f"the plan lacks {planned.check} of {lost[0]}, which these settings ask for: run vallum again"
        if had is not None and planned.require == "required" and had.require != "required":
            return f"{planned.check} is required, and the plan says {had.require}: run vallum again"
    return ""


def _tree(root: Path, verdict: Verdict) -> str:
    commit_of.cache_clear()
    head = commit_of(root)
    if not head:
        return "there is no commit: what is promoted must have a name"
    if verdict.commit != head:
        return (
            f"the verdict is of commit {verdict.commit[:12] or 'unknown'}, checked out is {head[:12]}: run vallum again"
        )
    if not verdict.tree:
        return "the verdict was made before [promotion] was there, and does not know the work tree: run vallum again"
    if verdict.tree != worktree.CLEAN:
        return f"what was judged was not commit {head[:12]}: {verdict.tree}"
    now = worktree.state(root)
    return "" if now == worktree.CLEAN else f"the work tree is not what was judged: {now}"


def _age(verdict: Verdict, made: Plan, minutes: float) -> str:
    """By its oldest part: an outcome may have come from elsewhere."""
    now = dt.datetime.now(dt.UTC)
    oldest = now
    for text in (made.started, *(check.started for check in verdict.checks if check.started)):
        try:
            when = dt.datetime.fromisoformat(text)
        except ValueError:
            return f"it cannot be told when it was judged: {text[:40]!r} is no time"
        if when.tzinfo is None or when > now + CLOCK:
            return f"the verdict says that it was made at {text[:40]}, which is not in the past"
        oldest = min(oldest, when)
    age = (now - oldest).total_seconds() / 60
    return f"the verdict is {age:.0f} minutes old, more than {minutes:g} (max-age-minutes)" if age > minutes else ""


def touched(root: Path, settings: Promotion) -> str:
    """What the promotion runs must not come from the change that it promotes, before somebody merged it."""
    trusted = mergebase.trusted(root)
    if trusted.problem:
        return trusted.problem
    for path in named(settings, root):
        if not path.startswith(f"{artifacts.FOLDER}/") and not trusted.untouched(path):
            return f"{path} decides what a promotion does, and this change touches it: it counts after merging"
    return ""

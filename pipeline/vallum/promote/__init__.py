"""`vallum -s promote`: after a pass, promote; watch health; where that goes wrong, bring back what was.

A kind of promotion is one module like `command.py` and one line in KINDS (vallum.promote.settings). Before anything is
changed the journal (`promotion.json`) says what to undo, so that a killed promotion is rolled back by the next call.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from vallum import artifacts, gather, judgement, worktree
from vallum.errors import Inconclusive, UserError
from vallum.plan import now
from vallum.progress import say
from vallum.promote import proof
from vallum.promote.job import Job
from vallum.promote.journal import UNSETTLED, Book, Journal, Watched
from vallum.promote.proof import Quarantined
from vallum.promote.settings import KINDS, check
from vallum.promote.steps import Steps
from vallum.promote.watch import watch
from vallum.promotions import Promotion
from vallum.stage.signals import uninterrupted
from vallum.verdict import Promoted, Verdict

__all__ = ["Blocked", "check", "promote"]

ALARM = "!" * 72
SHOWN = frozenset({"index.html", "summary.md", "findings.json"})
"""Reports that say what became of a verdict."""


class Blocked(str):
    """Why nothing was promoted: the policy blocks it (exit code 1)."""

    __slots__ = ()


def promote(root: Path, arguments: tuple[str, ...]) -> str:
    """Promote what the last verdict passed; returns why it is not promoted, or ''. `--again`: also a commit that was
    rolled back. `--resolved`: a person brought back what a failed rollback left."""
    unknown = set(arguments) - {"--again", "--resolved"}
    if unknown:
        raise UserError(f"promote does not know {min(unknown)!r}", "vallum -s promote [-- --again | --resolved]")
    root = root.resolve()
    _, config = gather.open_target(root)
    settings = config.promotion
    if settings is None:
        raise UserError("there is no [promotion] in the configuration", "see docs/promotion.md")
    check(settings, root)
    try:
        if worktree.committed(root, artifacts.FOLDER):
            hint = "take it out of git: a journal of somebody's making would have anything rolled back"
            raise UserError(
                f"files in {artifacts.FOLDER}/ are committed, and vallum believes what it wrote there", hint
            )
    except Inconclusive as error:
        return f"quarantined: {error.reason}"
    artifacts.folder(root)
    with artifacts.locked(root / artifacts.FOLDER / "lock", f"another vallum is at work on {root}"):
        book = Book(root, settings.state)
        with artifacts.locked(book.folder / "promotion.lock", "another promotion of this target is under way"):
            return _locked(root, settings, book, arguments)


def _locked(root: Path, settings: Promotion, book: Book, arguments: tuple[str, ...]) -> str:
    steps = Steps(root, settings.deadline, settings.pass_env)
    before = book.now
    if "--resolved" in arguments:
        return _resolve(book)
    if before is not None and before.state in UNSETTLED:
        return _repair(root, settings, book, steps, before)
    try:
        verdict = proof.prove(root, settings)
        if before is not None and verdict.commit in before.rolled_back and "--again" not in arguments:
            why = f"commit {verdict.commit[:12]} was promoted before and rolled back; `-- --again` promotes it all the same"
            raise Quarantined(why, verdict)
    except Quarantined as error:
        judged = error.verdict
        text = f"quarantined: {error.why}"
        book.write(
            state="quarantined",
            kind=settings.kind,
            run=judged.run if judged else "",
            commit=judged.commit if judged else "",
            why=error.why,
            started=now(),
            previous={},
            steps=(),
            watched=(),
        )
        _record(root, judged, settings.kind, "quarantined", text)
        return Blocked(text) if error.blocked else text
    job = Job(
        root, settings, verdict.commit, verdict.run, steps, root / artifacts.FOLDER, scanned=proof.scanned(verdict)
    )
    return _Promotion(job, book, verdict).run()


class _Promotion:
    """One promotion: what is deployed before, the change, the watch, and the way back."""

    def __init__(self, job: Job, book: Book, verdict: Verdict | None) -> None:
        self._job = job
        self._book = book
        self._verdict = verdict
        self._kind = KINDS[job.settings.kind]
        self._watched: list[Watched] = []

    def run(self) -> str:
        """From the beginning."""
        settings, job = self._job.settings, self._job
        self._urls()
        for key in (
            "command",
            "current",
            "rollback",
            "health",
        ):  # a wrong placeholder is said before anything is changed
            job.words(key, getattr(settings, key), {"previous": ""} if key == "rollback" else {})
        try:
            previous = self._kind.before(job)
        except Inconclusive as error:
            why = f"nothing was changed: {job.steps.hide(error.reason)}"
            self._write("quarantined", why)
            return self._end("quarantined", f"quarantined: {why}")
        self._book.write(
            state="promoting",
            kind=settings.kind,
            run=job.run,
            commit=job.commit,
            target=self._verdict.target if self._verdict else "",
            started=now(),
            why="",
            previous=previous,
            steps=tuple(job.steps.done),
            watched=(),
        )
        try:
            say(f"promoting {job.commit[:12]} ({settings.kind})")
            why = self._forward(previous)
        except BaseException as error:  # also Ctrl-C, a CI's cancel, and a bug of ours: what was comes back first
            name = "interrupted" if isinstance(error, KeyboardInterrupt) else f"ended by {type(error).__name__}"
            self._back(previous, name)
            raise
        if why:
            return self._back(previous, why, blame=True)
        self._write("promoted", "", blame=False)
        watched = self._watched[-1].seconds if self._watched else 0
        health = f"watched for {watched:.0f} s, all was well" if watched else "health was not watched"
        return self._end("promoted", f"promoted {job.commit[:12]}: {health}")

    def _forward(self, previous: dict[str, str]) -> str:
        """Why it must be taken back, or ''."""
        try:
            self._kind.promote(self._job, previous)
        except Inconclusive as error:
            return f"the promotion failed: {error.reason}"
        except UserError as error:
            return f"the promotion failed: {error.message}"
        self._write("watching", "")
        if not self._job.settings.watch_seconds:
            return ""
        say(f"watching health for {self._job.settings.watch_seconds:g} s")
        return self._watch("promotion")

    def _urls(self) -> dict[str, str]:
        probes = self._job.settings.probes
        return {name: self._job.fill(probe.url, f"probes.{name}.url") for name, probe in probes.items()}

    def _watch(self, of: str) -> str:
        steps, settings = self._job.steps, self._job.settings
        seen = watch(settings, steps, self._urls(), self._job.words("health", settings.health), of)
        self._watched.append(seen)
        return seen.why

    def _back(self, previous: dict[str, str], why: str, *, blame: bool | None = None) -> str:
        """Bring back what was, and watch again. Signals wait: half a rollback is the worst of all.

        `blame`: it went wrong by its own fault, and is not promoted again unasked.
        """
        hidden = self._job.steps.hide(why)
        with uninterrupted():
            say(f"ROLLING BACK: {hidden}")
            self._write("rolling-back", hidden, blame=blame)
            failed = self._undo(previous)
            if failed:
                self._write("rollback-failed", f"{hidden}; then {failed}")
                self._alarm(hidden, failed, previous)
                return self._end("rollback-failed", f"ROLLBACK FAILED: {failed} (rolled back because {hidden})")
            self._write("rolled-back", hidden)
            return self._end("rolled-back", f"rolled back: {hidden}")

    def _undo(self, previous: dict[str, str]) -> str:
        """Why what was is not proved to be back, or ''."""
        hide = self._job.steps.hide
        try:
            self._kind.rollback(self._job, previous)
        except Inconclusive as error:
            return f"the rollback failed: {hide(error.reason)}"
        except UserError as error:
            return f"the rollback failed: {hide(error.message)}"
        if self._kind.nothing(previous) or not self._job.settings.rollback_watch_seconds:
            return ""
        bad = self._watch("rollback")
        return f"the rollback was done, and health is still bad: {bad}" if bad else ""

    def _alarm(self, why: str, failed: str, previous: dict[str, str]) -> None:
        """The loudest thing that we say: who reads it must act."""
        say(ALARM)
        say("ROLLBACK FAILED: it is not known what is deployed. Somebody must look now.")
        say(f"  promoting {self._job.commit[:12]} was taken back because: {why}")
        say(f"  {failed}")
        for name, value in previous.items():
            say(f"  before: {name} = {value or '(nothing)'}")
        for step in self._job.steps.done[-3:]:
            say(f"  {step.name} ended with {step.exit_code}: {step.log}")
        say("  `vallum -s promote` tries the rollback again; after a repair by hand: vallum -s promote -- --resolved")
        say(ALARM)

    def _write(self, state: str, why: str, *, blame: bool | None = None) -> None:
        steps, watched = tuple(self._job.steps.done), tuple(self._watched)
        run, commit = self._job.run, self._job.commit
        said: dict[str, object] = {"state": state, "why": why, "steps": steps, "watched": watched}
        if blame is not None:
            said["rolled_back"] = self._book.blamed(commit, bad=blame)
        self._book.write(**said, run=run, commit=commit, kind=self._job.settings.kind)

    def _end(self, state: str, text: str) -> str:
        _record(self._job.root, self._verdict, self._job.settings.kind, state, text)
        return "" if state == "promoted" else text

    def repair(self, before: Journal) -> str:
        """Bring back what was before a promotion that was killed."""
        why = f"an earlier promotion did not end (it was {before.state})"
        return self._back(before.previous, f"{why}: {before.why}" if before.why else why)


def _repair(root: Path, settings: Promotion, book: Book, steps: Steps, before: Journal) -> str:
    """An unsettled promotion first; nothing else is promoted in this call."""
    if before.kind != settings.kind:
        raise UserError(
            f"a promotion of kind {before.kind} did not end, and promotion.kind is {settings.kind} now: it cannot be undone",
            "restore the settings, or bring back by hand what was, then: vallum -s promote -- --resolved",
        )
    touched = proof.touched(root, settings)
    if touched:
        raise UserError(
            f"a promotion did not end, and cannot be undone here: {touched}", "use a checkout of the base branch"
        )
    say(f"the promotion of {before.commit[:12]} from {before.started} did not end: it was {before.state}")
    verdict = None
    try:
        last = judgement.last_verdict(root)
        verdict = last if last.run == before.run else None
    except UserError as error:
        say(f"  {error.message}: what becomes of it is in {artifacts.FOLDER}/promotion.json alone")
    job = Job(root, settings, before.commit, before.run, steps, root / artifacts.FOLDER)
    done = _Promotion(job, book, verdict).repair(before)
    return done if "FAILED" in done else f"{done}. Nothing else was promoted: run `vallum -s promote` again for that"


def _resolve(book: Book) -> str:
    """A person says that what is deployed is known again."""
    before = book.now
    if before is None or before.state not in UNSETTLED:
        raise UserError(
            "there is nothing to resolve: the last promotion ended", f"it is in {artifacts.FOLDER}/promotion.json"
        )
    book.write(state="resolved", why=f"by a person's word; before: {before.state}, {before.why or 'no reason'}")
    say(f"the promotion of {before.commit[:12]} counts as settled")
    return ""


def _record(root: Path, verdict: Verdict | None, kind: str, state: str, text: str) -> None:
    """Into the verdict and its reports, to the person, and to GitHub."""
    from vallum.reports.github import command

    say(text)
    if os.environ.get("GITHUB_ACTIONS") == "true":
        level = "notice" if state == "promoted" else "error"
        sys.stdout.write(command(level, {"title": f"vallum: {state}"}, text) + "\n")
    if verdict is None:
        return
    told = msgspec.structs.replace(verdict, promotion=Promoted(state=state, text=text, at=now(), kind=kind))
    for file in judgement.publish(root, told):
        if file.error and file.path.name in SHOWN:
            say(f"  not written: {file.path.name}: {file.error}")

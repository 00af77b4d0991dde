"""The kind `command`: a command promotes, another brings back what was."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from vallum.errors import Inconclusive, UserError
from vallum.promote.job import Job
from vallum.promotions import Promotion

LONGEST = 500
"""Characters of the line that says what is deployed."""


def check(settings: Promotion, root: Path) -> None:
    """See vallum.promote.job.Kind."""
    del root
    if not settings.command:
        raise UserError("promotion.command is empty", 'such as command = ["./deploy.sh", "{commit}"]')
    if not settings.rollback:
        raise UserError(
            "promotion.rollback is empty: nothing could bring back what was",
            'such as rollback = ["./deploy.sh", "{previous}"], with `current` to say what is deployed',
        )
    if not settings.current and any("{previous}" in word for word in settings.rollback):
        raise UserError("promotion.rollback names {previous}, and nothing says what that is", "add promotion.current")


def paths(settings: Promotion) -> list[str]:
    """See vallum.promote.job.Kind."""
    del settings
    return []


def nothing(previous: Mapping[str, str]) -> bool:
    """See vallum.promote.job.Kind."""
    del previous
    return False


def before(job: Job) -> dict[str, str]:
    """The line that `current` prints."""
    if not job.settings.current:
        return {}
    said = job.steps.run("current", job.words("current", job.settings.current)).text
    if not said or "\n" in said or len(said) > LONGEST:
        raise Inconclusive(
            f"current: it must print one line that says what is deployed, of at most {LONGEST} characters"
        )
    if job.steps.hide(said) != said:
        raise Inconclusive("current: what it prints looks like a secret, which is not written down")
    return {"previous": said}


def promote(job: Job, previous: Mapping[str, str]) -> None:
    """See vallum.promote.job.Kind."""
    job.steps.run("promotion", job.words("command", job.settings.command, previous))


def rollback(job: Job, previous: Mapping[str, str]) -> None:
    """See vallum.promote.job.Kind."""
    job.steps.run("rollback", job.words("rollback", job.settings.rollback, previous))

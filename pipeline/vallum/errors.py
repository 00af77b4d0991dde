"""What can go wrong, told apart: a person's mistake is not our bug, and neither is a check that could not tell."""

from __future__ import annotations


class UserError(Exception):
    """A person's mistake: says what is wrong, where, and what to do. Never shown with a traceback; exit code 2."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Inconclusive(Exception):
    """A check could not tell. The runner turns it into an Incomplete outcome, which is red; never swallow it.

    `reason` is one sentence for a person; `detail` may carry the tail of a log.
    """

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.detail = detail

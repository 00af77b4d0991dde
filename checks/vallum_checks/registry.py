"""The list of checks, those that take longest first: nox starts them in this order."""

from __future__ import annotations

from vallum.check import Check
from vallum_checks import bandit

CHECKS: tuple[Check, ...] = (
    bandit.CHECK,
)

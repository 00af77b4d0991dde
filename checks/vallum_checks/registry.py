"""The list of checks, those that take longest first: nox starts them in this order."""

from __future__ import annotations

from vallum.check import Check
from vallum_checks import bandit, image, packages, pip_audit, schemathesis, zap

CHECKS: tuple[Check, ...] = (
    zap.CHECK,
    schemathesis.CHECK,
    image.CHECK,
    pip_audit.CHECK,
    packages.CHECK,
    bandit.CHECK,
)

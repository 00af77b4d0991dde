"""The list of checks, in the order in which a run starts them: those that take longest first, and `secrets`, which fills
whatever cores are free, after the long ones."""

from __future__ import annotations

from vallum.check import Check
from vallum_checks import (
    authentication,
    authorization,
    bandit,
    dockerfile,
    image,
    infrastructure,
    packages,
    pip_audit,
    schemathesis,
    secrets,
    semgrep,
    throttling,
    transport,
    workflows,
    zap,
)

CHECKS: tuple[Check, ...] = (
    zap.CHECK,
    schemathesis.CHECK,
    transport.CHECK,
    authentication.CHECK,
    throttling.CHECK,
    authorization.CHECK,
    image.CHECK,
    pip_audit.CHECK,
    packages.CHECK,
    infrastructure.CHECK,
    semgrep.CHECK,
    bandit.CHECK,
    secrets.CHECK,
    workflows.CHECK,
    dockerfile.CHECK,
)

"""The list of checks, those that take longest first: nox starts them in this order."""

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
    secrets.CHECK,
    semgrep.CHECK,
    bandit.CHECK,
    workflows.CHECK,
    dockerfile.CHECK,
)

"""The one severity scale. SARIF `level` and GitHub's `security-severity` derive from it here and nowhere else."""

from __future__ import annotations

from enum import StrEnum


class Severity(StrEnum):
    """How bad, in the field's words. `unknown` is a value of its own with its own policy, never silently low."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"
    UNKNOWN = "unknown"

    @property
    def rank(self) -> int:
        """5 for critical down to 0; unknown sorts with medium, because it may be anything."""
        return _RANK[self]

    @property
    def sarif_level(self) -> str:
        """SARIF 2.1.0 section 3.27.10."""
        return _LEVEL[self]

    @property
    def security_severity(self) -> str | None:
        """GitHub's number as a string on the rule: over 9 critical, 7-8.9 high, 4-6.9 medium, 0.1-3.9 low; None: not sent."""
        return _NUMBER[self]

    @staticmethod
    def from_score(score: float) -> Severity:
        """CVSS base score to rating, per the qualitative scale of CVSS 3.1 section 5 (4.0 uses the same)."""
        if score >= 9.0:
            return Severity.CRITICAL
        if score >= 7.0:
            return Severity.HIGH
        if score >= 4.0:
            return Severity.MEDIUM
        if score > 0.0:
            return Severity.LOW
        return Severity.INFO


_RANK = {
    Severity.CRITICAL: 5,
    Severity.HIGH: 4,
    Severity.MEDIUM: 3,
    Severity.UNKNOWN: 3,
    Severity.LOW: 2,
    Severity.INFO: 1,
}
_LEVEL = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.UNKNOWN: "warning",
    Severity.LOW: "note",
    Severity.INFO: "note",
}
_NUMBER = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.UNKNOWN: None,
    Severity.LOW: "2.0",
    Severity.INFO: None,
}

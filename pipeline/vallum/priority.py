"""What an attacker would take first: a pure, total and stable order of findings, and the reason of each place in words.

The first question is how likely it is used: a known exploited one (KEV) before one that we showed to work on the running
service or that EPSS calls likely, before what merely could be. Then how bad it is, then what makes it easier to reach, surer
and quicker to take. No hidden weights: the order is lexicographic, and `explain` names each thing that it looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from vallum.finding import Finding
from vallum.intelligence import Intelligence
from vallum.severity import Severity

LIKELY, POSSIBLE = 0.5, 0.1
"""EPSS probabilities from which exploitation within 30 days is called likely, and possible. FIRST names no
thresholds; these are ours, and the order among what lies between them still follows the probability."""
_CONFIDENCE = {"high": 0, "medium": 1, "": 1, "low": 2}

_UNNAMED: tuple[str, tuple[str, ...]] = ("", ())

Key = tuple[object, ...]


def band(finding: Finding, intelligence: Intelligence) -> int:
    """How likely it is used: 4 known exploited, 3 likely or shown to work and bad, 2 possible or shown, 1 could be, 0 hardly."""
    probability = intelligence.probability(finding) or 0.0
    shown = finding.operation is not None
    if intelligence.exploited(finding) is not None:
        return 4
    if probability >= LIKELY or (shown and finding.severity.rank >= Severity.HIGH.rank):
        return 3
    if probability >= POSSIBLE or (shown and finding.severity.rank >= Severity.MEDIUM.rank):
        return 2
    return 1 if finding.severity.rank >= Severity.MEDIUM.rank else 0


class Order:
    """The order for one state of knowledge. `exposed` names the services that are reached from outside.

    What weighs is the same for most findings of a run, so it is worked out once for each combination.
    """

    def __init__(self, intelligence: Intelligence, exposed: Collection[str] = ()) -> None:
        self._intelligence, self._exposed = intelligence, exposed
        self._weights: dict[Key, Key] = {}
        self._words: dict[Key, str] = {}

    def key(self, finding: Finding) -> Key:
        """The sort key, smallest first. Ends in the identity: total."""
        place = finding.location
        return (
            self._weight(finding),
            finding.service,
            place.path if place else "",
            place.line if place else 0,
            finding.rule,
            finding.id,
            finding.checks,
            finding.message,
        )

    def _weight(self, finding: Finding) -> Key:
        """The part of the key that is the same for many; one object each, so that sorting compares them by identity."""
        alike = (
            finding.severity,
            finding.operation is None,
            finding.service,
            len(finding.checks),
            _fixable(finding),
            finding.confidence,
            _names(finding),
        )
        weight = self._weights.get(alike)
        if weight is None:
            weight = self._weights[alike] = (
                -band(finding, self._intelligence),
                -finding.severity.rank,
                finding.operation is None,
                finding.service not in self._exposed,
                -len(finding.checks),
                not _fixable(finding),
                -(self._intelligence.probability(finding) or 0.0),
                _CONFIDENCE.get(finding.confidence, 1),
            )
        return weight

    def explain(self, finding: Finding) -> str:
        """Why it stands where it stands, as one sentence without its full stop, the strongest reason first."""
        alike = (
            finding.severity,
            finding.operation,
            finding.service,
            finding.checks,
            finding.package,
            _names(finding),
        )
        words = self._words.get(alike)
        if words is None:
            words = self._words[alike] = explain(finding, self._intelligence, self._exposed)
        return words


def order(findings: Iterable[Finding], intelligence: Intelligence, exposed: Collection[str] = ()) -> list[Finding]:
    """The findings, what an attacker would take first at the top; the order of the input does not matter."""
    return sorted(findings, key=Order(intelligence, exposed).key)


def explain(finding: Finding, intelligence: Intelligence, exposed: Collection[str] = ()) -> str:
    """Why it stands where it stands, as one sentence without its full stop, the strongest reason first."""
    said = []
    entry = intelligence.exploited(finding)
    if entry is not None:
        ransomware = ", also by ransomware" if entry.ransomware else ""
        said.append(f"known to be exploited{ransomware} (CISA KEV since {entry.added.isoformat()})")
    probability = intelligence.probability(finding)
    if probability is not None:
        word = "likely" if probability >= LIKELY else "possible" if probability >= POSSIBLE else "unlikely"
        said.append(f"exploitation within 30 days is {word} (EPSS {_percent(probability)})")
    said.append("of unknown severity" if finding.severity is Severity.UNKNOWN else f"{finding.severity} severity")
    if finding.operation is not None:
        said.append(f"seen on the running service ({finding.operation.method} {finding.operation.path})")
    if finding.service and finding.service in exposed:
        said.append(f"{finding.service} is reached from outside")
    if len(finding.checks) > 1:
        said.append(f"confirmed by {', '.join(finding.checks)}")
    if finding.package is not None:
        fixed = ", ".join(finding.package.fixed)
        said.append(f"fixed in {fixed}" if fixed else "no fixed version yet")
    return "; ".join(said)


def _names(finding: Finding) -> tuple[str, tuple[str, ...]]:
    """What EPSS and KEV may know it by."""
    named = finding.aliases or finding.rule[:4].upper() == "CVE-"
    return (finding.rule, finding.aliases) if named else _UNNAMED


def _fixable(finding: Finding) -> bool:
    """A published repair shows the weakness to whoever compares the two versions, and leaves no excuse."""
    return bool(finding.package is not None and finding.package.fixed)


def _percent(probability: float) -> str:
    return "under 0.1 %" if probability < 0.001 else f"{probability * 100:.1f} %"

"""An advisory that meets a package becomes a finding: one for each vulnerability and place, whatever number of names it has."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from vallum.advisories import aliases, severity
from vallum.advisories.ecosystems import Query
from vallum.advisories.matcher import fixed_versions
from vallum.advisories.osv import Record
from vallum.finding import Finding, Location, Package, Rule

OWASP = ("A03:2025", "A06:2021")
"""Software supply chain failures; vulnerable and outdated components. By category, not by the CWE of each advisory."""
MAX_SUMMARY = 300
MAX_DESCRIPTION = 1000


class Use(NamedTuple):
    """A package at a place of the target: `shown` is its name as people know it, `via` the direct dependency that brings it."""

    query: Query
    shown: str
    purl: str
    location: Location | None = None
    service: str = ""
    via: str = ""


def build(use: Use, records: Iterable[Record]) -> list[tuple[Rule, Finding]]:
    """One rule and finding for each vulnerability among `records` (all of which affect the package), aliases merged."""
    return [_one(use, group) for group in aliases.groups(records)]


def _one(use: Use, group: tuple[Record, ...]) -> tuple[Rule, Finding]:
    first = group[0]
    names = tuple(name for name in aliases.names(group) if name != first.id)
    rating = severity.rate(group)
    cwe = severity.weaknesses(group)
    fixed = fixed_versions(group, use.query)
    version = use.query.version
    malicious = any(record.id.startswith("MAL-") for record in group)
    known = next((name for name in (first.id, *names) if name.startswith("CVE-")), first.id)
    also = f" ({first.id})" if known != first.id else ""
    what = "is malicious by" if malicious else "has the known vulnerability"
    brought = f", brought in by {use.via}" if use.via and use.via != use.shown else ""
    end = f"; repaired in {', '.join(fixed[:3])}" if fixed else "; no repaired version is known"
    finding = Finding(
        rule=first.id,
        severity=rating.severity,
        message=f"{use.shown} {version}{brought} {what} {known}{also}{end}.",
        location=use.location,
        service=use.service,
        cwe=cwe,
        owasp=OWASP,
        confidence="high",
        fix=repair(use, fixed, malicious),
        package=Package(use.shown, version, use.purl, fixed),
        aliases=names,
        cvss=rating.vector,
    )
    return _rule(group, first, names), finding


def repair(use: Use, fixed: tuple[str, ...], malicious: bool = False) -> str:
    """What to do, in one sentence."""
    if malicious:
        return f"Remove {use.shown}, and treat every machine that installed it as compromised."
    if not fixed:
        return f"No repaired version of {use.shown} is known: replace it, or show that the weak part is not reached and waive it."
    return f"Upgrade {use.shown} from {use.query.version} to {fixed[0]} or later."


def _rule(group: tuple[Record, ...], first: Record, names: tuple[str, ...]) -> Rule:
    summary = next((" ".join(record.summary.split()) for record in group if record.summary.strip()), "")
    details = next((" ".join(record.details.split()) for record in group if record.details.strip()), "")
    links = [ref.url for record in group for ref in record.references if ref.url.startswith(("https://", "http://"))]
    preferred = [ref.url for ref in first.references if ref.type == "ADVISORY" and ref.url.startswith("https://")]
    subjects = sorted({one.package.name for record in group for one in record.affected if one.package is not None})
    return Rule(
        id=first.id,
        name=(summary or first.id)[:MAX_SUMMARY],
        description=_short(summary or details or f"A known vulnerability of {', '.join(subjects[:3])}."),
        help=(
            f"{', '.join(subjects[:3]) or 'The package'} has a published vulnerability ({', '.join((first.id, *names)[:4])}). "
            "Upgrade to a version that repairs it; where there is none, replace the package or waive the finding with the reason "
            "why the weak part is not reached."
        ),
        uri=(preferred or links or [f"https://osv.dev/vulnerability/{first.id}"])[0],
    )


def _short(text: str) -> str:
    return text if len(text) <= MAX_DESCRIPTION else text[: MAX_DESCRIPTION - 1].rstrip() + "…"

"""The packages of a bill of materials against the advisories: what is affected, and what nobody could say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from vallum.advisories.ecosystems import canonical_purl
from vallum.advisories.findings import Use, build
from vallum.advisories.sbom import Bill, Component
from vallum.advisories.source import Source
from vallum.finding import Finding, Location, Rule
from vallum.outcome import Missed

WITHOUT = "ecosystems-without-advisories"
"""The option that makes packages of an ecosystem of which the source knows nothing a note (`note`) instead of a gap."""


@dataclass
class Compared:
    """`seen` of `expected` packages were compared; the others are in `missed`, or in `notes` where the user chose so."""

    expected: int = 0
    seen: int = 0
    rules: dict[str, Rule] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def compare(
    bill: Bill,
    source: Source,
    places: Callable[[Component], list[tuple[Location | None, str]]],
    gaps: Literal["incomplete", "note"] = "incomplete",
) -> Compared:
    """Match every component. `places` says for each where it is pinned and of which service; one finding a place.

    Programs that no package manager knows (`pkg:generic`) have no advisories in OSV and are noted; any other package that the
    source knows nothing about is missed, unless `gaps` is `note`.
    """
    result = Compared(expected=len(bill.components))
    without: Counter[str] = Counter()
    known: list[Component] = []
    for one in bill.components:
        kind = one.purl.removeprefix("pkg:").partition("/")[0]
        if one.query is None:
            without[f"pkg:{kind}"] += 1
        elif not source.covers(one.query.ecosystem):
            without[one.query.ecosystem] += 1
        else:
            known.append(one)
    answers = source.lookup([one.query for one in known if one.query is not None])
    for one in known:
        assert one.query is not None  # noqa: S101 - `known` holds only such
        answer = answers[one.query]
        said = one.query.version not in ("", "UNKNOWN")
        undecided = answer.undecided if said else (*answer.undecided, *(record.id for record in answer.records))
        if undecided:
            what = f"{one.name} {one.version or 'without a version'}"
            result.missed.append(Missed(what, f"cannot be compared with {', '.join(undecided[:3])}"))
        purl = canonical_purl(one.query, one.purl)
        for location, service in places(one) if said else ():
            for rule, finding in build(Use(one.query, one.name, purl, location, service), answer.records):
                result.rules.setdefault(rule.id, rule)
                result.findings.append(finding)
    result.seen = len(known) - len(result.missed)
    for name, count in sorted(without.items()):
        text = f"{count} package{'s' if count > 1 else ''} of {name}: the advisories know nothing of them"
        if name == "pkg:generic" or gaps == "note":
            result.notes.append(text)
            result.expected -= count
        else:
            result.missed.append(Missed(f"{count} of {name}", "no advisories for this ecosystem in the source"))
    return result


def line_of(text: str, name: str, version: str) -> int:
    """The line (from 1) of a lock file that pins the package: its name, with the version there or in the two lines after."""
    lines = text.splitlines()
    for number, line in enumerate(lines):  # npm names a package in many places and installs it in one
        if f'node_modules/{name}": {{' in line and any(f'"{version}"' in each for each in lines[number : number + 3]):
            return number + 1
    short = name.rpartition("/")[2] if not name.startswith("@") else name
    best = 0
    for number, line in enumerate(lines):
        at = line.find(name) if name in line else line.find(short)
        if at < 0 or not _whole(line, name if name in line else short, at):
            continue
        best = best or number + 1
        if any(version in each for each in lines[number : number + 3]):
            return number + 1
    return best


def _whole(line: str, word: str, at: int) -> bool:
    before, after = line[at - 1 : at], line[at + len(word) : at + len(word) + 1]
    return not (before.isalnum() or (before in "-_." and before)) and not (after.isalnum() or (after in "-_" and after))

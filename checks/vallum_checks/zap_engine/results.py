"""What an attack found: alerts saved on the way, findings, coverage, and what a reader must know."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from vallum.api.model import Operation
from vallum.finding import Exchange, Finding, Rule
from vallum.outcome import Coverage, Missed, Reach
from vallum.stage import ledger
from vallum_checks.zap_engine import findings, seed
from vallum_checks.zap_engine.client import OVERLAP, ZapGone
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.levels import Line

EVIDENCE = 5000
"""Exchanges that are kept, the worst findings first: at most 8 KB each."""


def snapshot(e: Engagement, *, whole: bool = False) -> None:
    """Save the alerts so far: a ZAP that dies takes them with it. `whole`: all again, not the new ones."""
    for target in e.targets:
        known = e.alerts[target.service]
        total = 0
        after = 0 if whole else e.read[target.service]
        for alert in e.zap.alerts(target.base_url, after=after):
            total += 1
            number = str(alert.get("id"))
            if number not in e.before and number not in known and findings.wanted(alert):
                known[number] = findings.slim(alert)
        e.read[target.service] = max(e.read[target.service], max(0, after - OVERLAP) + total)


@dataclass(frozen=True)
class _Found:
    """A group of alerts on the way to a finding. `out` is the rule file's line that takes it out of scope."""

    surface: findings.Surface
    group: findings.Group
    out: Line | None

    @property
    def message(self) -> str:
        return str(self.group.alert.get("messageId") or "")


def everything_found(e: Engagement) -> tuple[tuple[Finding, ...], tuple[Rule, ...]]:
    """The findings with their exchanges, and the rules that they came from."""
    services = {urlsplit(target.base_url).netloc: target.service for target in e.targets}
    rows: list[_Found] = []
    for target in e.targets:
        seeder = e.seeders.get(target.service)
        surface = findings.Surface(
            target, seeder.prefix if seeder else "", seeder.definition.operations if seeder else ()
        )
        for out, alerts in _by_scope(e, e.alerts[target.service].values()).items():
            rows += [_Found(surface, group, out) for group in findings.group(surface, alerts)]
    exchanges = _exchanges(e, rows, services)
    found = tuple(
        findings.finding(row.surface, row.group, exchanges.get(row.message), e.redactor, services, e.levels, row.out)
        for row in rows
    )
    everything = [alert for alerts in e.alerts.values() for alert in alerts.values()]
    # Without the texts of the rules and without urls: what a person debugging this wants, and nothing secret.
    kept = ("alertRef", "name", "method", "param", "risk")
    e.keep("alerts", [{key: alert.get(key) for key in kept} for alert in everything])
    e.keep(
        "scans",
        [{"service": scan.service, "why": scan.why, "ms": scan.took, "polls": scan.polls} for scan in e.scans],
    )
    _count_levels(e, found)
    return found, findings.rules_of(everything)


def _by_scope(e: Engagement, alerts: Iterable[dict[str, Any]]) -> dict[Line | None, list[dict[str, Any]]]:
    """The alerts by the rule file's line that takes them out of scope; under None those that are in it."""
    parts: dict[Line | None, list[dict[str, Any]]] = {}
    for alert in alerts:
        line = e.levels.out_of_scope(findings.plugin(findings.rule_id(alert)), str(alert.get("url") or ""))
        parts.setdefault(line, []).append(alert)
    return parts


def _exchanges(e: Engagement, rows: Sequence[_Found], services: Mapping[str, str]) -> dict[str, Exchange]:
    """Evidence by the message's id, for the worst findings where there are very many."""
    worst = sorted(rows, key=lambda row: -findings.risk(row.group.alert).rank)
    numbers = list(dict.fromkeys(row.message for row in worst if row.message.isdigit()))
    if len(numbers) > EVIDENCE:
        e.notes.append(f"{len(numbers) - EVIDENCE} of {len(numbers)} requests and responses were not kept as evidence")
    kept: dict[str, Exchange] = {}
    with contextlib.suppress(ZapGone):  # said already; the findings stand without their exchanges
        for number, message in e.zap.messages(numbers[:EVIDENCE]):
            kept[number] = findings.exchange(message, e.redactor, services)
    return kept


def _count_levels(e: Engagement, found: Sequence[Finding]) -> None:
    """What the rule file did, as a note: a file that hides much must not go unseen."""
    if not e.levels.name:
        return
    words = Counter(line.word for line in e.levels.lines)
    hidden = Counter(one.suppression.by for one in found if one.suppression is not None)
    counted = ", ".join(f"{count} {word}" for word, count in sorted(words.items())) or "nothing"
    e.notes.append(f"rule file {e.levels.name}: {counted}; {hidden.total()} findings hidden by it")
    if e.equipment.off:
        e.notes.append(f"turned off by the rule file: {', '.join(e.equipment.off)}")
    if hidden:
        e.notes.append("hidden by " + ", ".join(f"{by} ({count})" for by, count in sorted(hidden.items())))
    if e.equipment.unknown:
        e.notes.append(f"in the rule file, and not in this ZAP: {', '.join(e.equipment.unknown)}")


def coverage(e: Engagement) -> tuple[Coverage, ...]:
    """Operations and pages that were reached, of those that there are."""
    looked = e.baseline and e.equipment.passive > 0
    expected = sum(len(_meant(e, seeder)) for seeder in e.seeders.values())
    pages = sum(len(target.pages) for target in e.targets if target.service not in e.seeders)
    missed: list[Missed] = []
    for service, seeder in e.seeders.items():
        sent = {str(one.request.operation): one for one in seeder.sent}
        scanned = looked or any(scan.service == service and scan.requests for scan in e.scans)
        for operation in _meant(e, seeder):
            one = sent.get(str(operation))
            why = "not sent" if one is None else seed.reached(one, logged_in=bool(e.auth))
            if not why and not scanned:
                why = "not scanned"
            if why:
                missed.append(Missed(f"{service} {operation}", why))
        left = seeder.definition.unsupported
        expected += len(left)
        missed += [Missed(f"{service} {operation}", f"unsupported: {operation.unsupported}") for operation in left]
    cover = [Coverage("operations", expected, expected - len(missed), tuple(missed[:1000]))] if expected else []
    if pages:
        cover.append(Coverage("pages", pages, pages if looked or any(scan.requests for scan in e.scans) else 0))
    return tuple(cover)


def operations(e: Engagement) -> Iterable[Reach]:
    """How far ZAP got with each operation. Attacked is one that was reached, of a service whose active scan sent requests."""
    for service, seeder in e.seeders.items():
        scanned = not e.baseline and any(scan.service == service and scan.requests for scan in e.scans)
        attacked: set[tuple[str, str]] = set()
        for sent in seeder.sent:
            # ZAP's tree holds one node for what shares method and path, as GraphQL's operations do.
            place = (sent.request.operation.method, sent.request.path)
            answers = [(sent.status, bool(e.auth), scanned and not (sent.request.operation.name and place in attacked))]
            attacked.add(place)
            yield ledger.reach(service, sent.request.operation, answers, logged_in=bool(e.auth), why=sent.why)


def _meant(e: Engagement, seeder: seed.Seeder) -> list[Operation]:
    """The operations that the mode means to reach: `baseline` sends nothing that changes something."""
    return [o for o in seeder.definition.operations if not e.baseline or (o.method in seed.SAFE and not o.late)]


def about(e: Engagement) -> Iterable[str]:
    """Notes for the report: which ZAP, how much, and what no scanner finds."""
    here = e.equipment
    rules = f"{here.active} active and {here.passive} passive scan rules"
    yield f"{e.provided.kind} ZAP {e.provided.version}, mode {e.config.zap.mode}, {rules}"
    yield "add-ons: " + ", ".join(f"{name} {version}" for name, version in here.add_ons)
    if e.baseline:
        left = sum(len(s.definition.operations) - len(_meant(e, s)) for s in e.seeders.values())
        yield f"mode baseline: nothing was attacked, and {left} operations that change something were not called"
    if e.provided.seeds is not None:
        yield "the assembled ZAP has vallum's starter rules only: an official ZAP tests more"
    for reason in e.provided.failed:
        yield f"not used: {reason}"
    requests = sum(scan.requests for scan in e.scans)
    yield f"{requests} requests in {len(e.scans)} active scans"
    yield "not found by scanners: objects of other users (BOLA), functions of other roles, business rules"

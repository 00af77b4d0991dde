"""What an attack found: alerts saved on the way, findings, coverage, and what a reader must know."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlsplit

from vallum.finding import Finding
from vallum.outcome import Coverage, Missed
from vallum_checks.zap_engine import findings, seed
from vallum_checks.zap_engine.client import ZapGone
from vallum_checks.zap_engine.engagement import Engagement


def snapshot(e: Engagement, *, whole: bool = False) -> None:
    """Save the alerts so far: a ZAP that dies takes them with it. `whole`: all again, not the new ones."""
    for target in e.targets:
        known = e.alerts[target.service]
        for alert in e.zap.alerts(target.base_url, after=0 if whole else len(known)):
            if str(alert.get("id")) not in e.before and findings.wanted(alert):
                known[str(alert.get("id"))] = alert


def everything_found(e: Engagement) -> tuple[tuple[Finding, ...], list[dict[str, Any]]]:
    """The findings with their exchanges, and the alerts that they came from."""
    services = {urlsplit(target.base_url).netloc: target.service for target in e.targets}
    found: list[Finding] = []
    everything: list[dict[str, Any]] = []
    for target in e.targets:
        alerts = list(e.alerts[target.service].values())
        everything += alerts
        seeder = e.seeders.get(target.service)
        surface = findings.Surface(
            target, seeder.prefix if seeder else "", seeder.definition.operations if seeder else ()
        )
        groups = findings.group(surface, alerts)
        numbers = [str(group.alert.get("messageId") or "") for group in groups]
        messages: dict[str, dict[str, Any]] = {}
        with contextlib.suppress(ZapGone):  # said already; the findings stand without their exchanges
            messages = e.zap.messages(sorted({number for number in numbers if number.isdigit()}))
        for group, number in zip(groups, numbers, strict=True):
            found.append(findings.finding(surface, group, messages.get(number), e.redactor, services))
    # Without the texts of the rules and without urls: what a person debugging this wants, and nothing secret.
    kept = ("alertRef", "name", "method", "param", "risk")
    e.keep("alerts", [{key: alert.get(key) for key in kept} for alert in everything])
    rows = [{"service": scan.service, "why": scan.why, "ms": scan.took, "polls": scan.polls} for scan in e.scans]
    e.keep("scans", rows)
    return tuple(found), everything


def coverage(e: Engagement) -> tuple[Coverage, ...]:
    """Operations and pages that were reached, of those that there are."""
    expected = sum(len(seeder.definition.operations) for seeder in e.seeders.values())
    pages = sum(len(target.pages) for target in e.targets if target.service not in e.seeders)
    missed: list[Missed] = []
    for service, seeder in e.seeders.items():
        sent = {str(one.request.operation): one for one in seeder.sent}
        scanned = any(scan.service == service and scan.requests for scan in e.scans)
        for operation in seeder.definition.operations:
            one = sent.get(str(operation))
            why = "not sent" if one is None else seed.reached(one, logged_in=bool(e.auth))
            if not why and not scanned:
                why = "not scanned"
            if why:
                missed.append(Missed(f"{service} {operation}", why))
    cover = [Coverage("operations", expected, expected - len(missed), tuple(missed[:1000]))] if expected else []
    if pages:
        cover.append(Coverage("pages", pages, pages if any(scan.requests for scan in e.scans) else 0))
    return tuple(cover)


def about(e: Engagement) -> Iterable[str]:
    """Notes for the report: which ZAP, how much, and what no scanner finds."""
    yield f"{e.provided.kind} ZAP {e.provided.version}, {e.rules} active scan rules"
    if e.provided.seeds is not None:
        yield "the assembled ZAP has vallum's starter rules only: an official ZAP tests more"
    for reason in e.provided.failed:
        yield f"not used: {reason}"
    requests = sum(scan.requests for scan in e.scans)
    yield f"{requests} requests in {len(e.scans)} active scans"
    yield "not found by scanners: objects of other users (BOLA), functions of other roles, business rules"

"""What must be true before an attack's result means anything: rules, ZAP's tree, answers, a target that lives, a login."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum_checks.zap_engine import watch
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.model import Sent

ENOUGH = 0.5
"""Share of a service's operations that must have answered 2xx or 3xx: below it the examples or the login are wrong."""


def rules(e: Engagement) -> int:
    """How many active rules there are. A ZAP without any ends at once with 100 % and no alert."""
    rows = e.zap.rows(e.api.ascan.scanners(), "active scan rules")
    enabled = [row for row in rows if str(row.get("enabled")) == "true"]
    if not enabled:
        raise Inconclusive(f"the {e.provided.kind} ZAP has no active scan rule: a clean result would mean nothing")
    e.keep("scanners", enabled)
    return len(enabled)


def missing_from_tree(e: Engagement, service: str, sent: Sequence[Sent]) -> list[str]:
    """The operations of `sent` that ZAP's tree does not hold."""
    base = e.seeders[service].target.base_url
    urls = e.api.core.urls(base)
    if not isinstance(urls, list):
        raise Inconclusive("ZAP gave no list of addresses")
    paths = {urlsplit(str(url)).path or "/" for url in urls}
    return [str(one.request.operation) for one in sent if urlsplit(base + one.request.path).path not in paths]


def prove(e: Engagement) -> None:
    """What a finished scan does not say: targets alive, answers came, operations reached, the login still counts."""
    for service in watch.dead((target.service, target.base_url + "/") for target in e.targets):
        e.problems.append(f"{service} does not answer after the attack")
    failed, answered = watch.failures(e.zap)
    if failed > watch.SEND_FAILURES * (failed + answered):
        e.problems.append(f"{failed} of ZAP's {failed + answered} requests got no answer")
    if not any(scan.requests for scan in e.scans):
        e.problems.append("ZAP sent no request")
    for service, seeder in e.seeders.items():
        good = [sent for sent in seeder.sent if 200 <= sent.status < 400]
        if len(good) < ENOUGH * len(seeder.sent):
            e.problems.append(f"only {len(good)} of {len(seeder.sent)} operations of {service} answered 2xx or 3xx")
        guarded = next(
            (
                sent
                for sent in good
                if sent.request.operation.secured
                and not sent.request.operation.late
                and sent.request.operation.method in {"GET", "HEAD"}
            ),
            None,
        )
        if guarded is not None and e.auth:
            status = seeder.resend(guarded).status
            if status in {401, 403}:
                e.problems.append(f"the login to {service} no longer counted after the attack ({status})")
        shallow = [str(sent.request.operation) for sent in seeder.sent if not 200 <= sent.status < 400]
        if shallow:
            shown = ", ".join(sorted(shallow)[:10])
            e.notes.append(f"{service}: never answered 2xx to its example, so attacked from outside only: {shown}")

"""What must be true before an attack's result means anything: ZAP's tree, answers, a target that lives, a login."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum_checks.zap_engine import watch
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.model import Sent

ENOUGH = 0.5
"""Share of a service's operations that must have answered 2xx or 3xx: below it the examples or the login are wrong."""


def missing_from_tree(e: Engagement, service: str, sent: Sequence[Sent]) -> list[str]:
    """The operations of `sent` that ZAP's tree of the site does not hold, by method and path. An active scan attacks the tree
    and nothing else."""
    base = e.seeders[service].target.base_url
    urls = e.api.core.urls(base)
    if not isinstance(urls, list):
        raise Inconclusive("ZAP gave no list of addresses")
    paths = {urlsplit(str(url)).path or "/" for url in urls}
    held = nodes(e, base)
    missing = []
    for one in sent:
        path = urlsplit(base + one.request.path).path or "/"
        if path not in paths or (one.request.operation.method, path) not in held:
            missing.append(str(one.request.operation))
    return missing


def nodes(e: Engagement, base: str) -> set[tuple[str, str]]:
    """Method and path of every node of the tree below `base`. A folder that was never requested is a node with GET."""
    found: set[tuple[str, str]] = set()
    seen: set[str] = set()
    todo = [base]
    while todo:
        address = todo.pop()
        if address in seen:
            continue
        seen.add(address)
        try:
            rows = e.zap.rows(e.api.core.child_nodes(address), "nodes of the tree")
        except Inconclusive as error:
            if "does_not_exist" in error.reason:  # not yet: it files what passed its proxy a moment after the answer
                continue
            raise
        for row in rows:
            uri = str(row.get("uri") or "")
            found.add((str(row.get("method") or ""), urlsplit(uri).path or "/"))
            if str(row.get("isLeaf")).lower() != "true":
                todo.append(uri)
    return found


def prove(e: Engagement) -> None:
    """What a finished scan does not say: targets alive, answers came, operations reached, the login still counts."""
    for service in watch.dead(((target.service, target.base_url + "/") for target in e.targets), e.proxy):
        e.problems.append(f"{service} does not answer after the attack")
    failed, answered = watch.failures(e.zap)
    if failed > watch.SEND_FAILURES * (failed + answered):
        e.problems.append(f"{failed} of ZAP's {failed + answered} requests got no answer")
    if not any(scan.requests for scan in e.scans) and not (e.baseline and e.equipment.passive):
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

"""The steps of an attack in their order: prepare ZAP, seed, spider, scan, and what deletes last."""

from __future__ import annotations

import contextlib
import math
import time
from typing import Any

from vallum.errors import Inconclusive
from vallum_checks.zap_engine import equipment, results, seed, watch
from vallum_checks.zap_engine.client import ZapGone
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.model import ScanTarget
from vallum_checks.zap_engine.proof import missing_from_tree

CONTEXT = "vallum"
THREADS = 20
"""A host. More than there are operations for long: a free thread is found without ZAP's pause of 200 ms, and our rules
limit themselves to six requests on the way. For an official ZAP its own default stays."""
INJECTABLE = 1 + 2 + 8 + 16
"""Query, body, headers, path segments: our rules leave out those that the definition does not name."""
SPIDER_SECONDS = {"baseline": 60.0, "api": 60.0, "full": 600.0}
"""For each page from which the spider starts."""
SPIDER_DEPTH = {"baseline": 5, "api": 5, "full": 12}
"""5 is ZAP's own default."""


def prepare(e: Engagement) -> None:
    """Limit ZAP to the targets and to the time there is."""
    with contextlib.suppress(Inconclusive):  # it is not there the first time
        e.api.context.remove_context(CONTEXT)
    e.zap.number(e.api.context.new_context(CONTEXT), "context id")
    for target in e.targets:
        pattern = watch.scope_pattern(target.base_url)
        e.zap.action(e.api.context.include_in_context(CONTEXT, pattern), "limit its scope")
        e.before.update(str(alert.get("id")) for alert in e.zap.alerts(target.base_url))
    # In this mode ZAP itself refuses to attack anything outside the context.
    e.zap.action(e.api.core.set_mode("protect"), "switch to protected mode")
    longest = max(e.budget(target.service) for target in e.targets)
    minutes = max(1, math.ceil(min(longest, (e.end - time.monotonic()) / 60)))
    scan = e.api.ascan
    e.zap.action(scan.set_option_max_scan_duration_in_mins(minutes), "limit the scan")
    e.zap.action(scan.set_option_max_rule_duration_in_mins(max(1, minutes // 2)), "limit a rule")
    with contextlib.suppress(Inconclusive):  # before the network add-on the option had another place
        e.zap.action(e.api.network.set_connection_timeout(watch.TIMEOUT), "limit a request")
    rate = e.config.environment.requests_per_second if e.config.environment is not None else None
    if e.provided.seeds is not None or rate is not None:
        e.zap.action(scan.set_option_thread_per_host(_threads(rate)), "set its threads")
    if e.provided.seeds is not None:
        e.zap.action(scan.set_option_target_params_injectable(INJECTABLE), "set the parameters")


def _threads(rate: float | None) -> int:
    """How many may wait for their turn at `rate` requests a second without running into ZAP's time-out."""
    return THREADS if rate is None else max(1, min(THREADS, int(rate * watch.TIMEOUT / 4)))


def fill_tree(e: Engagement) -> None:
    """Send every operation through ZAP, and prove that they arrived in its tree."""
    for seeder in e.seeders.values():
        seeder.early(safe=e.baseline)
    _tell_rules(e)
    for service, seeder in e.seeders.items():
        sent = [one for one in seeder.sent if one.status]
        if seeder.sent and not sent:
            e.problems.append(f"{service} answered none of its operations")
        # Not at once: ZAP files what passed its proxy a moment after the answer.
        missing = missing_from_tree(e, service, sent)
        for _ in range(20):
            if not missing:
                break
            time.sleep(0.25)
            missing = missing_from_tree(e, service, sent)
        if missing:
            e.problems.append(f"ZAP's tree lacks {len(missing)} operations of {service}, the first {missing[0]}")


def _tell_rules(e: Engagement) -> None:
    if e.provided.seeds is not None:
        titles = (seeder.definition.title for seeder in e.seeders.values())
        words = [e.config.project.name, *(target.service for target in e.targets), *titles]
        seed.write(e.provided.seeds, e.seeders.values(), words)


def spider(e: Engagement) -> None:
    """Follow the links of the HTML pages; in mode `full` also those of every operation that answered with a page."""
    mode = e.config.zap.mode
    starts = {target.service: list(target.pages) for target in e.targets}
    if mode == "full":
        for service, seeder in e.seeders.items():
            starts[service] += [one.request.path for one in seeder.sent if one.html and 200 <= one.status < 300]
    if not any(starts.values()):
        return
    e.zap.action(e.api.spider.set_option_max_depth(SPIDER_DEPTH[mode]), "limit the spider's depth")
    for target in e.targets:
        for page in dict.fromkeys(starts[target.service]):
            number = str(e.zap.number(_start_spider(e, target, page), "spider scan id"))
            limit = min(e.end, time.monotonic() + SPIDER_SECONDS[mode])
            while e.zap.number(e.api.spider.status(number), "spider progress") < 100:
                e.provided.alive()
                if time.monotonic() > limit:
                    e.problems.append(f"the spider did not finish on {target.service}")
                    e.api.spider.stop(number)
                    break
                time.sleep(0.1)
            errors = watch.unanswered(e.api.spider.full_results(number))
            if errors:
                e.notes.append(f"the spider got no answer from {errors} addresses of {target.service}")
    passive(e)


def _start_spider(e: Engagement, target: ScanTarget, page: str) -> Any:
    return e.api.spider.scan(url=target.base_url + page, recurse="true", contextname=CONTEXT, subtreeonly="false")


def passive(e: Engagement) -> None:
    """Wait until the passive rules, where there are any, have seen everything."""
    if not e.zap.passive():
        return
    limit = min(e.end, time.monotonic() + 120)
    while e.zap.number(e.api.pscan.records_to_scan, "records to scan") > 0:
        e.provided.alive()
        if time.monotonic() > limit:
            e.problems.append("ZAP's passive rules did not finish")
            return
        time.sleep(0.5)


def scan(e: Engagement) -> None:
    """All services at once: while one waits for a slow answer another is asked."""
    scans = []
    for target in e.targets:
        try:
            number = e.api.ascan.scan(url=target.base_url + "/", recurse="true", inscopeonly="true")
        except ZapGone:
            raise
        except Inconclusive as error:
            e.problems.append(f"{target.service} could not be scanned: {error.reason}")
            continue
        scans.append(_watched(e, target, number))
    _follow(e, scans)


def late(e: Engagement) -> None:
    """What deletes or logs out, after everything else: one operation at a time, each alone."""
    scans = []
    for seeder in e.seeders.values():
        sent = seeder.late()
        if not sent:
            continue
        _tell_rules(e)
        for one in sent:
            if not one.status:
                continue
            url = seeder.target.base_url + one.request.path
            body = one.request.body.decode("utf-8", "replace") or None
            try:
                number = e.api.ascan.scan(
                    url=url, recurse="false", inscopeonly="true", method=one.request.operation.method, postdata=body
                )
            except ZapGone:
                raise
            except Inconclusive as error:
                e.problems.append(f"{one.request.operation} could not be scanned: {error.reason}")
                continue
            scans.append(_watched(e, seeder.target, number))
    _follow(e, scans)


def _watched(e: Engagement, target: ScanTarget, number: Any) -> watch.Watched:
    end = e.budgets.setdefault(target.service, time.monotonic() + e.budget(target.service) * 60)
    scan = str(e.zap.number(number, "active scan id"))
    return watch.Watched(target.service, scan, target.base_url + "/", end=end, proxy=e.proxy)


def _follow(e: Engagement, scans: list[watch.Watched]) -> None:
    e.scans += scans
    watcher = watch.Watcher(e.zap, e.provided.alive, lambda: results.snapshot(e), e.end)
    watcher.follow(scans)
    for scan in scans:
        if scan.why:
            e.problems.append(f"{scan.service}: {scan.why}")
        else:
            left_out, scan.took = watch.skipped(e.zap, scan.number)
            e.problems += [f"{scan.service}: rule left out: {rule}" for rule in left_out]


def leave(e: Engagement) -> None:
    """Leave somebody else's ZAP as it was."""
    if e.provided.kind == "daemon":
        equipment.restore(e)
        with contextlib.suppress(Inconclusive):
            e.api.core.set_mode("standard")
            e.api.context.remove_context(CONTEXT)

"""One attack on a staged deployment: seed, spider, scan, prove that it was whole, and read the alerts."""

from __future__ import annotations

import contextlib
import json
import math
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vallum import artifacts
from vallum.api import openapi as definition
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum.outcome import Coverage, Database, Missed, Tool
from vallum.progress import say
from vallum.stage.redact import Redactor
from vallum_checks.zap_engine import findings, seed, watch
from vallum_checks.zap_engine.client import ZapGone
from vallum_checks.zap_engine.model import Attack, ScanTarget, Sent
from vallum_checks.zap_engine.provide import Provided, provided

CONTEXT = "vallum"
THREADS = 20
"""A host. More than there are operations for long: a free thread is found without ZAP's pause of 200 ms, and our rules
limit themselves to six requests on the way. For an official ZAP its own default stays."""
INJECTABLE = 1 + 2 + 8 + 16
"""Query, body, headers, path segments: our rules leave out those that the definition does not name."""
ENOUGH = 0.5
"""Share of a service's operations that must have answered 2xx or 3xx: below it the examples or the login are wrong."""
SPIDER_SECONDS = 60.0


def attack(
    targets: list[ScanTarget], *, config: Config, scratch: Path, raw: Path, deadline: float, auth: dict[str, str]
) -> Attack:
    """Attack the services with the first ZAP that works.

    `deadline` is in seconds from now, `auth` the headers of a logged-in request, `scratch` and `raw` existing folders.
    Nothing but the targets' addresses is requested. Raises Inconclusive where no ZAP works or nothing could be attacked;
    a scan that was not whole returns what it found, and why in `incomplete`.
    """
    began = time.monotonic()
    end = began + deadline
    if not targets:
        raise Inconclusive("there is no service to attack")
    definitions = {target.service: definition.read(target.openapi) for target in targets if target.openapi}
    if not any(d.operations for d in definitions.values()) and not any(target.pages for target in targets):
        raise Inconclusive("there is nothing to attack: no operation in any definition, and no page")
    gone = watch.dead((target.service, target.base_url + "/") for target in targets)
    if gone:
        raise Inconclusive(f"{gone[0]} does not answer before the attack")
    with provided(config, scratch, raw) as zap:
        say(f"zap        {zap.kind} ZAP {zap.version} is up after {time.monotonic() - began:.1f} s")
        return _Attack(targets, definitions, config, raw, end, auth, zap).run()


class _Attack:
    def __init__(
        self,
        targets: list[ScanTarget],
        definitions: dict[str, definition.Definition],
        config: Config,
        raw: Path,
        end: float,
        auth: dict[str, str],
        provided_zap: Provided,
    ) -> None:
        self.targets = targets
        self.config = config
        self.raw = raw
        self.end = end
        self.auth = auth
        self.provided = provided_zap
        self.zap = provided_zap.zap
        self.api = provided_zap.zap.api
        self.seeders = {
            target.service: seed.Seeder(target, definitions[target.service], self.zap.address, auth)
            for target in targets
            if target.service in definitions
        }
        self.redactor = Redactor()
        for value in auth.values():
            for word in value.split():
                self.redactor.add(word)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.scans: list[watch.Watched] = []
        self.rules = 0
        self.before: set[str] = set()
        self.alerts: dict[str, dict[str, dict[str, Any]]] = {target.service: {} for target in targets}

    def run(self) -> Attack:
        """The whole attack. Where ZAP is lost on the way, what was found until then is kept."""
        self.rules = self._rules()
        try:
            self._prepare()
            self._seed()
            self._spider()
            self._scan()
            self._late()
            self._prove()
        except ZapGone as error:
            self.problems.append(error.reason)
            if error.detail:
                (self.raw / "zap-gone.txt").write_text(error.detail, "utf-8")
        try:
            self._snapshot(whole=True)
        except ZapGone as error:  # what was saved on the way is kept, without the exchanges
            self.problems.append(error.reason)
        found = self._findings()
        self._leave()
        return Attack(
            tool=Tool("ZAP", self.provided.version, self.provided.digest),
            findings=found[0],
            rules=findings.rules_of(found[1]),
            coverage=self._coverage(),
            databases=(Database("ZAP scan rules", self.provided.kind, self.rules),),
            incomplete="; ".join(dict.fromkeys(self.problems)),
            notes=(*self._about(), *dict.fromkeys(self.notes)),
        )

    def _rules(self) -> int:
        """How many active rules there are. A ZAP without any ends at once with 100 % and no alert."""
        rows = self.zap.rows(self.api.ascan.scanners(), "active scan rules")
        enabled = [row for row in rows if str(row.get("enabled")) == "true"]
        if not enabled:
            raise Inconclusive(
                f"the {self.provided.kind} ZAP has no active scan rule: a clean result would mean nothing"
            )
        self._keep("scanners", enabled)
        return len(enabled)

    def _prepare(self) -> None:
        with contextlib.suppress(Inconclusive):  # it is not there the first time
            self.api.context.remove_context(CONTEXT)
        self.zap.number(self.api.context.new_context(CONTEXT), "context id")
        for target in self.targets:
            pattern = watch.scope_pattern(target.base_url)
            self.zap.action(self.api.context.include_in_context(CONTEXT, pattern), "limit its scope")
            self.before.update(str(alert.get("id")) for alert in self.zap.alerts(target.base_url))
        # In this mode ZAP itself refuses to attack anything outside the context.
        self.zap.action(self.api.core.set_mode("protect"), "switch to protected mode")
        minutes = max(1, math.ceil(min(self.config.zap.minutes, (self.end - time.monotonic()) / 60)))
        scan = self.api.ascan
        self.zap.action(scan.set_option_max_scan_duration_in_mins(minutes), "limit the scan")
        self.zap.action(scan.set_option_max_rule_duration_in_mins(max(1, minutes // 2)), "limit a rule")
        with contextlib.suppress(Inconclusive):  # before the network add-on the option had another place
            self.zap.action(self.api.network.set_connection_timeout(watch.TIMEOUT), "limit a request")
        if self.provided.seeds is not None:
            self.zap.action(scan.set_option_thread_per_host(THREADS), "set its threads")
            self.zap.action(scan.set_option_target_params_injectable(INJECTABLE), "set the parameters")

    def _seed(self) -> None:
        for seeder in self.seeders.values():
            seeder.early()
        self._tell_rules()
        for service, seeder in self.seeders.items():
            sent = [one for one in seeder.sent if one.status]
            if seeder.definition.operations and not sent and not all(o.late for o in seeder.definition.operations):
                self.problems.append(f"{service} answered none of its operations")
            # Not at once: ZAP files what passed its proxy a moment after the answer.
            missing = self._missing_from_tree(service, sent)
            for _ in range(20):
                if not missing:
                    break
                time.sleep(0.25)
                missing = self._missing_from_tree(service, sent)
            if missing:
                self.problems.append(f"ZAP's tree lacks {len(missing)} operations of {service}, the first {missing[0]}")

    def _missing_from_tree(self, service: str, sent: Sequence[Sent]) -> list[str]:
        base = self.seeders[service].target.base_url
        urls = self.api.core.urls(base)
        if not isinstance(urls, list):
            raise Inconclusive("ZAP gave no list of addresses")
        paths = {urlsplit(str(url)).path or "/" for url in urls}
        return [str(one.request.operation) for one in sent if urlsplit(base + one.request.path).path not in paths]

    def _tell_rules(self) -> None:
        if self.provided.seeds is not None:
            titles = (seeder.definition.title for seeder in self.seeders.values())
            words = [self.config.project.name, *(target.service for target in self.targets), *titles]
            seed.write(self.provided.seeds, self.seeders.values(), words)

    def _spider(self) -> None:
        for target in self.targets:
            for page in target.pages:
                number = str(self.zap.number(self._start_spider(target, page), "spider scan id"))
                limit = min(self.end, time.monotonic() + SPIDER_SECONDS)
                while self.zap.number(self.api.spider.status(number), "spider progress") < 100:
                    self.provided.alive()
                    if time.monotonic() > limit:
                        self.problems.append(f"the spider did not finish on {target.service}")
                        self.api.spider.stop(number)
                        break
                    time.sleep(0.1)
                results = self.api.spider.full_results(number)
                errors = [row["urlsIoError"] for row in results if isinstance(row, dict) and row.get("urlsIoError")]
                if errors and errors[0]:
                    self.notes.append(f"the spider got no answer from {len(errors[0])} addresses of {target.service}")
        if not any(target.pages for target in self.targets):
            return
        self._passive()

    def _start_spider(self, target: ScanTarget, page: str) -> Any:
        return self.api.spider.scan(
            url=target.base_url + page, recurse="true", contextname=CONTEXT, subtreeonly="false"
        )

    def _passive(self) -> None:
        """Wait until the passive rules, where there are any, have seen everything."""
        if not self.zap.passive():
            return
        limit = min(self.end, time.monotonic() + 120)
        while self.zap.number(self.api.pscan.records_to_scan, "records to scan") > 0:
            self.provided.alive()
            if time.monotonic() > limit:
                self.problems.append("ZAP's passive rules did not finish")
                return
            time.sleep(0.5)

    def _scan(self) -> None:
        """All services at once: while one waits for a slow answer another is asked."""
        scans = []
        for target in self.targets:
            try:
                number = self.api.ascan.scan(url=target.base_url + "/", recurse="true", inscopeonly="true")
            except ZapGone:
                raise
            except Inconclusive as error:
                self.problems.append(f"{target.service} could not be scanned: {error.reason}")
                continue
            scans.append(self._watched(target, number))
        self._follow(scans)

    def _late(self) -> None:
        """What deletes or logs out, after everything else: one operation at a time, each alone."""
        scans = []
        for seeder in self.seeders.values():
            sent = seeder.late()
            if not sent:
                continue
            self._tell_rules()
            for one in sent:
                if not one.status:
                    continue
                url = seeder.target.base_url + one.request.path
                body = one.request.body.decode("utf-8", "replace") or None
                try:
                    number = self.api.ascan.scan(
                        url=url, recurse="false", inscopeonly="true", method=one.request.operation.method, postdata=body
                    )
                except ZapGone:
                    raise
                except Inconclusive as error:
                    self.problems.append(f"{one.request.operation} could not be scanned: {error.reason}")
                    continue
                scans.append(self._watched(seeder.target, number))
        self._follow(scans)

    def _watched(self, target: ScanTarget, number: Any) -> watch.Watched:
        return watch.Watched(target.service, str(self.zap.number(number, "active scan id")), target.base_url + "/")

    def _follow(self, scans: list[watch.Watched]) -> None:
        self.scans += scans
        budget = time.monotonic() + self.config.zap.minutes * 60
        watcher = watch.Watcher(self.zap, self.provided.alive, self._snapshot, min(self.end, budget))
        watcher.follow(scans)
        for scan in scans:
            if scan.why:
                self.problems.append(f"{scan.service}: {scan.why}")
            else:
                left_out, scan.took = watch.skipped(self.zap, scan.number)
                self.problems += [f"{scan.service}: rule left out: {rule}" for rule in left_out]

    def _prove(self) -> None:
        """What a finished scan does not say: targets alive, answers came, operations reached, the login still counts."""
        self._passive()
        for service in watch.dead((target.service, target.base_url + "/") for target in self.targets):
            self.problems.append(f"{service} does not answer after the attack")
        failed, answered = watch.failures(self.zap)
        if failed > watch.SEND_FAILURES * (failed + answered):
            self.problems.append(f"{failed} of ZAP's {failed + answered} requests got no answer")
        if not any(scan.requests for scan in self.scans):
            self.problems.append("ZAP sent no request")
        for service, seeder in self.seeders.items():
            good = [sent for sent in seeder.sent if 200 <= sent.status < 400]
            if len(good) < ENOUGH * len(seeder.sent):
                self.problems.append(
                    f"only {len(good)} of {len(seeder.sent)} operations of {service} answered 2xx or 3xx"
                )
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
            if guarded is not None and self.auth:
                status = seeder.resend(guarded).status
                if status in {401, 403}:
                    self.problems.append(f"the login to {service} no longer counted after the attack ({status})")
            shallow = [str(sent.request.operation) for sent in seeder.sent if not 200 <= sent.status < 400]
            if shallow:
                shown = ", ".join(sorted(shallow)[:10])
                self.notes.append(
                    f"{service}: never answered 2xx to its example, so attacked from outside only: {shown}"
                )

    def _snapshot(self, *, whole: bool = False) -> None:
        """Save the alerts so far: a ZAP that dies takes them with it. `whole`: all again, not the new ones."""
        for target in self.targets:
            known = self.alerts[target.service]
            for alert in self.zap.alerts(target.base_url, after=0 if whole else len(known)):
                if str(alert.get("id")) not in self.before and findings.wanted(alert):
                    known[str(alert.get("id"))] = alert

    def _findings(self) -> tuple[tuple[Finding, ...], list[dict[str, Any]]]:
        services = {urlsplit(target.base_url).netloc: target.service for target in self.targets}
        found: list[Finding] = []
        everything: list[dict[str, Any]] = []
        for target in self.targets:
            alerts = list(self.alerts[target.service].values())
            everything += alerts
            seeder = self.seeders.get(target.service)
            surface = findings.Surface(
                target, seeder.prefix if seeder else "", seeder.definition.operations if seeder else ()
            )
            groups = findings.group(surface, alerts)
            numbers = [str(group.alert.get("messageId") or "") for group in groups]
            messages: dict[str, dict[str, Any]] = {}
            with contextlib.suppress(ZapGone):  # said already; the findings stand without their exchanges
                messages = self.zap.messages(sorted({number for number in numbers if number.isdigit()}))
            for group, number in zip(groups, numbers, strict=True):
                found.append(findings.finding(surface, group, messages.get(number), self.redactor, services))
        # Without the texts of the rules and without urls: what a person debugging this wants, and nothing secret.
        kept = ("alertRef", "name", "method", "param", "risk")
        self._keep("alerts", [{key: alert.get(key) for key in kept} for alert in everything])
        rows = [{"service": scan.service, "why": scan.why, "ms": scan.took, "polls": scan.polls} for scan in self.scans]
        self._keep("scans", rows)
        return tuple(found), everything

    def _leave(self) -> None:
        """Leave somebody else's ZAP as it was."""
        if self.provided.kind == "daemon":
            with contextlib.suppress(Inconclusive):
                self.api.core.set_mode("standard")
                self.api.context.remove_context(CONTEXT)

    def _coverage(self) -> tuple[Coverage, ...]:
        expected = sum(len(seeder.definition.operations) for seeder in self.seeders.values())
        pages = sum(len(target.pages) for target in self.targets if target.service not in self.seeders)
        missed: list[Missed] = []
        for service, seeder in self.seeders.items():
            sent = {str(one.request.operation): one for one in seeder.sent}
            scanned = any(scan.service == service and scan.requests for scan in self.scans)
            for operation in seeder.definition.operations:
                one = sent.get(str(operation))
                why = "not sent" if one is None else seed.reached(one, logged_in=bool(self.auth))
                if not why and not scanned:
                    why = "not scanned"
                if why:
                    missed.append(Missed(f"{service} {operation}", why))
        cover = [Coverage("operations", expected, expected - len(missed), tuple(missed[:1000]))] if expected else []
        if pages:
            cover.append(Coverage("pages", pages, pages if any(scan.requests for scan in self.scans) else 0))
        return tuple(cover)

    def _about(self) -> Iterable[str]:
        yield f"{self.provided.kind} ZAP {self.provided.version}, {self.rules} active scan rules"
        if self.provided.seeds is not None:
            yield "the assembled ZAP has vallum's starter rules only: an official ZAP tests more"
        for reason in self.provided.failed:
            yield f"not used: {reason}"
        requests = sum(scan.requests for scan in self.scans)
        yield f"{requests} requests in {len(self.scans)} active scans"
        yield "not found by scanners: objects of other users (BOLA), functions of other roles, business rules"

    def _keep(self, name: str, value: Any) -> None:
        artifacts.write(
            self.raw / f"{name}.json", self.redactor.data(json.dumps(value, indent=1, default=str).encode())
        )

"""Watching active scans: finished, hung, out of time, or the target gone. ZAP itself says 100 % and FINISHED in all cases."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum_checks.zap_engine.client import Zap

FROZEN = 45.0
"""Seconds without a request before a scan is called hung: more than four of ZAP's read time-outs of TIMEOUT seconds."""
TIMEOUT = 10
PROBE_EVERY = 3.0
PROBES_FAILED = 3
"""Failed probes in a row before the target is called dead: one may fall into a sleep that a rule asked for."""
KEEP_EVERY = 5.0
SEND_FAILURES = 0.25
"""Share of requests without an answer from which on a scan proves nothing."""
KNOWN_SKIPS = ("no Active Scan OAST service", "scan policy", "no nodes", "technolog")
"""Reasons for a skipped rule that are settings, not failures."""


def answers(url: str, timeout: float = 8.0, proxy: str = "") -> bool:
    """Whether an HTTP server answers there, whatever it says. Past ZAP, which would answer for a dead service; the scope's
    `proxy` never does."""
    import httpx

    try:
        with httpx.Client(proxy=proxy or None, trust_env=False, timeout=timeout, verify=not proxy) as client:
            client.get(url)
    except httpx.TransportError:
        return False
    return True


@dataclass
class Watched:
    """One active scan and what became of it. `end` is when its service's budget is used up."""

    service: str
    number: str
    probe: str
    end: float = math.inf
    proxy: str = ""
    requests: int = 0
    changed: float = 0.0
    progress: int = 0
    done: bool = False
    why: str = ""
    failed_probes: int = 0
    probed: float = 0.0
    polls: list[tuple[float, int, int]] = field(default_factory=list)
    took: dict[str, int] = field(default_factory=dict)


class Watcher:
    """Follows scans to their end, a time of time.monotonic(). `keep` is called now and then to save what was found."""

    def __init__(self, zap: Zap, alive: Callable[[], None], keep: Callable[[], None], end: float) -> None:
        self._zap = zap
        self._alive = alive
        self._keep = keep
        self._end = end

    def follow(self, scans: Sequence[Watched]) -> None:
        """Return when all are done. A reason in `why` says which did not end by itself; what was found is kept."""
        started = time.monotonic()
        kept = started
        for scan in scans:
            scan.changed = scan.probed = started
        while not all(scan.done for scan in scans):
            self._alive()
            rows = {str(row.get("id")): row for row in self._zap.rows(self._zap.api.ascan.scans, "active scans")}
            now = time.monotonic()
            for scan in scans:
                if not scan.done:
                    self._look(scan, rows.get(scan.number), now, started)
            if now - kept >= KEEP_EVERY:
                self._keep()
                kept = time.monotonic()
            if not all(scan.done for scan in scans):
                time.sleep(0.2 if now - started < 10 else 0.5)

    def _look(self, scan: Watched, row: Mapping[str, Any] | None, now: float, started: float) -> None:
        if row is None:
            scan.done, scan.why = True, "ZAP lost the scan"
            return
        requests = self._zap.number(row.get("reqCount"), "request count")
        scan.progress = self._zap.number(row.get("progress"), "progress")
        if requests != scan.requests:
            scan.requests, scan.changed = requests, now
        scan.polls.append((round(now - started, 2), requests, scan.progress))
        if row.get("state") == "FINISHED":
            scan.done = True
            if scan.progress != 100:
                scan.why = f"the scan ended at {scan.progress} %"
            return
        if now - scan.probed >= PROBE_EVERY:
            scan.probed = now
            scan.failed_probes = 0 if answers(scan.probe, proxy=scan.proxy) else scan.failed_probes + 1
        if scan.failed_probes >= PROBES_FAILED:
            self._stop(scan, f"the service stopped answering after {requests} requests")
        elif now - scan.changed > FROZEN:
            self._stop(scan, f"the scan hung: no request for {FROZEN:.0f} s after {requests} requests")
        elif now > min(self._end, scan.end):
            self._stop(scan, f"the time was up at {scan.progress} %, stopped after {requests} requests")

    def _stop(self, scan: Watched, why: str) -> None:
        scan.done, scan.why = True, why
        try:
            self._zap.api.ascan.stop(scan.number)
        except Inconclusive as error:  # it is over for us whether ZAP obeys or not
            scan.why += f"; {error.reason}"


def skipped(zap: Zap, number: str) -> tuple[list[str], dict[str, int]]:
    """Rules that a finished scan left out for a reason that is no setting, and the milliseconds that each rule took.

    Rows of ZAP's progress: name, id, quality, state, ms, requests, alerts.
    """
    found = []
    took = {}
    rows = 0
    progress = zap.api.ascan.scan_progress(number)
    if not isinstance(progress, list):
        raise Inconclusive("ZAP gave no progress of the scan")
    for part in progress:
        for process in part.get("HostProcess", []) if isinstance(part, dict) else []:
            row = process.get("Plugin", []) if isinstance(process, dict) else []
            rows += 1
            state = str(row[3]) if len(row) > 3 else "unknown"
            if len(row) > 4 and str(row[4]).isdigit():
                took[str(row[0])] = int(row[4])
            if not state.startswith("Complete") and not any(word in state for word in KNOWN_SKIPS):
                found.append(f"{row[0] if row else 'a rule'} ({state})")
    if not rows:
        found.append("every one (ZAP names no rule that ran)")
    return found, took


def unanswered(results: Any) -> int:
    """How many addresses of a spider's `fullResults` gave no answer: it says 100 % all the same."""
    if not isinstance(results, list):
        raise Inconclusive("ZAP gave no results of the spider")
    return sum(len(row["urlsIoError"]) for row in results if isinstance(row, dict) and row.get("urlsIoError"))


def failures(zap: Zap) -> tuple[int, int]:
    """How many requests ZAP sent without and with an answer, since it started."""
    stats = zap.api.stats.stats("stats.network.send")
    if not isinstance(stats, dict):
        raise Inconclusive("ZAP gave no statistics")
    return (
        zap.number(stats.get("stats.network.send.failure", 0), "failed requests"),
        zap.number(stats.get("stats.network.send.success", 0), "requests"),
    )


def scope_pattern(base_url: str) -> str:
    """A regular expression of Java for everything below the address and nothing else."""
    parts = urlsplit(base_url)
    return f"\\Q{parts.scheme}://{parts.netloc}\\E(/.*|\\?.*|)"


def dead(targets: Iterable[tuple[str, str]], proxy: str = "") -> list[str]:
    """The services of (name, url) that do not answer."""
    return [name for name, url in targets if not answers(url, proxy=proxy)]

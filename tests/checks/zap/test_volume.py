"""A ZAP that holds 25,000 alerts: all are read, each once or nearly so, and what is kept of one is small."""

from __future__ import annotations

import json
import time
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from vallum.config import Config
from vallum_checks.zap_engine import client, results
from vallum_checks.zap_engine.client import Zap
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.levels import Levels
from vallum_checks.zap_engine.model import ScanTarget
from vallum_checks.zap_engine.provide import Provided

MANY = 25_000
RECORDED = json.loads(Path(__file__).with_name("data").joinpath("alerts.json").read_text())["alerts"]


class Store:
    """The part of ZAP's API that gives alerts and messages, over HTTP: pages count from 1, as ZAP's do."""

    def __init__(self, count: int, base: str) -> None:
        self.served = self.calls = self.messages = 0
        self.alerts = []
        for number in range(count):
            alert = dict(RECORDED[number % len(RECORDED)])
            alert |= {"id": str(number), "messageId": str(number), "url": f"{base}/items/{number}?q=1", "tags": {}}
            self.alerts.append(json.dumps(alert))

    def __call__(self, asked) -> tuple[int, dict[str, str], bytes]:
        self.calls += 1
        if asked.path.startswith("/JSON/core/view/alerts/"):
            start, count = max(1, int(asked.query["start"])), int(asked.query["count"])
            page = self.alerts[start - 1 : start - 1 + count]
            self.served += len(page)
            body = '{"alerts":[' + ",".join(page) + "]}"
        else:
            numbers = asked.query["ids"].split(",")
            self.messages += len(numbers)
            rows = [_message(number) for number in numbers]
            body = json.dumps({"messagesById": rows})
        return 200, {"Content-Type": "application/json"}, body.encode()


def _message(number: str) -> dict[str, Any]:
    return {
        "id": number,
        "requestHeader": f"GET http://127.0.0.1:9/items/{number} HTTP/1.1\r\nHost: 127.0.0.1:9\r\n\r\n",
        "requestBody": "",
        "responseHeader": "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n",
        "responseBody": "x" * 2_000,
    }


def read(serve, folder: Path, count: int) -> tuple[Store, Engagement, int]:
    """Read `count` alerts into findings; also the bytes kept for the alerts."""
    base = "http://127.0.0.1:9"
    store = Store(count, base)
    zap = Provided("daemon", "2.17.0", Zap(serve(store).url, "key"))
    end = time.monotonic() + 600
    (folder / "raw").mkdir(exist_ok=True)
    target = ScanTarget("items", base, None, "")
    attack = Engagement([target], {}, Config(), folder / "raw", end, {}, zap, Levels())
    tracemalloc.start()
    try:
        results.snapshot(attack)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    found, _rules = results.everything_found(attack)
    assert len(attack.alerts["items"]) == count
    assert len(found) == count
    assert sum(finding.exchange is not None for finding in found) == min(count, results.EVIDENCE)
    return store, attack, kept


@pytest.mark.slow
def test_25_000_alerts(serve, tmp_path: Path) -> None:
    store, attack, kept = read(serve, tmp_path, MANY)
    pages = MANY // client.PAGE + 1
    assert store.served == MANY, "each once"
    assert store.calls == pages + results.EVIDENCE // client.BATCH
    assert store.messages == results.EVIDENCE, "the worst only"
    assert f"{MANY - results.EVIDENCE} of {MANY} requests and responses were not kept" in " ".join(attack.notes)
    # A later look during the same scan begins where the last one ended.
    results.snapshot(attack)
    assert store.served <= MANY + client.OVERLAP + 1
    assert kept / MANY < 3_000, f"{kept / MANY:.0f} bytes an alert"
    # Linear: a fifth of the alerts takes no less than a tenth, and no more than a third, of what is kept.
    small = read(serve, tmp_path, MANY // 5)
    assert small[0].calls <= store.calls
    assert 0.1 < small[2] / kept < 0.33


def test_the_worst_keep_their_evidence(serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "EVIDENCE", 10)
    base = "http://127.0.0.1:9"
    store = Store(60, base)
    zap = Provided("daemon", "2.17.0", Zap(serve(store).url, "key"))
    target = ScanTarget("items", base, None, "")
    attack = Engagement([target], {}, Config(), tmp_path, time.monotonic() + 60, {}, zap, Levels())
    results.snapshot(attack)
    found, _ = results.everything_found(attack)
    worst = max(finding.severity.rank for finding in found)
    with_evidence = [finding.severity.rank for finding in found if finding.exchange is not None]
    assert len(with_evidence) == 10
    assert max(with_evidence) == worst
    assert min(with_evidence) >= max(finding.severity.rank for finding in found if finding.exchange is None)

"""Recorded answers of a full-rule ZAP 2.17, served again over HTTP: the client and the watcher read them as they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from vallum.api import openapi as definition
from vallum.errors import Inconclusive
from vallum.severity import Severity
from vallum.stage.redact import Redactor
from vallum_checks.zap_engine import findings, watch
from vallum_checks.zap_engine.client import Zap
from vallum_checks.zap_engine.model import ScanTarget

DATA = Path(__file__).with_name("data")
SHOP = "http://127.0.0.1:18096"
DEFINITION = """
openapi: 3.0.3
paths:
  /item:
    get:
      responses: {}
  /{page}:
    get:
      responses: {}
  /search:
    get:
      responses: {}
"""


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def zap(serve, answers: dict[str, list[tuple[int, Any]]]) -> Zap:
    """A ZAP API that gives each recorded body in turn, and the last one for ever."""

    def app(asked):
        rows = answers[asked.path.removeprefix("/JSON/").strip("/")]
        status, body = rows[0] if len(rows) == 1 else rows.pop(0)
        return status, {"Content-Type": "application/json"}, json.dumps(body).encode()

    return Zap(serve(app).url, "key")


@pytest.mark.parametrize("case", sorted(recorded("errors.json")))
def test_every_recorded_error_raises(serve, case: str) -> None:
    error = recorded("errors.json")[case]
    client = zap(serve, {error["call"]: [(error["http"], error["body"])]})
    with pytest.raises(Inconclusive, match=error["body"]["code"]):
        client.api._request(f"{client.api.base}{error['call']}/")


def test_an_error_body_with_status_200_raises(serve) -> None:
    """A report without the reports add-on, as recorded in the facts."""
    client = zap(serve, {"core/view/version": [(200, {"code": "internal_error", "message": "Internal Error"})]})
    with pytest.raises(Inconclusive, match="ZAP refused core/view/version: internal_error"):
        _ = client.api.core.version


@pytest.mark.parametrize("value", ["does_not_exist", "", None, [], "1.5", "-1"])
def test_what_is_no_number_is_refused(serve, value: object) -> None:
    with pytest.raises(Inconclusive, match="as the progress"):
        zap(serve, {}).number(value, "the progress")


def test_alerts_are_paged_from_one(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    alerts = recorded("alerts.json")["alerts"]
    starts: list[int] = []

    def app(asked):
        start, count = int(asked.query["start"]), int(asked.query["count"])
        starts.append(start)
        page = alerts[max(0, start - 1) :][:count]  # 1-based, as ZAP has it
        return 200, {"Content-Type": "application/json"}, json.dumps({"alerts": page}).encode()

    monkeypatch.setattr("vallum_checks.zap_engine.client.PAGE", 5)
    got = list(Zap(serve(app).url, "key").alerts(SHOP))
    assert [alert["id"] for alert in got] == [alert["id"] for alert in alerts]
    assert starts[:3] == [1, 6, 11]


def test_a_recorded_hang_is_seen_by_its_request_count(serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """reqCount stayed at 179 for a minute while progress crept from 0 to 4."""
    calls = recorded("stalled-scans.json")
    running = [(200, call["body"]) for call in calls if call["body"]["scans"][0]["state"] == "RUNNING"]
    client = zap(serve, {"ascan/view/scans": running, "ascan/action/stop": [(200, {"Result": "OK"})]})
    monkeypatch.setattr(watch, "FROZEN", 1.0)
    target = serve(lambda _asked: (200, {}, b""))
    scan = watch.Watched("shop", "0", target.url)
    watch.Watcher(client, lambda: None, lambda: None, time.monotonic() + 60).follow([scan])
    assert scan.done
    assert scan.why == "the scan hung: no request for 1 s after 179 requests"


def test_a_scan_that_stopped_early_is_not_complete(serve) -> None:
    """After a stop ZAP says FINISHED; only the row's own progress keeps the truth."""
    last = recorded("stalled-scans.json")[-1]["body"]
    client = zap(serve, {"ascan/view/scans": [(200, last)]})
    scan = watch.Watched("shop", "0", SHOP)
    watch.Watcher(client, lambda: None, lambda: None, time.monotonic() + 60).follow([scan])
    assert scan.why == "the scan ended at 4 %"


def test_a_scan_that_zap_forgot(serve) -> None:
    client = zap(serve, {"ascan/view/scans": [(200, {"scans": []})]})
    scan = watch.Watched("shop", "0", SHOP)
    watch.Watcher(client, lambda: None, lambda: None, time.monotonic() + 60).follow([scan])
    assert scan.why == "ZAP lost the scan"


def test_known_skips_are_no_failure(serve) -> None:
    left_out, took = watch.skipped(zap(serve, {"ascan/view/scanProgress": [(200, recorded("progress.json"))]}), "0")
    assert left_out == []
    assert took["Path Traversal"] == 246


def test_an_unknown_skip_is_named(serve) -> None:
    progress = json.loads(json.dumps(recorded("progress.json")).replace('"Complete"', '"Skipped, by the user."', 1))
    left_out, _ = watch.skipped(zap(serve, {"ascan/view/scanProgress": [(200, progress)]}), "0")
    assert left_out == ["Path Traversal (Skipped, by the user.)"]


def test_failures_of_a_target_that_died(serve) -> None:
    body = next(c["body"] for c in recorded("target-died.json") if "stats.network" in c["call"])
    failed, answered = watch.failures(zap(serve, {"stats/view/stats": [(200, body)]}))
    assert (failed, answered) == (1056, 602)
    assert failed > watch.SEND_FAILURES * (failed + answered)


@pytest.fixture
def surface(tmp_path: Path) -> findings.Surface:
    path = tmp_path / "openapi.yaml"
    path.write_text(DEFINITION)
    read = definition.read(path)
    return findings.Surface(ScanTarget("shop", SHOP, path, "services/shop/openapi.yaml"), read.prefix, read.operations)


def test_alerts_of_an_official_zap(surface: findings.Surface) -> None:
    alerts = recorded("alerts.json")["alerts"]
    groups = findings.group(surface, alerts)
    found = [findings.finding(surface, group, None, Redactor(), {"127.0.0.1:18096": "shop"}) for group in groups]
    by_rule = {finding.rule: finding for finding in found}
    sql = by_rule["40018"]
    assert sql.severity is Severity.HIGH
    assert sql.cwe == (89,)
    assert sql.operation is not None
    assert (sql.operation.method, sql.operation.path, sql.operation.parameter) == ("GET", "/item", "id")
    assert sql.location is not None
    assert sql.location.line == DEFINITION.splitlines().index("  /item:") + 2
    assert "A05:2025" in sql.owasp
    assert {finding.severity for finding in found} == {Severity.HIGH, Severity.MEDIUM, Severity.LOW, Severity.INFO}
    assert "127.0.0.1" not in "".join(finding.message for finding in found)
    csp = by_rule["10038-1"]
    assert csp.rule in {rule.id for rule in findings.rules_of(alerts)}
    # SYSTEMIC: one finding for the service, at an operation that does not depend on the order of alerts.
    again = findings.group(surface, list(reversed(alerts)))
    assert [(group.path, group.method, group.parameter) for group in again] == [
        (group.path, group.method, group.parameter) for group in groups
    ]


def test_the_more_specific_template_wins(surface: findings.Surface) -> None:
    assert surface.at("GET", SHOP + "/search?q=1")[0] == "/search"
    assert surface.at("GET", SHOP + "/about")[0] == "/{page}"
    assert surface.at("GET", SHOP + "/a/b")[0] == "/a/b"


def test_evidence_is_redacted_before_it_is_cut() -> None:
    redactor = Redactor()
    redactor.add("a-secret-of-this-run")
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"
    header = f"GET http://127.0.0.1:5000/x HTTP/1.1\r\nAuthorization: Bearer {token}\r\nCookie: session=abc\r\nHost: 127.0.0.1:5000\r\n\r\n"
    body = json.dumps(
        {"password": "hunter22", "access_token": "t0ken", "name": "ann", "x": "y" * 4000 + "a-secret-of-this-run"}
    )
    text = findings.evidence(header, body, redactor, {"127.0.0.1:5000": "orders"})
    assert len(text) <= findings.LIMIT
    for secret in (token, "session=abc", "hunter22", "t0ken", "127.0.0.1", "5000/", "a-secret"):
        assert secret not in text
    assert '"name": "ann"' in text
    assert "GET http://orders/x HTTP/1.1" in text
    form = findings.evidence("POST /login HTTP/1.1", "user=ann&password=hunter22", redactor, {})
    assert form.endswith("user=ann&password=[redacted]")

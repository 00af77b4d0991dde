"""Each of our ZAP rules finds its weakness in the weak service and keeps silent on the mended one: one real scan of both."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from vallum.config import Config, Project
from vallum.environments import Zap
from vallum.finding import Finding
from vallum.severity import Severity
from vallum_checks.zap_engine import Attack, ScanTarget, attack

pytestmark = pytest.mark.slow

EXPECTED = {
    ("600001-1", "GET", "/sql", "name"),
    ("600001-1", "GET", "/items/{name}", "name"),
    ("600001-2", "GET", "/sql-blind", "name"),
    ("600001-2", "GET", "/sql-number", "id"),
    ("600001-2", "POST", "/json-sql", "name"),
    ("600002", "GET", "/xss-text", "q"),
    ("600002", "GET", "/xss-attribute", "q"),
    ("600002", "GET", "/xss-script", "q"),
    ("600003", "GET", "/file", "name"),
    ("600004", "GET", "/ping", "host"),
    ("600005", "GET", "/ping-blind", "host"),
    ("600006-1", "GET", "/template", "text"),
    ("600006-2", "GET", "/eval", "formula"),
    ("600007", "GET", "/go", "to"),
    ("600008", "GET", "/header", "name"),
    ("600009", "GET", "/fetch", "url"),
    ("600010", "POST", "/xml", "body"),
    ("600011", "POST", "/pickle", "basket"),
    ("600020-1", "GET", "/xss-text", "Content-Security-Policy"),
    ("600020-2", "GET", "/xss-text", "X-Frame-Options"),
    ("600020-3", "GET", "/sql", "X-Content-Type-Options"),
    ("600020-5", "GET", "/sql", "X-Powered-By"),
    ("600021-1", "GET", "/page", "session"),
    ("600021-2", "GET", "/page", "session"),
    ("600021-3", "GET", "/page", "session"),
    ("600022-1", "GET", "/sql", "Origin"),
    ("600023-1", "GET", "/trace", "number"),
    ("600024", "GET", "/metrics", ""),
    ("600025", "GET", "/orders", ""),
    ("600026-1", "GET", "/me", "Authorization"),
    ("600027", "GET", "/me", "Authorization"),
    ("600028-1", "GET", "/users", "password_hash"),
    ("600029-1", "POST", "/login", "password"),
    ("600029-2", "POST", "/login", "username"),
    ("600030", "GET", "/page", ""),
}


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("weak_app", Path(__file__).with_name("weak_app.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def scanned(tmp_path_factory: pytest.TempPathFactory, assembled: object, server_class: type) -> dict[str, Attack]:
    """One scan of each state, as the two have tokens of their own."""
    app = load()
    found = {}
    for state in ("weak", "mended"):
        folder = tmp_path_factory.mktemp(state)
        (folder / "raw").mkdir()
        server = server_class(app.Shelf(state))
        try:
            path = folder / "openapi.json"
            path.write_text(app.definition(server.url))
            found[state] = attack(
                [ScanTarget("shelf", server.url, path, "shelf/openapi.json", ("/",))],
                config=Config(project=Project(name="shelf"), zap=Zap(provide=("assembled",))),
                scratch=folder,
                raw=folder / "raw",
                deadline=300,
                auth={"Authorization": f"Bearer {app.token(state)}"},
            )
            assert server.count > 200
        finally:
            server.stop()
        for file in (folder / "raw").iterdir():
            assert app.token(state) not in file.read_text("utf-8", "replace")
    return found


def places(attack: Attack) -> set[tuple[str, str, str, str]]:
    return {
        (finding.rule, finding.operation.method, finding.operation.path, finding.operation.parameter)
        for finding in attack.findings
        if finding.operation
    }


def of(attack: Attack, rule: str) -> Finding:
    return next(finding for finding in attack.findings if finding.rule == rule)


@pytest.mark.parametrize("place", sorted(EXPECTED), ids=lambda place: f"{place[0]} {place[2]}")
def test_weakness_is_found(scanned: dict[str, Attack], place: tuple[str, str, str, str]) -> None:
    assert place in places(scanned["weak"])


def test_no_rule_is_untested() -> None:
    source = Path(__file__).parents[3] / "checks" / "vallum_checks" / "zap_rules"
    classes = (source / "ZapAddOn.xml").read_text().count("<ascanrule>")
    assert len({place[0].partition("-")[0] for place in EXPECTED}) == classes


def test_mended_service_has_nothing(scanned: dict[str, Attack]) -> None:
    assert "\n".join(finding.message for finding in scanned["mended"].findings) == ""


def test_no_injection_is_seen_where_there_is_none(scanned: dict[str, Attack]) -> None:
    """Critical findings of the weak service, each at its own place and no other."""
    critical = {
        place for place in places(scanned["weak"]) if place[0].split("-")[0] in {"600001", "600004", "600005", "600006"}
    }
    assert critical <= EXPECTED


def test_both_were_whole(scanned: dict[str, Attack]) -> None:
    for state, result in scanned.items():
        assert result.incomplete == "", state
        (coverage,) = result.coverage
        assert coverage.unit == "operations"
        assert coverage.seen == coverage.expected == 26
        assert result.databases[0].records == 22
        assert result.tool.name == "ZAP"
        assert result.tool.version == "2.17.0"
        assert len(result.tool.digest) == 64


def test_a_finding_says_what_a_person_needs(scanned: dict[str, Attack]) -> None:
    finding = of(scanned["weak"], "600001-1")
    assert finding.severity is Severity.CRITICAL
    assert finding.cwe == (89,)
    assert finding.owasp == ("A03:2021", "A05:2025")
    assert finding.confidence == "high"
    assert finding.fix
    assert finding.service == "shelf"
    assert finding.location is not None
    assert finding.location.path == "shelf/openapi.json"
    assert finding.exchange is not None
    assert "sqlite3.OperationalError" in finding.exchange.response
    rules = {rule.id: rule for rule in scanned["weak"].rules}
    assert rules[finding.rule].uri.startswith("https://")
    assert rules[finding.rule].description


def test_no_host_port_or_token_is_in_any_finding(scanned: dict[str, Attack]) -> None:
    import msgspec

    text = msgspec.json.encode(scanned["weak"].findings).decode()
    assert "127.0.0.1:" not in text
    assert "eyJ" not in text
    assert "5f4dcc3b5aa765d61d8327deb882cf99" not in text
    assert "session=abc" not in text


def test_one_finding_for_each_rule_operation_and_parameter(scanned: dict[str, Attack]) -> None:
    counted = Counter((finding.rule, finding.operation) for finding in scanned["weak"].findings)
    assert max(counted.values()) == 1


def test_what_a_delete_removes_was_attacked_before(scanned: dict[str, Attack], tmp_path: Path) -> None:
    assert ("600001-1", "GET", "/items/{name}", "name") in places(scanned["weak"])
    assert json.loads(load().definition("http://127.0.0.1:1"))["paths"]["/items/{name}/gone"]["delete"]

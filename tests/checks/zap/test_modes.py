"""What the settings of `[zap]` do to a real scan: modes, rule file, demands on the ZAP, budgets, the proof of its tree."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from vallum.errors import Inconclusive
from vallum.severity import Severity
from vallum_checks.zap_engine import daemon, engagement, levels, proof, steps
from vallum_checks.zap_engine.client import Zap as Client

pytestmark = pytest.mark.slow

TWO = """
openapi: 3.0.3
info: { title: two }
paths:
  /items:
    get:
      parameters: [{ name: q, in: query, example: lamp }]
      responses: { "200": { description: ok } }
    post:
      requestBody: { content: { application/json: { example: { name: lamp } } } }
      responses: { "201": { description: made } }
  /items/{name}:
    delete:
      parameters: [{ name: name, in: path, example: lamp }]
      responses: { "204": { description: gone } }
"""


class Items:
    """An echo that counts what is done to it; its page is four links deep."""

    def __init__(self) -> None:
        self.methods: list[str] = []
        self.paths: set[str] = set()

    def __call__(self, asked):
        self.methods.append(asked.method)
        self.paths.add(asked.path)
        headers = {"Content-Type": "text/html", "Set-Cookie": "session=abc"}
        deeper = f"<a href='{asked.path.rstrip('/')}/deep'>deeper</a>" if asked.path.count("/") < 12 else ""
        return 200, headers, f"<h1>{asked.query.get('q', '')}</h1>{deeper}".encode()


def rules(attack) -> set[str]:
    return {finding.rule for finding in attack.findings}


def test_baseline_attacks_nothing(serve, start, definition) -> None:
    """The assembled ZAP has no passive scanner: those starter rules run that only look, and GET is all that is sent."""
    items = Items()
    result = start(serve(items).url, definition(TWO), pages=("/",), mode="baseline")
    assert result.incomplete == ""
    assert set(items.methods) <= {"GET"}
    assert {"600020-3", "600021-1"} <= rules(result)
    assert not rules(result) & {"600002", "600001-1"}
    operations = next(part for part in result.coverage if part.unit == "operations")
    assert (operations.seen, operations.expected) == (1, 1)
    assert "2 operations that change something were not called" in " ".join(result.notes)
    assert result.databases[0].records == 4
    # and the rules are on again for the next one
    after = start(serve(Items()).url, definition(TWO))
    assert "600002" in rules(after)
    assert after.databases[0].records == 22


def test_full_follows_the_pages_of_operations(serve, start, definition) -> None:
    items = Items()
    result = start(serve(items).url, definition(TWO), mode="full")
    assert result.incomplete == ""
    assert max(path.count("/deep") for path in items.paths) >= 4
    assert {"POST", "DELETE"} <= set(items.methods)
    plain = Items()
    start(serve(plain).url, definition(TWO))
    assert not any("/deep/deep" in path for path in plain.paths)


def test_a_rule_file_is_honoured_and_counted(serve, start, definition, tmp_path: Path, shared: daemon.Daemon) -> None:
    (tmp_path / "zap.tsv").write_text(
        "600021\tIGNORE\tno browser comes here\n"
        "600020\tFAIL\tpolicy of the house\n"
        "600022\tOFF\tthe gateway sets these\n"
        "10104\tOFF\tan official rule\n"
        "600002\tOUTOFSCOPE\thttp://[^/]+/items\n"
    )
    result = start(serve(Items()).url, definition(TWO), levels=levels.read(tmp_path, "zap.tsv"))
    assert result.incomplete == ""
    cookies = [finding for finding in result.findings if finding.rule.startswith("600021")]
    assert cookies
    assert {finding.suppression.by for finding in cookies if finding.suppression} == {"zap.tsv:1"}
    headers = [finding for finding in result.findings if finding.rule.startswith("600020")]
    assert {finding.severity for finding in headers} == {Severity.HIGH}
    scripts = [finding for finding in result.findings if finding.rule == "600002"]
    assert scripts
    assert all(finding.suppression and finding.suppression.by == "zap.tsv:5" for finding in scripts)
    said = " | ".join(result.notes)
    assert "rule file zap.tsv: 1 FAIL, 1 IGNORE, 2 OFF, 1 OUTOFSCOPE" in said
    assert "turned off by the rule file: 600022 Permissive cross-origin" in said
    assert "in the rule file, and not in this ZAP: 10104" in said
    assert result.databases[0].records == 21
    rows = {row["id"]: row["enabled"] for row in shared.zap.api.ascan.scanners()}
    assert rows["600022"] == "true", "somebody else's ZAP is left as it was"


def test_every_rule_off_is_not_clean(serve, start, definition, tmp_path: Path, shared: daemon.Daemon) -> None:
    lines = [f"{row['id']}\tOFF\tx" for row in shared.zap.api.ascan.scanners()]
    (tmp_path / "zap.tsv").write_text("\n".join(lines) + "\n")
    with pytest.raises(Inconclusive, match="no active scan rule: a clean result would mean nothing"):
        start(serve(Items()).url, definition(TWO), levels=levels.read(tmp_path, "zap.tsv"))
    assert all(row["enabled"] == "true" for row in shared.zap.api.ascan.scanners())


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"min_version": "2.18"}, r"ZAP 2\.17\.0 is older than zap\.min-version 2\.18"),
        ({"min_rules": 40}, r"has 22 rules \(22 active, 0 passive\), zap\.min-rules demands 40"),
        ({"add_ons": ("network", "openapi", "pscan")}, r"lacks add-ons that zap\.add-ons demands: openapi, pscan"),
    ],
)
def test_less_than_the_policy_demands(serve, start, definition, settings: dict, why: str) -> None:
    server = serve(Items())
    with pytest.raises(Inconclusive, match=why):
        start(server.url, definition(TWO), **settings)


def test_what_is_there_is_recorded(serve, start, definition, tmp_path: Path) -> None:
    result = start(
        serve(Items()).url, definition(TWO), min_version="2.17.0", min_rules=4, add_ons=("network",), mode="baseline"
    )
    said = " | ".join(result.notes)
    assert result.tool.version == "2.17.0"
    assert "add-ons: automation 0.60.0, callhome 0.0.1, commonlib 1.40.0, database 0.0.1, network 0.25.0" in said
    assert "mode baseline, 4 active and 0 passive scan rules" in said
    assert "network 0.25.0" in (tmp_path / "raw" / "add-ons.json").read_text()


def test_a_service_has_a_budget_of_its_own(serve, start, definition) -> None:
    """The others' ten minutes do not help the one that has three seconds; what was found until then is kept."""

    def slow(asked):
        time.sleep(0.3)
        return 200, {"Content-Type": "text/html", "Set-Cookie": "session=abc"}, asked.query.get("q", "").encode()

    began = time.monotonic()
    result = start(serve(slow).url, definition(TWO), minutes=10, service_minutes={"items": 0.05})
    assert "items: the time was up at" in result.incomplete
    assert time.monotonic() - began < 200
    assert result.coverage[0].expected == 3


def test_the_tree_is_proved_by_method_and_path(serve, shared: daemon.Daemon, definition) -> None:
    """A GET in ZAP's tree is no POST, and a folder that was only passed through was not requested."""
    import httpx

    url = serve(Items()).url
    with httpx.Client(proxy=shared.zap.address, trust_env=False) as client:
        client.get(url + "/items?q=1")
        client.post(url + "/items/lamp/gone", json={"a": 1})
    attack = object.__new__(engagement.Engagement)
    attack.zap, attack.api = Client(shared.zap.address, shared.zap._key), shared.zap.api
    end = time.monotonic() + 20
    while ("POST", "/items/lamp/gone") not in proof.nodes(attack, url) and time.monotonic() < end:
        time.sleep(0.2)
    held = proof.nodes(attack, url)
    assert {("GET", "/items"), ("POST", "/items/lamp/gone")} <= held
    assert ("POST", "/items") not in held
    assert steps.SPIDER_DEPTH["full"] > steps.SPIDER_DEPTH["api"]

"""What a full-rule ZAP 2.17 said, served again: its equipment, a whole scan, a spider at a closed port, its own SARIF."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from vallum.config import Config
from vallum.environments import Zap as Settings
from vallum.errors import Inconclusive
from vallum.severity import Severity
from vallum.stage.redact import Redactor
from vallum_checks.zap_engine import equipment, findings, levels, watch
from vallum_checks.zap_engine.client import Zap
from vallum_checks.zap_engine.engagement import Engagement
from vallum_checks.zap_engine.model import ScanTarget
from vallum_checks.zap_engine.provide import Provided

DATA = Path(__file__).with_name("data")
SHOP = "http://127.0.0.1:18096"


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


class Full:
    """The views of the recorded ZAP; thresholds that are set are remembered and shown."""

    def __init__(self, missing: Mapping[str, Any] | None = None) -> None:
        self.views = {
            "ascan/view/scanners": recorded("ascan-scanners.json"),
            "pscan/view/scanners": recorded("pscan-scanners.json"),
            "pscan/view/recordsToScan": {"recordsToScan": "0"},
            "autoupdate/view/installedAddons": recorded("installed-addons.json"),
            **(missing or {}),
        }
        self.set: dict[str, str] = {}

    def __call__(self, asked) -> tuple[int, dict[str, str], bytes]:
        path = asked.path.removeprefix("/JSON/").strip("/")
        if path.endswith("/action/setScannerAlertThreshold"):
            # The client sends actions by GET with their parameters in the address.
            rule, word = asked.query["id"], asked.query["alertThreshold"]
            self.set[rule] = word
            for row in self.views[path.partition("/")[0] + "/view/scanners"]["scanners"]:
                if row["id"] == rule:
                    row |= {"alertThreshold": word, "enabled": "false" if word == "OFF" else "true"}
            body: Any = {"Result": "OK"}
        else:
            body = self.views[path]
        return (400 if "code" in body else 200), {"Content-Type": "application/json"}, json.dumps(body).encode()


def engage(serve, folder: Path, full: Full, said: levels.Levels | None = None, **settings: Any) -> Engagement:
    provided = Provided("install", "2.17.0", Zap(serve(full).url, "key"))
    config = Config(zap=Settings(**settings))
    end = time.monotonic() + 60
    return Engagement(
        [ScanTarget("shop", SHOP, None, "")], {}, config, folder, end, {}, provided, said or levels.Levels()
    )


def test_the_equipment_of_a_full_zap(serve, tmp_path: Path) -> None:
    attack = engage(serve, tmp_path, Full(), min_version="2.16.1", min_rules=100, add_ons=("openapi", "reports"))
    found = equipment.equip(attack)
    assert (found.active, found.passive) == (48, 55)
    assert dict(found.add_ons)["ascanrules"] == "83.0.0"
    kept = json.loads((tmp_path / "scanners.json").read_text())
    assert {name: len(rows) for name, rows in kept.items()} == {"active": 48, "passive": 55}


def test_baseline_with_passive_rules_turns_nothing_off(serve, tmp_path: Path) -> None:
    full = Full()
    found = equipment.equip(engage(serve, tmp_path, full, mode="baseline"))
    assert full.set == {}
    assert found.passive == 55


def test_rules_are_turned_off_active_and_passive_and_put_back(serve, tmp_path: Path) -> None:
    (tmp_path / "zap.tsv").write_text("10104\tOFF\tfuzzes\n10020\tOFF\tno browser\n40018\tHIGH\tsure only\n1\tOFF\tx\n")
    full = Full()
    attack = engage(serve, tmp_path, full, levels.read(tmp_path, "zap.tsv"))
    found = equipment.equip(attack)
    assert full.set == {"10104": "OFF", "10020": "OFF", "40018": "HIGH"}
    assert (found.active, found.passive) == (47, 54)
    assert found.off == ["10104 User Agent Fuzzer", "10020 Anti-clickjacking Header"]
    assert found.unknown == ["1"]
    equipment.restore(attack)
    assert set(full.set.values()) == {"DEFAULT"}


def test_a_zap_without_rules_as_recorded(serve, tmp_path: Path) -> None:
    calls = {row["call"]: row["body"] for row in recorded("zero-rules.json")}
    names = ("ascan/view/scanners", "pscan/view/scanners", "pscan/view/recordsToScan")
    bare = Full({name: calls[name] for name in names})
    with pytest.raises(Inconclusive, match="no active scan rule: a clean result would mean nothing"):
        equipment.equip(engage(serve, tmp_path, bare))
    with pytest.raises(Inconclusive, match="no rule that only looks at answers"):
        equipment.equip(engage(serve, tmp_path, bare, mode="baseline"))
    # and had it scanned: 100 %, FINISHED, and a progress without a single rule
    client = Zap(serve(lambda _: (200, {}, json.dumps(calls["ascan/view/scanProgress"]).encode())).url, "key")
    assert watch.skipped(client, "0") == (["every one (ZAP names no rule that ran)"], {})


@pytest.mark.parametrize("version", ["D-2026-11-02", "Dev Build", ""])
def test_a_version_that_cannot_be_compared(serve, tmp_path: Path, version: str) -> None:
    attack = engage(serve, tmp_path, Full(), min_version="2.17")
    attack.provided = Provided("daemon", version, attack.zap)
    with pytest.raises(Inconclusive, match="cannot be compared"):
        equipment.equip(attack)


def test_a_whole_scan_is_whole(serve) -> None:
    answers = [call["body"] for call in recorded("shop-scans.json")]

    def app(_asked) -> tuple[int, dict[str, str], bytes]:
        body = answers.pop(0) if len(answers) > 1 else answers[0]
        return 200, {"Content-Type": "application/json"}, json.dumps(body).encode()

    scan = watch.Watched("shop", "0", SHOP)
    client = Zap(serve(app).url, "key")
    watch.Watcher(client, lambda: None, lambda: None, time.monotonic() + 60).follow([scan])
    assert (scan.done, scan.why, scan.progress) == (True, "", 100)
    assert scan.requests > 1000


def test_a_spider_at_a_closed_port() -> None:
    """Its status says 100; only the full results say that nothing answered."""
    body = recorded("spider-closed-port.json")
    assert body["after"]["status"] == "100"
    assert watch.unanswered(body["fullResults"]["fullResults"]) == 3
    with pytest.raises(Inconclusive, match="no results of the spider"):
        watch.unanswered("does_not_exist")


def test_our_findings_against_zaps_own_sarif() -> None:
    """The same rules at the same levels; ZAP cuts at five results a rule, ours are one for each operation and parameter."""
    alerts = recorded("all-alerts.json")["alerts"]
    assert len(alerts) == 61
    surface = findings.Surface(ScanTarget("shop", SHOP, None, ""), "", ())
    found = [findings.finding(surface, group, None, Redactor(), {}) for group in findings.group(surface, alerts)]
    theirs = {(row["ruleId"], row["level"]) for row in recorded("sarif.json")}
    word = {Severity.HIGH: "error", Severity.MEDIUM: "warning", Severity.LOW: "note", Severity.INFO: "none"}
    assert {(findings.plugin(finding.rule), word[finding.severity]) for finding in found} == theirs
    assert sum(finding.severity is Severity.HIGH for finding in found) == 5
    assert all(finding.cwe for finding in found if finding.severity is Severity.HIGH)

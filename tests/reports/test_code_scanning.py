"""The upload for code scanning keeps GitHub's limits by our priority, says what it cut, and closes no alert wrongly."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import CHECKS, FINDINGS, counts, judged, shop
from tests.sarif.schema import problems
from vallum.finding import Rule
from vallum.reports import sarif
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, Judged, ServiceVerdict, Status, Verdict

ROOT = Path("/nonexistent")


def files(verdict: Verdict) -> dict[str, dict]:
    return {name: json.loads(data) for name, data in sarif.render(verdict, ROOT)}


def check(name: str, unit: str = "_", status: str = "completed") -> CheckResult:
    return CheckResult(check=name, stage="source", unit=unit, status=status, require="required")


def service(name: str) -> ServiceVerdict:
    return ServiceVerdict(name, name, Status.PASS, counts(""), 0)


def test_valid_and_whole() -> None:
    for name, log in files(shop()).items():
        assert list(problems(log)) == [], name
        for run in log["runs"]:
            for rule in run["tool"]["driver"].get("rules", ()):
                assert 0 < len(rule["id"]) <= 255
                assert 0 < len(rule["name"]) <= 255
                for key in ("shortDescription", "fullDescription", "help"):
                    assert 0 < len(rule[key]["text"]) <= 1_024
                assert len(rule["properties"]["tags"]) <= 10
                score = rule["properties"].get("security-severity")
                assert score is None or 0 < float(score) <= 10
            for result in run.get("results", ()):
                rule = run["tool"]["driver"]["rules"][result["ruleIndex"]]
                assert rule["id"] == result["ruleId"]
                assert rule["defaultConfiguration"]["level"] == result["level"]
                assert result["partialFingerprints"]["primaryLocationLineHash"]
                region = result["locations"][0]["physicalLocation"]["region"]
                assert region.keys() == {"startLine", "startColumn", "endLine", "endColumn"}
                assert 1 <= region["startLine"] <= region["endLine"]
                assert not result.get("suppressions")


def test_categories_are_unique_and_name_service_and_check() -> None:
    logs = [log for name, log in files(shop()).items() if not name.startswith("sarif/")]
    names = [run["automationDetails"]["id"] for log in logs for run in log["runs"]]
    assert len(names) == len(set(names))
    assert names[0] == "svc/orders/zap/"
    assert "svc/gateway/semgrep/" in names


def test_one_rule_for_each_severity_but_one_for_an_advisory() -> None:
    found = [
        msgspec.structs.replace(FINDINGS[1], id=str(number), severity=severity)
        for number, severity in enumerate((Severity.CRITICAL, Severity.HIGH, Severity.LOW))
    ]
    found += [msgspec.structs.replace(each, rule="CVE-2024-1", id="c" + each.id) for each in found[:2]]
    run = files(shop(findings=tuple(map(judged, found))))["sarif/gateway.semgrep.sarif"]["runs"][0]
    scores = {r["id"]: r["properties"]["security-severity"] for r in run["tool"]["driver"]["rules"]}
    assert scores == {"jwt-none/critical": "9.5", "jwt-none/high": "8.0", "jwt-none/low": "2.0", "CVE-2024-1": "9.5"}


def test_a_check_that_could_not_tell_closes_no_alert() -> None:
    """bandit is incomplete in the shop: no file of its categories, and it is said where the others are."""
    written = files(shop())
    assert not any("bandit" in name for name in written)
    assert not any("/bandit/" in run["automationDetails"]["id"] for log in written.values() for run in log["runs"])
    left_out = written[sarif.NAME]["runs"][0]["properties"]["leftOut"]
    assert left_out["bandit: could not tell, its alerts stay"] > 0


def test_an_incomplete_unit_takes_only_its_own_category() -> None:
    verdict = shop(
        findings=(),
        services=tuple(map(service, ("a", "b"))),
        checks=(check("image", "a"), check("image", "b", "incomplete")),
    )
    assert sorted(files(verdict)) == ["sarif/a.image.sarif", sarif.NAME]


def test_what_belongs_to_no_service_waits_for_every_unit() -> None:
    found = (judged(msgspec.structs.replace(FINDINGS[1], service="", checks=("image",))),)
    units = (check("image", "a"), check("image", "b", "incomplete"))
    assert sorted(files(shop(findings=found, services=(), checks=units))) == ["sarif/a.image.sarif", sarif.NAME]
    whole = (check("image", "a"), check("image", "b"))
    assert "sarif/_.image.sarif" in files(shop(findings=found, services=(), checks=whole))


def test_a_clean_category_is_there_and_empty_so_that_its_alerts_close() -> None:
    verdict = shop(findings=(), services=(service("a"),), checks=(check("semgrep"),))
    written = files(verdict)
    assert sorted(written) == ["sarif/_.semgrep.sarif", "sarif/a.semgrep.sarif", sarif.NAME]
    assert all(run.get("results", []) == [] for log in written.values() for run in log["runs"])
    assert all(run["invocations"][0]["executionSuccessful"] for log in written.values() for run in log["runs"])


def test_left_out_is_counted() -> None:
    no_file = msgspec.structs.replace(FINDINGS[7], id="n")
    hidden = msgspec.structs.replace(FINDINGS[9], id="s", checks=("zap",), service="gateway")
    run = files(shop(findings=tuple(map(judged, (no_file, hidden)))))["sarif/gateway.zap.sarif"]["runs"][0]
    left_out = {why: n for why, n in run["properties"]["leftOut"].items() if "could not tell" not in why}
    assert left_out == {"suppressed in the source": 1, "no file to show it at": 1}


def test_twenty_runs_a_file_the_worst_first_and_none_lost() -> None:
    names = [f"s{number:02}" for number in range(45)]
    found = tuple(judged(msgspec.structs.replace(FINDINGS[1], id=name, service=name)) for name in names)
    verdict = shop(findings=found, services=tuple(map(service, names)), checks=(check("semgrep"),))
    written = files(verdict)
    packs = [written[name]["runs"] for name in (sarif.NAME, "vallum-2.sarif", "vallum-3.sarif")]
    assert [len(pack) for pack in packs] == [20, 20, 6]
    categories = [run["automationDetails"]["id"] for pack in packs for run in pack]
    assert categories == [f"svc/{name}/semgrep/" for name in (*names, "_")]
    assert len([name for name in written if name.startswith("sarif/")]) == 46


def test_five_thousand_results_and_the_worst_ones() -> None:
    found = [
        msgspec.structs.replace(
            FINDINGS[1], id=f"{number:032x}", severity=Severity.CRITICAL if number < 100 else Severity.LOW
        )
        for number in range(6_000)
    ]
    run = files(shop(findings=tuple(map(judged, found))))["sarif/gateway.semgrep.sarif"]["runs"][0]
    assert len(run["results"]) == sarif.MAX_RESULTS
    assert sum(result["properties"]["severity"] == "critical" for result in run["results"]) == 100
    assert run["properties"]["leftOut"]["results over 5,000 a run"] == 1_000


def test_ten_megabytes_after_gzip(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the real limit's shape at a hundredth of its size, so that the test is quick."""
    monkeypatch.setattr(sarif, "MAX_BYTES", 100_000)
    noise = random.Random(1)
    found = tuple(
        judged(msgspec.structs.replace(FINDINGS[1], id=f"{n:032x}", message=noise.randbytes(200).hex()))
        for n in range(1_000)
    )
    data = dict(sarif.render(shop(findings=found), ROOT))["sarif/gateway.semgrep.sarif"]
    assert len(gzip.compress(data)) <= 100_000
    run = json.loads(data)["runs"][0]
    assert 100 < len(run["results"]) < 1_000
    assert [r["partialFingerprints"]["vallum/v1"] for r in run["results"]] == [
        f"{n:032x}" for n in range(len(run["results"]))
    ]
    assert run["properties"]["leftOut"]["results over 10 MB a file"] == 1_000 - len(run["results"])


def test_names_that_differ_only_in_what_a_file_name_may_not_hold() -> None:
    names = ["a/b", "a b", "a.b", "..", "../../x", "é", "\udce9"]
    found = tuple(judged(msgspec.structs.replace(FINDINGS[1], id=str(n), service=name)) for n, name in enumerate(names))
    verdict = shop(findings=found, services=tuple(map(service, names)), checks=(check("semgrep"),))
    written = files(verdict)
    uploaded = {
        r["partialFingerprints"]["vallum/v1"] for log in written.values() for r in log["runs"][0].get("results", ())
    }
    assert uploaded == {str(n) for n in range(len(names))}
    assert all(name == sarif.NAME or ".." not in name for name in written)
    categories = [run["automationDetails"]["id"] for run in written[sarif.NAME]["runs"]]
    assert len(set(categories)) == len(categories)


def test_texts_that_are_missing_are_filled_and_long_ones_cut() -> None:
    for rule in (Rule("", ""), Rule("x" * 400, "y" * 400, "z" * 4_000, "w" * 4_000, "javascript:x")):
        bare = msgspec.structs.replace(FINDINGS[1], rule=rule.id, message="", fix="", cwe=tuple(range(1, 40)))
        item = Judged(bare, Disposition.BLOCKS, "w")
        run = files(shop(findings=(item,), rules={f"semgrep/{rule.id}": rule}))["sarif/gateway.semgrep.sarif"]["runs"][
            0
        ]
        (written,) = run["tool"]["driver"]["rules"]
        assert all(0 < len(written[key]["text"]) <= 1_024 for key in ("shortDescription", "fullDescription", "help"))
        assert 0 < len(written["id"]) <= 255
        assert run["results"][0]["ruleId"] == written["id"]
        assert run["results"][0]["message"]["text"]
        assert "helpUri" not in written
        assert len(written["properties"]["tags"]) == 10


def test_a_check_of_the_shop_has_a_file() -> None:
    assert {each.check for each in CHECKS if each.status == "completed"} == {
        name.rsplit(".", 2)[1] for name in files(shop()) if name.startswith("sarif/")
    }

"""The demo's truth test: every weakness listed for the weak shop is found by the check that it names.

Reads `weaknesses.toml` and the verdicts of both shops; needs nothing but Python. Exit 0: all that can be looked for on
this machine is found, the weak shop fails and its repaired twin passes; 1: not so.
"""

from __future__ import annotations

import json
import sys
import tomllib
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent


def load_verdict(shop: str) -> dict:
    """The verdict of the last run on that shop."""
    return json.loads((HERE / shop / ".vallum" / "verdict.json").read_bytes())


def anchor_line(weakness: dict) -> int:
    """The line of the weakness: where its anchor stands, 0 for the whole file."""
    anchor = weakness.get("anchor")
    if not anchor:
        return weakness.get("line", 0)
    lines = (HERE / "shop" / weakness["path"]).read_text("utf-8").splitlines()
    found = [number for number, line in enumerate(lines, 1) if anchor in line]
    if not found:
        sys.exit(f"weaknesses.toml: {weakness['id']}: its anchor is nowhere in {weakness['path']}")
    return found[0]


def sees(finding: dict, weakness: dict, line: int) -> bool:
    """Whether the finding is that weakness: the check and the CWE, and the advisory, the rule, the operation or the place."""
    if weakness["check"] not in finding.get("checks", ()):
        return False
    if "advisory" in weakness:
        names = {finding["rule"], *finding.get("aliases", ())}
        package = finding.get("package", {}).get("name", "").lower()
        service = weakness.get("service")
        return (
            package == weakness["package"].lower()
            and weakness["advisory"] in names
            and (not service or finding.get("service") in {service, ""})
        )
    if weakness.get("cwe") and weakness["cwe"] not in finding.get("cwe", ()):
        return False
    if "rule" in weakness:
        return (finding["rule"], finding.get("service")) == (weakness["rule"], weakness["service"])
    if "operation" in weakness:
        operation = finding.get("operation", {})
        same = f"{operation.get('method', '')} {operation.get('path', '')}" == weakness["operation"]
        same = same and finding.get("service") == weakness["service"]
        return same and weakness.get("parameter", operation.get("parameter", "")) == operation.get("parameter", "")
    place = finding.get("location", {})
    if place.get("path") != weakness.get("path"):
        return False
    start = place.get("line", 0)
    return not line or not start or start <= line <= max(start, place.get("end_line", 0))


def main() -> int:
    """Print what was found of what was listed, and say whether the demo showed what it must."""
    weak, repaired = load_verdict("shop"), load_verdict("shop-repaired")
    listed = tomllib.loads((HERE / "shop" / "weaknesses.toml").read_text("utf-8"))["weakness"]
    findings = [judged["finding"] for judged in weak["findings"]]
    not_run = {result["check"]: result["reason"] for result in weak["checks"] if result["status"] != "completed"}
    found: Counter[str] = Counter()
    total: Counter[str] = Counter()
    missing, surprising, gap, left_open = [], [], [], []
    for weakness in listed:
        check = weakness["check"]
        total[check] += 1
        line = anchor_line(weakness) if "path" in weakness else 0
        seen = any(sees(finding, weakness, line) for finding in findings)
        found[check] += seen
        if seen and weakness.get("open"):
            surprising.append(weakness["id"])
        elif weakness.get("open"):
            left_open.append(weakness)
        elif not seen:
            (gap if check in not_run else missing).append(weakness)
    print(f"weaknesses of the shop found by the check that must find them: {found.total()} of {len(listed)}")
    for check in sorted(total):
        note = f"   (did not run whole: {not_run[check]})" if check in not_run else ""
        print(f"  {check:<16} {found[check]:>3} of {total[check]:>3}{note}")
    for weakness in left_open:
        print(f"  open: {weakness['id']} ({weakness['check']}): {weakness['reason']}")
    for name in surprising:
        print(f"  listed as open and found all the same: {name}: close it in weaknesses.toml")
    for weakness in missing:
        where = weakness.get("operation") or f"{weakness.get('path', '')}"
        print(f"  MISSING: {weakness['id']} ({weakness['check']}, CWE-{weakness.get('cwe', '?')}, {where})")
    print(f"examples/shop: {weak['status'].upper()}, examples/shop-repaired: {repaired['status'].upper()}")
    for shop in ("shop", "shop-repaired"):
        print(f"  report: examples/{shop}/.vallum/report/index.html")
    expected = weak["status"] == "fail" and repaired["status"] == "pass"
    if gap:
        print(f"{len(gap)} weaknesses could not be looked for on this machine, see above")
    return 0 if expected and not missing and not surprising else 1


if __name__ == "__main__":
    sys.exit(main())

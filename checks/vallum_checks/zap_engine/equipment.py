"""What a ZAP brings with it: version, add-ons, active and passive rules. Rules are set here as the mode and the rule file say."""

from __future__ import annotations

import contextlib
import re
from typing import Any

from vallum.errors import Inconclusive
from vallum_checks.zap_engine.client import Zap
from vallum_checks.zap_engine.engagement import Engagement, Equipment

SILENT = frozenset({"600020", "600021", "600028", "600030"})
"""The starter rules that look at an answer and send nothing: what `baseline` runs where ZAP has no passive rules. ZAP's
active scanner, which runs them, fetches pages again with GET."""
_VERSION = re.compile(r"(\d+)\.(\d+)(?:\.(\d+))?")


def equip(e: Engagement) -> Equipment:
    """Set the rules and count them. Raises Inconclusive where ZAP has less than the configuration demands, or no rule at all:
    a ZAP without one ends at once with 100 % and no alert."""
    add_ons = tuple(sorted((str(row.get("id")), str(row.get("version"))) for row in _add_ons(e.zap)))
    found = Equipment(0, 0, add_ons)
    e.equipment = found
    kinds = {"active": _active(e.zap)}
    if e.zap.passive():
        kinds["passive"] = e.zap.rows(e.api.pscan.scanners, "passive scan rules")
    names = {kind: {str(row.get("id")): row for row in rows} for kind, rows in kinds.items()}
    for rule, line in e.levels.thresholds().items():
        at = [kind for kind, rows in names.items() if rule in rows]
        if not at:
            found.unknown.append(rule)
        for kind in at:
            _threshold(e, kind, names[kind][rule], line.word)
            if line.word == "OFF":
                found.off.append(f"{rule} {names[kind][rule].get('name', '')}".strip())
    mentioned = {rule for line in e.levels.lines for rule in line.rules if line.pattern is None}
    found.unknown += sorted(rule for rule in mentioned if not any(rule in rows for rows in names.values()))
    found.unknown = sorted(set(found.unknown))
    if e.config.zap.mode == "baseline" and not _enabled(kinds.get("passive", [])):
        for rule, row in names["active"].items():
            if rule not in SILENT and str(row.get("enabled")) == "true":
                _threshold(e, "active", row, "OFF")
    kinds["active"] = _active(e.zap)
    if "passive" in kinds:
        kinds["passive"] = e.zap.rows(e.api.pscan.scanners, "passive scan rules")
    active, passive = (_enabled(kinds.get(kind, [])) for kind in ("active", "passive"))
    found.active, found.passive = len(active), len(passive)
    e.keep("scanners", {"active": active, "passive": passive})
    e.keep("add-ons", [f"{name} {version}" for name, version in add_ons])
    who = f"the {e.provided.kind} ZAP {e.provided.version}"
    if e.config.zap.mode == "baseline" and not passive and not active:
        raise Inconclusive(f"{who} has no rule that only looks at answers: a clean result would mean nothing")
    if e.config.zap.mode != "baseline" and not active:
        raise Inconclusive(f"{who} has no active scan rule: a clean result would mean nothing")
    _demand(e, who, found)
    return found


def restore(e: Engagement) -> None:
    """Put the thresholds back: for a ZAP that is somebody else's."""
    for kind, rule, threshold in reversed(e.equipment.before):
        with contextlib.suppress(Inconclusive):
            _set(e.zap, kind, rule, threshold)


def _demand(e: Engagement, who: str, found: Equipment) -> None:
    """The policy's minimum: `zap.min-version`, `min-rules`, `add-ons`."""
    asked = e.config.zap
    if asked.min_version:
        needed, present = _number(asked.min_version), _number(e.provided.version)
        if not present:
            raise Inconclusive(f"{who}: its version cannot be compared with zap.min-version {asked.min_version}")
        if present < needed:
            raise Inconclusive(f"{who} is older than zap.min-version {asked.min_version}")
    if found.active + found.passive < asked.min_rules:
        raise Inconclusive(
            f"{who} has {found.active + found.passive} rules ({found.active} active, {found.passive} passive), "
            f"zap.min-rules demands {asked.min_rules}"
        )
    here = {name for name, _ in found.add_ons}
    missing = [name for name in asked.add_ons if name not in here]
    if missing:
        raise Inconclusive(f"{who} lacks add-ons that zap.add-ons demands: {', '.join(missing)}")


def _number(version: str) -> tuple[int, ...]:
    """Comparable; empty for a daily or development version."""
    match = _VERSION.fullmatch(version.strip())
    return tuple(int(part or 0) for part in match.groups()) if match else ()


def _active(zap: Zap) -> list[dict[str, Any]]:
    return zap.rows(zap.api.ascan.scanners(), "active scan rules")


def _add_ons(zap: Zap) -> list[dict[str, Any]]:
    """Only those that work: an add-on whose dependency is missing is listed as well, with another status."""
    rows = zap.rows(zap.api.autoupdate.installed_addons, "add-ons")
    return [row for row in rows if str(row.get("installationStatus", "INSTALLED")) == "INSTALLED"]


def _enabled(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [row for row in rows if str(row.get("enabled")) == "true"]


def _threshold(e: Engagement, kind: str, row: dict[str, Any], word: str) -> None:
    rule = str(row.get("id"))
    before = str(row.get("alertThreshold") or "DEFAULT")
    e.equipment.before.append((kind, rule, before if str(row.get("enabled")) == "true" else "OFF"))
    _set(e.zap, kind, rule, word)


def _set(zap: Zap, kind: str, rule: str, word: str) -> None:
    scanner = zap.api.ascan if kind == "active" else zap.api.pscan
    zap.action(scanner.set_scanner_alert_threshold(rule, word), f"set rule {rule} to {word}")

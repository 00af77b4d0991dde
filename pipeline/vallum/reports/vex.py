"""`openvex.json` (OpenVEX 0.2.0) and `vex.cdx.json` (CycloneDX 1.6): what we say of the vulnerable packages that were found.

A waived finding says what its waiver says; any other is under investigation: that a tool found it does not mean that anybody
looked whether it can be reached here. Without a vulnerable package there is nothing to state, and no file.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from vallum import fingerprint
from vallum.finding import Finding
from vallum.reports import text
from vallum.verdict import Disposition, Judged, Verdict

CONTEXT = "https://openvex.dev/ns/v0.2.0"
STATES = {
    "not_affected": "not_affected",
    "affected": "exploitable",
    "fixed": "resolved",
    "under_investigation": "in_triage",
}
JUSTIFICATIONS = {
    "component_not_present": "code_not_present",
    "vulnerable_code_not_present": "code_not_present",
    "vulnerable_code_not_in_execute_path": "code_not_reachable",
    "vulnerable_code_cannot_be_controlled_by_adversary": "requires_environment",
    "inline_mitigations_already_exist": "protected_by_mitigating_control",
}
"""OpenVEX's justifications as the nearest of CycloneDX's impactAnalysisJustification."""
NAMESPACE = uuid.UUID("8f2f4c0e-5f0b-5c39-9a44-6d2f1d9a7c11")


def render(verdict: Verdict, root: Path) -> dict[str, bytes]:
    """`{"openvex.json": …, "vex.cdx.json": …}`, or nothing where no package is vulnerable."""
    del root
    packages = [each for each in verdict.findings if each.finding.package is not None]
    if not packages:
        return {}
    return {
        "openvex.json": text.to_json(_openvex(verdict, packages)),
        "vex.cdx.json": text.to_json(_cyclonedx(verdict, packages)),
    }


def status(judged: Judged) -> str:
    """OpenVEX's word for it."""
    waived = judged.waiver if judged.disposition is Disposition.WAIVED else None
    return (waived.status or "under_investigation") if waived else "under_investigation"


def _openvex(verdict: Verdict, packages: list[Judged]) -> dict[str, Any]:
    return {
        "@context": CONTEXT,
        "@id": f"urn:uuid:{_uuid(verdict, 'openvex')}",
        "author": verdict.target,
        "timestamp": verdict.started,
        "version": 1,
        "tooling": f"vallum {verdict.vallum}",
        "statements": [_statement(each) for each in packages],
    }


def _statement(judged: Judged) -> dict[str, Any]:
    finding, word = judged.finding, status(judged)
    name, others = _names(finding)
    purl = finding.package.purl if finding.package else ""
    said: dict[str, Any] = {
        "vulnerability": {"name": name, **({"aliases": others} if others else {})},
        "products": [{"@id": purl, "identifiers": {"purl": purl}}],
        "status": word,
        "status_notes": judged.why,
    }
    if judged.waiver is not None and word == "not_affected":
        said |= {"justification": judged.waiver.justification} if judged.waiver.justification else {}
        said["impact_statement"] = judged.waiver.reason
    elif word == "affected":
        said["action_statement"] = judged.waiver.reason if judged.waiver else finding.fix
    return said


def _cyclonedx(verdict: Verdict, packages: list[Judged]) -> dict[str, Any]:
    found = {each.finding.package.purl: each.finding.package for each in packages if each.finding.package}
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{_uuid(verdict, 'cyclonedx')}",
        "version": 1,
        "metadata": {
            "timestamp": verdict.started,
            "tools": {"components": [{"type": "application", "name": "vallum", "version": verdict.vallum}]},
            "authors": [{"name": verdict.target}],
            "component": {"type": "application", "bom-ref": "target", "name": verdict.target},
        },
        "components": [
            {"type": "library", "bom-ref": purl, "name": package.name, "version": package.version, "purl": purl}
            for purl, package in found.items()
        ],
        "vulnerabilities": [_vulnerability(each) for each in packages],
    }


def _vulnerability(judged: Judged) -> dict[str, Any]:
    finding, word = judged.finding, status(judged)
    name, others = _names(finding)
    analysis: dict[str, Any] = {"state": STATES[word], "detail": judged.waiver.reason if judged.waiver else judged.why}
    if judged.waiver is not None and word == "not_affected" and judged.waiver.justification:
        analysis["justification"] = JUSTIFICATIONS.get(judged.waiver.justification, judged.waiver.justification)
    if word == "affected":
        analysis["response"] = ["will_not_fix"]
    return {
        "bom-ref": f"urn:vallum:finding:{finding.id}",
        "id": name,
        "references": [{"id": other, "source": {"name": other.partition("-")[0]}} for other in others],
        "ratings": [{"severity": str(finding.severity), **({"vector": finding.cvss} if finding.cvss else {})}],
        "cwes": list(finding.cwe),
        "description": finding.message,
        "analysis": analysis,
        "affects": [{"ref": finding.package.purl}] if finding.package else [],
    }


def _names(finding: Finding) -> tuple[str, list[str]]:
    """The one name of the vulnerability, and its others."""
    name = fingerprint.canonical_alias(finding.rule, finding.aliases)
    return name, sorted({finding.rule, *finding.aliases} - {name})


def _uuid(verdict: Verdict, kind: str) -> uuid.UUID:
    return uuid.uuid5(NAMESPACE, f"{kind}/{verdict.target}/{verdict.run}")

"""`sbom.cdx.json`: the parts lists that the checks of this run left, merged into one CycloneDX document."""

from __future__ import annotations

from pathlib import Path

from vallum import artifacts
from vallum.errors import Inconclusive
from vallum.verdict import Verdict

NAME = "sbom.cdx.json"


def render(verdict: Verdict, root: Path) -> dict[str, bytes]:
    """`{"sbom.cdx.json": …}`. Raises Inconclusive where no check of this run left a parts list, or one is unreadable."""
    from vallum.advisories.sbom import merge

    parts: list[bytes] = []
    for check in verdict.checks:
        path = artifacts.outcome_folder(root, check.check, check.unit) / "raw" / NAME
        if check.status == "not-applicable" or not path.exists():
            continue
        try:
            parts.append(artifacts.read(path))
        except (OSError, ValueError) as error:
            raise Inconclusive(f"the parts list of {check.check} ({check.unit}) cannot be read: {error}") from error
    if not parts:
        raise Inconclusive("no check of this run left a parts list (SBOM)")
    return {NAME: merge(parts)}

"""`findings.json`: every finding with what the policy made of it, for programs. No cut, the order of the verdict."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec

from vallum.finding import Finding, Rule
from vallum.reports import text
from vallum.verdict import Judged, Verdict

SCHEMA = "vallum/findings/v1"


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file. `counts`: findings by disposition and severity."""

    schema: str
    status: str
    target: str
    commit: str
    run: str
    vallum: str
    started: str
    counts: dict[str, dict[str, int]]
    rules: dict[str, Rule]
    findings: tuple[Judged, ...] = ()


def render(verdict: Verdict, root: Path) -> dict[str, Iterator[bytes]]:
    """`{"findings.json": …}`."""
    del root
    used = {f"{check}/{finding.rule}" for finding in _findings(verdict) for check in finding.checks}
    document = Document(
        schema=SCHEMA,
        status=verdict.status,
        target=verdict.target,
        commit=verdict.commit,
        run=verdict.run,
        vallum=verdict.vallum,
        started=verdict.started,
        counts={str(key): {str(name): n for name, n in inner.items()} for key, inner in verdict.counts.items()},
        rules={name: rule for name, rule in verdict.rules.items() if name in used},
    )
    return {"findings.json": text.with_findings(document, verdict.findings)}


def _findings(verdict: Verdict) -> list[Finding]:
    return [judged.finding for judged in verdict.findings]

"""`index.html`: one self-contained page for whoever has to decide or to repair. No network request, and a strict CSP.

The page is complete without its script, which only filters. What came from outside is escaped by Jinja2 (autoescape on),
stripped of control characters, and cut where one finding could make the page unusable; nothing of it reaches a script.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from vallum.finding import Finding, Rule
from vallum.reports import text
from vallum.reports.template import once, source, template
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, Judged, Status, Verdict

MOST = 2_000
"""Findings shown, worst first: a page of 2,000 opens in a second or two, one of 20,000 does not. The rest is counted."""
EVIDENCE = 4_000
"""Characters of one excerpt, request or response."""
ALL_EVIDENCE = 4_000_000
"""Characters of evidence of all findings together."""
REASONS = 7
"""Reasons of a kind that are shown at once; the others open by a click, so that both kinds are seen."""
MISSED = 200
LISTED = 500
STAGE_TITLE = {"source": "Source", "dependencies": "Dependencies", "images": "Images", "staged": "Staged deployment"}
CWE = "https://cwe.mitre.org/data/definitions/"
_Stages = Callable[[tuple[str, ...]], list[str]]
"""Gives the rings of checks, from the outside in."""


class Ring(msgspec.Struct, frozen=True):
    """One ring of defence: `state` is closed, breached, unproved or open; `text` says it in words."""

    stage: str
    title: str
    state: str
    text: str
    radius: int


class Card(NamedTuple):
    """What the page says of one finding. `stages` are the rings of its checks, `cwe` numbers and addresses, `shared` is all
    that its facts are made of: many findings of one rule have the same."""

    it: Finding
    judged: Judged
    rule: Rule
    title: str
    where: str
    operation: str
    stages: list[str]
    uri: str
    cwe: list[tuple[int, str]]
    snippet: str
    request: str
    response: str
    fix: str
    shared: tuple[object, ...]


def render(verdict: Verdict, root: Path) -> dict[str, bytes]:
    """`{"index.html": …}`."""
    del root
    style, script = (source(name).read_text("utf-8") for name in ("style.css", "report.js"))
    page = template().generate(
        verdict=verdict,
        style=style,
        script=script,
        style_hash=sha256(style),
        script_hash=sha256(script),
        once=once(),
        **data(verdict),
    )
    return {"index.html": text.to_bytes(page)}


def sha256(source: str) -> str:
    """The hash of an inline style or script as a Content-Security-Policy has it."""
    return "sha256-" + base64.b64encode(hashlib.sha256(source.encode("utf-8")).digest()).decode("ascii")


def data(verdict: Verdict) -> dict[str, Any]:
    """What the template shows, apart from the verdict itself."""
    shown = verdict.findings[:MOST]
    stage_of = {check.check: check.stage for check in verdict.checks}

    @functools.cache
    def stages(checks: tuple[str, ...]) -> list[str]:
        return sorted({stage_of[check] for check in checks if check in stage_of}, key=_stage_order)

    first = [
        reason
        for kind in ("blocked", "incomplete")
        for reason in [each for each in verdict.reasons if (each.kind == "blocked") is (kind == "blocked")][:REASONS]
    ]
    budget = [ALL_EVIDENCE]
    checks = sorted(verdict.checks, key=lambda check: (check.status == "completed", _stage_order(check.stage)))
    return {
        "reasons": first,
        "more_reasons": [reason for reason in verdict.reasons if reason not in first],
        "headline": text.HEADLINE[verdict.status],
        "tally": text.tally(verdict),
        "compared": text.compared(verdict),
        "rings": rings(verdict),
        "severities": [
            (str(severity), {str(key): verdict.counts[key][severity] for key in Disposition}) for severity in Severity
        ],
        "checks": [_check(check) for check in checks],
        "cards": [_card(verdict, judged, stages, budget) for judged in shown],
        "not_shown": len(verdict.findings) - len(shown),
        "facets": _facets(shown, stages),
        "listed": LISTED,
        "operations": [(each, text.operations(each), text.gaps(each)) for each in verdict.operations],
        "operation_words": text.OPERATIONS,
        "most_gaps": MISSED,
        "not_tested": sorted(verdict.not_tested, key=lambda each: not each.required),
        "services": sorted(
            verdict.services, key=lambda each: (each.status is Status.PASS, -each.blocking, not each.name, each.name)
        ),
        "stage_title": STAGE_TITLE,
    }


def rings(verdict: Verdict) -> list[Ring]:
    """The rings from the outside in. Closed: every check of it ran whole and nothing blocks."""
    stage_of = {check.check: check.stage for check in verdict.checks}
    blocking: Counter[str] = Counter()
    for judged in verdict.findings:
        if judged.disposition is Disposition.BLOCKS:
            for stage in {stage_of.get(check, "") for check in judged.finding.checks}:
                blocking[stage] += 1
    drawn = []
    for number, stage in enumerate(text.STAGES):
        rows = [check for check in verdict.checks if check.stage == stage and check.status != "not-applicable"]
        whole = sum(row.status == "completed" for row in rows)
        red = any(row.status == "incomplete" and row.require == "required" for row in rows)
        ran = f"{whole} of {text.count(len(rows), 'run')} whole"
        if blocking[stage]:
            state, words = "breached", f"{text.count(blocking[stage], 'finding')} {_agree(blocking[stage])}; {ran}"
        elif red:
            state, words = "unproved", f"could not tell; {ran}"
        elif not whole:
            state, words = "open", "not tested" if not rows else f"not tested; {ran}"
        elif whole < len(rows):
            state, words = "open", f"in part not tested; {ran}"
        else:
            state, words = "closed", f"nothing blocks; {ran}"
        drawn.append(Ring(stage, STAGE_TITLE[stage], state, words, 86 - 21 * number))
    return drawn


def _agree(number: int) -> str:
    return "blocks" if number == 1 else "block"


def _check(check: CheckResult) -> dict[str, Any]:
    expected = sum(each.expected for each in check.coverage)
    missed = [each for part in check.coverage for each in part.missed]
    unlisted = sum(each.expected - each.seen for each in check.coverage) - len(missed[:MISSED])
    return {
        "it": check,
        "name": text.unit(check),
        "stage": STAGE_TITLE.get(check.stage, check.stage),
        "share": sum(each.seen for each in check.coverage) / expected if expected else 0.0,
        "missed": missed[:MISSED],
        "unlisted": max(0, unlisted),
        "command": shlex.join(check.argv),
    }


def _card(verdict: Verdict, judged: Judged, stages: _Stages, budget: list[int]) -> Card:
    finding = judged.finding
    rule = text.rule_of(verdict, finding)
    place = finding.location
    alike = msgspec.structs.replace(finding, id="", service="", message="", location=None, exchange=None)
    return Card(
        it=finding,
        judged=judged,
        rule=rule,
        title=text.line(rule.name if rule.name != rule.id else finding.message, 200) or finding.rule,
        where=text.line(text.where(finding), 300),
        operation=text.operation(finding),
        stages=stages(finding.checks),
        uri=rule.uri if rule.uri.startswith(("https://", "http://")) else "",
        cwe=[(number, f"{CWE}{number}.html") for number in finding.cwe],
        snippet=_evidence(place.snippet if place else "", budget),
        request=_evidence(finding.exchange.request if finding.exchange else "", budget),
        response=_evidence(finding.exchange.response if finding.exchange else "", budget),
        fix=finding.fix or rule.help,
        shared=(msgspec.structs.replace(judged, finding=alike), rule),
    )


def _stage_order(stage: str) -> int:
    return text.STAGES.index(stage) if stage in text.STAGES else len(text.STAGES)


def _evidence(value: str, budget: list[int]) -> str:
    """`value`, cut to what one finding and all of them may take."""
    if not value:
        return ""
    room = min(EVIDENCE, budget[0])
    cut = text.plain(value[:room])
    budget[0] -= len(cut)
    return cut if len(value) <= room else f"{cut}\n… {len(value) - room:,} more characters in findings.json"


def _facets(shown: tuple[Judged, ...], stages: _Stages) -> dict[str, list[tuple[str, int]]]:
    """For each filter its values among what is shown, and how many findings have them."""
    severity = Counter(str(each.finding.severity) for each in shown)
    disposition = Counter(str(each.disposition) for each in shown)
    check = Counter(name for each in shown for name in each.finding.checks)
    service = Counter(each.finding.service for each in shown)
    stage = Counter(name for each in shown for name in stages(each.finding.checks))
    return {
        "sev": [(each, severity[each]) for each in map(str, Severity) if severity[each]],
        "disp": [(each, disposition[each]) for each in map(str, Disposition) if disposition[each]],
        "check": sorted(check.items()),
        "svc": sorted(service.items()),
        "stage": [(each, stage[each]) for each in text.STAGES if stage[each]],
    }

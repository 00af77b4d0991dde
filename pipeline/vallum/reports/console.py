"""The end of a run on the terminal, for a person: the verdict, why, what was looked at, the worst, and where to read on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TextIO

from vallum.reports import text
from vallum.verdict import CheckResult, Disposition, Status, Verdict

WORST = 10
LISTED = 25
_BOLD, _RED, _GREEN, _YELLOW, _DIM = "1", "31", "32", "33", "2"
_STATUS = {Status.PASS: _GREEN, Status.FAIL: _RED, Status.INCOMPLETE: _YELLOW}


def show(
    verdict: Verdict,
    report: Path | None = None,
    problems: Iterable[str] = (),
    *,
    out: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Print it to `out` (stderr). `report` is the page to open, `problems` say which reports could not be written.

    Colours only on a terminal, and not with NO_COLOR set to anything (no-color.org) or TERM=dumb.
    """
    stream = out or sys.stderr
    colour = stream.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
    lines = render(verdict, report, problems, colour=colour)
    encoding = getattr(stream, "encoding", None) or "utf-8"
    stream.write("".join(f"{each}\n" for each in lines).encode(encoding, "replace").decode(encoding))
    stream.flush()


def render(
    verdict: Verdict, report: Path | None = None, problems: Iterable[str] = (), *, colour: bool = False
) -> list[str]:
    """The lines. Nothing from outside can steer a terminal, start a line, or be a command of the runner of GitHub Actions."""

    def paint(code: str, words: str) -> str:
        return f"\x1b[{code}m{words}\x1b[0m" if colour else words

    def lines() -> Iterator[str]:
        head = paint(f"{_BOLD};{_STATUS[verdict.status]}", verdict.status.upper())
        yield ""
        yield f"{head}  {safe(verdict.target)}: {text.HEADLINE[verdict.status]}"
        if verdict.scope:
            yield f"  only asked for: {safe(', '.join(verdict.scope), 200)}"
        for reason in verdict.reasons[:LISTED]:
            yield f"  {paint(_RED if reason.kind == 'blocked' else _YELLOW, f'{reason.kind:<10}')}  {safe(reason.text, 400)}"
        yield from _more(len(verdict.reasons))
        if verdict.promotion is not None:
            colour_of = _GREEN if verdict.promotion.state == "promoted" else _RED
            yield f"  {paint(colour_of, verdict.promotion.state)}  {safe(verdict.promotion.text, 400)}"
        if verdict.checks:
            yield ""
            yield paint(_BOLD, "checks")
            width = min(32, max(len(safe(text.unit(check))) for check in verdict.checks))
            for check in verdict.checks:
                yield _check(check, width, paint(_YELLOW, "INCOMPLETE") if colour else "INCOMPLETE")
        if verdict.operations:
            yield from ("", paint(_BOLD, "operations"), *_operations(verdict))
        worst = [each for each in verdict.findings if each.disposition not in text.LET_THROUGH]
        if worst:
            yield ""
            yield paint(_BOLD, "worst first")
            for judged in worst[:WORST]:
                finding = judged.finding
                blocks = judged.disposition is Disposition.BLOCKS
                severity = paint(_RED if blocks else _YELLOW, f"{finding.severity:<8}")
                yield f"  {severity}  {safe(text.where(finding), 90)}  {safe(finding.rule, 60)}"
                yield f"            {safe(finding.message, 140)}"
            if len(worst) > WORST:
                yield f"  and {len(worst) - WORST:,} more, in the report"
        if verdict.not_tested:
            yield ""
            yield paint(_BOLD, "not tested")
            for each in verdict.not_tested[:LISTED]:
                mark = paint(_YELLOW, "required") if each.required else "open    "
                yield f"  {mark}  {safe(each.what)}: {safe(each.why, 240)}"
            yield from _more(len(verdict.not_tested))
        if verdict.notices:
            yield ""
            yield paint(_BOLD, "to tidy up")
            for notice in verdict.notices[:LISTED]:
                yield f"  {safe(notice.where)}: {safe(notice.text, 240)}"
            yield from _more(len(verdict.notices))
        yield ""
        if verdict.compared is not None:
            yield safe(text.compared(verdict), 240)
        for problem in problems:
            yield f"  {paint(_YELLOW, 'not written')}  {safe(problem, 300)}"
        if report is not None:
            yield f"report  {safe(str(report), 500)}"
        yield f"{head}  {tally(verdict)}  ({text.duration(verdict.seconds)})"

    return list(lines())


def tally(verdict: Verdict) -> str:
    """The last line's numbers: `3 blocked (1 critical, 2 high), 5 warned, 0 suppressed, 1 incomplete`."""
    counted = text.tally(verdict)
    detail = text.severities(verdict, Disposition.BLOCKS)
    return ", ".join(
        f"{number:,} {word}{f' ({detail})' if word == 'blocked' and detail else ''}" for word, number in counted.items()
    )


def safe(value: str, limit: int = 120) -> str:
    """One line without control characters. What GitHub's runner takes for a command is broken up: `##[` anywhere, `::` first."""
    cleaned = text.line(value, limit).replace("##[", "## [")
    return f": {cleaned[1:]}" if cleaned.startswith("::") else cleaned


def _check(check: CheckResult, width: int, incomplete: str) -> str:
    name = safe(text.unit(check), 32)
    status = {"completed": "complete  ", "incomplete": incomplete}.get(check.status, "skipped   ")
    found = f"{check.findings:>6,} {'finding ' if check.findings == 1 else 'findings'}"
    parts = (safe(text.looked_at(check)), safe(text.tool(check)))
    detail = "; ".join(part for part in parts if part)
    optional = "optional: " if check.require == "optional" and check.status == "incomplete" else ""
    why = f"  {optional}{safe(check.reason, 240)}" if check.reason else ""
    return f"  {name:<{width}}  {status} {text.duration(check.seconds):>11} {found}  {detail}{why}".rstrip()


def _operations(verdict: Verdict) -> Iterator[str]:
    for service in verdict.operations[:LISTED]:
        figures = zip(text.operations(service), text.OPERATIONS, strict=True)
        yield f"  {safe(service.service, 32)}  {', '.join(f'{number:,} {word}' for number, word in figures)}"
    yield from _more(len(verdict.operations))


def _more(total: int) -> Iterator[str]:
    if total > LISTED:
        yield f"  and {total - LISTED:,} more, in the report"

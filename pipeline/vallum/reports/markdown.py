"""`summary.md`, for GITHUB_STEP_SUMMARY: the verdict first, then why, what was looked at, and the worst findings.

GitHub drops a summary over 1 MiB with only a note, so this one stays under 900 kB. Nothing from outside is markup here:
see `prose` and `code`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from vallum.reports import text
from vallum.verdict import CheckResult, Disposition, Status, Verdict

LIMIT = 900_000
WORST = 20
ROWS = (200, 50, 10)
"""Rows a table may have; the next number is tried when the file would pass LIMIT."""
MARK = {Status.PASS: "PASS", Status.FAIL: "FAIL", Status.INCOMPLETE: "INCOMPLETE"}
_MARKUP = re.compile(r"[\\`*_{}\[\]()<>&#+!|~:$^=\"'-]|(?<=www)\.|(?m:^\s*\d+\.)")
_BREAKS_LINK = str.maketrans({"@": "@\u2060", "#": "#\u2060"})


def render(verdict: Verdict, root: Path) -> dict[str, bytes]:
    """`{"summary.md": …}`."""
    del root
    data = b""
    for rows in ROWS:
        data = text.to_bytes(_document(verdict, rows))
        if len(data) <= LIMIT:
            break
    return {"summary.md": data}


def prose(value: str, limit: int = 300) -> str:
    """One line of text for Markdown: every character that could be markup, HTML or a link becomes a character reference.

    References are literal text by CommonMark (section 6.2). `@` and `#` get a word joiner after them, because GitHub looks
    for mentions and issue numbers in the rendered text.
    """
    cleaned = text.line(value, limit).translate(_BREAKS_LINK)
    return _MARKUP.sub(lambda found: "".join(f"&#{ord(char)};" for char in found[0]), cleaned)


def code(value: str, limit: int = 160) -> str:
    """One line in `<code>`, escaped like `prose`; a span in backticks could be left through a table's pipe. Empty: nothing."""
    escaped = prose(value, limit)
    return f"<code>{escaped}</code>" if escaped else ""


def _document(verdict: Verdict, rows: int) -> Iterator[str]:
    yield f"# {MARK[verdict.status]}: {prose(verdict.target)}\n\n{text.HEADLINE[verdict.status].capitalize()}.\n\n"
    if verdict.scope:
        yield f"Only some checks were asked for: {', '.join(code(name) for name in verdict.scope[:rows])}.\n\n"
    yield from _list((f"**{reason.kind}**: {prose(reason.text, 600)}" for reason in verdict.reasons), rows)
    if verdict.promotion is not None:
        yield f"**{prose(verdict.promotion.state)}** ({prose(verdict.promotion.at)}): {prose(verdict.promotion.text, 600)}\n\n"
    tally = text.tally(verdict)
    yield f"| {' | '.join('checks incomplete' if word == 'incomplete' else word for word in tally)} |\n"
    yield f"| {' | '.join('---:' for _ in tally)} |\n| {' | '.join(map(str, tally.values()))} |\n\n"
    if verdict.compared is not None:
        yield f"{prose(text.compared(verdict)).capitalize()}.\n\n"
    if verdict.notices:
        yield "## To tidy up\n\n"
        yield from _list((f"{code(each.where)}: {prose(each.text)}" for each in verdict.notices), rows)
    if verdict.not_tested:
        yield "## Not tested\n\n"
        yield from _list(
            (
                f"{prose(each.what)}: {prose(each.why)}{' (**required**)' if each.required else ''}"
                for each in sorted(verdict.not_tested, key=lambda each: not each.required)
            ),
            rows,
        )
    yield "## Checks\n\n| check | outcome | looked at | tool | findings | time |\n| --- | --- | --- | --- | ---: | ---: |\n"
    checks = sorted(verdict.checks, key=lambda check: check.status == "completed")
    yield from _rows((_check(check) for check in checks), rows)
    yield from _operations(verdict, rows)
    yield from _findings(verdict)
    version = f"vallum {prose(verdict.vallum)}, run {code(verdict.run)}"
    commit = f", commit {code(verdict.commit)}" if verdict.commit else ""
    yield f"\n{version}{commit}, {prose(verdict.started)}, {text.duration(verdict.seconds)}\n"


def _check(check: CheckResult) -> str:
    outcome = check.status if check.status != "incomplete" else f"**INCOMPLETE** ({check.require})"
    cells = (code(text.unit(check)), outcome, prose(text.looked_at(check)), prose(text.tool(check)))
    return f"| {' | '.join(cells)} | {check.findings} | {text.duration(check.seconds)} |\n"


def _operations(verdict: Verdict, rows: int) -> Iterator[str]:
    """Operation coverage, where a dynamic check ran."""
    if not verdict.operations:
        return
    yield f"\n## Operations\n\n| service | {' | '.join(text.OPERATIONS)} |\n| --- {'| ---: ' * len(text.OPERATIONS)}|\n"
    yield from _rows(
        (
            f"| {code(each.service, 60)} | {' | '.join(map(str, text.operations(each)))} |\n"
            for each in verdict.operations
        ),
        rows,
    )
    yield "\n"
    gaps = ((each.service, gap) for each in verdict.operations for gap in text.gaps(each))
    yield from _list((f"{code(service, 60)} {prose(gap)}" for service, gap in gaps), rows)


def _findings(verdict: Verdict) -> Iterator[str]:
    shown = [each for each in verdict.findings if each.disposition not in text.LET_THROUGH][:WORST]
    if not shown:
        return
    total = sum(each.disposition not in text.LET_THROUGH for each in verdict.findings)
    title = "Findings" if total == len(shown) else f"The worst {len(shown)} of {total:,} findings"
    yield f"\n## {title}\n\n| severity | | finding | place | service | seen by |\n| --- | --- | --- | --- | --- | --- |\n"
    for judged in shown:
        finding = judged.finding
        cells = (
            finding.severity,
            f"**{judged.disposition}**" if judged.disposition is Disposition.BLOCKS else judged.disposition,
            f"{code(finding.rule, 80)} {prose(finding.message, 200)}",
            code(text.where(finding)),
            code(finding.service, 60),
            code(text.seen_by(finding), 80),
        )
        yield f"| {' | '.join(cells)} |\n"
    yield "\nAll of them are in the report, `index.html`, and in `findings.json`.\n"


def _list(items: Iterable[str], most: int) -> Iterator[str]:
    written = 0
    rest = 0
    for item in items:
        if written < most:
            written += 1
            yield f"- {item}\n"
        else:
            rest += 1
    if rest:
        yield f"- and {rest:,} more, in the report\n"
    yield "\n" if written else ""


def _rows(items: Iterable[str], most: int) -> Iterator[str]:
    rest = 0
    for number, item in enumerate(items):
        if number < most:
            yield item
        else:
            rest += 1
    if rest:
        yield f"\nand {rest:,} more, in the report\n"

"""`vallum -s explain -- ID`: one finding in full, from the verdict on disk. To stdout; nothing is run or judged anew."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import msgspec

from vallum import artifacts
from vallum.errors import UserError
from vallum.finding import Finding, Rule
from vallum.progress import clean
from vallum.verdict import Disposition, Judged, Verdict

WIDTH = 110
SHORTEST = 4
"""Characters of an id that are enough, if no other finding begins with them."""
_LABEL = 10


def explain(root: Path, arguments: tuple[str, ...]) -> str:
    """Print the finding whose id is, or begins with, the one argument. Raises UserError where there is none, or several."""
    verdict = _verdict(root)
    if len(arguments) != 1:
        raise UserError("explain takes the id of one finding", f"vallum -s explain -- ID; {_examples(verdict)}")
    judged = find(verdict, arguments[0])
    sys.stdout.write("".join(f"{clean(line)}\n" for line in lines(verdict, judged)))
    return ""


def find(verdict: Verdict, wanted: str) -> Judged:
    """The finding of that id, or the only one whose id begins so."""
    found = [judged for judged in verdict.findings if judged.finding.id.startswith(wanted.strip().lower())]
    if len(wanted.strip()) < SHORTEST or not found:
        raise UserError(f"there is no finding {wanted!r} in the last verdict", _examples(verdict))
    if len(found) > 1:
        raise UserError(f"{len(found)} findings begin with {wanted!r}", "give more characters of the id")
    return found[0]


def lines(verdict: Verdict, judged: Judged) -> Iterator[str]:
    """What the person reads: what it is, where, the evidence, why it blocks or does not, how to fix it."""
    finding = judged.finding
    check = finding.checks[0] if finding.checks else ""
    rule = verdict.rules.get(f"{check}/{finding.rule}", Rule(finding.rule, finding.rule))
    verb = {
        Disposition.BLOCKS: "blocks",
        Disposition.WARNS: "does not block",
        Disposition.WAIVED: "waived",
        Disposition.SUPPRESSED: "suppressed",
    }
    yield f"{finding.severity.upper()}, {verb[judged.disposition]}: {finding.rule}"
    yield from _wrap("", finding.message)
    yield ""
    yield from _field("id", finding.id)
    yield from _field("service", finding.service)
    yield from _field("seen by", ", ".join(finding.checks))
    yield from _field("weakness", ", ".join([*(f"CWE-{number}" for number in finding.cwe), *finding.owasp]))
    yield from _field("sure", finding.confidence and f"{finding.confidence} confidence, says the tool")
    yield from _evidence(finding)
    yield ""
    yield from _field("why", judged.why)
    yield from _field("waiver", f"{judged.waiver.file}:{judged.waiver.line}" if judged.waiver else "")
    yield from _field("since", judged.state and f"{judged.state} against the baseline")
    yield from _field("urgency", judged.urgency)
    if rule.description not in {"", finding.message}:
        yield from _field("rule", rule.description)
    yield from _field("fix", finding.fix or rule.help or "no advice from the tool; see the page below")
    yield from _field("read", rule.uri)


def _evidence(finding: Finding) -> Iterator[str]:
    if finding.location is not None:
        place = finding.location
        yield from _field("where", place.path + (f":{place.line}" if place.line else ""))
        if place.snippet:
            yield from _verbatim(place.snippet)
    if finding.package is not None:
        package = finding.package
        yield from _field("package", f"{package.name} {package.version} ({package.purl})")
        yield from _field("fixed in", ", ".join(package.fixed) or "no version yet")
    yield from _field("also", ", ".join(finding.aliases))
    yield from _field("cvss", finding.cvss)
    if finding.operation is not None:
        operation = finding.operation
        parameter = f", parameter {operation.parameter}" if operation.parameter else ""
        yield from _field("attacked", f"{operation.method} {operation.path}{parameter}")
    if finding.exchange is not None:
        yield from _field("sent", "(redacted)")
        yield from _verbatim(finding.exchange.request)
        yield from _field("answer", "(redacted)")
        yield from _verbatim(finding.exchange.response)
    if finding.suppression is not None:
        marker = finding.suppression
        yield from _field("marker", f"{marker.by} in the source{f': {marker.reason}' if marker.reason else ''}")


def _field(label: str, text: str) -> Iterator[str]:
    if text:
        yield from _wrap(label, text)


def _wrap(label: str, text: str) -> Iterator[str]:
    indent = " " * _LABEL if label else ""
    first = f"{label:<{_LABEL}}" if label else ""
    for number, paragraph in enumerate(text.splitlines() or [""]):
        yield from textwrap.wrap(
            paragraph, WIDTH, initial_indent=first if number == 0 else indent, subsequent_indent=indent
        ) or [""]


def _verbatim(text: str) -> Iterator[str]:
    for line in text.splitlines():
        yield f"{' ' * _LABEL}| {line}"


def _examples(verdict: Verdict) -> str:
    ids = [judged.finding.id[:12] for judged in verdict.findings[:3]]
    return f"for example {', '.join(ids)}; all are in .vallum/report/findings.json" if ids else "it holds no findings"


def _verdict(root: Path) -> Verdict:
    path = root / artifacts.FOLDER / "verdict.json"
    try:
        return msgspec.json.decode(artifacts.read(path), type=Verdict)
    except FileNotFoundError:
        raise UserError(f"there is no verdict in {root / artifacts.FOLDER}", "run `vallum` first") from None
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read: {error}", "run `vallum` again") from None

"""The words and numbers that every report shares, so that two of them cannot disagree; and text made harmless."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from vallum.finding import Finding, Rule
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, ServiceOperations, Status, Verdict

WHOLE = "_"
"""The unit of a check that looks at the whole target (vallum.check.WHOLE, which reports do not import: it brings tools)."""
STAGES = ("source", "dependencies", "images", "staged")
HEADLINE = {
    Status.PASS: "everything planned was looked at, and nothing found blocks",
    Status.FAIL: "the policy blocks this",
    Status.INCOMPLETE: "not a pass: something planned could not tell",
}
LET_THROUGH = frozenset({Disposition.WAIVED, Disposition.SUPPRESSED})
"""Counted everywhere, but not among the worst."""
AT_ONCE = 5_000
"""Findings that are put into words at once."""
_ENCODER = msgspec.json.Encoder()
_HOLE = (None,)
_SHOWN_HOLE = b'\n "findings": [\n  null\n ]'
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1 (0x9b starts a terminal sequence)
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb"  # direction marks, invisible, line separators
    "\ud800-\udfff\ufffe\uffff"  # lone surrogates, and what XML 1.0 forbids
    "\U000e0000-\U000e007f]"  # invisible tag characters
)


def plain(text: str) -> str:
    """`text` without control characters, direction marks and invisible characters; each is shown as U+FFFD."""
    if text.isascii() and text.isprintable():
        return text
    return _CONTROL.sub("\ufffd", text.replace("\r\n", "\n"))


def line(text: str, limit: int = 0) -> str:
    """`plain` on one line, cut to `limit` characters with an ellipsis (0: not cut)."""
    if not (text.isascii() and text.isprintable() and "  " not in text and text[:1] != " " != text[-1:]):
        text = " ".join(plain(text).split())
    return text[: limit - 1].rstrip() + "…" if limit and len(text) > limit else text


def count(number: int, noun: str, plural: str = "") -> str:
    """`1 finding`, `2 findings`."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def duration(seconds: float) -> str:
    """`0.4 s`, `12 s`, `3 min 5 s`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def tally(verdict: Verdict) -> dict[str, int]:
    """What a last line counts: findings by disposition (waived ones where there are), and checks that could not tell."""
    waived = verdict.total(Disposition.WAIVED)
    return {
        "blocked": verdict.total(Disposition.BLOCKS),
        "warned": verdict.total(Disposition.WARNS),
        **({"waived": waived} if waived else {}),
        "suppressed": verdict.total(Disposition.SUPPRESSED),
        "incomplete": sum(check.status == "incomplete" for check in verdict.checks),
    }


def compared(verdict: Verdict) -> str:
    """`against the baseline of 1a2b3c: 2 new, 10 unchanged, …`, or nothing where there is no baseline."""
    held = verdict.compared
    if held is None:
        return ""
    name = f"of {held.commit[:12]}" if held.commit else held.source
    unsure = f", {held.unknown:,} that could not be told" if held.unknown else ""
    return (
        f"against the baseline {name}: {held.new:,} new, {held.unchanged:,} unchanged, "
        f"{held.updated:,} with another severity, {len(held.absent):,} gone{unsure}"
    )


def severities(verdict: Verdict, disposition: Disposition) -> str:
    """`2 critical, 5 high`, worst first, without the zeros."""
    counted = verdict.counts[disposition]
    return ", ".join(f"{counted[severity]:,} {severity}" for severity in Severity if counted[severity])


def where(finding: Finding) -> str:
    """The place in one line: `path:line`, else the operation, else the package, else the service. Not cleaned."""
    place = finding.location
    if place is not None and place.path:
        return f"{place.path}:{place.line}" if place.line else place.path
    return operation(finding) or package(finding) or finding.service


def operation(finding: Finding) -> str:
    """`GET /orders/{id} (id)`, or nothing."""
    if finding.operation is None:
        return ""
    attacked = f" ({finding.operation.parameter})" if finding.operation.parameter else ""
    return f"{finding.operation.method} {finding.operation.path}{attacked}"


def package(finding: Finding) -> str:
    """`name version`, or nothing."""
    return f"{finding.package.name} {finding.package.version}" if finding.package else ""


def seen_by(finding: Finding) -> str:
    """The checks that saw it."""
    return ", ".join(finding.checks)


def rule_of(verdict: Verdict, finding: Finding) -> Rule:
    """The rule of a finding; after merging it is a rule of one of its checks. Unknown: a rule with only its id."""
    for check in finding.checks:
        found = verdict.rules.get(f"{check}/{finding.rule}")
        if found is not None:
            return found
    return Rule(finding.rule, finding.rule)


def unit(check: CheckResult) -> str:
    """`semgrep`, or `image (orders)`."""
    return check.check if check.unit == WHOLE else f"{check.check} ({check.unit})"


def looked_at(check: CheckResult) -> str:
    """`22 of 23 files, 4 of 4 manifests`."""
    return ", ".join(f"{each.seen:,} of {each.expected:,} {each.unit}" for each in check.coverage)


OPERATIONS = ("declared", "need a login", "reached", "logged in", "attacked")
"""The columns of operation coverage."""


def operations(each: ServiceOperations) -> tuple[int, ...]:
    """The figures of one service, in the order of OPERATIONS."""
    return each.declared, each.secured, each.reached, each.authenticated, each.attacked


def gaps(each: ServiceOperations) -> list[str]:
    """What of a service was not reached, and why; and what answered and stands in no definition."""
    if each.undefined:
        return ["has no API definition: which operations it has is not known"]
    return [
        *(f"not reached: {missed.target}: {missed.why}" for missed in each.unreached),
        *(f"answered, and is in no definition: {operation}" for operation in each.undeclared),
    ]


def tool(check: CheckResult) -> str:
    """`bandit 1.9.4`, or nothing where no tool came to work."""
    return f"{check.tool.name} {check.tool.version}".strip() if check.tool else ""


def to_json(value: object) -> bytes:
    """Indented JSON, UTF-8. Lone surrogates, which JSON cannot hold in UTF-8, become backslash escapes."""
    return msgspec.json.format(_encoded(value), indent=1) + b"\n"


def with_findings(document: msgspec.Struct, findings: Sequence[object]) -> Iterator[bytes]:
    """A document of ours with these as its `findings`: indented JSON, but each finding on a line of its own, part by part.

    A million findings are never in memory as text, and a person can still search and compare the file by lines.
    """
    # at this depth there is no other: within a string a line break is escaped
    head, found, after = to_json(msgspec.structs.replace(document, findings=_HOLE)).partition(_SHOWN_HOLE)
    if not found:
        raise ValueError("the document has no findings")
    yield head + b'\n "findings": ['
    for start in range(0, len(findings), AT_ONCE):
        part = findings[start : start + AT_ONCE]
        try:
            lines = _ENCODER.encode_lines(part)
        except UnicodeEncodeError:
            lines = b"\n".join(map(_encoded, part)) + b"\n"
        yield (b",\n" if start else b"\n") + lines[:-1].replace(b"\n", b",\n")
    yield (b"\n ]" if findings else b"]") + after


def _encoded(value: object) -> bytes:
    try:
        return _ENCODER.encode(value)
    except UnicodeEncodeError:
        return _ENCODER.encode(_valid(msgspec.to_builtins(value)))


def to_bytes(parts: Iterable[str]) -> bytes:
    """UTF-8, lone surrogates as backslash escapes."""
    return "".join(parts).encode("utf-8", "backslashreplace")


def in_parts(parts: Iterable[str]) -> Iterator[bytes]:
    """As `to_bytes`, but some thousands of parts at a time."""
    rest = iter(parts)
    while data := to_bytes(itertools.islice(rest, AT_ONCE)):
        yield data


def _valid(value: object) -> object:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode("utf-8")
    if isinstance(value, dict):
        return {_valid(key): _valid(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_valid(inner) for inner in value]
    return value

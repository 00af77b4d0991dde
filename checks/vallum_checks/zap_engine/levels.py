"""A rule file in ZAP's own format, read strictly: one rule a line, `ID<TAB>LEVEL<TAB>comment`, as zap-baseline.py writes it.

Levels are PASS, IGNORE, INFO, WARN, FAIL (of what was found), or a threshold OFF, LOW, MEDIUM, HIGH, DEFAULT (of the rule, as
in ZAP's scan policies). `OUTOFSCOPE` takes ids (`*`: all) and a regular expression that is matched at the start of the
address. ZAP takes the last of two lines on one rule, and what it cannot read it leaves out: here both are errors.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from vallum.errors import UserError
from vallum.finding import Suppression
from vallum.severity import Severity

LEVELS = ("PASS", "IGNORE", "INFO", "WARN", "FAIL")
"""`zap_conf_lvls` of ZAP's docker/zap_common.py. PASS hides what was found, as IGNORE does."""
THRESHOLDS = ("OFF", "LOW", "MEDIUM", "HIGH", "DEFAULT")
OUT = "OUTOFSCOPE"
MAX = 1 << 20
"""Bytes of a rule file."""
_HINT = "three columns divided by tabs: the rule's number, a level, a comment (docs/zap.md)"


@dataclass(frozen=True)
class Line:
    """One line: `rules` are numbers of rules (`*`: all), `word` its level, threshold or OUTOFSCOPE."""

    number: int
    rules: tuple[str, ...]
    word: str
    comment: str
    pattern: re.Pattern[str] | None = None


@dataclass(frozen=True)
class Levels:
    """A whole rule file; an empty one changes nothing. `name` is its path in the target."""

    name: str = ""
    lines: tuple[Line, ...] = ()

    def thresholds(self) -> dict[str, Line]:
        """The lines that set a rule's threshold, by rule."""
        return {line.rules[0]: line for line in self.lines if line.word in THRESHOLDS}

    def out_of_scope(self, rule: str, url: str) -> Line | None:
        """The line that takes alerts of `rule` (the plugin's number) at `url` out, if there is one."""
        for line in self.lines:
            if (
                line.pattern is not None
                and (rule in line.rules or "*" in line.rules)
                and line.pattern.match(url[:2000])
            ):
                return line
        return None

    def level(self, rule: str) -> Line | None:
        """The line that gives `rule` a level."""
        return next((line for line in self.lines if line.word in LEVELS and line.rules == (rule,)), None)

    def severity(self, rule: str, found: Severity) -> Severity:
        """FAIL raises to high at least, INFO lowers to info, all else leaves it."""
        line = self.level(rule)
        if line is None:
            return found
        if line.word == "INFO":
            return Severity.INFO
        return Severity.HIGH if line.word == "FAIL" and found.rank < Severity.HIGH.rank else found

    def suppression(self, line: Line) -> Suppression:
        """What is said of a finding that `line` hides."""
        return Suppression("external", f"{self.name}:{line.number}", line.comment or line.word)

    def hides(self, rule: str) -> Line | None:
        """The line that asks not to see findings of `rule`."""
        line = self.level(rule)
        return line if line is not None and line.word in {"PASS", "IGNORE"} else None


def read(root: Path, name: str) -> Levels:
    """The rule file `name` below `root`; none where `name` is empty. Raises UserError, naming the line."""
    if not name:
        return Levels()
    path = root / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"zap.rules: {name} cannot be read: {error.strerror or error}", _HINT) from None
    if len(data) > MAX:
        raise UserError(f"zap.rules: {name} has more than {MAX} bytes", _HINT)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        raise UserError(f"zap.rules: {name} is no UTF-8 text", _HINT) from None
    lines: list[Line] = []
    seen: dict[tuple[str, bool], int] = {}
    for number, row in enumerate(text.splitlines(), 1):
        if not row.strip() or row.startswith("#"):
            continue
        line = _line(f"zap.rules: {name}:{number}", number, row)
        if line.pattern is None:
            key = (line.rules[0], line.word in THRESHOLDS)
            if key in seen:
                raise UserError(
                    f"zap.rules: {name}:{number}: rule {line.rules[0]} is set in line {seen[key]} too", _HINT
                )
            seen[key] = number
        lines.append(line)
    return Levels(name, tuple(lines))


def _line(where: str, number: int, row: str) -> Line:
    cells = row.split("\t")
    if len(cells) < 3:
        raise UserError(f"{where}: {len(cells)} column{'s' if len(cells) > 1 else ''}", _HINT)
    key, word, third = cells[0].strip(), cells[1].strip(), cells[2].strip()
    if word == OUT:
        rules = tuple(part.strip() for part in key.split(","))
        try:
            pattern = re.compile(third)
        except re.error as error:
            raise UserError(f"{where}: no regular expression: {error}", _HINT) from None
        if not third:
            raise UserError(f"{where}: {OUT} needs a regular expression", _HINT)
        comment = cells[3].strip() if len(cells) > 3 else ""
    elif word in LEVELS or word in THRESHOLDS:
        rules, pattern = (key,), None
        comment = " ".join(cell.strip() for cell in cells[2:] if cell.strip())
    else:
        raise UserError(f"{where}: there is no level {word[:40]!r}", f"one of {', '.join((*LEVELS, *THRESHOLDS, OUT))}")
    for rule in rules:
        if not rule.isascii() or not (rule.isdigit() or (rule == "*" and word == OUT)):
            raise UserError(f"{where}: {rule[:40]!r} is no number of a rule", "without a variant: 10055, not 10055-3")
    return Line(number, rules, word, comment, pattern)

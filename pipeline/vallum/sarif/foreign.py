"""SARIF 2.1.0 of anybody's tool. Its content is an attacker's until it has passed through here: bounded, strict, and no
place outside of the target. What is strange is refused (ValueError, one sentence) or kept and said, never dropped unsaid."""

from __future__ import annotations

import json
import math
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

import msgspec

from vallum.finding import Finding, Location, Rule, Suppression
from vallum.sarif import shapes
from vallum.severity import Severity

MAX_TEXT = 4_000
"""Characters of a message or a rule's text that are kept."""
MAX_NAME = 300
MAX_RESULTS = 1_000_000
MAX_NOTES = 100
LEVELS = {
    "error": Severity.HIGH,
    "warning": Severity.MEDIUM,
    "note": Severity.LOW,
    "none": Severity.INFO,
    "failure": Severity.UNKNOWN,
}
"""Severity by level where the tool gives no `security-severity`. A failed JUnit test says nothing of how bad: unknown."""
_CWE = re.compile(r"(?i)(?:^|/|\b)cwe-0*([1-9]\d{0,5})\b")
_ARGUMENT = re.compile(r"\{(\d{1,2})\}")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Foreign:
    """What a foreign report says. `failed`: why it is not whole by its own words. `listed`: files that it says it analysed."""

    tool: str
    version: str
    rules: tuple[Rule, ...]
    findings: tuple[Finding, ...]
    failed: tuple[str, ...] = ()
    missed: Mapping[str, str] = field(default_factory=dict)
    listed: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


_DECODER = msgspec.json.Decoder(shapes.Log)


def strict_json(data: bytes) -> None:
    """Refuse what two readers could read differently: duplicate keys, NaN and Infinity, bytes that are no UTF-8, deep nesting.

    Keeps nothing of the document. Raises ValueError.
    """

    def once(pairs: list[tuple[str, Any]]) -> None:
        if len(pairs) > 1 and len({key for key, _ in pairs}) != len(pairs):
            twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
            raise ValueError(f"the key {twice[:80]!r} stands twice in one object")

    def constant(word: str) -> None:
        raise ValueError(f"{word} is no JSON")

    try:
        json.loads(data.decode("utf-8"), object_pairs_hook=once, parse_constant=constant, parse_float=_nothing)
    except UnicodeDecodeError as error:
        raise ValueError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _nothing(_: str) -> None:
    return None


def read_sarif(data: bytes, root: Path, levels: Mapping[str, Severity] | None = None) -> Foreign:
    """The report `data` about the target at `root`. Raises ValueError for what is no SARIF 2.1.0, or not to be trusted."""
    strict_json(data)
    try:
        log = _DECODER.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"not SARIF: {error}") from None
    if log.version != "2.1.0":
        raise ValueError(f"not SARIF 2.1.0 but version {log.version[:40]!r}")
    if not log.runs:
        raise ValueError("a SARIF file without a run: nothing says that anything was looked at")
    names = {run.tool.driver.name for run in log.runs}
    if len(names) > 1:
        raise ValueError(f"runs of more than one tool: {', '.join(sorted(clean(name, 60) for name in names)[:5])}")
    driver = log.runs[0].tool.driver
    reader = _Reader(Path(root).resolve(), {**LEVELS, **(levels or {})})
    for run in log.runs:
        reader.run(run)
    return Foreign(
        tool=clean(driver.name, 80),
        version=clean(driver.semantic_version or driver.version, 80),
        rules=tuple(reader.rules.values()),
        findings=tuple(reader.findings),
        failed=tuple(reader.failed),
        missed=reader.missed,
        listed=frozenset(reader.listed),
        notes=reader.noted(),
    )


def clean(text: str, limit: int) -> str:
    """At most `limit` characters that UTF-8 can hold."""
    cut = text if len(text) <= limit else text[: limit - 1] + "…"
    return cut if cut.isascii() else cut.encode("utf-8", "replace").decode("utf-8")


def inside(root: Path, uri: str, base: str = "") -> str:
    """`uri` as a path relative to `root`, or an empty string where it is none of a regular place in the target.

    Refused: other schemes and hosts, UNC and drives, `..` (encoded or not) that leaves the root, control characters, and
    links that lead out. `base` is an absolute file URI that a relative one is put behind.
    """
    if not uri or len(uri) > 4096:
        return ""
    try:
        parts = urlsplit(uri)
        if not parts.scheme and base:
            base_parts = urlsplit(base)
            if base_parts.scheme != "file" or parts.netloc:
                return ""
            parts = base_parts._replace(path=base_parts.path.rstrip("/") + "/" + parts.path)
    except ValueError:
        return ""
    if parts.scheme not in {"", "file"} or parts.netloc not in {"", "localhost"}:
        return ""
    try:
        path = unquote(parts.path, errors="strict")
    except UnicodeDecodeError:
        return ""
    if not path or _CONTROL.search(path) or "\\" in path or path.startswith("//") or _DRIVE.match(path.lstrip("/")):
        return ""
    absolute = os.path.normpath(root / path)
    if not Path(absolute).is_relative_to(root) or absolute == str(root):
        return ""
    try:
        if not Path(os.path.realpath(absolute)).is_relative_to(root):
            return ""
    except (OSError, ValueError):
        return ""
    relative = PurePosixPath(os.path.relpath(absolute, root)).as_posix()
    return clean(relative, 4096)


class _Reader:
    """Gathers the runs of one file."""

    def __init__(self, root: Path, levels: Mapping[str, Severity]) -> None:
        self.root = root
        self.levels = levels
        self.rules: dict[str, Rule] = {}
        self.findings: list[Finding] = []
        self.failed: list[str] = []
        self.missed: dict[str, str] = {}
        self.listed: set[str] = set()
        self.notes: list[str] = []
        self.counted: Counter[str] = Counter()
        self._paths: dict[tuple[str, str], str] = {}

    def run(self, run: shapes.Run) -> None:
        bases = {name: each.uri for name, each in run.original_uri_base_ids.items()}
        if run.results is None:
            self.failed.append("a run has no list of results, which in SARIF says that nothing was looked at")
        for invocation in run.invocations:
            self._invocation(invocation, run, bases)
        for file in run.artifacts:
            if "analysisTarget" in file.roles:
                self.listed.add(self._path(file.location, run, bases))
        self.listed.discard("")
        known = [(rule, self._rule(rule)) for part in (run.tool.driver, *run.tool.extensions) for rule in part.rules]
        by_id = {rule.id: (rule, made) for rule, made in reversed(known)}
        in_driver = known[: len(run.tool.driver.rules)]
        for result in run.results or ():
            self._result(result, run, by_id, in_driver, bases)

    def noted(self) -> tuple[str, ...]:
        counted = [f"{number} results {what}" for what, number in sorted(self.counted.items())]
        rest = len(self.notes) - MAX_NOTES
        return (*counted, *self.notes[:MAX_NOTES], *([f"and {rest} more"] if rest > 0 else []))

    def _invocation(self, invocation: shapes.Invocation, run: shapes.Run, bases: Mapping[str, str]) -> None:
        told = (*invocation.tool_execution_notifications, *invocation.tool_configuration_notifications)
        for notification in told:
            text = clean(notification.message.text or notification.message.markdown, 500)
            if notification.level == "error":
                paths = [path for each in notification.locations if (path := self._place(each, run, bases)[0])]
                self.missed.update((path, text[:200]) for path in paths)
                self.failed.append(text or "the tool reports an error without words")
            else:
                self.notes.append(text)
        if not invocation.execution_successful:
            self.failed.append("by its own words it did not run to its end")

    def _rule(self, rule: shapes.Rule) -> Rule:
        name = clean(rule.id, MAX_NAME)
        made = Rule(
            id=name,
            name=clean(rule.short_description.text or rule.name or rule.id, MAX_NAME),
            description=clean(rule.full_description.text, MAX_TEXT),
            help=clean(rule.help.text, MAX_TEXT),
            uri=rule.help_uri[:2000] if rule.help_uri.startswith(("https://", "http://")) else "",
        )
        self.rules.setdefault(name, made)
        return made

    def _result(
        self,
        result: shapes.Result,
        run: shapes.Run,
        by_id: Mapping[str, tuple[shapes.Rule, Rule]],
        in_driver: list[tuple[shapes.Rule, Rule]],
        bases: Mapping[str, str],
    ) -> None:
        if result.kind in {"pass", "notApplicable"} or result.baseline_state == "absent":
            self.counted[
                f"say that nothing is wrong ({result.kind}{' absent' * (result.baseline_state == 'absent')})"
            ] += 1
            return
        if len(self.findings) >= MAX_RESULTS:
            raise ValueError(f"more than {MAX_RESULTS} results")
        index = result.rule_index if result.rule_index >= 0 else result.rule.index
        name = result.rule_id or result.rule.id
        found = by_id.get(name)
        if found is None and not name and not result.rule.tool_component and 0 <= index < len(in_driver):
            found = in_driver[index]
        rule_id = clean(name or (found[0].id if found else "") or run.tool.driver.name, MAX_NAME)
        self.rules.setdefault(rule_id, Rule(rule_id, rule_id))
        bag = {**(found[0].properties if found else {}), **result.properties}
        path, region = self._place(result.locations[0], run, bases) if result.locations else ("", shapes.Region())
        if result.locations and not path:
            self.counted["point to no place in the target; shown without it"] += 1
        line = max(0, region.start_line)
        self.findings.append(
            Finding(
                rule=rule_id,
                severity=self._severity(result, found[0] if found else None, bag),
                message=clean(self._text(result, found[0] if found else None), MAX_TEXT) or "(the tool says no more)",
                location=Location(
                    path,
                    line,
                    max(0, region.start_column) if line else 0,
                    region.end_line if line and region.end_line >= line else 0,
                )
                if path
                else None,
                cwe=_weaknesses(bag),
                suppression=_suppression(result),
            )
        )

    def _severity(self, result: shapes.Result, rule: shapes.Rule | None, bag: Mapping[str, Any]) -> Severity:
        """The tool's own score (GitHub's `security-severity`, a CVSS-like number), else its level, else unknown."""
        try:
            score = float(bag.get("security-severity", math.nan))
        except (TypeError, ValueError):
            return Severity.UNKNOWN
        if 0 <= score <= 10:
            return Severity.from_score(score)
        if not math.isnan(score) or result.kind in {"open", "review"}:
            return Severity.UNKNOWN
        level = result.level or (rule.default_configuration.level if rule else "warning")
        return self.levels.get(level, Severity.UNKNOWN)

    def _text(self, result: shapes.Result, rule: shapes.Rule | None) -> str:
        message = result.message
        template = message.text or message.markdown
        if not template and rule is not None and message.id in rule.message_strings:
            template = rule.message_strings[message.id].text
        if not message.arguments:
            return template

        def argument(match: re.Match[str]) -> str:
            number = int(match[1])
            return message.arguments[number][:MAX_TEXT] if number < len(message.arguments) else match[0]

        return _ARGUMENT.sub(argument, template[:MAX_TEXT])

    def _place(self, location: shapes.Location, run: shapes.Run, bases: Mapping[str, str]) -> tuple[str, shapes.Region]:
        physical = location.physical_location
        if physical is None:
            return "", shapes.Region()
        return self._path(physical.artifact_location, run, bases), physical.region

    def _path(self, artifact: shapes.Artifact, run: shapes.Run, bases: Mapping[str, str]) -> str:
        if not artifact.uri and 0 <= artifact.index < len(run.artifacts):
            artifact = run.artifacts[artifact.index].location
        key = (artifact.uri, bases.get(artifact.uri_base_id, ""))
        if key not in self._paths:
            self._paths[key] = inside(self.root, *key)
        return self._paths[key]


def _weaknesses(bag: Mapping[str, Any]) -> tuple[int, ...]:
    """CWE numbers from a property bag: tags as GitHub has them, or a key `cwe`."""
    words: list[Any] = []
    for key in ("tags", "cwe", "CWE"):
        value = bag.get(key)
        words += value[:100] if isinstance(value, list) else [value]
    found = {int(match[1]) for word in words if isinstance(word, str) for match in _CWE.finditer(word[:200])}
    return tuple(sorted(found))[:20]


def _suppression(result: shapes.Result) -> Suppression | None:
    """A suppression counts as SARIF has it (3.27.23): all of them accepted."""
    shown = result.suppressions
    if not shown or any(each.status != "accepted" for each in shown):
        return None
    first = shown[0]
    kind = "inSource" if first.kind == "inSource" else "external"
    return Suppression(kind, "a suppression in the tool's report", clean(first.justification, 500))

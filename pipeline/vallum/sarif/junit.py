"""JUnit XML of anybody's tool, where a failed test case is a finding. Read by a parser that knows no entities."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote
from xml.parsers import expat

from vallum.finding import Finding, Location, Rule
from vallum.sarif.foreign import LEVELS, MAX_NAME, MAX_RESULTS, MAX_TEXT, Foreign, clean, inside
from vallum.severity import Severity

MAX_DEPTH = 32
_LINE = re.compile(r"\d{1,9}")


def read_junit(data: bytes, root: Path, levels: Mapping[str, Severity] | None = None) -> Foreign:
    """The report `data`. A test case with `failure` is a finding, one with `error` could not tell, `skipped` is noted.

    Raises ValueError for what is no JUnit XML, has a document type (entities), or holds no test case at all.
    """
    reader = _Reader(Path(root).resolve(), {**LEVELS, **(levels or {})})
    parser = expat.ParserCreate(namespace_separator=None)
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.buffer_text = True
    try:
        parser.Parse(data, True)  # noqa: FBT003 - expat knows no keyword here
    except expat.ExpatError as error:
        raise ValueError(f"not XML: {error}") from None
    if not reader.cases:
        raise ValueError("JUnit XML without a test case: nothing says that anything was looked at")
    notes = [f"{reader.cases} test cases"] + ([f"{reader.skipped} test cases were skipped"] if reader.skipped else [])
    return Foreign(
        tool="",
        version="",
        rules=tuple(reader.rules.values()),
        findings=tuple(reader.findings),
        failed=tuple(reader.failed),
        notes=tuple(notes),
    )


def _refuse(*_: object) -> None:
    raise ValueError("a document type or an entity in JUnit XML is refused")


class _Reader:
    def __init__(self, root: Path, levels: Mapping[str, Severity]) -> None:
        self.root = root
        self.levels = levels
        self.rules: dict[str, Rule] = {}
        self.findings: list[Finding] = []
        self.failed: list[str] = []
        self.cases = 0
        self.skipped = 0
        self._open: list[str] = []
        self._suite = ""
        self._case: dict[str, str] = {}
        self._told: tuple[str, dict[str, str]] | None = None
        self._text: list[str] = []
        self._size = 0

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if not self._open and name not in {"testsuites", "testsuite"}:
            raise ValueError(f"not JUnit XML: its root is <{clean(name, 40)}>")
        self._open.append(name)
        if len(self._open) > MAX_DEPTH:
            raise ValueError("JUnit XML nested too deeply")
        if name in {"testsuites", "testsuite"}:
            self._suite = attributes.get("name", "")
            return
        if name == "testcase":
            self.cases += 1
            self._case = attributes
        elif name == "skipped":
            self.skipped += 1
        elif name in {"failure", "error"}:
            self._told = (name, attributes)
            self._text, self._size = [], 0

    def text(self, text: str) -> None:
        if self._told is not None and self._size < MAX_TEXT:
            self._text.append(text)
            self._size += len(text)

    def end(self, name: str) -> None:
        self._open.pop()
        if self._told is None or name != self._told[0]:
            return
        kind, attributes = self._told
        self._told = None
        body = "".join(self._text).strip()
        message = clean(attributes.get("message") or body or "(the tool says no more)", MAX_TEXT)
        if kind == "error" or "testcase" not in self._open:
            self.failed.append(clean(message, 500))
            return
        if len(self.findings) >= MAX_RESULTS:
            raise ValueError(f"more than {MAX_RESULTS} results")
        case = self._case
        path = self._file(case)
        name, group = case.get("name", ""), case.get("classname", "")
        rule = clean(attributes.get("type") or (name if "/" in group or not group else group) or "failure", MAX_NAME)
        self.rules.setdefault(rule, Rule(rule, rule))
        line = case.get("line", "")
        self.findings.append(
            Finding(
                rule=rule,
                severity=self.levels["failure"],
                message=clean(message if name in {"", rule} else f"{name}: {message}", MAX_TEXT),
                location=Location(path, int(line) if _LINE.fullmatch(line) and line.isascii() else 0) if path else None,
            )
        )

    def _file(self, case: Mapping[str, str]) -> str:
        """Nothing says where the file stands: tools write it as `file`, as the suite's name, or as the class."""
        for place in (case.get("file", ""), self._suite, case.get("classname", "")):
            path = inside(self.root, quote(place, safe="/:\\"))
            if path and os.path.isfile(self.root / path):  # of a name that is too long it says no
                return path
        return ""

"""The console report and the workflow commands."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import FINDINGS, REASONS, judged, shop
from vallum.reports import console, github
from vallum.severity import Severity
from vallum.verdict import Reason, Status


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("stream", "environ", "colour"),
    [
        (Terminal, {"TERM": "xterm"}, True),
        (Terminal, {"TERM": "xterm", "NO_COLOR": "1"}, False),
        (Terminal, {"TERM": "xterm", "NO_COLOR": ""}, True),
        (Terminal, {"TERM": "dumb"}, False),
        (io.StringIO, {"TERM": "xterm"}, False),
    ],
)
def test_colour_only_on_a_terminal(stream: type[io.StringIO], environ: dict[str, str], colour: bool) -> None:
    out = stream()
    console.show(shop(), Path("/r/index.html"), out=out, environ=environ)
    assert ("\x1b[" in out.getvalue()) is colour


def test_a_terminal_that_has_no_unicode() -> None:
    raw = io.BytesIO()
    out = io.TextIOWrapper(raw, encoding="ascii")
    console.show(shop(target="größe"), out=out, environ={})
    assert b"FAIL  gr??e" in raw.getvalue()


def test_what_a_person_needs_is_there() -> None:
    text = "\n".join(console.render(shop(), Path("/r/index.html"), ["sbom.cdx.json: no parts list"]))
    for part in (
        "FAIL  shop",
        "services/orders/app/store.py:41",
        "22 of 23 files; bandit 1.9.4",
        "optional: passed its deadline of 60 s",
        "required  bandit: one file could not be parsed",
        "not written  sbom.cdx.json: no parts list",
        "report  /r/index.html",
    ):
        assert part in text
    assert text.endswith(
        "6 blocked (2 critical, 3 high, 1 unknown), 3 warned, 1 suppressed, 2 incomplete  (1 min 58 s)"
    )


def test_worst_first_ten_and_the_rest_counted() -> None:
    found = tuple(judged(msgspec.structs.replace(FINDINGS[0], id=str(number))) for number in range(25))
    text = "\n".join(console.render(shop(findings=found)))
    assert "and 15 more, in the report" in text
    assert text.count("store.py:41") == 10


def test_commands_only_on_github() -> None:
    out = io.StringIO()
    assert not github.emit(shop(), {}, out)
    assert not github.emit(shop(), {"GITHUB_ACTIONS": "false"}, out)
    assert out.getvalue() == ""
    assert github.emit(shop(), {"GITHUB_ACTIONS": "true"}, out)
    assert out.getvalue().count("\n") == len(github.commands(shop()))


def test_ten_of_a_type_worst_first_and_one_that_counts() -> None:
    severities = [Severity.CRITICAL] * 3 + [Severity.HIGH] * 30 + [Severity.MEDIUM] * 30
    found = tuple(
        judged(msgspec.structs.replace(FINDINGS[1], id=str(n), severity=severity))
        for n, severity in enumerate(severities)
    )
    reasons = tuple(Reason("incomplete", f"reason {n}", f"c{n}") for n in range(9))
    commands = github.commands(shop(findings=found, reasons=reasons))
    errors = [each for each in commands if each.startswith("::error")]
    assert len(errors) == 10
    assert sum("incomplete" in each for each in errors) == 4
    assert ["critical" in each for each in errors[4:]] == [True] * 3 + [False] * 3
    assert sum(each.startswith("::warning") for each in commands) == 10
    assert sum(each.startswith("::notice") for each in commands) == 1
    assert commands[-1].endswith("52 more than annotated here, see the report")


def test_incomplete_without_findings_uses_all_ten() -> None:
    reasons = tuple(Reason("incomplete", f"reason {n}", f"c{n}") for n in range(12))
    commands = github.commands(shop(status=Status.INCOMPLETE, findings=(), reasons=reasons))
    assert sum(each.startswith("::error") for each in commands) == 10
    assert "2 more" in commands[-1]


def test_escapes_as_the_toolkit_does() -> None:
    assert (
        github.command("error", {"file": "a,b:c%.py", "line": "1", "title": ""}, "50% of a: b, c")
        == "::error file=a%2Cb%3Ac%25.py,line=1::50%25 of a: b, c"
    )


def test_reasons_are_cut_and_counted() -> None:
    text = "\n".join(console.render(shop(reasons=REASONS * 10)))
    assert "and 15 more, in the report" in text

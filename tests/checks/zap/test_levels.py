"""Rule files in ZAP's own format: read strictly, and what each line does to a finding."""

from __future__ import annotations

from pathlib import Path

import pytest

from vallum.errors import UserError
from vallum.severity import Severity
from vallum_checks.zap_engine import findings, levels
from vallum_checks.zap_engine.model import ScanTarget

GOOD = (
    "# zap-full-scan rule configuration file\n"
    "# Change WARN to IGNORE to ignore rule or FAIL to fail if rule matches\n"
    "\n"
    "10202\tIGNORE\tthe forms are for machines\n"
    "40018\tFAIL\t(SQL Injection - Active/release)\tlook at the query builder\n"
    "10020\tINFO\t(Anti-clickjacking Header)\n"
    "10035\tWARN\t(Strict-Transport-Security Header)\n"
    "10104\tOFF\tits results differ from run to run\n"
    "10038\tPASS\t(Content Security Policy)\n"
    "*\tOUTOFSCOPE\thttp://[^/]+/vendor/.*\n"
    "10021,10036\tOUTOFSCOPE\thttp://[^/]+/static/.*\n"
)


def write(folder: Path, text: str) -> levels.Levels:
    (folder / "zap.tsv").write_text(text, "utf-8")
    return levels.read(folder, "zap.tsv")


def test_every_word_of_the_format(tmp_path: Path) -> None:
    read = write(tmp_path, GOOD)
    assert [line.number for line in read.lines] == [4, 5, 6, 7, 8, 9, 10, 11]
    assert read.severity("40018", Severity.LOW) is Severity.HIGH
    assert read.severity("40018", Severity.CRITICAL) is Severity.CRITICAL
    assert read.severity("40018", Severity.UNKNOWN) is Severity.HIGH
    assert read.severity("10020", Severity.MEDIUM) is Severity.INFO
    assert read.severity("10035", Severity.LOW) is Severity.LOW
    assert read.severity("1", Severity.LOW) is Severity.LOW
    assert {rule: line.word for rule, line in read.thresholds().items()} == {"10104": "OFF"}
    hidden = read.hides("10202")
    assert hidden is not None
    suppression = read.suppression(hidden)
    assert (suppression.kind, suppression.by, suppression.reason) == (
        "external",
        "zap.tsv:4",
        "the forms are for machines",
    )
    assert read.hides("10038") is not None, "PASS hides as well"
    assert read.hides("40018") is None


def test_out_of_scope_matches_at_the_start_of_the_address(tmp_path: Path) -> None:
    read = write(tmp_path, GOOD)
    assert read.out_of_scope("40018", "http://127.0.0.1:5000/vendor/a.js") is not None
    assert read.out_of_scope("40018", "http://127.0.0.1:5000/a?next=http://x/vendor/a.js") is None
    assert read.out_of_scope("10021", "http://127.0.0.1:5000/static/a.js") is not None
    assert read.out_of_scope("10022", "http://127.0.0.1:5000/static/a.js") is None


def test_windows_line_ends(tmp_path: Path) -> None:
    assert write(tmp_path, "10202\tIGNORE\tforms\r\n").lines[0].comment == "forms"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("10202 IGNORE spaces\n", r"zap\.tsv:1: 1 column$"),
        ("10202\tIGNORE\n", r"zap\.tsv:1: 2 columns$"),
        ("# a\n10202\tignore\tx\n", r"zap\.tsv:2: there is no level 'ignore'"),
        ("10202-1\tIGNORE\tx\n", "'10202-1' is no number of a rule"),
        ("*\tIGNORE\tx\n", r"'\*' is no number of a rule"),
        ("\tIGNORE\tx\n", "'' is no number of a rule"),
        ("٣\tIGNORE\tx\n", "is no number of a rule"),
        ("1\tIGNORE\tx\n1\tFAIL\ty\n", r"zap\.tsv:2: rule 1 is set in line 1 too"),
        ("*\tOUTOFSCOPE\t(\n", "no regular expression"),
        ("*\tOUTOFSCOPE\t\n", "needs a regular expression"),
        ("\ufeff10202\tIGNORE\tx\n", "is no number of a rule"),
    ],
)
def test_what_zap_would_leave_out_is_an_error(tmp_path: Path, text: str, why: str) -> None:
    with pytest.raises(UserError, match=why):
        write(tmp_path, text)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"zap\.rules: zap\.tsv cannot be read"):
        levels.read(tmp_path, "zap.tsv")
    (tmp_path / "zap.tsv").write_bytes(b"1\tFAIL\t\xff\n")
    with pytest.raises(UserError, match="is no UTF-8"):
        levels.read(tmp_path, "zap.tsv")
    assert levels.read(tmp_path, "") == levels.Levels()


def test_a_threshold_and_a_level_for_one_rule(tmp_path: Path) -> None:
    read = write(tmp_path, "1\tHIGH\tonly what is sure\n1\tFAIL\tand that blocks\n")
    assert read.thresholds()["1"].word == "HIGH"
    assert read.severity("1", Severity.LOW) is Severity.HIGH


def test_a_variant_follows_its_rule(tmp_path: Path) -> None:
    """ZAP's levels are by rule, its alerts by variant: 10038-1 is of 10038."""
    read = write(tmp_path, GOOD)
    alert = {
        "alertRef": "10038-1",
        "pluginId": "10038",
        "alert": "CSP",
        "risk": "Medium",
        "url": "http://h/a",
        "id": "1",
    }
    surface = findings.Surface(ScanTarget("shop", "http://h", None, ""), "", ())
    from vallum.stage.redact import Redactor

    (group,) = findings.group(surface, [alert])
    found = findings.finding(surface, group, None, Redactor(), {}, read)
    assert found.suppression is not None
    assert found.suppression.by == "zap.tsv:9"
    assert found.severity is Severity.MEDIUM


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ('rules = "none.tsv"', r"zap\.rules: none\.tsv cannot be read"),
        ("service-minutes = { carts = 3 }", r"zap\.service-minutes: there is no service `carts`"),
        ('release = "https://zap.example/ZAP.tar.gz"', r"zap\.release is not pinned"),
        ('mode = "aggressive"', r"zap\.mode"),
        ("minutes = 0", r"zap\.minutes"),
    ],
)
def test_wrong_settings_are_said_before_anything_starts(tmp_path: Path, settings: str, why: str) -> None:
    from vallum import config as configuration
    from vallum.target import discover
    from vallum_checks import zap

    (tmp_path / "cart").mkdir()
    service = '[environment.services.cart]\ndirectory = "cart"\ncommand = ["python", "cart.py"]\n'
    (tmp_path / "vallum.toml").write_text(f"{service}[zap]\n{settings}\n")
    with pytest.raises(UserError, match=why):
        config = configuration.load(tmp_path)
        zap.CHECK.applies(discover(tmp_path, config), config)

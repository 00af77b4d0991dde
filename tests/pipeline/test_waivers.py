"""Waivers: read strictly, written without touching the rest, applied, and said when they rot."""

from __future__ import annotations

import datetime as dt
import json
import tomllib

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.test_cli import WEAK, only, verdict

from vallum import waivers
from vallum.errors import UserError
from vallum.finding import Finding, Location, Package
from vallum.severity import Severity
from vallum.waivers import Match, Waiver

TODAY = dt.date(2026, 6, 1)
GOOD = """
# why: the old importer
[[waiver]]
match = { check = "bandit", rule = "B602", path = "old/*" }
status = "not_affected"
justification = "vulnerable_code_not_in_execute_path"
reason = "only run by hand"
owner = "ada"
until = 2026-07-01
ticket = "SEC-1"
"""


def replaced(old: str, new: str = "") -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new).encode()


def test_a_good_one_is_read_with_its_line():
    (waiver,) = waivers.parse(GOOD.encode(), TODAY, 180, frozenset({"bandit"}))
    assert (waiver.line, waiver.owner, waiver.until) == (3, "ada", dt.date(2026, 7, 1))
    assert waiver.match == Match(check="bandit", rule="B602", path="old/*")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (replaced('owner = "ada"\n'), "has no `owner`"),
        (replaced('owner = "ada"', 'owner = ""'), "has no `owner`"),
        (replaced("until = 2026-07-01\n"), "has no `until`"),
        (replaced('reason = "only run by hand"\n'), "has no `reason`"),
        (replaced('status = "not_affected"\n'), "has no `status`"),
        (replaced("2026-07-01", "2027-01-01"), "longer than the 180 days"),
        (replaced('justification = "vulnerable_code_not_in_execute_path"\n'), "needs a `justification`"),
        (replaced("vulnerable_code_not_in_execute_path", "trust_me"), "justification"),
        (replaced('check = "bandit"', 'check = "bandti"'), "no check 'bandti'"),
        (replaced("ticket", "tiket"), "tiket"),
        (replaced('match = { check = "bandit", rule = "B602", path = "old/*" }\n'), "either an `id` or a `match`"),
        (replaced('match = { check = "bandit", rule = "B602", path = "old/*" }', "match = {}"), "either an `id`"),
        (replaced('match = { check = "bandit", rule = "B602", path = "old/*" }', 'id = "xyz"'), "no identity"),
        (b"[[waiver]\n", "vallum-waivers.toml"),
        (b"[waivers]\n", "vallum-waivers.toml"),
        (b"\xff", "vallum-waivers.toml"),
    ],
)
def test_a_bad_one_is_refused_with_its_line(data, says):
    with pytest.raises(UserError, match=r"vallum-waivers\.toml") as caught:
        waivers.parse(data, TODAY, 180, frozenset({"bandit"}))
    assert says in caught.value.message
    if b"[[waiver]]" in data:
        assert ":3:" in caught.value.message


def found(rule: str = "B602", path: str = "old/a.py", id_: str = "0123456789abcdef") -> Finding:
    return Finding(
        rule=rule, severity=Severity.HIGH, message="m", location=Location(path, 1), id=id_, checks=("bandit",)
    )


def waiver(line: int = 1, **rest) -> Waiver:
    given = {"status": "affected", "reason": "r", "owner": "o", "until": TODAY, **rest}
    return Waiver(line=line, **given)


def test_of_several_the_last_to_end_holds_and_none_after_its_day():
    early, late = waiver(1, id="01234567"), waiver(2, id="01234567", until=TODAY + dt.timedelta(days=9))
    fitting = waivers.index((early, late))(found())
    assert waivers.best(fitting, TODAY) == late
    assert waivers.best([early], TODAY) == early
    assert waivers.best([early], TODAY + dt.timedelta(days=1)) is None


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        (Match(rule="B602"), True),
        (Match(rule="B6*"), True),
        (Match(rule="b602"), False),
        (Match(path="old/*"), True),
        (Match(path="new/*"), False),
        (Match(check="semgrep"), False),
        (Match(package="flask"), False),
        (Match(service="orders"), False),
        (Match(rule="B602", path="new/*"), False),
    ],
)
def test_all_that_a_pattern_names_must_fit(match, fits):
    assert bool(waivers.index((waiver(match=match),))(found())) == fits


words = st.sampled_from(["", "B602", "B6*", "B?02", "*", "CVE-1", "flask", "fla*", "old/*", "bandit"])
some_waivers = st.lists(
    st.one_of(
        st.builds(
            lambda m, line: waiver(line, match=m),
            st.builds(Match, rule=words, path=words, package=words, check=words),
            st.integers(1, 99),
        ),
        st.builds(
            lambda id_, line: waiver(line, id=id_),
            st.sampled_from(["01234567", "0123456789ab", "deadbeef"]),
            st.integers(1, 99),
        ),
    ),
    max_size=6,
    unique_by=lambda each: each.line,
)


@given(some_waivers, st.booleans(), st.sampled_from([(), ("CVE-1",), ("B602", "CVE-1")]))
def test_looking_up_finds_what_looking_through_finds(given_waivers, packaged, aliases):
    package = Package("flask", "1", "pkg:pypi/flask@1") if packaged else None
    finding = msgspec.structs.replace(found(), package=package, aliases=aliases)
    through = {each for each in given_waivers if each.fits(finding)}
    looked_up = waivers.index(given_waivers)(finding)
    assert set(looked_up) == through
    assert len(looked_up) == len(through)


def test_what_rots_is_said_with_its_line():
    soon = waiver(1, id="01234567", until=TODAY + dt.timedelta(days=14))
    ended = waiver(2, id="01234567", until=TODAY - dt.timedelta(days=1))
    unused = waiver(3, match=Match(rule="B999"), until=TODAY + dt.timedelta(days=99))
    broad = waiver(4, match=Match(check="bandit", rule="*"), until=TODAY + dt.timedelta(days=99))
    many = waiver(5, match=Match(rule="B*"), until=TODAY + dt.timedelta(days=99))
    fine = waiver(6, id="01234567", until=TODAY + dt.timedelta(days=15))
    all_of_them = (soon, ended, unused, broad, many, fine)
    used = dict.fromkeys((soon, ended, broad, fine), 1) | {many: 26}
    said = [f"{n.where} {n.text}" for n in waivers.notices(all_of_them, used, TODAY, sure=True)]
    assert len(said) == 5
    for line, words in enumerate(("ends in 14 days", "ended on", "unused", "names no rule", "lets 26 findings"), 1):
        assert said[line - 1].startswith(f"vallum-waivers.toml:{line} ")
        assert words in said[line - 1]
    unsure = waivers.notices((unused,), {}, TODAY, sure=False)
    assert unsure == []


def test_appending_keeps_comments_and_order(tmp_path):
    path = tmp_path / waivers.FILE
    path.write_text(GOOD + "# the end, without a newline")
    added = waiver(id="01234567", reason='says "yes"\n\\ and a tab\t', ticket="SEC-2")
    line = waivers.append(tmp_path, added)
    text = path.read_text()
    assert text.startswith(GOOD + "# the end, without a newline\n")
    assert text.splitlines()[line - 1] == "[[waiver]]"
    read = waivers.load(tmp_path, TODAY, 180)
    assert [each.line for each in read] == [3, line]
    assert read[1].reason == added.reason
    assert tomllib.loads(text)["waiver"][1]["ticket"] == "SEC-2"


def test_the_command_waives_the_gate_passes_and_a_waiver_that_ended_blocks_again(make_tree, vallum):
    """The whole way, with the real bandit."""
    root = make_tree({"a.py": "import os\nos.system(input())\n" + WEAK, "vallum.toml": only("bandit")})
    assert vallum("-C", str(root)).returncode == 1
    blocking = [j for j in verdict(root)["findings"] if j["disposition"] == "blocks"]
    assert blocking
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=10)).isoformat()
    for judged in blocking:
        done = vallum(
            *("-C", str(root), "-s", "waive", "--", judged["finding"]["id"][:12]),
            *("--reason", "a demo", "--owner", "ada", "--until", until, "--ticket", "SEC-7"),
        )
        assert done.returncode == 0, done.stderr
        assert "vallum-waivers.toml:" in done.stderr
    done = vallum("-C", str(root), "-s", "gate")
    assert done.returncode == 0, done.stderr
    assert f"{len(blocking)} waived" in done.stderr
    assert "ends in 10 days" in done.stderr
    after = verdict(root)
    waived = [j for j in after["findings"] if j["disposition"] == "waived"]
    assert [j["finding"]["id"] for j in waived] == [j["finding"]["id"] for j in blocking]
    assert all(j["waiver"]["owner"] == "ada" and j["waiver"]["line"] for j in waived)
    report = root / ".vallum" / "report"
    for name in ("index.html", "summary.md"):
        assert "ends in 10 days" in (report / name).read_text().replace("&#45;", "-")
    assert json.loads((report / "findings.json").read_text())["counts"]["waived"]["high"] == len(blocking)
    file = root / waivers.FILE
    file.write_text(file.read_text().replace(until, "2026-01-01"))
    done = vallum("-C", str(root), "-s", "gate")
    assert done.returncode == 1
    assert "ended on 2026-01-01" in done.stderr
    assert [j["finding"]["id"] for j in verdict(root)["findings"] if j["disposition"] == "blocks"] == [
        j["finding"]["id"] for j in blocking
    ]


def test_the_command_waives_by_a_pattern_that_fits_something(make_tree, vallum):
    files = dict.fromkeys(("old/a.py", "old/b.py", "new/c.py"), "import os\n" + WEAK)
    root = make_tree({**files, "vallum.toml": only("bandit")})
    assert vallum("-C", str(root)).returncode == 1
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=90)).isoformat()
    why = ("--reason", "goes with the folder", "--owner", "ada", "--until", until)
    for pattern, says in (
        ((), "either one finding or a pattern"),
        (("0123456789ab", "--path", "old/*"), "either one finding or a pattern"),
        (("--path", "gone/*"), "nothing in the last verdict fits path gone/*"),
    ):
        done = vallum("-C", str(root), "-s", "waive", "--", *pattern, *why)
        assert done.returncode == 2
        assert says in done.stderr
        assert not (root / waivers.FILE).exists()
    done = vallum("-C", str(root), "-s", "waive", "--", "--path", "old/*", "--check", "bandit", *why)
    assert done.returncode == 0, done.stderr
    assert "old/a.py" in done.stderr
    assert "new/c.py" not in done.stderr
    assert tomllib.loads((root / waivers.FILE).read_text())["waiver"][0]["match"] == {
        "check": "bandit",
        "path": "old/*",
    }
    assert vallum("-C", str(root), "-s", "gate").returncode == 1
    dispositions = {
        j["finding"]["location"]["path"]: j["disposition"]
        for j in verdict(root)["findings"]
        if j["finding"]["severity"] == "high"
    }
    assert dispositions == {"old/a.py": "waived", "old/b.py": "waived", "new/c.py": "blocks"}


def test_a_refused_file_is_said_before_anything_runs(make_tree, vallum):
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit"), waivers.FILE: '[[waiver]]\nid = "01234567"\n'})
    done = vallum("-C", str(root))
    assert done.returncode == 2
    assert "vallum-waivers.toml:1: the waiver has no `owner`" in done.stderr
    assert not list((root / ".vallum").rglob("record.json"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("0123", "--owner", "o"), "required"),
        (("0123", "--reason", "r", "--owner", "o"), "--until"),
        (("0123", "--reason", "r", "--owner", "o", "--until", "2026-13-01"), "no verdict"),
    ],
)
def test_the_command_refuses(make_tree, vallum, arguments, says):
    root = make_tree({"a.py": ""})
    done = vallum("-C", str(root), "-s", "waive", "--", *arguments)
    assert done.returncode == 2
    assert says in done.stderr
    assert not (root / waivers.FILE).exists()

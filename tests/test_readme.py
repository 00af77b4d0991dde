"""What the README says is so: its sessions exist, its numbers are counted, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib

from tests.conftest import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_every_nox_session_named_exists():
    listed = subprocess.run(
        [sys.executable, "-m", "nox", "--script-mode", "none", "-l"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    named = set(re.findall(r"nox -s (\w+)", README))
    assert {"demo", "tests"} <= named
    for name in named:
        assert re.search(rf"^[-*] {name}\b", listed, re.MULTILINE), name


def test_every_vallum_session_named_exists(vallum, tmp_path):
    listed = vallum("-l", cwd=tmp_path).stdout
    for name in re.findall(r"vallum -s (\w+)", README):
        assert re.search(rf"^[-*] {name}\b", listed, re.MULTILINE), name


def test_the_weaknesses_are_counted():
    listed = tomllib.loads((ROOT / "examples" / "shop" / "weaknesses.toml").read_text("utf-8"))["weakness"]
    left_open = sum(bool(weakness.get("open")) for weakness in listed)
    assert f"{len(listed) - left_open} of the {len(listed)} weaknesses" in README
    assert f"the other {left_open} are marked open" in README
    assert all(weakness.get("reason") for weakness in listed if weakness.get("open"))


def test_links_and_pictures_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_it_stays_short():
    assert len(README.splitlines()) < 90

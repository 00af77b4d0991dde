"""The repaired shop is green only while every planned check runs: any of them knocked out makes it incomplete, exit 3."""

from __future__ import annotations

import json
import shutil

import pytest
from tests.conftest import ROOT

from vallum_checks import CHECKS

STATIC = [check.id for check in CHECKS if check.stage != "staged"]


@pytest.fixture
def shop(tmp_path):
    ignore = shutil.ignore_patterns(".vallum", "node_modules")
    shutil.copytree(ROOT / "examples" / "shop" / "advisories", tmp_path / "shop" / "advisories")
    return shutil.copytree(ROOT / "examples" / "shop-repaired", tmp_path / "shop-repaired", ignore=ignore)


def knock_out(shop, check: str, setting: str) -> None:
    """Put `setting` into the table of the check."""
    config = shop / "vallum.toml"
    text = config.read_text()
    header = f"[checks.{check}]\n"
    if header in text:
        text = text.replace(header, header + setting + "\n")
    else:
        text = text.replace("[environment]\n", f"{header}{setting}\n\n[environment]\n", 1)
    config.write_text(text)


@pytest.mark.parametrize("check", STATIC)
def test_a_check_past_its_deadline_is_exit_3(shop, vallum, check):
    knock_out(shop, check, "deadline = 0.001")
    done = vallum("-C", str(shop), "-s", check)
    verdict = json.loads((shop / ".vallum" / "verdict.json").read_bytes())
    assert done.returncode == 3, done.stderr
    assert verdict["status"] == "incomplete"
    assert any("deadline" in reason["text"] for reason in verdict["reasons"]), verdict["reasons"]


def test_one_check_out_of_several_is_enough(shop, vallum):
    knock_out(shop, "dockerfile", "deadline = 0.001")
    assert vallum("-C", str(shop), "-s", "bandit", "dockerfile", "workflows").returncode == 3


def test_a_broken_advisory_source_is_exit_3(shop, vallum):
    (shop.parent / "shop" / "advisories" / "broken.json").write_text("{")
    assert vallum("-C", str(shop), "-s", "pip-audit").returncode == 3


def test_a_deployment_that_does_not_come_up_is_exit_3(shop, vallum):
    (shop / "services" / "orders" / "app.py").write_text("raise SystemExit('broken')\n")
    done = vallum("-C", str(shop), "-s", "schemathesis", timeout=240)
    assert done.returncode == 3, done.stderr
    assert "orders" in done.stderr

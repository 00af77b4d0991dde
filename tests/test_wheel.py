"""`uvx vallum` and `pipx run vallum`: the built wheel on a repository that has no noxfile, with nothing of this clone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile

import pytest

from tests.conftest import ROOT
from tests.pipeline.test_cli import WEAK, only
from vallum.tools import uv


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    out = tmp_path_factory.mktemp("dist")
    subprocess.run([uv(), "build", "--quiet", "--wheel", "--out-dir", out, ROOT], check=True, timeout=300)
    return next(out.glob("*.whl"))


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    folder = tmp_path_factory.mktemp("venv")
    subprocess.run([uv(), "venv", "--quiet", "--python", sys.executable, folder / "v"], check=True, timeout=60)
    argv = [uv(), "pip", "install", "--quiet", "--python", folder / "v" / "bin" / "python", wheel]
    subprocess.run(argv, check=True, timeout=300)
    return folder / "v" / "bin" / "vallum"


def test_the_wheel_carries_all_three_packages_and_no_test(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    for needed in (
        "vallum/_noxfile.py",
        "vallum/cli.py",
        "vallum_checks/locks/bandit.txt",
        "vallum_checks/rules/",
        "vallum_checks/zap_rules/",
        "vallum_templates/report/",
    ):
        assert any(name.startswith(needed) for name in names), needed
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"vallum", "vallum_checks", "vallum_templates"}


def test_vallum_from_the_wheel_judges_another_repository(installed, make_tree):
    root = make_tree({"app/a.py": WEAK, "vallum.toml": only("bandit")})
    env = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    env |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "VALLUM_", "XDG_"))}
    done = subprocess.run([installed], cwd=root, env=env, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 1, done.stderr
    assert json.loads((root / ".vallum" / "verdict.json").read_bytes())["status"] == "fail"
    listed = subprocess.run(
        [installed, "-l"], cwd=root, env=env, capture_output=True, text=True, check=False, timeout=60
    )
    assert listed.returncode == 0
    assert "semgrep" in listed.stdout

"""A change cannot hide findings by the rule file, choose a weaker ZAP or mode, or take back the demand for mutual TLS."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from vallum.mergebase import BASE, _trusted, trusted
from vallum_checks.zap_engine import levels

SETTINGS = """
[zap]
rules = "security/zap.tsv"
mode = "full"
min-rules = 40
[checks.transport.options]
ca = "security/ca.pem"
[environment]
mtls = true
[environment.services.cart]
directory = "cart"
command = ["python", "cart.py"]
[environment.services.mail]
directory = "mail"
command = ["python", "mail.py"]
mtls = false
"""
WEAKER = (
    SETTINGS.replace('"full"', '"baseline"').replace("min-rules = 40", "min-rules = 0").replace("mtls = true\n", "")
)


def git(root: Path, *words: str) -> None:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    own = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    named = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    subprocess.run(["git", "-C", root, *named, *words], env=clean | own, check=True, capture_output=True, timeout=60)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name, text in {
        "vallum.toml": SETTINGS,
        "security/zap.tsv": "10202\tWARN\tforms\n",
        "security/ca.pem": "ours",
        "cart/cart.py": "",
        "mail/mail.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    git(tmp_path, "init", "-q", "-b", "main")
    git(tmp_path, "add", "-A")
    git(tmp_path, "commit", "-q", "-m", "before")
    git(tmp_path, "checkout", "-q", "-b", "change")
    return tmp_path


def test_the_base_decides(root: Path) -> None:
    (root / "vallum.toml").write_text(WEAKER)
    (root / "security/zap.tsv").write_text("10202\tOFF\tnothing to see\n40018\tIGNORE\tnor here\n")
    (root / "security/ca.pem").write_text("theirs")
    git(root, "commit", "-q", "-a", "-m", "weaker")
    _trusted.cache_clear()
    config = trusted(root, {BASE: "main"}).load()[0]
    assert (config.zap.mode, config.zap.min_rules) == ("full", 40)
    read = levels.read(root, config.zap.rules)
    assert [line.word for line in read.lines] == ["WARN"]
    assert (root / config.settings("transport").options["ca"]).read_text() == "ours"
    assert config.environment is not None
    demanded = {name: service.mtls for name, service in config.environment.services.items()}
    assert demanded == {"cart": True, "mail": False}

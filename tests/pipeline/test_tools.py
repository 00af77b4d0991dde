"""Tool environments: built once from a hashed lock, and red when that cannot be done."""

from __future__ import annotations

import importlib.resources
import shutil
import sys
from pathlib import Path

import pytest

from vallum import tools
from vallum.errors import Inconclusive


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_tool_is_built_once_and_found_again(cache):
    first = tools.prepare("bandit")
    stamp = (first.folder / ".complete").stat().st_mtime_ns
    assert first.bin("bandit").exists()
    assert tools.prepare("bandit") == first
    assert (first.folder / ".complete").stat().st_mtime_ns == stamp


def test_a_half_built_environment_is_built_anew(cache):
    folder = tools.prepare("bandit").folder
    (folder / ".complete").unlink()
    shutil.rmtree(folder / "bin")
    assert tools.prepare("bandit").bin("bandit").exists()


def test_a_package_whose_hash_differs_is_refused(cache, tmp_path):
    lock = tmp_path / "x.txt"
    lock.write_text("stevedore==5.5.0 --hash=sha256:" + "0" * 64 + "\n")
    with pytest.raises(Inconclusive, match="cannot install x"):
        tools.build_environment(cache / "x", Path(sys.executable), ["-r", str(lock), "--require-hashes"], "x")
    assert not (cache / "x" / ".complete").exists()


def test_every_lock_is_pinned_hashed_and_says_its_tool():
    folder = Path(str(importlib.resources.files("vallum_checks"))) / "locks"
    locks = sorted(folder.glob("*.txt"))
    assert len(locks) >= 5
    for lock in locks:
        text = lock.read_text()
        assert text.startswith("# tool: "), lock.name
        assert lock.with_suffix(".in").exists(), lock.name
        requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#", "\t"))]
        assert all("==" in line for line in requirements), lock.name
        assert text.count("--hash=sha256:") >= len(requirements), lock.name
        assert "://" not in text, f"{lock.name} names a host"

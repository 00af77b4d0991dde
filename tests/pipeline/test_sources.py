"""The text of a target's file: as it is now, and never through a link."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum import sources
from vallum.target import Target


def test_a_file_is_read_again_when_it_has_changed(tmp_path: Path) -> None:
    target = Target(tmp_path, "t", ("a",), ())
    (tmp_path / "a").write_text("one")
    assert [sources.text(target, "a"), sources.text(target, "a")] == ["one", "one"]
    (tmp_path / "b").write_text("two")
    os.replace(tmp_path / "b", tmp_path / "a")
    assert sources.text(target, "a") == "two"
    (tmp_path / "a").write_bytes(b"\xff!")
    assert sources.text(target, "a") == "\ufffd!"


def test_what_is_no_file_of_the_target_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = Target(tmp_path / "t", "t", (), ())
    (tmp_path / "t").mkdir()
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "t" / "link").symlink_to(tmp_path / "secret")
    for path, error in (("link", OSError), ("../secret", ValueError), ("none", OSError), (".", OSError)):
        with pytest.raises(error):
            sources.text(target, path)
    monkeypatch.setattr(sources, "MAX_SOURCE", 3)
    (tmp_path / "t" / "large").write_text("1234")
    with pytest.raises(ValueError, match="more than the limit"):
        sources.text(target, "large")


def test_no_more_is_kept_than_a_bound(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "KEPT", 100)
    monkeypatch.setattr(sources, "_kept", sources._Kept())
    target = Target(tmp_path, "t", (), ())
    for number in range(10):
        (tmp_path / str(number)).write_text(str(number) * 40)
        assert sources.text(target, str(number)) == str(number) * 40
        assert sum(len(text) for _, text in sources._kept.texts.values()) == sources._kept.size <= 100

"""Atomic writes and careful reads."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from vallum import artifacts
from vallum.errors import UserError


def test_what_is_written_is_read(tmp_path):
    artifacts.write(tmp_path / "a" / "b", b"whole")
    assert artifacts.read(tmp_path / "a" / "b") == b"whole"
    assert os.listdir(tmp_path / "a") == ["b"]


def test_a_link_is_not_followed(tmp_path):
    (tmp_path / "secret").write_text("s")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(OSError):
        artifacts.read(tmp_path / "link")


def test_a_named_pipe_does_not_hang_the_reader(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="no regular file"):
        artifacts.read(tmp_path / "pipe")


def test_too_large_is_refused_before_it_is_read(tmp_path):
    with (tmp_path / "big").open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(ValueError, match="more than the limit"):
        artifacts.read(tmp_path / "big")


def test_a_writer_killed_at_any_moment_leaves_old_or_new(tmp_path):
    path = tmp_path / "state.json"
    artifacts.write(path, b"old" * 100_000)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom vallum import artifacts\n"
        "n = 0\n"
        "while True:\n"
        "    n += 1\n"
        "    artifacts.write(Path(sys.argv[2]), (b'%05d' % n) * 100_000)\n"
    )
    pipeline = str(artifacts.__file__).rsplit("/vallum/", 1)[0]
    for pause in (0.15, 0.2, 0.26, 0.31):
        writer = subprocess.Popen([sys.executable, "-c", code, pipeline, str(path)])
        time.sleep(pause)
        writer.kill()
        writer.wait()
        data = artifacts.read(path)
        assert len(data) in {300_000, 500_000}
        assert len({data[i : i + 5] for i in range(0, len(data), 5)}) == 1 or data.startswith(b"old")


def test_two_runs_in_one_place_do_not_mix(tmp_path):
    with artifacts.locked(tmp_path / "lock"), pytest.raises(UserError, match="at work"):
        with artifacts.locked(tmp_path / "lock", "another vallum is at work"):
            raise AssertionError

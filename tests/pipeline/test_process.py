"""vallum.process with real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vallum.errors import Inconclusive
from vallum.process import beside, clean_environment, run, start, stop


def call(tmp_path: Path, code: str, deadline: float = 20, **more):
    return run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        deadline=deadline,
        stdout=tmp_path / "out",
        stderr=tmp_path / "err",
        **more,
    )


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def gone(pid: int, seconds: float = 5) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not alive(pid):
            return True
        time.sleep(0.02)
    return False


def test_the_exit_code_and_both_streams_are_kept(tmp_path):
    done = call(tmp_path, "import sys; print('yes'); print('no', file=sys.stderr); sys.exit(7)")
    assert (done.exit_code, done.output(), done.tail()) == (7, b"yes\n", "no")


def test_a_program_that_is_not_there_says_so(tmp_path):
    with pytest.raises(Inconclusive, match="cannot start"):
        run(["/nonexistent/tool"], cwd=tmp_path, deadline=5, stdout=tmp_path / "o", stderr=tmp_path / "e")


def test_the_deadline_ends_the_process_and_its_children(tmp_path):
    code = (
        "import subprocess, sys, time, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    with pytest.raises(Inconclusive, match="deadline of 8 s"):
        call(tmp_path, code, deadline=8)  # time for two interpreters to start on a busy machine
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_left_behind_by_a_tool_that_ended_is_ended_too(tmp_path):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "print(child.pid)\n"
    )
    done = call(tmp_path, code)
    assert done.exit_code == 0
    assert gone(int(done.output()))


def test_secrets_of_the_environment_do_not_reach_a_tool(tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_TOKEN", "hidden")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hidden")
    monkeypatch.setenv("PYTHONPATH", "/evil")
    monkeypatch.setenv("UV_INDEX_URL", "https://user:hidden@host.invalid")
    done = call(tmp_path, "import os; print(sorted(os.environ.items()))")
    assert b"hidden" not in done.output()
    assert b"evil" not in done.output()
    assert "UV_INDEX_URL" in clean_environment(installer=True)


def test_a_flood_of_output_ends_the_tool_not_the_disk(tmp_path):
    code = "import sys\nwhile True: sys.stdout.write('x' * 65536)"
    with pytest.raises(Inconclusive, match=r"wrote a file over|ended"):
        done = call(tmp_path, code, max_file=1 << 20)
        raise Inconclusive(f"ended with {done.exit_code}") if done.exit_code else AssertionError
    assert (tmp_path / "out").stat().st_size <= 1 << 20


def test_reading_more_than_the_limit_is_refused(tmp_path):
    done = call(tmp_path, "print('x' * 5000)")
    with pytest.raises(Inconclusive, match="more than the limit of 100"):
        done.output(limit=100)


def test_stop_is_safe_to_call_twice(tmp_path):
    process = start(
        [sys.executable, "-c", "import time; time.sleep(60)"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=tmp_path / "o",
    )
    assert stop(process) == -signal.SIGTERM
    assert stop(process) == -signal.SIGTERM


@pytest.mark.skipif(sys.platform != "linux", reason="the parent-death signal is Linux's")
def test_kill_9_of_the_parent_leaves_no_tool(tmp_path):
    code = (
        "import sys, pathlib; sys.path.insert(0, sys.argv[1])\n"
        "from vallum.process import run\n"
        "here = pathlib.Path(sys.argv[2])\n"
        'inner = \'import os, time; open("pid", "w").write(str(os.getpid())); time.sleep(60)\'\n'
        "run([sys.executable, '-c', inner], cwd=here, deadline=60, stdout=here / 'o', stderr=here / 'e')\n"
    )
    pipeline = Path(__file__).resolve().parents[2] / "pipeline"
    parent = subprocess.Popen([sys.executable, "-c", code, str(pipeline), str(tmp_path)])
    pid = tmp_path / "pid"
    end = time.monotonic() + 20
    while not (pid.exists() and pid.read_text()) and time.monotonic() < end:
        time.sleep(0.02)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    assert gone(int(pid.read_text()))


def test_work_beside_us_comes_back_or_is_missed():
    assert beside(lambda: b"x" * 1_000_000)() == b"x" * 1_000_000
    with pytest.raises(Inconclusive, match="beside this one ended"):
        beside(lambda: bytes([1 // 0]))()
    with pytest.raises(Inconclusive, match="beside this one ended"):
        beside(lambda: os.kill(os.getpid(), signal.SIGKILL) or b"")()

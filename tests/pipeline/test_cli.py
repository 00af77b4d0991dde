"""The command line, end to end, with a real tool (bandit)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from tests.conftest import MAIN

from vallum_checks import CHECKS


def only(*names: str, extra: str = "") -> str:
    """A vallum.toml in which all other checks are off."""
    off = "".join(f'[checks.{check.id}]\nrequire = "off"\n' for check in CHECKS if check.id not in names)
    return off + extra


WEAK = "import subprocess\nsubprocess.call(input(), shell=True)\n"


def verdict(root):
    return json.loads((root / ".vallum" / "verdict.json").read_bytes())


def test_a_weak_tree_fails_with_1(make_tree, vallum):
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit")})
    done = vallum("-C", str(root))
    assert done.returncode == 1, done.stderr
    assert verdict(root)["status"] == "fail"
    assert "B602" in (root / ".vallum" / "report" / "findings.json").read_text()
    assert (root / ".vallum" / "report" / "index.html").stat().st_size > 5000
    assert "FAIL" in done.stderr + done.stdout


def test_a_clean_tree_passes_with_0(make_tree, vallum):
    root = make_tree({"a.py": "print('hello')\n", "vallum.toml": only("bandit")})
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    assert verdict(root)["status"] == "pass"


def test_an_unparsable_file_is_incomplete_with_3(make_tree, vallum):
    root = make_tree({"a.py": "print('hello')\n", "b.py": "def (:\n", "vallum.toml": only("bandit")})
    done = vallum("-C", str(root))
    assert done.returncode == 3, done.stderr
    assert "b.py" in verdict(root)["reasons"][0]["text"]


def test_a_tool_past_its_deadline_is_incomplete_with_3(make_tree, vallum):
    late = "[checks.bandit]\ndeadline = 0.01\n"
    root = make_tree({"a.py": "print('hello')\n", "vallum.toml": only("bandit", extra=late)})
    assert vallum("-C", str(root)).returncode == 3
    assert "deadline" in verdict(root)["reasons"][0]["text"]


def test_nothing_that_applies_is_incomplete_with_3(make_tree, vallum):
    root = make_tree({"a.txt": "hello", "vallum.toml": only("bandit")})
    assert vallum("-C", str(root)).returncode == 3
    assert "no check ran whole" in verdict(root)["reasons"][0]["text"]


def test_a_misspelt_check_is_the_users_mistake_with_2(make_tree, vallum):
    root = make_tree({"a.py": "", "vallum.toml": '[checks.bandti]\nrequire = "off"\n'})
    done = vallum("-C", str(root))
    assert done.returncode == 2
    assert "error: vallum.toml:1: unknown check `bandti`" in done.stderr
    assert "did you mean `bandit`?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("arguments", [["-s", "bandti"], ["-t", "nothing"], ["-C", "/nonexistent"], ["--frobnicate"]])
def test_a_misspelt_argument_is_the_users_mistake_with_2(vallum, tmp_path, arguments):
    done = vallum(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_one_selected_check_is_judged_alone_and_says_so(make_tree, vallum):
    root = make_tree({"a.py": WEAK})
    assert vallum("-C", str(root), "-s", "bandit").returncode == 1
    assert verdict(root)["scope"] == ["bandit"]


def test_gather_then_gate_as_in_a_matrix(make_tree, vallum):
    root = make_tree({"a.py": "print(1)\n", "vallum.toml": only("bandit")})
    assert vallum("-C", str(root), "-s", "plan").returncode == 0
    assert vallum("-C", str(root), "-s", "gate").returncode == 3  # no outcome yet
    assert vallum("-C", str(root), "--no-gate", "-s", "bandit").returncode == 0
    assert vallum("-C", str(root), "-s", "gate").returncode == 0


def test_a_plan_that_nobody_got_is_no_plan(make_tree):
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit")})
    argv = [sys.executable, "-I", str(MAIN), "-C", str(root), "-s", "plan", "--", "--json"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(argv, stdout=full, stderr=subprocess.PIPE, timeout=300, check=False)
    assert done.returncode == 3, done.stderr
    assert subprocess.run(argv, capture_output=True, timeout=300, check=False).stdout == b'["bandit"]\n'


def test_the_list_names_every_check(vallum, tmp_path):
    done = vallum("-l", cwd=tmp_path)
    assert done.returncode == 0
    for check in CHECKS:
        assert check.summary in done.stdout or check.stage == "staged"


def test_a_marker_in_the_source_is_counted_not_obeyed(make_tree, vallum):
    root = make_tree({"a.py": WEAK.replace("True)", "True)  # nosec"), "vallum.toml": only("bandit")})
    assert vallum("-C", str(root)).returncode == 0
    assert [f["disposition"] for f in verdict(root)["findings"]].count("suppressed") >= 1
    strict = only("bandit", extra='[policy]\nsuppressions = "forbid"\n')
    (root / "vallum.toml").write_text(strict)
    assert vallum("-C", str(root)).returncode == 1


def test_the_targets_own_code_never_runs_as_the_gate(make_tree, vallum):
    evil = "import os, pathlib\npathlib.Path('EVIL').touch()\nos._exit(0)\n"
    names = ["sitecustomize.py", "usercustomize.py", "noxfile.py", "nox.py", "msgspec.py", "vallum.py", "bandit.py"]
    names += ["pipeline/__init__.py", "vallum/__init__.py", "vallum/cli.py", "json.py", "vallum_checks/__init__.py"]
    root = make_tree({**dict.fromkeys(names, evil), "a.py": WEAK, "vallum.toml": only("bandit")})
    done = vallum("-C", str(root), cwd=root, env={"PYTHONPATH": str(root)})
    assert done.returncode == 1, done.stderr
    assert not (root / "EVIL").exists()


def test_the_targets_bandit_settings_silence_nothing(make_tree, vallum):
    silence = "[bandit]\nskips: B602,B404\nexclude: a.py\n"
    files = {".bandit": silence, "setup.cfg": silence, "tox.ini": silence}
    files["pyproject.toml"] = '[tool.bandit]\nskips = ["B602"]\nexclude_dirs = ["."]\n'
    root = make_tree({**files, "a.py": WEAK, "vallum.toml": only("bandit")})
    assert vallum("-C", str(root), cwd=root).returncode == 1


WAITS = """
[[check]]
id = "waits"
summary = "waits until it may go on"
files = ["*.py"]
argv = [{python}, "waits.txt"]
sarif = "none.sarif"
"""


def test_two_runs_at_once_in_one_place(make_tree, vallum):
    waits = "import pathlib, time\npathlib.Path('started').touch()\nwhile not pathlib.Path('go').exists(): time.sleep(0.05)\n"
    settings = only(extra=WAITS.format(python=json.dumps(sys.executable)))
    root = make_tree({"a.py": WEAK, "waits.txt": waits, "vallum.toml": settings})
    first = subprocess.Popen([sys.executable, "-I", str(MAIN), "-C", str(root)], stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while not (root / "started").exists() and time.monotonic() < end:
            time.sleep(0.05)
        done = vallum("-C", str(root))
    finally:
        (root / "go").touch()
    assert first.wait(60) == 3, "it left no report"
    assert done.returncode == 2
    assert "another vallum is at work" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_ended_run_is_never_green_and_leaves_nothing(make_tree, vallum, number):
    root = make_tree({**{f"{n}.py": WEAK * 400 for n in range(150)}, "vallum.toml": only("bandit")})
    process = subprocess.Popen(
        [sys.executable, "-I", str(MAIN), "-C", str(root)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    raw = root / ".vallum" / "outcomes" / "bandit" / "_" / "raw" / "bandit-0.stdout"
    end = time.monotonic() + 60
    while not raw.exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.kill(process.pid, number)
    code = process.wait(60)
    assert code == (130 if number != signal.SIGKILL else -9)
    assert not (root / ".vallum" / "verdict.json").exists()
    end = time.monotonic() + 10
    while (left := running_in(root)) and time.monotonic() < end:
        time.sleep(0.05)
    assert left == []


def running_in(root) -> list[str]:
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                line = file.read().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
        if str(root) in line:
            found.append(line)
    return found


def test_a_noxfile_of_the_users_has_the_sessions(make_tree):
    from tests.conftest import ROOT

    paths = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]
    noxfile = f"import sys\nsys.path[:0] = {paths!r}\nfrom vallum.sessions import register; register()\n"
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit"), "noxfile.py": noxfile})
    done = subprocess.run([sys.executable, "-m", "nox"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert verdict(root)["status"] == "fail"


def test_a_session_name_that_is_taken_is_refused(make_tree):
    from tests.conftest import ROOT

    paths = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]
    noxfile = f"import sys\nsys.path[:0] = {paths!r}\nimport nox\n@nox.session\ndef gate(s): pass\n"
    noxfile += "from vallum.sessions import register; register()\n"
    root = make_tree({"noxfile.py": noxfile})
    done = subprocess.run([sys.executable, "-m", "nox"], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "already has a session named 'gate'" in done.stderr + done.stdout


def test_a_files_exclusion_for_one_check_is_said(make_tree, vallum):
    left_out = only("bandit", extra='[checks.bandit]\nexclude = ["old"]\n')
    root = make_tree({"a.py": "print(1)\n", "old/b.py": WEAK, "vallum.toml": left_out})
    assert vallum("-C", str(root)).returncode == 0
    assert "excluded by the configuration: old (1 files)" in verdict(root)["checks"][0]["notes"]

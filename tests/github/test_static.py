"""The action and the workflows as text: pinned, least privilege, nothing expanded into a script, and clean to the linters."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from vallum.tools import prepare

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTION = ROOT / "action.yml"
TEMPLATES = sorted((ROOT / "templates" / "vallum_templates" / "ci").glob("*.yml"))
ALL = [ACTION, *WORKFLOWS]


def steps(path: Path) -> list[dict[str, Any]]:
    document = yaml.safe_load(path.read_text("utf-8"))
    if "runs" in document:
        return document["runs"]["steps"]
    return [step for job in document["jobs"].values() for step in job.get("steps", [])]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit_and_say_their_release(path: Path) -> None:
    for line in path.read_text("utf-8").splitlines():
        if re.search(r"\buses: [^.]", line):
            assert re.search(r"uses: [\w.-]+(/[\w.-]+)+@[0-9a-f]{40} # v\d+\.\d+\.\d+$", line), line


def test_one_release_of_each_action() -> None:
    pins: dict[str, set[str]] = {}
    for path in [*ALL, *TEMPLATES]:
        for name, commit in re.findall(r"uses: ([\w.-]+/[\w.-]+)(?:/[\w.-]+)*@(\w{40}) ", path.read_text("utf-8")):
            pins.setdefault(name, set()).add(commit)
    assert pins
    assert {name: commits for name, commits in pins.items() if len(commits) > 1} == {}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_no_expression_is_expanded_into_a_script(path: Path) -> None:
    for step in steps(path):
        assert "${{" not in step.get("run", ""), step


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_nothing_is_permitted_by_default_and_jobs_end(path: Path) -> None:
    document = yaml.safe_load(path.read_text("utf-8"))
    assert document["permissions"] == {}
    for name, job in document["jobs"].items():
        assert set(job["permissions"]) <= {"contents", "security-events"}, name
        assert job["permissions"]["contents"] == "read"
        assert "timeout-minutes" in job
        for step in job["steps"]:
            if "checkout@" in step.get("uses", ""):
                assert step["with"]["persist-credentials"] is False


def test_the_verdict_is_the_last_step_and_always_runs() -> None:
    last = steps(ACTION)[-1]
    assert last["if"] == "always()"
    assert last["run"].rstrip().endswith('exit "${CODE:-3}"')


def test_the_documented_inputs_are_the_actions() -> None:
    page = (ROOT / "docs" / "github-actions.md").read_text("utf-8")
    document = yaml.safe_load(ACTION.read_text("utf-8"))
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", page, re.MULTILINE)) == sorted(document["inputs"])
    for name in ("verdict", "exit-code", "report"):
        assert f"`{name}`" in page
        assert name in document["outputs"]


def test_the_action_installs_what_the_package_depends_on() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["dependencies"]
    assert (ROOT / ".github" / "requirements.in").read_text("utf-8").split() == wanted
    locked = dict(
        re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / ".github" / "requirements.txt").read_text("utf-8"), re.MULTILINE)
    )
    assert {re.split(r"[><=]", name)[0] for name in wanted} <= set(locked)


def test_zizmor_finds_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [prepare("zizmor").bin("zizmor"), "--no-progress", "--offline", "--quiet", *ALL],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_zizmor_finds_nothing_in_what_init_writes(tmp_path: Path) -> None:
    from vallum import init

    for number, extra in enumerate(((), ("--matrix",))):
        root = tmp_path / str(number)
        root.mkdir()
        init.init(root, ("--action", f"me/vallum@{'0123456789' * 4}", *extra))
        done = subprocess.run(
            [prepare("zizmor").bin("zizmor"), "--no-progress", "--offline", "--quiet", root / init.WORKFLOW],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr

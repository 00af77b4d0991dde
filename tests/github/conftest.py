"""Workflows run for real by act, on this machine itself. Only what act cannot fetch has a stand-in (see stand-ins/)."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from vallum.tools import prepare

ROOT = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).parent / "stand-ins"
NAME = "example/vallum"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = re.compile(r"uses: ([\w.-]+/[\w.-]+)((?:/[\w.-]+)*)@([0-9a-f]{40})")


def uses(path: Path) -> set[tuple[str, str]]:
    """Repository and commit of each remote action that a workflow or action uses."""
    return {(repository, commit) for repository, _, commit in PINNED.findall(path.read_text("utf-8"))}


@dataclass(frozen=True)
class Ran:
    """What act left: its exit code, what it printed, the summaries, and the stand-ins' folder."""

    code: int
    log: str
    messages: tuple[dict[str, object], ...]
    store: Path

    def artifact(self, name: str, path: str) -> Path:
        """A file of an artifact."""
        return self.store / "artifacts" / name / path

    def result(self, job: str) -> str:
        """`success` or `failure` of a job by the end of its name, where act tells."""
        found = [
            str(message["jobResult"])
            for message in self.messages
            if "jobResult" in message and str(message.get("job", "")).endswith(job)
        ]
        return found[-1] if found else ""


Act = Callable[..., Ran]


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """vallum as a checkout of it looks: what the action needs, and no more."""
    folder = tmp_path_factory.mktemp("vallum")
    shutil.copyfile(ROOT / "action.yml", folder / "action.yml")
    for name in (".github", "pipeline", "checks", "templates"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "zap_rules"))
    return folder


@pytest.fixture
def act(tmp_path: Path, clone: Path) -> Act:
    """Run the workflow of a repository, given as files, with act."""

    def run(files: Mapping[str, str], event: Mapping[str, object] | None = None, timeout: float = 420) -> Ran:
        target = tmp_path / "shop"
        for name, content in files.items():
            path = target / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, "utf-8")
        for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "all"]):
            identity = [
                "-c",
                "user.name=test",
                "-c",
                "user.email=test@example.invalid",
                "-c",
                "core.hooksPath=/dev/null",
            ]
            subprocess.run(["git", *identity, *command], cwd=target, check=True)
        store = tmp_path / "store"
        store.mkdir()
        event_file = tmp_path / "event.json"
        event_file.write_text(json.dumps({"repository": {"default_branch": "main"}, **(event or {})}), "utf-8")
        where: dict[str, Path] = {f"{NAME}@{COMMIT}": clone}
        ours = [ROOT / "action.yml", *(ROOT / ".github" / "workflows").glob("*.yml")]
        workflows = list(target.glob(".github/workflows/*.yml"))
        for repository, commit in set().union(*(uses(path) for path in [*ours, *workflows])):
            if repository != NAME:
                folder = "upload-sarif" if repository == "github/codeql-action" else repository.partition("/")[2]
                where[f"{repository}@{commit}"] = STAND_INS / folder
        environment = {
            "STAND_IN": store,
            "STAND_IN_PYTHON": Path(sys.base_prefix) / "bin" / "python3",
            "STAND_IN_VALLUM": clone,
            "STAND_IN_VALLUM_NAME": f"{NAME}@{COMMIT}",
            "VALLUM_CACHE": os.environ.get("VALLUM_CACHE") or Path.home() / ".cache" / "vallum",
        }
        done = subprocess.run(
            [
                *(prepare("act").bin("act"), "push", "-P", "ubuntu-latest=-self-hosted", "--json", "--no-cache-server"),
                *("--artifact-server-addr", "127.0.0.1", "--eventpath", event_file),
                *(f"--local-repository={name}={folder}" for name, folder in where.items()),
                *(f"--env={name}={value}" for name, value in environment.items()),
            ],
            cwd=target,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "XDG_CONFIG_HOME": str(tmp_path / "config")},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        log = "\n".join(str(message.get("msg", "")) for message in messages) + done.stderr
        (tmp_path / "act.log").write_text(log, "utf-8")
        shutil.rmtree(tmp_path / "cache", ignore_errors=True)  # act leaves the work trees of failed jobs
        return Ran(done.returncode, log, tuple(messages), store)

    return run


def workflow(**jobs: object) -> str:
    """A workflow of the given jobs, run on push."""
    return yaml.safe_dump({"on": "push", "permissions": {"contents": "read"}, "jobs": jobs}, sort_keys=False)

"""A compose file of small services in a folder of its own, and podman asked without any code of vallum."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Protocol

import pytest

from vallum import config as configuration
from vallum import stage
from vallum.config import Config
from vallum.target import Target, discover

from .conftest import SERVICE
from .test_process import ORCHESTRATOR

BASE = "localhost/vallum-test-base:1"


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True, timeout=300).stdout


@functools.cache
def why_not() -> str:
    """Why nothing can be run here; empty where podman works and has an image with Python."""
    if os.getuid() != 0 or shutil.which("podman") is None:
        return "podman as root is not at hand"
    try:
        podman("info")
        if subprocess.run(["podman", "image", "exists", BASE], check=False, timeout=60).returncode == 0:
            return ""
        if shutil.which("mmdebstrap") is None:
            return f"there is no image {BASE} and no mmdebstrap to make it"
        made = subprocess.Popen(
            ["mmdebstrap", "--quiet", "--variant=apt", "--include=python3", "bookworm", "-"], stdout=subprocess.PIPE
        )
        subprocess.run(["podman", "import", "-", BASE], stdin=made.stdout, check=True, timeout=300)
        return "" if made.wait(timeout=60) == 0 else "mmdebstrap failed"
    except (subprocess.SubprocessError, OSError) as error:
        return f"podman does not work here: {error}"


class Project:
    """A folder with a compose file of small services."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.label = hashlib.sha256(os.fsencode(root.resolve() / ".vallum/stage/compose")).hexdigest()[:12]
        self.services: dict[str, dict[str, object]] = {}
        self.file: dict[str, object] = {"services": self.services}
        self.lines = ['[environment]\nkind = "compose"']

    def service(
        self, name: str = "a", mode: str = "", *, seconds: float = 20, staged: bool = True, **keys: object
    ) -> None:
        folder = self.root / name
        folder.mkdir()
        (folder / "service.py").write_text(SERVICE.replace('"127.0.0.1", port', '"0.0.0.0", port'))
        (folder / "Dockerfile").write_text(
            f'FROM {BASE}\nCOPY service.py /\nUSER 10001:10001\nCMD ["python3", "/service.py", "8000"]\n'
        )
        environment = {"MODE": mode, "NAME": name}
        self.services[name] = {"build": name, "environment": environment, "ports": ["0.0.0.0:8001:8000"], **keys}
        if staged:
            self.lines.append(
                f'[environment.services.{name}]\ndirectory = "{name}"\n'
                f'ready = {{ path = "/ready", seconds = {seconds} }}\n'
            )

    def login(self) -> None:
        self.file["secrets"] = {"alice": {"environment": "ALICE"}}
        self.services["a"]["secrets"] = ["alice"]
        self.lines.insert(
            1,
            '[environment.secrets]\nalice = "generate"\n[environment.compose]\n'
            'variables = { ALICE = "{secret.alice}" }\n',
        )
        self.lines.append('env = { PASSWORD = "{secret.alice}", AT = "{url.a}" }')
        self.lines.append(
            '[environment.login]\nservice = "a"\npath = "/login"\ntoken = "data.access"\nprobe = "/me"\n'
            'json = { user = "alice", password = "{secret.alice}" }'
        )

    def load(self) -> tuple[Target, Config]:
        (self.root / "compose.yaml").write_text(json.dumps(self.file))  # JSON is YAML
        (self.root / "vallum.toml").write_text("\n".join(self.lines))
        config = configuration.load(self.root)
        return discover(self.root, config), config

    def containers(self, *more: str) -> list[str]:
        """What is there, asked without any code of vallum."""
        return podman("ps", *more, "--filter", f"label=vallum.stage={self.label}", "--format", "{{.Names}}").split()

    def left(self) -> list[str]:
        """Everything that a deployment makes, but for the images."""
        label = f"label=vallum.stage={self.label}"
        networks = podman("network", "ls", "-q", "--filter", label).split()
        volumes = podman("volume", "ls", "-q", "--filter", label).split()
        private = list(map(str, Path("/dev/shm").glob(f"vallum-*-{self.label}")))
        return [*self.containers("--all"), *networks, *volumes, *private]


def enter(project: Project) -> None:
    target, config = project.load()
    with stage.deploy(target, config, "r"):
        pytest.fail("it came up")


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:  # loopback
        return int(answer.status)


class Loadable(Protocol):
    """A folder with settings that `load` writes down."""

    root: Path

    def load(self) -> object: ...


def orchestrate(project: Loadable) -> subprocess.Popen[bytes]:
    """Another process that brings the folder's deployment up, and says so."""
    project.load()
    process = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(project.root), *filter(None, sys.path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline() == b"up\n"
    return process

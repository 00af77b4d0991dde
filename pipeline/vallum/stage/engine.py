"""A container engine by its command line: podman or docker, whichever answers. Both understand what is said here.

Seen to work with podman 4.3.1, and with the client of docker 28.2 on podman's socket (DOCKER_HOST). **Unverified** with docker's
own engine, which was not at hand.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vallum.errors import Inconclusive
from vallum.stage.commandline import Answer, ask

LABEL = "vallum.stage"
"""The label of everything that is made; its value names the stage folder, so that only what is ours is ever removed."""
DEADLINE = 60.0
"""Seconds for a question."""
GRACE = 2
"""Seconds between SIGTERM and SIGKILL."""
LARGEST = 16 << 30
"""Bytes of one file in an image that is built or pulled."""
OWN_FAILURES = (125, 126, 127)
"""Exit codes by which `run` says that no program of the container ran (docker's and podman's run reference)."""
_PROBE = {"podman": ("info", "--format", "{{.Version.Version}}"), "docker": ("info", "--format", "{{.ServerVersion}}")}


@dataclass(frozen=True)
class Engine:
    """An engine that answered: `program` is podman or docker, `path` where it is."""

    program: str
    path: str

    def ask(self, *words: str, deadline: float = DEADLINE, cwd: Path | None = None) -> Answer:
        """Run one command to its end. Raises Inconclusive where it does not end in time."""
        return ask([self.path, *words], deadline, cwd, LARGEST)

    def must(self, *words: str, deadline: float = DEADLINE, cwd: Path | None = None) -> str:
        """The same for a command that has to succeed: its output. Raises Inconclusive otherwise."""
        answer = self.ask(*words, deadline=deadline, cwd=cwd)
        if answer.exit_code != 0:
            raise Inconclusive(f"{self.program} {words[0]} failed: {answer.reason}", answer.error)
        return answer.output.strip()

    def json(self, *words: str) -> Any:
        """The output of a command that prints JSON."""
        output = self.must(*words)
        try:
            return json.loads(output)
        except ValueError:
            raise Inconclusive(f"{self.program} {words[0]} printed no JSON") from None

    def network(self, name: str, aliases: Sequence[str]) -> list[str]:
        """The arguments that join a network under the names `aliases`."""
        if self.program == "podman":
            return ["--network", ":".join((name, ",".join(f"alias={alias}" for alias in aliases)))]
        return ["--network", ",".join((f"name={name}", *(f"alias={alias}" for alias in aliases)))]

    def tmpfs(self, target: str, options: Sequence[str], owner: str, user: str) -> list[str]:
        """The arguments for a file system in memory. podman knows no owner but the container's user."""
        if not owner or self.program == "docker":
            ids = [f"{key}={value}" for key, value in zip(("uid", "gid"), owner.split(":"), strict=False) if value]
            return ["--tmpfs", ":".join(filter(None, (target, ",".join((*options, *ids)))))]
        if owner.split(":", maxsplit=1)[0] != user.split(":", maxsplit=1)[0]:
            return ["--tmpfs", ":".join((target, ",".join((*(o for o in options if o[:5] != "mode="), "mode=1777"))))]
        known = {"size": "tmpfs-size", "mode": "tmpfs-mode"}
        words = [each.partition("=") for each in options]
        kept = [f"{known[name]}={value}" for name, _, value in words if name in known]
        return ["--mount", ",".join(("type=tmpfs", f"dst={target}", *kept, "U=true"))]

    def lifetime(self, seconds: int) -> list[str]:
        """The arguments that end a container by itself, however its owner ended. docker has none."""
        return ["--timeout", str(seconds), "--no-healthcheck"] if self.program == "podman" else ["--no-healthcheck"]

    def named(self, label: str) -> list[str]:
        """The names of all containers with our label, running or not."""
        return self.must("ps", "--all", "--filter", f"label={LABEL}={label}", "--format", "{{.Names}}").split()

    def sweep(self, label: str) -> list[str]:
        """Remove the containers, networks and volumes with our label; the names of the containers.

        Raises Inconclusive where something is still there afterwards.
        """
        names = self.named(label)
        if names:
            self.ask("stop", f"--time={GRACE}", *names)
            self.ask("rm", "--force", "--volumes", *names)
        for what in ("network", "volume"):
            found = self.must(what, "ls", "--quiet", "--filter", f"label={LABEL}={label}").split()
            if found:
                self.ask(what, "rm", *found)
        if left := self.named(label):
            raise Inconclusive(f"{self.program} does not remove {', '.join(sorted(left))}")
        return names

    def forget_images(self, label: str) -> None:
        """Remove the images that were built with our label."""
        images = set(self.must("image", "ls", "--quiet", "--no-trunc", "--filter", f"label={LABEL}={label}").split())
        if images:
            self.ask("image", "rm", "--force", *sorted(images))


def find(which: Literal["any", "podman", "docker"]) -> list[Engine]:
    """The engines that answer, podman first. A client alone does not count: its engine must name its version."""
    found = []
    for program, question in _PROBE.items():
        path = shutil.which(program)
        if which not in ("any", program) or path is None:
            continue
        try:
            answer = ask([path, *question], 15.0, None)
        except Inconclusive:
            continue  # it does not answer, which is what was asked
        if answer.exit_code == 0 and answer.output.strip():
            found.append(Engine(program, path))
    return found


def choose(which: Literal["any", "podman", "docker"]) -> Engine:
    """The engine to use. Raises Inconclusive where none answers."""
    found = find(which)
    if not found:
        wanted = "podman or docker" if which == "any" else which
        raise Inconclusive(f"no container engine answers: {wanted} is needed for a compose environment")
    return found[0]

"""`state.json`: which processes a deployment consists of, so that the next run can remove what a killed one left.

It holds no secret and no environment variable. What it says is believed only as far as pid and start time agree with the
system, and a file that does not fit the types is ignored: the label of the processes (vallum.stage.leftovers) remains.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec

from vallum import artifacts
from vallum.errors import UserError
from vallum.stage import leftovers
from vallum.stage.settings import NAME

FILE = "state.json"
_MAX_SIZE = 1 << 20


class Process(msgspec.Struct, frozen=True):
    """A process by pid and start time; pid 0: not started yet."""

    pid: Annotated[int, msgspec.Meta(ge=0)] = 0
    started: str = ""

    def lives(self) -> bool:
        """Whether this very process still runs."""
        return self.pid > 0 and self.started != "" and leftovers.started(self.pid) == self.started


class Staged(Process, frozen=True):
    """A service: its process, and the port that it was given."""

    port: int = 0


class State(msgspec.Struct, frozen=True):
    """The file. `owner` is the run or the supervisor; `detached` says that it is the supervisor of `vallum -s stage`.

    `images` names what runs where that is an image: the digest of its configuration, or what a cluster says. `where` is the
    kubectl context of the cluster.
    """

    run: str = ""
    owner: Process = Process()
    detached: bool = False
    services: dict[str, Staged] = {}
    images: dict[str, str] = {}
    where: str = ""


def folder(root: Path, kind: str) -> Path:
    """`.vallum/stage/KIND` of the target: state.json, the lock, and a folder for each service."""
    path = artifacts.folder(root.resolve()) / "stage" / kind
    path.mkdir(parents=True, exist_ok=True)
    return path


def label_of(folder: Path) -> str:
    """What marks everything outside this machine's processes that a stage folder's deployments make."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:12]


def read(folder: Path) -> State:
    """What the file says; an empty State where there is none that fits."""
    try:
        state = msgspec.json.decode(artifacts.read(folder / FILE, _MAX_SIZE), type=State)
    except (OSError, ValueError):
        return State()
    return state if all(NAME.fullmatch(name) for name in state.services) else State()


def write(
    folder: Path,
    run_id: str,
    services: dict[str, Staged],
    images: Mapping[str, str] | None = None,
    where: str = "",
) -> None:
    """Write the file, for the user's eyes only."""
    owner = Process(os.getpid(), leftovers.started(os.getpid()))
    state = State(run_id, owner, os.environ.get("VALLUM_DETACHED") == "1", services, dict(images or {}), where)
    artifacts.write(folder / FILE, msgspec.json.format(msgspec.json.encode(state)))
    (folder / FILE).chmod(0o600)


def evict(folder: Path, patience: float) -> list[str]:
    """End the supervisor that holds the deployment up, within `patience` seconds; the names of its services, else none.

    Raises UserError where a run, not a supervisor, is using it.
    """
    before = read(folder)
    if not before.owner.lives():
        return []
    if not before.detached:
        raise UserError("a run is using the staged deployment", "wait for it, or end it with Ctrl-C")
    os.kill(before.owner.pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while before.owner.lives() and time.monotonic() < deadline:
        time.sleep(0.05)
    return list(before.services)


def clear(folder: Path, grace: float) -> list[str]:
    """End what a killed run left and remove its folders; returns the names of its services. The lock must be held."""
    services = read(folder).services
    left = {seen.pid: seen for seen in leftovers.labelled(folder)}
    for process in services.values():
        if process.lives():
            left.setdefault(process.pid, leftovers.Seen(process.pid, process.pid, process.started))
    leftovers.end(left.values(), grace)
    forget(folder, services)
    return sorted(services)


def forget(folder: Path, services: Iterable[str]) -> None:
    """Remove what the services kept, which may hold what they were given in confidence; then the file. Logs stay."""
    for name in services:
        for each in ("state", "tmp", "app", "tls"):
            shutil.rmtree(folder / name / each, ignore_errors=True)
    (folder / FILE).unlink(missing_ok=True)

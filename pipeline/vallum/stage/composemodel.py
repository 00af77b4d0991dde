"""A service of a compose file as vallum stages it: what `docker run` and `podman run` can be told about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Condition = Literal["service_started", "service_healthy", "service_completed_successfully"]


@dataclass(frozen=True)
class Build:
    """How an image is built; the paths lie in the checkout."""

    context: Path
    dockerfile: Path
    args: Mapping[str, str] = field(default_factory=dict)
    target: str = ""


@dataclass(frozen=True)
class Mount:
    """A named volume, or a file or folder of the checkout, which is only ever read."""

    kind: Literal["volume", "bind"]
    source: str
    target: str
    read_only: bool


@dataclass(frozen=True)
class Tmpfs:
    """A file system in memory, empty at the start. `owner` is `UID:GID` where the file says one."""

    target: str
    options: tuple[str, ...] = ()
    owner: str = ""


@dataclass(frozen=True)
class Healthcheck:
    """A command that is run inside; times in seconds."""

    command: tuple[str, ...]
    interval: float
    retries: int
    start: float


@dataclass(frozen=True)
class Container:
    """A service. `options` are arguments of `run`; `secrets` maps a path inside to a secret's name."""

    name: str
    image: str
    build: Build | None
    entrypoint: tuple[str, ...] | None
    command: tuple[str, ...]
    env: Mapping[str, str]
    networks: Mapping[str, tuple[str, ...]]
    depends: Mapping[str, Condition]
    mounts: tuple[Mount, ...]
    tmpfs: tuple[Tmpfs, ...]
    secrets: Mapping[str, str]
    options: tuple[str, ...]
    healthcheck: Healthcheck | None
    user: str
    port: int

    @property
    def depends_on(self) -> tuple[str, ...]:
        """The names only, for the order of start."""
        return tuple(self.depends)

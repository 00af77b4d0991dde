"""The contract between the pipeline and a check. A check is one file that ends in `CHECK = Check(…)`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from vallum.config import Config
from vallum.outcome import Outcome
from vallum.process import Finished, run
from vallum.target import Target
from vallum.tools import ToolEnv, prepare

WHOLE = "_"
"""The unit of a check that looks at the whole target at once."""


class Stage(StrEnum):
    """The rings, from the outside in. The value is also the nox tag."""

    SOURCE = "source"
    DEPENDENCIES = "dependencies"
    IMAGES = "images"
    STAGED = "staged"


@dataclass(frozen=True)
class Planned:
    """The check applies, to each of `units`: names of services, or only `_`."""

    units: tuple[str, ...] = (WHOLE,)


@dataclass(frozen=True)
class Skipped:
    """The check does not apply; `reason` completes "not tested: …" in the report."""

    reason: str


@dataclass(frozen=True)
class Context:
    """What a check gets: the target, the configuration and an own folder; and the only ways to reach a tool.

    `folder` is the outcome's folder, `raw` inside it keeps what the tool wrote, `scratch` is removed by the runner afterwards.
    """

    target: Target
    config: Config
    unit: str
    folder: Path
    raw: Path
    scratch: Path
    deadline: float
    log: list[str] = field(default_factory=list)

    def tool(self, name: str) -> ToolEnv:
        """The locked environment `locks/<name>.txt`, built if needed. Raises Inconclusive where that fails."""
        return prepare(name)

    def run(
        self,
        argv: Sequence[str | Path],
        *,
        name: str = "tool",
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        deadline: float | None = None,
    ) -> Finished:
        """Start a tool through vallum.process with output to `raw/<name>.stdout` and `.stderr`.

        Raises Inconclusive when it cannot start, passes its deadline, or floods its output.
        """
        return run(
            [str(part) for part in argv],
            cwd=cwd or self.target.root,
            env=env,
            deadline=deadline or self.deadline,
            stdout=self.raw / f"{name}.stdout",
            stderr=self.raw / f"{name}.stderr",
            scratch=self.scratch,
        )


@dataclass(frozen=True)
class Check:
    """One check. `applies` is pure and quick; `run` returns an outcome or raises Inconclusive, and never judges.

    `deadline` is in seconds for one unit. `tools` names the lock files it needs (prepared ahead by `vallum -s tools`).
    """

    id: str
    stage: Stage
    summary: str
    applies: Callable[[Target, Config], Planned | Skipped]
    run: Callable[[Context], Outcome]
    tools: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    deadline: float = 900.0

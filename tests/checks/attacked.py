"""A dynamic check on a folder that is staged as its settings say: what the tests of those checks share."""

from __future__ import annotations

from pathlib import Path

from vallum import config as configuration
from vallum.check import Context
from vallum.config import Config
from vallum.outcome import Outcome
from vallum.target import Target, discover
from vallum_checks import dast

Staged = tuple[Target, Config, Context]


def context(root: Path, deadline: float = 300) -> Staged:
    """The target at `root`, its settings, and a context whose folders lie beside it."""
    config = configuration.load(root)
    target = discover(root, config)
    folders = [root.parent / name for name in ("outcome", "raw", "scratch")]
    for folder in folders:
        folder.mkdir()
    return target, config, Context(target, config, "_", *folders, deadline)


def attack(check: str, staged: Staged) -> Outcome:
    """What `check` says of its own deployment."""
    target, config, ctx = staged
    return dast.run_staged(target, config, "run-1", {check: ctx})[check]

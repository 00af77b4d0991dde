"""ZAP: having one, driving it, and proving that what it says can be believed. `attack` is all that a check needs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from vallum_checks.zap_engine.model import Attack, ScanTarget

if TYPE_CHECKING:
    from vallum.config import Config
    from vallum_checks.zap_engine.levels import Levels

__all__ = ["Attack", "ScanTarget", "attack"]


def attack(
    targets: list[ScanTarget],
    *,
    config: Config,
    scratch: Path,
    raw: Path,
    deadline: float,
    auth: dict[str, str],
    levels: Levels | None = None,
    proxy: str = "",
) -> Attack:
    """Attack the staged services; see vallum_checks.zap_engine.scan.attack. Imported late: `vallum -l` must be quick."""
    from vallum_checks.zap_engine.scan import attack as run

    return run(
        targets, config=config, scratch=scratch, raw=raw, deadline=deadline, auth=auth, levels=levels, proxy=proxy
    )

"""The state of one attack, which its steps share and add to: vallum_checks.zap_engine.steps, proof, results."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vallum import artifacts
from vallum.api import openapi as definition
from vallum.config import Config
from vallum.stage.redact import Redactor
from vallum_checks.zap_engine import seed, watch
from vallum_checks.zap_engine.levels import Levels
from vallum_checks.zap_engine.model import ScanTarget
from vallum_checks.zap_engine.provide import Provided


@dataclass
class Equipment:
    """What is there, after the rules were set. `off` are rules by name that the rule file turned off, `unknown` numbers in it
    that this ZAP does not have. `before` holds thresholds to put back, by kind and rule."""

    active: int
    passive: int
    add_ons: tuple[tuple[str, str], ...]
    off: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    before: list[tuple[str, str, str]] = field(default_factory=list)


class Engagement:
    """What is attacked with which ZAP, and what is known so far. `end` is a time of time.monotonic().

    `problems` make the outcome incomplete, `notes` go into the report. `budgets` holds, by service, the time of
    time.monotonic() at which its active scans must be over; it is set when the first one starts. `before` are the alerts that
    were there already, `read` counts those that were read since, by service.
    """

    def __init__(
        self,
        targets: list[ScanTarget],
        definitions: dict[str, definition.Definition],
        config: Config,
        raw: Path,
        end: float,
        auth: dict[str, str],
        provided_zap: Provided,
        levels: Levels,
        proxy: str = "",
    ) -> None:
        self.targets = targets
        self.config = config
        self.raw = raw
        self.end = end
        self.auth = auth
        self.proxy = proxy
        self.provided = provided_zap
        self.zap = provided_zap.zap
        self.api = provided_zap.zap.api
        self.seeders = {
            target.service: seed.Seeder(target, definitions[target.service], self.zap.address, auth, proxy)
            for target in targets
            if target.service in definitions
        }
        self.redactor = Redactor()
        for value in auth.values():
            for word in value.split():
                self.redactor.add(word)
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.scans: list[watch.Watched] = []
        self.equipment = Equipment(0, 0, ())
        self.levels = levels
        self.budgets: dict[str, float] = {}
        self.before: set[str] = set()
        self.read = {target.service: 0 for target in targets}
        self.alerts: dict[str, dict[str, dict[str, Any]]] = {target.service: {} for target in targets}

    @property
    def baseline(self) -> bool:
        """Whether nothing may be attacked."""
        return self.config.zap.mode == "baseline"

    def budget(self, service: str) -> float:
        """Minutes of active scanning that a service has."""
        return self.config.zap.service_minutes.get(service, self.config.zap.minutes)

    def keep(self, name: str, value: Any) -> None:
        """Write `value` as JSON among the raw outputs, redacted."""
        artifacts.write(
            self.raw / f"{name}.json", self.redactor.data(json.dumps(value, indent=1, default=str).encode())
        )

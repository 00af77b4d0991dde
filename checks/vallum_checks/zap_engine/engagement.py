"""The state of one attack, which its steps share and add to: vallum_checks.zap_engine.steps, proof, results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vallum import artifacts
from vallum.api import openapi as definition
from vallum.config import Config
from vallum.stage.redact import Redactor
from vallum_checks.zap_engine import seed, watch
from vallum_checks.zap_engine.model import ScanTarget
from vallum_checks.zap_engine.provide import Provided


class Engagement:
    """What is attacked with which ZAP, and what is known so far. `end` is a time of time.monotonic().

    `problems` make the outcome incomplete, `notes` go into the report.
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
    ) -> None:
        self.targets = targets
        self.config = config
        self.raw = raw
        self.end = end
        self.auth = auth
        self.provided = provided_zap
        self.zap = provided_zap.zap
        self.api = provided_zap.zap.api
        self.seeders = {
            target.service: seed.Seeder(target, definitions[target.service], self.zap.address, auth)
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
        self.rules = 0
        self.before: set[str] = set()
        self.alerts: dict[str, dict[str, dict[str, Any]]] = {target.service: {} for target in targets}

    def keep(self, name: str, value: Any) -> None:
        """Write `value` as JSON among the raw outputs, redacted."""
        artifacts.write(
            self.raw / f"{name}.json", self.redactor.data(json.dumps(value, indent=1, default=str).encode())
        )

"""SARIF 2.1.0 as this project writes it: one normalised file per outcome, and its exact inverse."""

from __future__ import annotations

from vallum.sarif.read import read_run
from vallum.sarif.write import write_run

__all__ = ["read_run", "write_run"]

"""What goes into an attack and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from vallum.api.model import Definition, Request
from vallum.finding import Finding, Rule
from vallum.outcome import Coverage, Database, Reach, Tool


@dataclass(frozen=True)
class ScanTarget:
    """One staged service. `base_url` has no slash at the end; `openapi_relative` is the definition's path in the target,
    for locations; `pages` are paths of HTML pages from which the spider starts. `definition` is `openapi` as it was read, where
    it was already."""

    service: str
    base_url: str
    openapi: Path | None
    openapi_relative: str
    pages: tuple[str, ...] = ()
    definition: Definition | None = None


@dataclass(frozen=True)
class Attack:
    """What an attack found and proved. `incomplete` is empty when it was whole, else one sentence that says why not:
    findings and coverage are then what there was until then."""

    tool: Tool
    findings: tuple[Finding, ...]
    rules: tuple[Rule, ...]
    coverage: tuple[Coverage, ...]
    databases: tuple[Database, ...]
    incomplete: str
    notes: tuple[str, ...]
    operations: tuple[Reach, ...] = ()


@dataclass(frozen=True)
class Sent:
    """A seed and its answer; `status` 0: none. `html`: it is a page."""

    service: str
    request: Request
    status: int
    why: str = ""
    text: str = ""
    html: bool = False

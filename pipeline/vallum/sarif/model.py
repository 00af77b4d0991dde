"""The parts of SARIF 2.1.0 (OASIS standard, 2020-03-27) that we write, as structs.

Objects refuse keys that they do not know; property bags (`properties`) tolerate them, as the standard asks.
"""

from __future__ import annotations

import msgspec

from vallum.finding import Exchange, Operation, Package
from vallum.outcome import Coverage, Database
from vallum.severity import Severity

VERSION = "2.1.0"
SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class _Object(
    msgspec.Struct,
    frozen=True,
    omit_defaults=True,
    forbid_unknown_fields=True,
    rename="camel",
    kw_only=True,
    gc=False,
):
    """An object of the standard."""


class _Bag(msgspec.Struct, frozen=True, omit_defaults=True, rename="camel", kw_only=True, gc=False):
    """A property bag: ours to fill, so unknown keys are let through."""


class Message(_Object, frozen=True):
    """Plain text (section 3.11)."""

    text: str


class ArtifactLocation(_Object, frozen=True):
    """A file: `uri` is percent-encoded and relative to the root of the target (section 3.4)."""

    uri: str
    uri_base_id: str = ""


class Region(_Object, frozen=True):
    """Lines and columns count from 1 (section 3.30)."""

    start_line: int
    start_column: int = 0
    end_line: int = 0
    end_column: int = 0
    snippet: Message | None = None


class PhysicalLocation(_Object, frozen=True):
    """A place in a file (section 3.29)."""

    artifact_location: ArtifactLocation
    region: Region | None = None


class LogicalLocation(_Object, frozen=True):
    """A place without a file: an operation, a package, a service (section 3.33)."""

    fully_qualified_name: str
    kind: str = ""


class LocationBag(_Bag, frozen=True):
    """What a region cannot hold: parts of a place whose line is unknown."""

    line: int = 0
    column: int = 0
    end_line: int = 0
    snippet: str = ""


class Location(_Object, frozen=True):
    """Section 3.28."""

    physical_location: PhysicalLocation | None = None
    logical_locations: tuple[LogicalLocation, ...] = ()
    properties: LocationBag | None = None


class SuppressionBag(_Bag, frozen=True):
    """The marker that suppresses, such as `# nosec`."""

    by: str = ""


class Suppression(_Object, frozen=True):
    """Section 3.35."""

    kind: str
    justification: str = ""
    properties: SuppressionBag | None = None


class ResultBag(_Bag, frozen=True):
    """What SARIF has no place for, in the words of vallum.finding."""

    severity: Severity
    confidence: str = ""
    service: str = ""
    cwe: tuple[int, ...] = ()
    owasp: tuple[str, ...] = ()
    fix: str = ""
    package: Package | None = None
    aliases: tuple[str, ...] = ()
    cvss: str = ""
    operation: Operation | None = None
    exchange: Exchange | None = None
    checks: tuple[str, ...] = ()
    disposition: str = ""
    why: str = ""


class Result(_Object, frozen=True):
    """Section 3.27."""

    rule_id: str
    level: str
    message: Message
    properties: ResultBag
    rule_index: int = -1
    locations: tuple[Location, ...] = ()
    partial_fingerprints: dict[str, str] = {}
    suppressions: tuple[Suppression, ...] = ()
    baseline_state: str = ""


class RuleBag(_Bag, frozen=True):
    """What GitHub reads from a rule. `security-severity` is a number as a string; absent: no security severity."""

    tags: tuple[str, ...] = ()
    precision: str = ""
    security_severity: str = msgspec.field(default="", name="security-severity")


class Configuration(_Object, frozen=True):
    """Section 3.50."""

    level: str


class Rule(_Object, frozen=True):
    """A reportingDescriptor (section 3.49)."""

    id: str
    name: str = ""
    short_description: Message | None = None
    full_description: Message | None = None
    help: Message | None = None
    help_uri: str = ""
    default_configuration: Configuration | None = None
    properties: RuleBag | None = None


class DriverBag(_Bag, frozen=True):
    """SHA-256 of the tool's lock file or binary."""

    digest: str = ""


class Driver(_Object, frozen=True):
    """The tool itself (section 3.19)."""

    name: str
    version: str = ""
    information_uri: str = ""
    rules: tuple[Rule, ...] = ()
    properties: DriverBag | None = None


class Tool(_Object, frozen=True):
    """Section 3.18."""

    driver: Driver


class Notification(_Object, frozen=True):
    """Something the tool or its runner has to say about the run itself (section 3.58)."""

    message: Message
    level: str
    locations: tuple[Location, ...] = ()


class Invocation(_Object, frozen=True):
    """How the tool was started and how it ended (3.20). `execution_successful` is false when it could not tell."""

    execution_successful: bool
    arguments: tuple[str, ...] = ()
    exit_code: int | None = None
    start_time_utc: str = ""
    end_time_utc: str = ""
    tool_execution_notifications: tuple[Notification, ...] = ()


class AutomationDetails(_Object, frozen=True):
    """GitHub's category is everything before the last slash (section 3.17)."""

    id: str


class RunBag(_Bag, frozen=True):
    """What was looked at and with what; for an upload, also what was left out and why."""

    check: str = ""
    seconds: float = 0.0
    coverage: tuple[Coverage, ...] = ()
    databases: tuple[Database, ...] = ()
    left_out: dict[str, int] = {}


class Run(_Object, frozen=True):
    """Section 3.14."""

    tool: Tool
    invocations: tuple[Invocation, ...] = ()
    automation_details: AutomationDetails | None = None
    results: tuple[Result, ...] = ()
    properties: RunBag | None = None


class Log(_Object, frozen=True):
    """The whole file (section 3.13)."""

    schema: str = msgspec.field(name="$schema")
    version: str
    runs: tuple[Run, ...]

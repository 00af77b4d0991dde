"""The words all parts share: a finding and what it points at. Frozen, and free of any tool's or format's shape."""

from __future__ import annotations

import msgspec

from vallum.severity import Severity


class Location(msgspec.Struct, frozen=True, omit_defaults=True):
    """A place in the target. `path` is relative to its root with forward slashes; lines and columns count from 1, 0: unknown."""

    path: str
    line: int = 0
    column: int = 0
    end_line: int = 0
    snippet: str = ""


class Package(msgspec.Struct, frozen=True, omit_defaults=True):
    """A dependency at one version. `purl` follows the package-url specification; `fixed` lists versions that repair it."""

    name: str
    version: str
    purl: str
    fixed: tuple[str, ...] = ()


class Operation(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of an API: never a host, a port or a token. `parameter` is the attacked one, or empty."""

    method: str
    path: str
    parameter: str = ""


class Exchange(msgspec.Struct, frozen=True, omit_defaults=True):
    """The request and response that prove a dynamic finding: bounded and redacted before they are put in here."""

    request: str
    response: str


class Suppression(msgspec.Struct, frozen=True, omit_defaults=True):
    """Somebody asked not to see the finding: `kind` is SARIF's (inSource, external), `by` the marker, e.g. `# nosec`."""

    kind: str
    by: str
    reason: str = ""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a check looks for. `help` says how to repair it; `uri` where to read more."""

    id: str
    name: str
    description: str = ""
    help: str = ""
    uri: str = ""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One thing that is wrong in one place.

    `rule` names a Rule of the same outcome. `cwe` are numbers of the Common Weakness Enumeration, `owasp` labels such as
    `A05:2025` or `API1:2023`. `confidence` is high, medium, low or empty. `id` is the fingerprint: the runner sets it
    (vallum.fingerprint). `checks` names every check that saw it (more than one after merging); the runner sets it too.
    """

    rule: str
    severity: Severity
    message: str
    location: Location | None = None
    service: str = ""
    cwe: tuple[int, ...] = ()
    owasp: tuple[str, ...] = ()
    confidence: str = ""
    fix: str = ""
    package: Package | None = None
    aliases: tuple[str, ...] = ()
    cvss: str = ""
    operation: Operation | None = None
    exchange: Exchange | None = None
    suppression: Suppression | None = None
    id: str = ""
    checks: tuple[str, ...] = ()

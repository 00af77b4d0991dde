"""What a check leaves behind: one of three values, so that "could not tell" cannot be mistaken for "nothing found"."""

from __future__ import annotations

import msgspec

from vallum.finding import Finding, Rule


class Tool(msgspec.Struct, frozen=True, omit_defaults=True):
    """The program that looked. `digest` is the SHA-256 of its lock file or binary."""

    name: str
    version: str
    digest: str = ""


class Database(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the tool compared with: advisories or rules. `date` is ISO 8601 of its newest content, `records` how many."""

    name: str
    source: str
    records: int
    date: str = ""
    digest: str = ""


class Missed(msgspec.Struct, frozen=True):
    """A target that was expected and not looked at. `why`: unparsable, too large, excluded, unsupported, failed, …"""

    target: str
    why: str


class Coverage(msgspec.Struct, frozen=True, omit_defaults=True):
    """What was looked at, of what was expected. Counted by us from the target where that is possible.

    `unit` is plural (files, packages, operations, manifests). `missed` is bounded at 1,000 entries; `expected - seen` is true.
    """

    unit: str
    expected: int
    seen: int
    missed: tuple[Missed, ...] = ()


class Run(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The record of one tool at work on one unit (a service, or `_` for the whole target). Times in seconds and ISO 8601 UTC."""

    tool: Tool
    coverage: tuple[Coverage, ...]
    rules: tuple[Rule, ...] = ()
    findings: tuple[Finding, ...] = ()
    databases: tuple[Database, ...] = ()
    notes: tuple[str, ...] = ()
    argv: tuple[str, ...] = ()
    exit_code: int | None = None
    started: str = ""
    seconds: float = 0.0


class Completed(msgspec.Struct, frozen=True, tag="completed", tag_field="status"):
    """The check ran whole: everything expected was looked at with a sound database."""

    run: Run


class Incomplete(msgspec.Struct, frozen=True, tag="incomplete", tag_field="status"):
    """The check could not tell, or not for all: red. What it did find is kept in `run`."""

    reason: str
    run: Run | None = None


class NotApplicable(msgspec.Struct, frozen=True, tag="not-applicable", tag_field="status"):
    """There is nothing here for this check; said in the report under "not tested"."""

    reason: str


Outcome = Completed | Incomplete | NotApplicable

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


class Reach(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """How far a dynamic check got with one operation of a service's API: method, path as the definition writes it, and `name`
    where several share both.

    `secured`: it declares a login. `reached`: the operation itself answered, not something in front of it. `authenticated`: it
    answered a logged-in request with neither 401 nor 403. `attacked`: it answered a request that was made to find a weakness.
    `why` says why it was not reached. One that is not `declared` answered, and stands in no definition. An entry without a
    method says that the service has no definition.
    """

    service: str
    method: str = ""
    path: str = ""
    name: str = ""
    declared: bool = True
    secured: bool = False
    reached: bool = False
    authenticated: bool = False
    attacked: bool = False
    why: str = ""


class Run(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """The record of one tool at work on one unit (a service, or `_` for the whole target). Times in seconds and ISO 8601 UTC.

    `operations` is what a dynamic check did to the operations of the services' APIs (vallum.operations merges them).
    """

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
    operations: tuple[Reach, ...] = ()


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

"""`vallum.toml` (or `[tool.vallum]` in pyproject.toml) as a frozen Config. An unknown key is an error with its line.

Every default is the strict one: a check is required, high and critical block, what is unknown blocks with them.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import msgspec

from vallum.declaration import DeclaredCheck
from vallum.environments import Environment, Zap
from vallum.errors import UserError
from vallum.promotions import Promotion
from vallum.severity import Severity
from vallum.tables import Table

Tier = Literal["critical", "standard", "low"]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Exposure = Literal["public", "internal", "unknown"]


class Project(Table, frozen=True, kw_only=True):
    """What the report calls the target."""

    name: str = ""


class Service(Table, frozen=True, kw_only=True):
    """A service, where discovery needs help. `path` is its folder; `openapi` and `dockerfile` are relative to it. `tier` and
    `exposure` are for the policy."""

    path: str
    openapi: str = ""
    dockerfile: str = ""
    image: str = ""
    tier: Tier = "standard"
    exposure: Exposure = "unknown"


class Advisories(Table, frozen=True, kw_only=True):
    """Where advisories come from: `auto` (api.osv.dev; where it cannot be reached the check is incomplete), `online`, or a
    folder or zip of OSV JSON. `max-age-days` is for local sets: an older one makes what uses it incomplete."""

    source: str = "auto"
    max_age_days: Annotated[int, msgspec.Meta(ge=1)] = 30


class Feeds(Table, frozen=True, kw_only=True):
    """What is known of attacks in the world, for the order of findings and for policies that ask: FIRST's EPSS scores (CSV, plain
    or gzip) and CISA's catalogue of known exploited vulnerabilities (JSON), each a file or `online`. Empty: not used."""

    epss: str = ""
    kev: str = ""
    max_age_days: Annotated[int, msgspec.Meta(ge=1)] = 14


class CheckSettings(Table, frozen=True, kw_only=True):
    """`require`: required (missing is red), optional (missing is shown), off (not planned, shown as not tested)."""

    require: Literal["required", "optional", "off"] = "required"
    deadline: Annotated[float, msgspec.Meta(gt=0)] | None = None
    exclude: tuple[str, ...] = ()
    options: dict[str, Any] = {}


class Thresholds(Table, frozen=True, kw_only=True):
    """The severities that block here."""

    block: tuple[Severity, ...]


class Quorum(Table, frozen=True, kw_only=True):
    """At least `least` of the checks `of` must run whole; which of them, does not matter. None of them is required alone."""

    least: Annotated[int, msgspec.Meta(ge=1)]
    of: tuple[str, ...]


class PolicyRule(Table, frozen=True, kw_only=True):
    """A rule of your own: `when` is a condition in CEL about one finding, `message` is quoted where it speaks.

    `block` blocks whatever the thresholds say; `pass` lets through what only a threshold blocks.
    """

    name: str
    when: str
    action: Literal["block", "pass"] = "block"
    message: str


class Policy(Table, frozen=True, kw_only=True):
    """What blocks. `block` lists severities; `unknown` says what a finding of unknown severity does; `suppressions` what a
    marker in the source (`# nosec`) may do. `new-only` lets through what the baseline proves to have been there before.
    `max-waiver-days` is the longest that a waiver may hold. See docs/policy.md.

    `max-suppressions`: with more such markers than this it blocks. `coverage-min`: the share of targets from which a check
    that missed some counts as whole. `operations-min`: the share of each service's declared operations that the dynamic checks
    must have reached together, for all services or by tier. `stages` stands in for `block` in one ring, `tiers` adds to it for
    services of a tier. `sla`: days after which a finding of a severity blocks whatever else lets it pass but a waiver. `vex`:
    files of OpenVEX."""

    block: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    unknown: Literal["block", "warn"] = "block"
    suppressions: Literal["count", "forbid"] = "count"
    new_only: bool = False
    max_waiver_days: Annotated[int, msgspec.Meta(ge=1)] = 180
    max_suppressions: Annotated[int, msgspec.Meta(ge=0)] | None = None
    coverage_min: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0
    operations_min: Share | dict[Tier, Share] = 0.0
    stages: dict[Literal["source", "dependencies", "images", "staged"], Thresholds] = {}
    tiers: dict[Tier, Thresholds] = {}
    sla: dict[Severity, Annotated[int, msgspec.Meta(ge=0)]] = {}
    quorum: tuple[Quorum, ...] = ()
    rule: tuple[PolicyRule, ...] = ()
    vex: tuple[str, ...] = ()


class Organisation(Table, frozen=True, kw_only=True):
    """An organisation's policy that this one stands on: a `file`, or an https `url` with the `sha256` of what it gives."""

    file: str = ""
    url: str = ""
    sha256: str = ""


class BaselineFile(Table, frozen=True, kw_only=True):
    """What findings are held against: a file that `vallum -s baseline` wrote, or a verdict.json of the merge base, relative
    to the top. Empty: `vallum-baseline.json`, where it is."""

    file: str = ""


class Limits(Table, frozen=True, kw_only=True):
    """What is read at most, in MiB: a `report` of a declared tool or an import, the `outcome` of one check on one unit. A larger
    one is refused before it is read."""

    report_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 128
    outcome_mb: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 512


class Config(Table, frozen=True, kw_only=True):
    """The whole file. See docs/configuration.md, which is generated from this."""

    project: Project = Project()
    exclude: tuple[str, ...] = ()
    services: dict[str, Service] = {}
    advisories: Advisories = Advisories()
    intelligence: Feeds = Feeds()
    checks: dict[str, CheckSettings] = {}
    check: tuple[DeclaredCheck, ...] = ()
    limits: Limits = Limits()
    policy: Policy = Policy()
    organisation: Organisation | None = None
    baseline: BaselineFile = BaselineFile()
    environment: Environment | None = None
    zap: Zap = Zap()
    promotion: Promotion | None = None

    def settings(self, check: str) -> CheckSettings:
        """The settings of one check, defaults where there are none."""
        return self.checks.get(check, CheckSettings())


FILE = "vallum.toml"


def load(root: Path, known_checks: frozenset[str] = frozenset(), taken: frozenset[str] = frozenset()) -> Config:
    """Read the configuration of the target at `root`; defaults where there is none. Raises UserError with file and line.

    A declared check may have none of the names in `known_checks` and `taken`.
    """
    path, text, table = _read(root)
    if table is None:
        return Config()
    try:
        config = msgspec.convert(table, Config, strict=True)
    except msgspec.ValidationError as error:
        raise _explain(path, text, str(error)) from None
    _rules(path, text, config.policy)
    if config.organisation is not None:
        config = _under(path, text, table, config.organisation)
    _declared(path, text, config, known_checks | taken)
    known = known_checks | {declared.id for declared in config.check}
    for name in config.checks:
        if known_checks and name not in known:
            raise _unknown(path, text, name, known, "check")
    for quorum in config.policy.quorum:
        for name in quorum.of:
            if known_checks and name not in known:
                raise _unknown(path, text, name, known, "check")
        if quorum.least > len(set(quorum.of)):
            where = f"{path.name}:{_line(text, 'quorum')}"
            raise UserError(f"{where}: a quorum of {quorum.least} of {len(set(quorum.of))} checks", "name more checks")
    return config


def _under(path: Path, text: str, table: dict[str, Any], settings: Organisation) -> Config:
    """The configuration on its organisation's. What loosens it is an error that names the key."""
    from vallum import organisation

    name, data = organisation.fetch(msgspec.to_builtins(settings), path.parent)
    theirs = organisation.parse(name, data)
    shown = Path(name)
    try:
        held = {key: value for key, value in theirs.items() if key != "organisation"}
        _rules(shown, data.decode("utf-8"), msgspec.convert(held, Config, strict=True).policy)
    except msgspec.ValidationError as error:
        raise _explain(shown, data.decode("utf-8"), str(error)) from None

    def refuse(key: str, why: str) -> UserError:
        line = _line(text, next(iter(key.split(".")[1:2]), key))
        allow = ", ".join(theirs.get("organisation", {}).get("allow", ())) or "nothing"
        return UserError(
            f"{path.name}{f':{line}' if line else ''}: `{key}` is looser than {name} lets it: {why}",
            f"it may be loosened there only: {allow}",
        )

    return msgspec.convert(organisation.combine(table, theirs, refuse), Config, strict=True)


def _rules(path: Path, text: str, policy: Policy) -> None:
    """Compile every rule once: UserError with file and line for one that is wrong."""
    from vallum import expressions

    whens = [number for number, each in enumerate(text.splitlines(), 1) if re.match(r"\s*when\s*=", each)]
    names: set[str] = set()
    for number, rule in enumerate(policy.rule):
        line = whens[number] if number < len(whens) else 0
        where = f"{path.name}{f':{line}' if line else ''}: rule `{rule.name}`"
        if not rule.name or not rule.message.strip() or rule.name in names:
            raise UserError(f"{where} needs a name of its own and a message", "see docs/policy.md")
        names.add(rule.name)
        try:
            expressions.compiled(rule.when)
        except expressions.DoesNotCompile as error:
            if line and error.line > 1:
                where = f"{path.name}:{line + error.line - 1}: rule `{rule.name}`"
            raise UserError(f"{where}: {error.reason}", "see docs/policy.md for what a rule may name") from None


def _declared(path: Path, text: str, config: Config, taken: frozenset[str]) -> None:
    """Declared checks that contradict themselves, or take the name of another."""
    names = set(taken)
    for declared in config.check:
        line = next((n for n, each in enumerate(text.splitlines(), 1) if f'"{declared.id}"' in each), 0)
        where = f"{path.name}{f':{line}' if line else ''}: check `{declared.id}`"
        if declared.id in names:
            raise UserError(f"{where}: the name is taken", "a check's name is its own: choose another `id`")
        names.add(declared.id)
        key, problem = declared.problem()
        if problem:
            raise UserError(f"{where}: `{key}` {problem}", "see docs/any-tool.md")


def _read(root: Path) -> tuple[Path, str, dict[str, Any] | None]:
    for name, inner in ((FILE, ()), ("pyproject.toml", ("tool", "vallum"))):
        path = root / name
        if not path.is_file():
            continue
        try:
            text = path.read_text("utf-8")
            table: Any = tomllib.loads(text)
        except (ValueError, RecursionError) as error:  # TOML's own error, no UTF-8, a number of 5,000 digits
            if inner:
                continue  # somebody else's file: pip-audit and the others say what is wrong with it
            raise UserError(f"{name}: {error}", "repair the TOML and run again") from None
        for key in inner:
            table = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict):
            return path, text, table
    return root / FILE, "", None


def _line(text: str, key: str) -> int:
    pattern = re.compile(rf"(^|[\s.\[{{,\"']){re.escape(key)}([\s.\]=\"']|$)")
    return next((number for number, line in enumerate(text.splitlines(), 1) if pattern.search(line)), 0)


def _explain(path: Path, text: str, message: str) -> UserError:
    unknown = re.search(r"unknown field `([^`]+)`", message)
    if unknown:
        return _unknown(path, text, unknown[1], _all_keys(), "key")
    where = re.search(r"at `\$\.?([^`]*)`", message)
    key = re.split(r"[.\[]", where[1])[-1].rstrip("]") if where and where[1] else ""
    line = _line(text, key) if key and key != "..." else 0
    return UserError(f"{path.name}{f':{line}' if line else ''}: {message}", "see docs/configuration.md")


def _unknown(path: Path, text: str, word: str, known: frozenset[str], what: str) -> UserError:
    line = _line(text, word)
    near = difflib.get_close_matches(word, sorted(known), n=1)
    hint = f"did you mean `{near[0]}`?" if near else f"known: {', '.join(sorted(known))}"
    return UserError(f"{path.name}{f':{line}' if line else ''}: unknown {what} `{word}`", hint)


def _all_keys() -> frozenset[str]:
    """The keys of every table that a Config leads to."""
    found: set[type[msgspec.Struct]] = set()
    _tables(Config, found)
    return frozenset(field.encode_name for table in found for field in msgspec.structs.fields(table))


def _tables(kind: Any, found: set[type[msgspec.Struct]]) -> None:
    """Add the tables that a type holds, itself and at any depth."""
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind not in found:
        found.add(kind)
        for field in msgspec.structs.fields(kind):
            _tables(field.type, found)
    for part in get_args(kind):
        _tables(part, found)

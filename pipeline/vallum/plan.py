"""What must report: decided before anything runs and written down, so that what leaves no outcome is missed."""

from __future__ import annotations

import datetime as dt
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

import msgspec

from vallum import __version__, artifacts, mergebase
from vallum.check import Check, Planned
from vallum.config import Config
from vallum.errors import UserError
from vallum.mergebase import Note, Trusted
from vallum.target import Target


class PlannedCheck(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One check of the plan. Empty `units`: it does not run, for the `reason`."""

    check: str
    stage: str
    summary: str
    require: str
    units: tuple[str, ...] = ()
    reason: str = ""


class Plan(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """`plan.json`. `run` names this run: an outcome of another one does not count. `started` is ISO 8601 UTC.

    `base` is the commit whose settings it was made with (empty: the target's own), `settings` what the change does to them,
    `problems` why there can be no clean verdict whatever is found. `tree` is as in the verdict (vallum.verdict).
    """

    run: str
    target: str
    vallum: str
    started: str
    commit: str = ""
    scope: tuple[str, ...] = ()
    services: dict[str, str] = {}
    checks: tuple[PlannedCheck, ...] = ()
    base: str = ""
    settings: tuple[Note, ...] = ()
    problems: tuple[str, ...] = ()
    tree: str = ""

    def planned(self) -> tuple[PlannedCheck, ...]:
        """The checks that must leave an outcome."""
        return tuple(check for check in self.checks if check.units)


def now() -> str:
    """The time in ISO 8601, UTC, whole seconds."""
    return dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def make(checks: Iterable[Check], target: Target, config: Config, scope: tuple[str, ...] = ()) -> Plan:
    """Plan `checks` on the target; `scope` (ids) leaves the others out, which the verdict then says."""
    planned = []
    for check in checks:
        settings = config.settings(check.id)
        require = settings.require
        applies = check.applies(target.without(settings.exclude), config)
        units: tuple[str, ...] = ()
        reason = ""
        if scope and check.id not in scope:
            reason = "not selected in this run"
        elif require == "off":
            reason = "switched off in the configuration"
        elif isinstance(applies, Planned):
            units = applies.units
        else:
            reason = applies.reason
        planned.append(
            PlannedCheck(
                check=check.id, stage=check.stage, summary=check.summary, require=require, units=units, reason=reason
            )
        )
    return Plan(
        run=os.environ.get("VALLUM_RUN") or secrets.token_hex(8),
        target=target.name,
        vallum=__version__,
        started=now(),
        commit=target.commit,
        scope=scope,
        services={service.name: service.path for service in target.services},
        checks=tuple(planned),
    )


def keep(made: Plan, before: Plan) -> Plan:
    """`made` with whatever `before` (the base's settings on the same files) plans and `made` does not: a change cannot take a
    check, or a service from a check, out of the plan. Services are the same where their folders are."""
    wanted = {planned.check: planned for planned in before.checks}
    checks = []
    for planned in made.checks:
        old = wanted.pop(planned.check, planned)
        have = {made.services.get(unit, unit) for unit in planned.units}
        lost = tuple(unit for unit in old.units if before.services.get(unit, unit) not in have)
        reason = "" if lost else planned.reason
        checks.append(msgspec.structs.replace(planned, units=(*planned.units, *lost), reason=reason))
    return msgspec.structs.replace(made, checks=(*checks, *(planned for planned in wanted.values() if planned.units)))


def under(made: Plan, settings: Trusted) -> Plan:
    """The plan with what is to be said of the settings that it was made with."""
    return msgspec.structs.replace(
        made,
        base=settings.base,
        settings=settings.notes,
        problems=(settings.problem,) if settings.problem else (),
    )


def path(root: Path) -> Path:
    """Where the plan of the target lies."""
    return root / artifacts.FOLDER / "plan.json"


def store(root: Path, plan: Plan) -> None:
    """Write the plan."""
    artifacts.folder(root)
    artifacts.write(path(root), msgspec.json.format(msgspec.json.encode(plan)))


def load(root: Path) -> Plan:
    """Read the plan; UserError where there is none or it is damaged. It must be of the base that counts here."""
    try:
        made = msgspec.json.decode(artifacts.read(path(root), 16 << 20), type=Plan)
    except FileNotFoundError:
        raise UserError(f"there is no plan in {root / artifacts.FOLDER}", "run `vallum -s plan` first") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path(root)} cannot be read: {error}", "delete it and run `vallum` again") from None
    settings = mergebase.trusted(root)
    if not settings.problem and settings.base != made.base:
        before, now = _named(made.base), _named(settings.base)
        problem = f"the plan was made with the settings of {before}, and is judged with those of {now}"
    else:
        problem = settings.problem
    return msgspec.structs.replace(made, problems=tuple(dict.fromkeys((*made.problems, *filter(None, (problem,))))))


def _named(commit: str) -> str:
    return commit[:12] or "the change itself"

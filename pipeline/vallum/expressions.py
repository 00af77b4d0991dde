"""Conditions in CEL (the Common Expression Language) about one finding: compiled and type-checked before anything runs.

Google's own runtime does it (`cel-expr-python`): an unknown name, a comparison of a number with a text or a condition that is
no yes or no is an error with line and column. Evaluation ends by construction: CEL has no loops and no side effects.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any

from vallum.severity import Severity

VARIABLES: Mapping[str, str] = {
    "finding.severity": "int",
    "finding.severity_known": "bool",
    "finding.check": "string",
    "finding.stage": "string",
    "finding.rule": "string",
    "finding.aliases": "list(string)",
    "finding.cwe": "list(int)",
    "finding.path": "string",
    "finding.package": "string",
    "finding.service": "string",
    "finding.confidence": "string",
    "finding.dynamic": "bool",
    "finding.is_new": "bool",
    "finding.fix_available": "bool",
    "finding.age_days": "int",
    "finding.cvss": "double",
    "finding.epss": "double",
    "finding.kev": "bool",
    "service.tier": "string",
    "service.exposure": "string",
}
"""What a condition may name, and its type. `severity` compares with CRITICAL, HIGH, MEDIUM, LOW and INFO; an unknown one
ranks with MEDIUM and has `severity_known` false. `cvss` and `epss` are 0.0 where there is none; `age_days` counts from the
day on which the finding was first seen."""
CONSTANTS: Mapping[str, int] = {
    severity.name: severity.rank for severity in Severity if severity is not Severity.UNKNOWN
}
LONGEST = 4_000
"""Characters of a condition."""
_STRING = re.compile(r"""("{3}|'{3}).*?\1|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL)
_PLACE = re.compile(r"<input>:(\d+):(\d+): (.*)")

Condition = Callable[[Mapping[str, Any]], bool]


class DoesNotCompile(Exception):
    """The condition is wrong: `line` of it (from 1), and why."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason


class CannotTell(Exception):
    """The condition has no answer for these values: a division by zero, an element that is not there."""


def compiled(condition: str) -> Condition:
    """The condition as a function of the values that it names. Raises DoesNotCompile, and the function CannotTell."""
    from cel_expr_python import cel

    if len(condition) > LONGEST:
        raise DoesNotCompile(1, f"it has {len(condition)} characters, at most {LONGEST} are read")
    types = {
        "int": cel.Type.INT,
        "bool": cel.Type.BOOL,
        "string": cel.Type.STRING,
        "double": cel.Type.DOUBLE,
        "list(string)": cel.Type.List(cel.Type.STRING),
        "list(int)": cel.Type.List(cel.Type.INT),
    }
    names = {name: types[kind] for name, kind in VARIABLES.items()} | dict.fromkeys(CONSTANTS, cel.Type.INT)
    try:
        expression = cel.NewEnv(variables=names).compile(condition)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _explained(str(error)) from None
    if expression.return_type() != cel.Type.BOOL:
        raise DoesNotCompile(1, f"it gives {expression.return_type().name()}, and must be true or false")

    bare = _STRING.sub('""', condition)
    constants = {name: rank for name, rank in CONSTANTS.items() if name in bare}

    def holds(values: Mapping[str, Any]) -> bool:
        try:
            answer = expression.eval(data={**values, **constants}).value()
        except (RuntimeError, ValueError, TypeError) as error:
            raise CannotTell(str(error)[:200]) from None
        if not isinstance(answer, bool):
            raise CannotTell(re.sub(r"^[A-Z_]+: ", "", str(answer))[:200])
        return answer

    return holds


def named(condition: str) -> frozenset[str]:
    """The variables that the condition names, strings aside; rather too many than too few."""
    bare = re.sub(r"\s+", "", _STRING.sub('""', condition))
    return frozenset(name for name in VARIABLES if name in bare)


def _explained(message: str) -> DoesNotCompile:
    found = _PLACE.search(message)
    if found is None:
        return DoesNotCompile(1, message.removeprefix("INVALID_ARGUMENT: ").splitlines()[0][:300])
    reason = found[3].replace(" (in container '')", "").removesuffix(" [INVALID_ARGUMENT]")
    unknown = re.search(r"undeclared reference to '([^']+)'", reason)
    if unknown:
        near = difflib.get_close_matches(unknown[1], [*VARIABLES, *CONSTANTS], n=1)
        reason = f"unknown name `{unknown[1]}`" + (f", did you mean `{near[0]}`?" if near else "")
    return DoesNotCompile(int(found[1]), f"column {found[2]}: {reason[:300]}")

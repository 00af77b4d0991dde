"""`[[check]]` in vallum.toml: anybody's tool as a check, without Python. What it says is here; vallum_checks.declared runs it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from vallum.severity import Severity

STDOUT = "-"
"""As the name of a report: the tool's standard output."""
PLACEHOLDERS = ("root", "raw", "scratch")
_PLACEHOLDER = re.compile(r"\{([A-Za-z0-9_-]*)\}")
_ENV = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")

Id = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,39}$")]


class DeclaredDatabase(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """What the tool compares with. `argv` prints its date (ISO 8601, or seconds since 1970) and, after a space, the number of
    its records; older than `max-age-days`, or unreadable, makes the check incomplete."""

    argv: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    name: str = "database"
    max_age_days: Annotated[int, msgspec.Meta(ge=1)] = 30


class DeclaredCheck(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A check without Python. Placeholders in `argv`: {root} {raw} {scratch}; {{ and }} for braces.

    `sarif` or `junit` says where its report lies, relative to {raw} (`-`: standard output). `files` are globs: what it has to
    look at, counted by us. `least-targets` makes fewer such files incomplete (without it, none is "not tested").
    `lists-targets`: the tool's SARIF names each file that it analysed (artifacts of role analysisTarget), which is then proof.
    `imports`: there is no command; the report comes through `vallum -s import`. `levels` maps the words of the report
    (error, warning, note, none; JUnit: failure) to severities. `secrets`: it finds secrets, so texts are masked and its
    outputs are not kept. `env` names the variables of our environment that it may see beside the usual ones.
    """

    id: Id
    summary: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
    files: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)]
    stage: Literal["source", "dependencies", "images"] = "source"
    argv: tuple[str, ...] = ()
    imports: bool = False
    ok_exit_codes: Annotated[tuple[int, ...], msgspec.Meta(min_length=1)] = (0,)
    sarif: str = ""
    junit: str = ""
    least_targets: Annotated[int, msgspec.Meta(ge=1)] | None = None
    lists_targets: bool = False
    version: tuple[str, ...] = ()
    database: DeclaredDatabase | None = None
    env: tuple[str, ...] = ()
    levels: dict[str, Severity] = {}
    secrets: bool = False

    def problem(self) -> tuple[str, str]:
        """What no type can say: the key that is wrong and why, or two empty strings."""
        if bool(self.argv) == self.imports:
            return "argv", "needs either `argv`, the command, or `imports = true`"
        if bool(self.sarif) == bool(self.junit) and not self.imports:
            return "sarif", "needs either `sarif` or `junit`: where its report lies"
        if self.imports and (self.sarif or self.junit or self.version or self.database or self.env):
            return "imports", "has no command, so `sarif`, `junit`, `version`, `database` and `env` mean nothing"
        if self.junit and not self.version:
            return "junit", "needs `version`: JUnit XML does not name the tool's version"
        for argument in (*self.argv, *self.version, *(self.database.argv if self.database else ())):
            for name in _PLACEHOLDER.findall(argument.replace("{{", "").replace("}}", "")):
                if name not in PLACEHOLDERS:
                    known = " ".join(f"{{{each}}}" for each in PLACEHOLDERS)
                    return "argv", f"has the unknown placeholder {{{name}}} (known: {known}; {{{{ and }}}} for braces)"
        report = self.sarif or self.junit
        if report != STDOUT and (report.startswith("/") or "\\" in report or ".." in report.split("/")):
            return "sarif" if self.sarif else "junit", f"{report!r} leaves the folder of raw outputs"
        for name in self.env:
            if not _ENV.fullmatch(name):
                return "env", f"{name!r} is no name of a variable"
        return "", ""


def expand(argument: str, places: dict[str, str]) -> str:
    """`argument` with its placeholders replaced; `problem` has refused unknown ones."""
    parts = re.split(r"(\{\{|\}\}|\{[a-z]+\})", argument)
    fixed = {"{{": "{", "}}": "}"} | {f"{{{name}}}": value for name, value in places.items()}
    return "".join(fixed.get(part, part) for part in parts)

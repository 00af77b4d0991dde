"""Reading a compose file: what of it can be staged becomes Containers, and everything else is refused by name.

The words are those of the Compose Specification. A key that is left out silently is a deployment that differs from what the
file says, so nothing is: a key is carried out, or has no meaning for a deployment that is thrown away (`restart`,
`container_name`, the host's side of `ports`, `logging`, `stop_grace_period`), or is an error. Keys that would hand this
machine to the services under attack are errors too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from vallum import artifacts
from vallum.environments import Environment
from vallum.errors import UserError
from vallum.stage import composeservice, settings
from vallum.stage.composefacts import Facts
from vallum.stage.composemodel import Container

MAX_SIZE = 4 << 20
_TOP = frozenset(("services", "networks", "volumes", "secrets", "name", "version"))
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:?[-?+])([^}]*))?\}|(\w+))")
"""`$$`, `${NAME}`, `${NAME:-default}`, `${NAME:?message}`, `${NAME:+instead}`, the same without colon, and `$NAME`."""


@dataclass(frozen=True)
class SecretFile:
    """A secret of the file: the value itself, or the file that holds it."""

    value: str = ""
    file: Path | None = None


@dataclass(frozen=True)
class Project:
    """What is to be started. `networks` says of each whether it is internal."""

    containers: Mapping[str, Container]
    networks: Mapping[str, bool]
    volumes: tuple[str, ...]
    secrets: Mapping[str, SecretFile]
    levels: list[tuple[str, ...]]


def check(environment: Environment, root: Path) -> None:
    """Raise UserError for a compose file that cannot be staged. The values of secrets are not needed for this."""
    read(environment, root, {f"secret.{name}": "secret" for name in environment.secrets})


def read(environment: Environment, root: Path, values: Mapping[str, str]) -> Project:
    """The project of the compose file; `values` fill {secret.NAME} in `environment.compose.variables`."""
    compose = environment.compose
    path = (root / compose.file).resolve()
    if not path.is_file() or not path.is_relative_to(root.resolve()):
        raise UserError(
            f"environment.compose.file: there is no file {compose.file!r}", "name one, relative to the root"
        )
    variables = {
        name: settings.fill(value, f"environment.compose.variables.{name}", values)
        for name, value in compose.variables.items()
    }
    document = _Interpolation(compose.file, variables).of(_parsed(path, compose.file), "")
    facts = Facts(compose.file, path.parent, root.resolve(), variables)
    services = facts.table(document.get("services"), "services")
    if unknown := sorted(set(map(str, document)) - _TOP - {key for key in map(str, document) if key.startswith("x-")}):
        raise UserError(f"{compose.file}: `{unknown[0]}` cannot be staged", "write a compose file without it")
    networks = {"default": False} | {
        name: _network(facts, name, value) for name, value in facts.table(document.get("networks"), "networks").items()
    }
    volumes = tuple(facts.table(document.get("volumes"), "volumes"))
    for name, value in facts.table(document.get("volumes"), "volumes").items():
        facts.only(value, f"volumes.{name}", ("name", "labels", "driver"))
        if (value or {}).get("driver", "local") != "local":
            raise facts.refused(f"volumes.{name}.driver", "only local volumes can be thrown away")
    secrets = {
        name: _secret(facts, name, value) for name, value in facts.table(document.get("secrets"), "secrets").items()
    }
    containers = {
        name: composeservice.read(facts, name, value)
        for name, value in services.items()
        if not (isinstance(value, dict) and value.get("profiles"))
    }
    _check_names(facts, containers, networks, volumes, secrets)
    order = _with_staged(facts, environment, containers)
    return Project(order, networks, volumes, secrets, settings.levels(order))


def _parsed(path: Path, name: str) -> dict[str, Any]:
    import yaml

    try:
        document = yaml.safe_load(artifacts.read(path, MAX_SIZE))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{name}: {str(error).splitlines()[0][:200]}", "correct the compose file") from None
    if not isinstance(document, dict) or not document.get("services"):
        raise UserError(f"{name} has no services", "name another file in environment.compose.file")
    return document


class _Interpolation:
    """`${NAME}` in every string, from `environment.compose.variables` alone: what a shell happens to hold is not asked."""

    def __init__(self, file: str, variables: Mapping[str, str]) -> None:
        self._file = file
        self._variables = variables

    def of(self, value: Any, key: str) -> Any:
        if isinstance(value, str):
            return _VARIABLE.sub(lambda found: self._one(found, key), value) if "$" in value else value
        if isinstance(value, dict):
            return {name: self.of(each, f"{key}.{name}".strip(".")) for name, each in value.items()}
        if isinstance(value, list):
            return [self.of(each, f"{key}[{number}]") for number, each in enumerate(value)]
        return value

    def _one(self, found: re.Match[str], key: str) -> str:
        if found[0] == "$$":
            return "$"
        name, operator, word = found[1] or found[4], found[2] or "", found[3] or ""
        value = self._variables.get(name)
        usable = bool(value) if operator.startswith(":") else value is not None
        if operator.endswith("+"):
            return word if usable else ""
        if usable and value is not None:
            return value
        if operator.endswith("-"):
            return word
        raise UserError(f"{self._file}: {key} needs the variable {name}", f"set environment.compose.variables.{name}")


def _network(facts: Facts, name: str, value: Any) -> bool:
    key = f"networks.{name}"
    facts.only(value, key, ("internal", "driver", "name", "labels", "attachable"))
    if (value or {}).get("driver", "bridge") != "bridge":
        raise facts.refused(f"{key}.driver", "only bridge networks are made for a run")
    return bool((value or {}).get("internal", False))


def _secret(facts: Facts, name: str, value: Any) -> SecretFile:
    key = f"secrets.{name}"
    table = facts.only(value, key, ("environment", "file", "name"))
    if "environment" in table:
        variable = str(table["environment"])
        if variable not in facts.variables:
            raise UserError(
                f"{facts.file}: {key} needs the variable {variable}", f"set environment.compose.variables.{variable}"
            )
        return SecretFile(value=facts.variables[variable])
    if "file" in table:
        return SecretFile(file=facts.inside(str(table["file"]), f"{key}.file"))
    raise facts.refused(key, "name its `environment` or its `file`")


def _check_names(
    facts: Facts,
    containers: Mapping[str, Container],
    networks: Mapping[str, bool],
    volumes: tuple[str, ...],
    secrets: Mapping[str, SecretFile],
) -> None:
    for name, container in containers.items():
        wanted: tuple[tuple[str, Any, Any], ...] = (
            ("depends_on", container.depends, containers),
            ("networks", container.networks, networks),
            ("secrets", container.secrets.values(), secrets),
            ("volumes", [mount.source for mount in container.mounts if mount.kind == "volume"], volumes),
        )
        for what, used, known in wanted:
            for each in used:
                if each not in known:
                    raise UserError(
                        f"{facts.file}: services.{name}.{what}: there is no `{each}`", "correct the compose file"
                    )


def _with_staged(facts: Facts, environment: Environment, containers: Mapping[str, Container]) -> dict[str, Container]:
    """The containers with what `[environment.services]` says about them: each staged service needs one, and a port."""
    from dataclasses import replace

    conditions: dict[str, Literal["service_started"]]
    merged = dict(containers)
    for name, staged in environment.services.items():
        key = f"environment.services.{name}"
        if name not in containers:
            raise UserError(f"{key}: {facts.file} has no such service", f"known: {', '.join(sorted(containers))}")
        for other in staged.depends_on:
            if other not in containers:
                raise UserError(f"{key}.depends-on: {facts.file} has no service `{other}`", "correct the name")
        port = staged.port or containers[name].port
        if not port:
            raise UserError(f"{key}: {facts.file} does not say what port it listens on", f"set {key}.port")
        conditions = dict.fromkeys(staged.depends_on, "service_started")
        merged[name] = replace(containers[name], port=port, depends=conditions | dict(containers[name].depends))
    for name, container in merged.items():
        for other, condition in container.depends.items():
            if (
                condition == "service_healthy"
                and other not in environment.services
                and merged[other].healthcheck is None
            ):
                raise facts.refused(f"services.{name}.depends_on.{other}", f"{other} has no healthcheck")
    return merged

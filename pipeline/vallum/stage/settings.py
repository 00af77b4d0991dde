"""What the `[environment]` table means: everything that can be wrong with it is said before anything is started."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from vallum.environments import Environment, StagedService
from vallum.errors import UserError
from vallum.stage import identities, readiness, rpc, secrets, seed
from vallum.stage.login import settings as login
from vallum.stage.placeholders import NAME, PATH, PLACEHOLDER, fill

_METHOD = re.compile(r"/[A-Za-z_][\w.]*/(\w+|\*)", re.ASCII)

__all__ = ["NAME", "PLACEHOLDER", "check", "fill", "levels"]


def check(environment: Environment, root: Path) -> None:
    """Raise UserError, with the key, for whatever is wrong with the table: names, paths, placeholders, order."""
    if not environment.services:
        raise UserError("[environment] has no services", "add [environment.services.NAME], or remove [environment]")
    names = {**{f"url.{name}": "" for name in environment.services}, **_secret_names(environment)}
    own = names
    if environment.kind == "process":
        own = names | dict.fromkeys(
            ("state", "python", *(identities.PLACEHOLDERS if identities.https(environment) else ())), ""
        )
    for name, service in environment.services.items():
        _check_service(environment.kind, name, service, root, own)
    levels(environment.services)
    if environment.kind == "compose":
        from vallum.stage import composefile

        composefile.check(environment, root)
    elif environment.kind == "kubernetes":
        from vallum.stage import manifests

        manifests.check(environment, root)
    elif environment.kind == "url":
        from vallum.stage import url

        url.check(environment, root)
    secrets.check(environment.secrets, root)
    login.check(environment, names)
    seed.check(environment, names)


def _secret_names(environment: Environment) -> dict[str, str]:
    return {f"secret.{name}": "" for name in environment.secrets}


def _check_service(kind: str, name: str, service: StagedService, root: Path, names: dict[str, str]) -> None:
    key = f"environment.services.{name}"
    if not NAME.fullmatch(name):
        raise UserError(f"{key}: a service's name has letters, digits, `-`, `_` and `.` only", "rename the service")
    folder = root / service.directory
    if not folder.is_dir() or not folder.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}.directory: there is no folder {service.directory!r}", "name one, relative to the root")
    if kind != "process" and (service.command or service.install or service.runtime != "none"):
        raise UserError(
            f"{key}: `command`, `runtime` and `install` are for the kind `process`", "the image says what runs"
        )
    if service.url and kind != "url":
        raise UserError(f"{key}.url is for the kind `url`", "remove it: the address is chosen for each run")
    if kind == "process" and not service.command:
        raise UserError(f"{key}.command is empty", 'such as command = ["python", "app.py"]')
    for option, value in (("install", service.install), ("openapi", service.openapi)):
        if value and not (folder / value).is_file():
            raise UserError(f"{key}.{option}: there is no file {value!r} in {service.directory}", "correct the path")
    _check_definition(f"{key}.definition", service, folder)
    if not PATH.fullmatch(service.ready.path):
        raise UserError(f"{key}.ready.path: {service.ready.path!r} is not a path", "begin it with a slash")
    readiness.check(f"{key}.ready", service.ready)
    identities.check(kind, name, service, folder)
    known = {**names, "port": "", **({"port.plain": ""} if service.plain else {})}
    for number, word in enumerate(service.command):
        fill(word, f"{key}.command[{number}]", known)
    for number, word in enumerate(service.ready.command):
        fill(word, f"{key}.ready.command[{number}]", known)
    for variable, value in service.env.items():
        if not variable or "=" in variable or "\0" in variable + value:
            raise UserError(f"{key}.env: {variable!r} cannot be an environment variable", "rename it")
        fill(value, f"{key}.env.{variable}", known)


def _check_definition(key: str, service: StagedService, folder: Path) -> None:
    wanted = service.definition
    if wanted is None:
        return
    if service.openapi:
        raise UserError(f"{key}: `openapi` names a definition already", "say it once")
    if wanted.file and not (folder / wanted.file).is_file():
        raise UserError(f"{key}.file: there is no file {wanted.file!r} in {service.directory}", "correct the path")
    if not wanted.file and wanted.kind not in {"graphql", "grpc"}:
        raise UserError(f"{key}.file is empty", "only GraphQL and gRPC can be asked for their types: name a file")
    if wanted.descriptors and not (folder / wanted.descriptors).is_file():
        raise UserError(
            f"{key}.descriptors: there is no file {wanted.descriptors!r} in {service.directory}", "correct the path"
        )
    demanded = wanted.descriptors or (wanted.kind == "grpc" and not wanted.file)
    if demanded and not rpc.installed():
        raise UserError(f"{key}: gRPC cannot be called: {rpc.MISSING}", rpc.HINT)
    for option, given in (
        ("public", wanted.public),
        ("messages", tuple(wanted.messages)),
        ("descriptors", (wanted.descriptors,) if wanted.descriptors else ()),
    ):
        if given and wanted.kind != "grpc" and not wanted.file.lower().endswith(".proto"):
            raise UserError(f"{key}.{option} is for gRPC only", 'remove it, or say kind = "grpc"')
        for name in given if option != "descriptors" else ():
            if not _METHOD.fullmatch(name) or (option == "messages" and name.endswith("*")):
                raise UserError(f"{key}.{option}: {name!r} is no method", "such as /package.Service/Method")
    if wanted.endpoint and not PATH.fullmatch(wanted.endpoint):
        raise UserError(f"{key}.endpoint: {wanted.endpoint!r} is not a path", "begin it with a slash")


class Ordered(Protocol):
    """What has an order of start."""

    @property
    def depends_on(self) -> tuple[str, ...]:
        """What has to be ready first."""
        ...


def levels(services: Mapping[str, Ordered]) -> list[tuple[str, ...]]:
    """The order of start: a level depends only on those before it. Raises UserError for an unknown name or a cycle."""
    for name, service in services.items():
        for other in service.depends_on:
            if other not in services:
                raise UserError(
                    f"environment.services.{name}.depends-on: there is no service `{other}`",
                    f"known: {', '.join(sorted(services))}",
                )
    order: list[tuple[str, ...]] = []
    done: set[str] = set()
    while len(done) < len(services):
        level = tuple(
            name for name, service in services.items() if name not in done and done.issuperset(service.depends_on)
        )
        if not level:
            rest = ", ".join(sorted(set(services) - done))
            raise UserError(f"environment.services: depends-on goes round in a circle among {rest}", "break the circle")
        order.append(level)
        done.update(level)
    return order

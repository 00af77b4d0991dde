"""What is deployed comes from the change, but a change cannot take a service out whose folder is still there."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath

import msgspec

from vallum.config import Config
from vallum.environments import Environment, StagedService
from vallum.errors import UserError
from vallum.logins import SecretSource
from vallum.target import OPENAPI_NAMES


def still_there(base: Config, root: Path) -> Config:
    """The base's configuration without services whose folder the change removed."""
    services = {name: one for name, one in base.services.items() if (root / one.path).is_dir()}
    environment = base.environment
    if environment is not None:
        staged = {name: one for name, one in environment.services.items() if (root / one.directory).is_dir()}
        login = environment.login if environment.login and environment.login.service in staged else None
        staged = {
            name: msgspec.structs.replace(one, depends_on=tuple(need for need in one.depends_on if need in staged))
            for name, one in staged.items()
        }
        environment = msgspec.structs.replace(environment, services=staged, login=login) if staged else None
    return msgspec.structs.replace(base, services=services, environment=environment)


def combine(base: Config, change: Config, root: Path) -> Config:
    """The base's settings on the change's deployment; what the base deploys and the change leaves out is put back."""
    folders = {_folder(one.path) for one in change.services.values()}
    services = dict(change.services) | {
        name: one for name, one in base.services.items() if _folder(one.path) not in folders
    }
    return msgspec.structs.replace(
        base, services=services, environment=_environment(base.environment, change.environment, root)
    )


def _environment(base: Environment | None, change: Environment | None, root: Path) -> Environment | None:
    if change is not None:
        change = _within(base or Environment(), change)
    if base is None or change is None:
        return change or base
    folders = {_folder(one.directory): name for name, one in change.services.items()}
    services = dict(change.services)
    for name, one in base.services.items():
        now = folders.get(_folder(one.directory))
        if now is None:
            services[name] = one
            continue
        if _keeps_definition(one, services[now], root):
            services[now] = msgspec.structs.replace(services[now], openapi=one.openapi, definition=one.definition)
        if one.mtls if one.mtls is not None else base.mtls:  # a change cannot take the demand back
            services[now] = msgspec.structs.replace(services[now], mtls=True)
    return msgspec.structs.replace(
        change,
        services=services,
        login=change.login if change.login is not None and change.login.kind != "none" else base.login or change.login,
        users=change.users or base.users,
        secrets=dict(base.secrets) | dict(change.secrets),
    )


def _within(base: Environment, change: Environment) -> Environment:
    """The change's deployment without what reaches out of it: it may not hand a secret of ours to its own services, nor
    point the attack at somebody else."""
    for name, source in change.secrets.items():
        if isinstance(source, SecretSource) and base.secrets.get(name) != source:
            raise UserError(
                f"environment.secrets.{name}: a change cannot take a secret from outside that its base does not take",
                "it can once this is merged; try it out with --trust-change",
            )
    cluster = change.kubernetes
    if cluster is not None and (base.kubernetes is None or base.kubernetes.context != cluster.context):
        raise UserError(
            f"environment.kubernetes.context: a change cannot choose the cluster {cluster.context!r}",
            "it can once this is merged; try it out with --trust-change",
        )
    return msgspec.structs.replace(change, url=base.url)


def _keeps_definition(base: StagedService, change: StagedService, root: Path) -> bool:
    """A definition that names no operation leaves nothing to attack: the base's choice holds while its file is there."""
    same = (change.openapi, change.definition) == (base.openapi, base.definition)
    wanted = base.definition
    named = [name for name in (base.openapi, *((wanted.file, wanted.descriptors) if wanted else ())) if name]
    if named or wanted is not None:
        return not same and all((root / base.directory / name).is_file() for name in named)
    return not same and any((root / base.directory / name).is_file() for name in OPENAPI_NAMES)


def _folder(path: str) -> str:
    return PurePosixPath(os.path.normpath(path)).as_posix()

"""The values of `[environment.secrets]`: made for the run, or read from where they are kept. They are written nowhere."""

from __future__ import annotations

import base64
import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vallum.errors import UserError
from vallum.logins import SecretSource

Source = Literal["generate", "generate-totp"] | SecretSource
MAX_FILE = 64 << 10
"""Bytes of a file with a secret."""


def check(sources: Mapping[str, Source], root: Path) -> None:
    """Raise UserError, with the key, for a source that cannot be meant: before anything is read. `root` is the target."""
    for name, source in sources.items():
        if isinstance(source, SecretSource):
            _check(f"environment.secrets.{name}", source, root)


def resolve(sources: Mapping[str, Source]) -> dict[str, str]:
    """Each secret's value. Raises UserError, with the key, for one that cannot be had."""
    return {name: _value(f"environment.secrets.{name}", source) for name, source in sources.items()}


def _check(key: str, source: SecretSource, root: Path) -> None:
    if sum(map(bool, (source.env, source.file, source.vault))) != 1:
        raise UserError(f"{key} names not exactly one source", 'such as { env = "ALICE_PASSWORD" }')
    if source.file:
        path = Path(source.file).expanduser()
        if not path.is_absolute():
            raise UserError(f"{key}: {source.file} is not a whole path", "begin it with / or ~")
        for each in (Path(os.path.normpath(path)), path.resolve()):
            if each.is_relative_to(root.resolve()):
                raise UserError(
                    f"{key}: {source.file} is inside the repository", "keep secrets outside: they get committed"
                )
    mount, _, name = source.vault.partition("#")
    if source.vault and (not name or "/" not in mount.strip("/")):
        raise UserError(f"{key}: {source.vault!r} names no secret of a Vault", "MOUNT/PATH#KEY")


def _value(key: str, source: Source) -> str:
    if source == "generate":
        return secrets.token_urlsafe(24)
    if source == "generate-totp":
        return base64.b32encode(secrets.token_bytes(20)).decode()  # 160 bits, as RFC 4226, section 4, recommends
    if source.env:
        value = os.environ.get(source.env, "")
        if not value:
            raise UserError(f"{key}: the environment variable {source.env} is not set", "set it for this run")
        return value
    if source.file:
        return _file(key, Path(source.file).expanduser())
    if source.vault:
        from vallum.stage import vault

        return vault.read(key, source.vault)
    raise UserError(f"{key} names not exactly one source", 'such as { env = "ALICE_PASSWORD" }')


def _file(key: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            value = file.read(MAX_FILE + 1).decode("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{key}: cannot read {path}: {type(error).__name__}", "name a readable text file") from None
    if not value or len(value) >= MAX_FILE or "\0" in value:
        raise UserError(f"{key}: {path} is empty, or no text of at most {MAX_FILE} bytes", "write the secret into it")
    return value

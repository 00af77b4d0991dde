"""The values of `[environment.secrets]`: made for the run, or read from where they are kept. They are written nowhere."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from vallum.environments import SecretSource
from vallum.errors import UserError


def resolve(sources: Mapping[str, Literal["generate"] | SecretSource]) -> dict[str, str]:
    """Each secret's value. Raises UserError, with the key, for one that cannot be had."""
    return {
        name: secrets.token_urlsafe(24) if source == "generate" else _read(f"environment.secrets.{name}", source)
        for name, source in sources.items()
    }


def _read(key: str, source: SecretSource) -> str:
    if sum(map(bool, (source.env, source.file, source.vault))) != 1:
        raise UserError(f"{key} names not exactly one source", 'such as { env = "ALICE_PASSWORD" }')
    if source.env:
        value = os.environ.get(source.env, "")
        if not value:
            raise UserError(f"{key}: the environment variable {source.env} is not set", "set it for this run")
        return value
    if source.file:
        try:
            return Path(source.file).expanduser().read_text("utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{key}: cannot read {source.file}: {error}", "name a readable text file") from None
    raise UserError(f"{key}: Vault is not supported yet", "use env or file")

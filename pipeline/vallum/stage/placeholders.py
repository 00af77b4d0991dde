"""Placeholders in the texts of `[environment]`: {port}, {url.NAME}, {secret.NAME} and what else a place knows."""

from __future__ import annotations

import re
from collections.abc import Mapping

from vallum.errors import UserError

PLACEHOLDER = re.compile(r"\{([A-Za-z_][A-Za-z0-9_.-]*)\}")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
PATH = re.compile(r"/[!-~]*")
"""Printable ASCII only: nothing that could break out of a request line."""


def fill(text: str, key: str, values: Mapping[str, str]) -> str:
    """`text` with its placeholders replaced. Raises UserError with `key` for one that is not in `values`."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name in values:
            return values[name]
        if name.startswith("secret."):
            hint = f'add {name[7:]} = "generate" to [environment.secrets]'
        else:
            hint = f"the placeholders here are {' '.join(f'{{{known}}}' for known in sorted(values)) or 'none'}"
        raise UserError(f"{key}: unknown placeholder {{{name}}}", hint)

    return PLACEHOLDER.sub(value, text)


def names(text: str) -> set[str]:
    """The placeholders in `text`."""
    return set(PLACEHOLDER.findall(text))

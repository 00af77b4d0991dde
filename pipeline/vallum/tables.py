"""The base of every table of `vallum.toml`."""

from __future__ import annotations

import msgspec


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab", kw_only=True):
    """A table of the file: keys in kebab-case, unknown ones refused."""

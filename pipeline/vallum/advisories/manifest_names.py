"""Which files are Python manifests, by name alone: cheap enough for every start of vallum."""

from __future__ import annotations

from fnmatch import fnmatch
from pathlib import PurePosixPath

NAMES = ("requirements*.txt", "*requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml", "pylock.*.toml")
"""File names that say what they are; `requirements/*.txt` counts too."""


def is_manifest(path: str, extra: tuple[str, ...] = ()) -> bool:
    """Whether the file at `path` (relative, posix) is one by its name, or by a glob of `extra`."""
    pure = PurePosixPath(path)
    return (
        any(fnmatch(pure.name, pattern) for pattern in NAMES)
        or (pure.parent.name == "requirements" and pure.suffix == ".txt")
        or any(fnmatch(path, pattern) for pattern in extra)
    )

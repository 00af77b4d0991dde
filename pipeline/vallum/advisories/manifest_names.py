"""Which files are Python manifests, by name alone: cheap enough for every start of vallum."""

from __future__ import annotations

from vallum.target import like

NAMES = ("requirements*.txt", "*requirements.txt", "pyproject.toml", "uv.lock", "pylock.toml", "pylock.*.toml")
"""File names that say what they are; `requirements/*.txt` counts too."""


def is_manifest(path: str, extra: tuple[str, ...] = ()) -> bool:
    """Whether the file at `path` (relative, posix) is one by its name, or by a glob of `extra`."""
    folder, _, name = path.rpartition("/")
    return (
        like(name, NAMES)
        or (name.endswith(".txt") and name != ".txt" and folder.rpartition("/")[2] == "requirements")
        or (bool(extra) and like(path, extra))
    )

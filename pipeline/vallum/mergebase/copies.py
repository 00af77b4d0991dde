"""Files that the configuration names come from the base too: a copy of them, where the change touched them."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from vallum import artifacts
from vallum.config import Config
from vallum.errors import UserError
from vallum.git import LINK, SUBMODULE, Entry, object_of

if TYPE_CHECKING:
    from vallum.mergebase import Trusted

NAMED = (
    ("advisories", "source"),
    ("intelligence", "epss"),
    ("intelligence", "kev"),
    ("baseline", "file"),
    ("policy", "vex"),
    ("zap", "rules"),
    ("checks", "transport", "options", "ca"),
    ("checks", "*", "options", "rules"),
)
"""Keys of the configuration whose values may name files of the target that decide what is found."""
FOLDER = "trusted"


def from_base(settings: Trusted, base: Config) -> Config:
    """`base` with every named file or folder of the target that the change touched replaced by a copy of the base's."""
    if settings.repository is None:
        return base
    table: dict[str, Any] = msgspec.to_builtins(base)

    def replace(value: Any, path: Sequence[str]) -> Any:
        if path:
            if not isinstance(value, dict):
                return value
            keys = list(value) if path[0] == "*" else [path[0]] if path[0] in value else []
            return value | {key: replace(value[key], path[1:]) for key in keys}
        if isinstance(value, list | tuple):
            return [replace(one, ()) for one in value]
        return _place(settings, value) if isinstance(value, str) else value

    for path in NAMED:
        table = replace(table, path)
    return msgspec.convert(table, Config)


def _place(settings: Trusted, named: str) -> str:
    """The path to use for `named`: itself where it is not the target's, or is as the base has it; else that of a copy."""
    repository = settings.repository
    inside = os.path.normpath(settings.root / named)
    if repository is None or not named or "://" in named or not Path(inside).is_relative_to(settings.root):
        return named
    path = Path(inside).relative_to(settings.root).as_posix()
    entries = repository.entries(settings.base, [path])
    if same(settings.root, path, entries):
        return named
    if not entries and not repository.entries(settings.head, [path]):
        return named  # no file of the repository: a word such as `auto`, or made by a step of the pipeline before us
    for inner, entry in entries.items():
        if entry.mode in {LINK, SUBMODULE}:
            raise UserError(f"at the base, {inner} is a link or a submodule", "settings must be regular files")
    listing = "\n".join(f"{inner}\0{entry.object}" for inner, entry in sorted(entries.items()))
    folder = artifacts.folder(settings.root) / FOLDER
    if folder.is_symlink():
        raise UserError(f"{folder} is a link, and vallum would write to where it leads", "remove it")
    place = folder / hashlib.sha256(listing.encode("utf-8", "surrogateescape")).hexdigest()[:16]
    with artifacts.locked(folder.with_name("trusted.lock")):
        if not entries or not same(place, path, entries):
            shutil.rmtree(place, ignore_errors=True)
            for inner, entry in entries.items():
                artifacts.write(place / inner, repository.blob(entry))
    return (place / path).relative_to(settings.root).as_posix()


def same(root: Path, path: str, entries: Mapping[str, Entry]) -> bool:
    """Whether file or folder `path` below `root` holds just what the entries say."""
    here = root / path
    if here.is_symlink() or not entries:
        return False
    names = (
        [path]
        if here.is_file()
        else [
            (Path(folder) / name).relative_to(root).as_posix() for folder, _, files in os.walk(here) for name in files
        ]
    )
    if set(names) != set(entries):
        return False
    for name in names:
        try:
            data = artifacts.read(root / name)
        except (OSError, ValueError):
            return False
        if object_of(data, entries[name].object) != entries[name].object:
            return False
    return True

"""Whether the work tree is what its commit says, byte for byte, found out without git's filters, hooks or index."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

from vallum import artifacts
from vallum.errors import Inconclusive
from vallum.git import LINK, SUBMODULE, Entry, Repository, find, object_of

CLEAN = "clean"
NAMED = 3
"""Files that a sentence names."""
MAX_POINTER = 1024
"""Bytes of a pointer file at most (specification of Git LFS, "The pointer")."""
_POINTER = re.compile(rb"version https://git-lfs\.github\.com/spec/v1\n(?:.+\n)*?oid sha256:([0-9a-f]{64})\n")


def state(root: Path) -> str:
    """CLEAN, or what differs from the checked-out commit in a sentence. Never raises: what cannot be told is a difference."""
    try:
        names = []
        for number, name in enumerate(differences(root)):
            if number < NAMED:
                names.append(name)
            else:
                return f"{', '.join(names)} and more"
    except Inconclusive as error:
        return error.reason
    return ", ".join(names) if names else CLEAN


def committed(root: Path, path: str) -> bool:
    """Whether the checked-out commit has anything at or below `path`; false where there is no commit. Raises Inconclusive."""
    repository = find(root)
    head = repository.commit("HEAD") if repository is not None else ""
    return bool(repository is not None and head and repository.entries(head, [path]))


def differences(root: Path) -> Iterator[str]:
    """`app.py was changed`, `x.py is new`, … for every file below `root` that is not as committed; ignored files do not count.

    A file of Git LFS counts by the digest that its pointer names. Line ends must be those of the commit. Raises Inconclusive
    where there is no commit.
    """
    repository = find(root)
    head = repository.commit("HEAD") if repository is not None else ""
    if repository is None or not head:
        raise Inconclusive(f"{root.name} is not a git checkout with a commit")
    entries = repository.entries(head, [""] if repository.prefix else [])
    for path, entry in sorted(entries.items()):
        if entry.mode == SUBMODULE:
            yield from _submodule(root / path, path, entry)
        elif not _same(repository, root / path, entry):
            yield f"{path} {'was changed' if os.path.lexists(root / path) else 'is missing'}"
    for path in repository.untracked():
        yield f"{path} is not committed"


def _same(repository: Repository, path: Path, entry: Entry) -> bool:
    try:
        if entry.mode == LINK:
            return object_of(os.fsencode(os.readlink(path)), entry.object) == entry.object
        data = artifacts.read(path)
    except (OSError, ValueError):
        return False
    if object_of(data, entry.object) == entry.object:
        return True
    pointer = _POINTER.match(repository.blob(entry)) if entry.size <= MAX_POINTER else None
    return pointer is not None and hashlib.sha256(data).hexdigest().encode() == pointer[1]


def _submodule(folder: Path, path: str, entry: Entry) -> Iterator[str]:
    if not folder.is_dir() or not any(folder.iterdir()):
        return  # not checked out: nothing of it was judged, and nothing of it is here
    inner = find(folder)
    if inner is None or inner.work_tree != folder.resolve() or inner.commit("HEAD") != entry.object:
        yield f"the submodule {path} is at another commit"
        return
    for said in differences(folder):
        yield f"{path}/{said}"

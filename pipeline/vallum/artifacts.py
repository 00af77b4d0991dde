"""The folder `.vallum/`: where everything lies, atomic writes, and reading back what another machine may have written."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from vallum.errors import UserError

FOLDER = ".vallum"
INNER = ("outcomes", "report", "stage", "nox")
MAX_READ = 512 << 20
"""Bytes of one outcome file that we agree to read."""


def write(path: Path, data: bytes | Iterable[bytes], *, durable: bool = True) -> None:
    """Write whole or not at all: a temporary file beside it, fsync, rename. `data` may come in parts.

    What is not `durable` (a report, which can be made anew) may be lost when the machine loses its power; it is never torn
    by a killed process.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            if isinstance(data, bytes):
                file.write(data)
            else:
                file.writelines(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def read(path: Path | str, limit: int = MAX_READ) -> bytes:
    """The content of a regular file (never a link) of at most `limit` bytes. Raises ValueError or OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        status = os.fstat(handle)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{os.path.basename(path)} is no regular file")
        if status.st_size > limit:
            raise ValueError(f"{os.path.basename(path)} has {status.st_size} bytes, more than the limit of {limit}")
        data = read_open(handle, limit + 1, status.st_size)
    finally:
        os.close(handle)
    if len(data) > limit:
        raise ValueError(f"{os.path.basename(path)} grew over the limit of {limit} bytes")
    return data


def read_open(handle: int, limit: int, size: int) -> bytes:
    """The first `limit` bytes of an open regular file that should have `size`. Thousands are read: without a buffer between."""
    first = os.read(handle, min(limit, size + 1))  # a byte more than is there tells whether it has grown
    if len(first) == size:
        return first
    parts, left = [first], limit - len(first)
    while left > 0 and (data := os.read(handle, min(left, 1 << 20))):
        parts.append(data)
        left -= len(data)
    return b"".join(parts)


def folder(root: Path) -> Path:
    """`.vallum` of the target, made if needed, with a .gitignore of its own."""
    path = root / FOLDER
    linked = next((each for each in (path, *(path / name for name in INNER)) if each.is_symlink()), None)
    if linked is not None:  # a target could have us write, and clear folders, wherever its link leads
        raise UserError(f"{linked} is a link, and vallum would write to where it leads", "remove it")
    try:
        path.mkdir(exist_ok=True)
        ignore = path / ".gitignore"
        if not ignore.exists():
            ignore.write_text("*\n", "utf-8")
    except OSError as error:
        raise UserError(
            f"cannot write to {path}: {error.strerror}", "give the folder to the user who runs vallum"
        ) from None
    return path


def outcome_folder(root: Path, check: str, unit: str) -> Path:
    """Where one outcome lies."""
    return root / FOLDER / "outcomes" / check / unit


@contextlib.contextmanager
def locked(path: Path, message: str = "") -> Iterator[None]:
    """Hold an exclusive lock on the file `path`; with `message`, do not wait but raise UserError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if message else 0))
        except BlockingIOError:
            raise UserError(message, "wait for the other run, or end it") from None
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)

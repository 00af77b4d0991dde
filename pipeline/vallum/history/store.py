"""The file of the history: opened only when it is sound and its schema is ours to the letter; migrated; set aside when damaged.

It may come from a cache that others write, or from a commit. A trigger or a view in it would run as we write, so a
schema that differs in one character is refused, and SQLite is told to trust none.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

from vallum import artifacts, git
from vallum.errors import Inconclusive

FILE = "history.sqlite"
BUSY = 10.0
"""Seconds to wait for another process that writes."""
MAX_FILE = 1 << 30
"""Bytes."""
_TIME = "IS strftime('%Y-%m-%dT%H:%M:%SZ', {0}, '+0 days')"
_NAME = "= 'text' AND length({0}) BETWEEN 1 AND 200"

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        f"""CREATE TABLE run (
            run TEXT NOT NULL CHECK (typeof(run) {_NAME.format("run")}),
            at TEXT NOT NULL CHECK (at {_TIME.format("at")}),
            "commit" TEXT NOT NULL CHECK (typeof("commit") = 'text' AND length("commit") <= 64),
            status TEXT NOT NULL CHECK (status IN ('pass', 'fail', 'incomplete')),
            PRIMARY KEY (run, at, "commit", status)
        ) WITHOUT ROWID""",
        f"""CREATE TABLE sighting (
            finding TEXT NOT NULL CHECK (typeof(finding) {_NAME.format("finding")}),
            "check" TEXT NOT NULL CHECK (typeof("check") {_NAME.format('"check"')}),
            first TEXT NOT NULL CHECK (first {_TIME.format("first")}),
            last TEXT NOT NULL CHECK (last {_TIME.format("last")} AND last >= first),
            PRIMARY KEY (finding, "check")
        ) WITHOUT ROWID""",
        f"""CREATE TABLE event (
            finding TEXT NOT NULL CHECK (typeof(finding) {_NAME.format("finding")}),
            "check" TEXT NOT NULL CHECK (typeof("check") {_NAME.format('"check"')}),
            at TEXT NOT NULL CHECK (at {_TIME.format("at")}),
            kind TEXT NOT NULL CHECK (kind IN ('fixed', 'reopened')),
            PRIMARY KEY (finding, "check", at, kind)
        ) WITHOUT ROWID""",
    ),
)
"""The steps from an empty file to the newest schema; `user_version` counts those that were taken. Never change one: add one."""


def path_of(root: Path) -> Path:
    """Where the history of the target lies."""
    return root / artifacts.FOLDER / FILE


class Unused(Exception):
    """The file is left as it is, and not used."""


def attempt(root: Path, body: Callable[[sqlite3.Connection], None]) -> tuple[str, ...]:
    """Do `body` in one transaction on a sound and current file. What goes wrong is a note; a damaged file is set aside."""
    path = path_of(root)
    try:
        _look(root, path)
        with contextlib.closing(open_file(path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            prepare(connection)
            body(connection)
            connection.execute("COMMIT")
    except (
        sqlite3.OperationalError,
        sqlite3.IntegrityError,
        Unused,
    ) as error:  # locked, full: the file is not to blame
        return (f"the history was not used: {error}",)
    except (sqlite3.DatabaseError, ValueError) as error:
        return _set_aside(path, str(error))
    except OSError as error:
        return (f"the history was not used: {error.strerror or error}",)
    return ()


def _look(root: Path, path: Path) -> None:
    """Before SQLite opens it: no link, no device, not huge, and not brought by the commit that is checked."""
    for each in (path.parent, *_parts(path)):
        if each.is_symlink():
            raise Unused(f"{each.name} is a link")
    if not path.exists():
        return
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode) or facts.st_size > MAX_FILE:
        raise Unused(f"{path.name} is no regular file, or larger than {MAX_FILE >> 20} MB")
    repository = git.find(root)
    if repository is None:
        return
    try:
        head = repository.commit("HEAD")
        brought = bool(head) and bool(repository.entries(head, [f"{artifacts.FOLDER}/{FILE}"]))
    except Inconclusive as error:
        raise Unused(f"whether the commit brought it cannot be told: {error.reason}") from None
    if brought:
        raise Unused(f"{path.name} is part of the commit: a change could write its own past")


def _parts(path: Path) -> tuple[Path, ...]:
    return (path, *(path.with_name(path.name + suffix) for suffix in ("-wal", "-shm", "-journal")))


def open_file(path: Path) -> sqlite3.Connection:
    """A connection that commits when told to. Its file is not believed before `prepare` has looked at it."""
    connection = sqlite3.connect(path, timeout=BUSY, isolation_level=None)
    try:
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(connection: sqlite3.Connection) -> None:
    """Only a sound file of a schema that is ours to the letter is used; an older one is brought up to date."""
    version = int(connection.execute("PRAGMA user_version").fetchone()[0])
    if version > len(MIGRATIONS):
        raise Unused(f"it is of a newer vallum (schema {version}, this one knows {len(MIGRATIONS)})")
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as model:
        for statement in (statement for step in MIGRATIONS[: max(version, 0)] for statement in step):
            model.execute(statement)
        if version < 0 or _schema(connection) != _schema(model):
            raise ValueError("its schema is not ours")
    problems = [str(row[0]) for row in connection.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        raise ValueError(f"SQLite finds it damaged: {'; '.join(problems)}"[:300])
    for statement in (statement for step in MIGRATIONS[version:] for statement in step):
        connection.execute(statement)
    if version != len(MIGRATIONS):
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")


def _schema(connection: sqlite3.Connection) -> list[tuple[str, ...]]:
    return sorted(connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall())


def _set_aside(path: Path, why: str) -> tuple[str, ...]:
    stamp = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%S%fZ")
    aside = path.with_name(f"history.damaged-{stamp}.sqlite")
    try:
        for part in _parts(path):
            with contextlib.suppress(FileNotFoundError):
                part.rename(part.with_name(part.name.replace(path.name, aside.name)))
    except OSError as error:
        return (f"the history is damaged ({why}) and cannot be set aside: {error.strerror}",)
    return (f"the history was damaged and is set aside as {aside.name}: {why}",)

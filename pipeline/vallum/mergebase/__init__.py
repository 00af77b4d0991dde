"""A change cannot weaken the gate that judges it: its settings come from the branch that it is to be merged into.

Where a base is known (GitHub's `pull_request`, or `--base`), configuration, waivers, baseline and the files that the
configuration names (rules, advisories, feeds) are those of the base; what the change makes of them is said and takes effect
after merging. What is deployed, `[services]` and `[environment]`, is code under test and comes from the change, but it
cannot take a service out whose folder is still there. Where the base cannot be had there is no clean verdict.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from vallum import artifacts, config
from vallum.config import Config
from vallum.errors import UserError
from vallum.git import LINK, SUBMODULE, Entry, Repository, find
from vallum.mergebase.copies import from_base, same
from vallum.mergebase.deployed import combine, still_there

BASE = "VALLUM_BASE"
TRUST_CHANGE = "VALLUM_TRUST_CHANGE"
"""Set by `vallum --base REV` and `vallum --trust-change`."""
EVENTS = frozenset({"pull_request", "pull_request_target", "merge_group"})
"""Events of GitHub Actions that are about a change to be merged."""
PYPROJECT = "pyproject.toml"
WAIVERS = "vallum-waivers.toml"
BASELINE = "vallum-baseline.json"
SETTINGS = (config.FILE, PYPROJECT, WAIVERS, BASELINE)
MAX_SETTINGS = 64 << 20
HINT = "check out with `fetch-depth: 0`"


class Note(msgspec.Struct, frozen=True):
    """What a reader of the verdict must know about the settings, and of which file."""

    file: str
    text: str


@dataclass(frozen=True)
class Trusted:
    """The settings that judge the target at `root`. `base` is the commit that they come from, empty for the target's own.

    `changed` names settings that the change touches, `notes` what a reader of the verdict must know, `problem` why nothing
    can be trusted (the verdict is then incomplete, whatever was found). `fork` is the merge base, `head` the checked-out commit.
    """

    root: Path
    base: str = ""
    fork: str = ""
    head: str = ""
    changed: tuple[str, ...] = ()
    notes: tuple[Note, ...] = ()
    problem: str = ""
    repository: Repository | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)

    def read(self, path: str) -> bytes | None:
        """A settings file (relative to the target) as it counts, or None where there is none. Raises UserError.

        Other files than SETTINGS by the path that the configuration of `load` gives: that of a copy, where the change
        touched them.
        """
        if self.problem:
            return None
        if path in self.files:
            return self.files[path]
        if self.repository is not None and path in SETTINGS:
            return None  # `files` holds those that the base has
        try:
            return artifacts.read(self.root / path, MAX_SETTINGS)
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} cannot be read: {error}", "it must be a regular file") from None

    @property
    def config_text(self) -> str | None:
        """`vallum.toml` as it counts."""
        return _text(self.read(config.FILE))

    @property
    def waivers_text(self) -> str | None:
        """`vallum-waivers.toml` as it counts."""
        return _text(self.read(WAIVERS))

    @property
    def baseline_text(self) -> str | None:
        """`vallum-baseline.json` as it counts."""
        return _text(self.read(BASELINE))

    def untouched(self, path: str) -> bool:
        """Whether file or folder `path` (relative to the target) is as the base has it; true where there is no base, and where
        neither the base nor the change has it in git."""
        if self.repository is None:
            return True
        entries = self.repository.entries(self.base, [path])
        if not entries:
            return not self.repository.entries(self.head, [path])
        return same(self.root, path, entries)

    def renames(self) -> dict[str, str]:
        """Files that the change moved: path now → path at the merge base, the one that identities are made of."""
        return _renames(self.repository, self.fork, self.head) if self.repository and not self.problem else {}

    def load(self, read: Callable[[Path], Config] = config.load) -> tuple[Config, Config]:
        """The configuration to run with, and the base's alone (to hold the plan against; the same one without a base).

        `read` loads the configuration of a folder.
        """
        own = read(self.root)
        if not self.base and not self.problem:
            return own, own
        with tempfile.TemporaryDirectory(prefix="vallum-base-") as name:
            # as deep as in the repository, so that a file beside the target is found as well
            folder = Path(name) / (self.repository.prefix if self.repository else "")
            for path in (config.FILE, PYPROJECT):
                data = self.files.get(path)
                if data is not None:
                    artifacts.write(folder / path, data)
                    _put_organisation(self, data, folder)
            try:
                base = read(folder)
            except UserError as error:
                raise UserError(f"at the base, {error.message}", error.hint) from None
        base = still_there(from_base(self, base), self.root)
        return combine(base, own, self.root), base


def trusted(root: Path, environ: Mapping[str, str] = os.environ) -> Trusted:
    """Find out what may judge the target at `root`. Raises UserError for a wrong `--base` or `--trust-change`."""
    asked = tuple(
        environ.get(name, "")
        for name in (BASE, TRUST_CHANGE, "GITHUB_EVENT_NAME", "GITHUB_EVENT_PATH", "GITHUB_BASE_REF")
    )
    return _trusted(root.resolve(), *asked)


@functools.lru_cache(maxsize=8)
def _trusted(root: Path, named: str, trust: str, event: str, event_path: str, base_ref: str) -> Trusted:
    if trust:
        if event in EVENTS:
            raise UserError(f"--trust-change is for trying things out, not for {event}", "leave it out")
        return Trusted(
            root, notes=(Note(config.FILE, "the change was trusted with its own settings (--trust-change)"),)
        )
    if not named and event not in EVENTS:
        return Trusted(root)
    revisions = [named] if named else _revisions(event_path, base_ref)
    repository = find(root)
    if repository is None:
        return Trusted(root, problem=f"the settings of the base cannot be had: {root.name} is not in a git repository")
    base = next(filter(None, map(repository.commit, revisions)), "")
    if not base and named and not repository.shallow():
        raise UserError(f"--base: there is no commit {named!r}", "name a branch, tag or commit, such as origin/main")
    head = repository.commit("HEAD")
    fork = repository.merge_base(base, head) if base and head else ""
    if not fork:
        lacks = (
            f"the history here does not join it with {base[:12]}"
            if base
            else f"{revisions[0] if revisions else 'its commit'} is not here"
        )
        return Trusted(root, problem=f"the settings of the base cannot be had: {lacks}; {HINT}")
    return _read(root, repository, base, fork, head)


def _revisions(event_path: str, base_ref: str) -> list[str]:
    """What GitHub says the change is to be merged into, the surest first (documentation of GitHub Actions, "Events that
    trigger workflows"): the commit of the event, then the branch as it was fetched."""
    revisions = []
    if event_path:
        try:
            event: Any = json.loads(artifacts.read(Path(event_path), MAX_SETTINGS))
        except (OSError, ValueError):
            event = {}
        for path in (("pull_request", "base", "sha"), ("merge_group", "base_sha")):
            value = event
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            if isinstance(value, str):
                revisions.append(value)
    if base_ref:
        revisions.append(f"refs/remotes/origin/{base_ref}")
    return revisions


def _read(root: Path, repository: Repository, base: str, fork: str, head: str) -> Trusted:
    """Settings are those of the base as it stands; what the change touched is told by the merge base."""
    if repository.entries(head, [artifacts.FOLDER]):
        problem = f"files in {artifacts.FOLDER}/ are committed: vallum believes what it wrote there itself"
        return Trusted(root, base, fork, head, problem=problem)
    entries = repository.entries(base, SETTINGS)
    files = {path: _content(repository, path, entry) for path, entry in entries.items()}
    before = entries if fork == base else repository.entries(fork, SETTINGS)
    changed = []
    for path in SETTINGS:
        old = _content(repository, path, before[path]) if path in before else None
        new = _now(root / path)
        same = _tool_table(old) == _tool_table(new) if path == PYPROJECT else old == new
        if not same:
            changed.append(path)
    notes = [
        Note(path, f"{_word(before.get(path), root / path)} in this change: that takes effect after merging")
        for path in changed
    ]
    if config.FILE not in files and _tool_table(files.get(PYPROJECT)) is None:
        notes.append(Note(config.FILE, "the base has no settings: the strict defaults judge this change"))
    return Trusted(root, base, fork, head, tuple(changed), tuple(notes), "", repository, files)


def _put_organisation(settings: Trusted, data: bytes, folder: Path) -> None:
    """The organisation's file that these settings name, as the base has it, to where they look for it."""
    table: Any = _table(data)
    for key in ("tool", "vallum"):
        table = table.get(key, table) if isinstance(table, dict) else table
    for key in ("organisation", "file"):
        table = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, str) or settings.repository is None or Path(table).is_absolute():
        return
    path = os.path.normpath(settings.repository.prefix + table)
    if path.startswith(".."):
        raise UserError(
            f"[organisation] file: {table} lies outside the repository", "a pinned `url` can be had anywhere"
        )
    whole = dataclasses.replace(settings.repository, prefix="")
    entry = whole.entries(settings.base, [path]).get(path)
    if entry is not None:
        artifacts.write(Path(os.path.normpath(folder / table)), _content(whole, path, entry))


def _table(data: bytes) -> object:
    try:
        return tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return None


def _word(before: Entry | None, now: Path) -> str:
    if before is None:
        return "new"
    return "changed" if os.path.lexists(now) else "removed"


def _content(repository: Repository, path: str, entry: Entry) -> bytes:
    if entry.mode in {LINK, SUBMODULE}:
        raise UserError(f"at the base, {path} is a link or a submodule", "settings must be regular files")
    return repository.blob(entry, MAX_SETTINGS)


def _now(path: Path) -> bytes | None:
    """The file in the work tree; a link counts as another content than any file."""
    try:
        return artifacts.read(path, MAX_SETTINGS)
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return b"\0not a regular file"


def _tool_table(data: bytes | None) -> object:
    """`[tool.vallum]`, None where there is none; what cannot be read is like nothing else."""
    if data is None:
        return None
    try:
        table = tomllib.loads(data.decode("utf-8"))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return data
    tool = table.get("tool")
    return tool.get("vallum") if isinstance(tool, dict) else None


def _text(data: bytes | None) -> str | None:
    return None if data is None else data.decode("utf-8", "replace")


@functools.lru_cache(maxsize=4)
def _renames(repository: Repository, fork: str, head: str) -> dict[str, str]:
    return repository.renames(fork, head)

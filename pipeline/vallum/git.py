"""Git as a store of objects: what a commit holds, read without a checkout, a hook, a filter or a setting of the target's.

Only plumbing that runs nothing: rev-parse, merge-base, ls-tree, cat-file, diff-tree. The repository is named to git, never
searched for by it (a folder of the target could pose as a bare one); what git would fetch or replace on its way is off.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from vallum.errors import Inconclusive
from vallum.process import run

DEADLINE = 120.0
"""Seconds of one call. `diff-tree -M` over 20,000 files took 1.4 s on two cores."""
MAX_OUTPUT = 256 << 20
OFF = (
    *("-c", "core.hooksPath=/dev/null", "-c", "core.fsmonitor=false", "-c", "protocol.allow=never"),
    *(
        "-c",
        "protocol.ext.allow=never",
        "-c",
        "core.attributesFile=/dev/null",
        "-c",
        "core.pager=cat",
        "-c",
        "log.showSignature=false",
    ),
    *("-c", "core.alternateRefsCommand=/bin/false", "-c", "core.quotePath=false", "-c", "safe.bareRepository=explicit"),
)
"""What a repository's own settings could have git run, or let it fetch."""
ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ATTR_NOSYSTEM": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_GRAFT_FILE": "/dev/null",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "/bin/false",
    "LC_ALL": "C",
}
LINK, SUBMODULE = "120000", "160000"
_OBJECT = re.compile(r"[0-9a-f]{40}([0-9a-f]{24})?")


class Entry(NamedTuple):
    """What a commit has at a path: `mode` as git writes it (100644, 100755, 120000, 160000), object id, size in bytes."""

    mode: str
    object: str
    size: int


@dataclass(frozen=True)
class Repository:
    """A repository and where in its work tree the target lies: `prefix` is empty or ends with a slash."""

    git_dir: Path
    work_tree: Path
    prefix: str

    def commit(self, revision: str) -> str:
        """The full id of the commit that `revision` names; empty where there is none here."""
        if not revision or revision.startswith("-"):
            return ""
        said = self._git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
        name = "" if said is None else said.decode("ascii", "replace").strip()
        return name if _OBJECT.fullmatch(name) else ""

    def merge_base(self, one: str, other: str) -> str:
        """The best common ancestor of two commits; empty where the history here shows none (a shallow clone)."""
        said = self._git("merge-base", one, other)
        return "" if said is None else said.decode("ascii", "replace").split("\n")[0].strip()

    def shallow(self) -> bool:
        """Whether the clone lacks older history."""
        return (self._git("rev-parse", "--is-shallow-repository") or b"").strip() == b"true"

    def entries(self, commit: str, paths: Sequence[str]) -> dict[str, Entry]:
        """Everything at and below `paths` (relative to the target, literal) in `commit`: path → entry. Raises Inconclusive."""
        wanted = [self.prefix + path for path in paths]
        said = self._git("--literal-pathspecs", "ls-tree", "-r", "-l", "-z", "--full-tree", commit, "--", *wanted)
        if said is None:
            raise Inconclusive(f"git cannot list the files of commit {commit[:12]}")
        found = {}
        for line in said.split(b"\0"):
            if line:
                facts, _, name = line.partition(b"\t")
                mode, _, object_, size = facts.decode("ascii").split()
                path = os.fsdecode(name).removeprefix(self.prefix)
                found[path] = Entry(mode, object_, int(size) if size != "-" else 0)
        return found

    def blob(self, entry: Entry, limit: int = MAX_OUTPUT) -> bytes:
        """The bytes of a file as they were committed, at most `limit`. Raises Inconclusive."""
        if entry.size > limit:
            raise Inconclusive(f"a file of the base has {entry.size} bytes, more than the limit of {limit}")
        said = self._git("cat-file", "blob", entry.object)
        if said is None:
            raise Inconclusive(f"git cannot read object {entry.object[:12]} (a partial clone?)")
        return said

    def renames(self, old: str, new: str) -> dict[str, str]:
        """Files that `new` has under another name than `old` had: new path → old path, both relative to the target.

        Git's own judgement: half of the lines alike (`-M50%`). Raises Inconclusive.
        """
        said = self._git(
            "diff-tree", "-r", "-z", "-M50%", "-l0", "--diff-filter=R", "--name-status", "--no-ext-diff", old, new
        )
        if said is None:
            raise Inconclusive(f"git cannot compare the commits {old[:12]} and {new[:12]}")
        parts = [os.fsdecode(part) for part in said.split(b"\0")]
        pairs = zip(parts[1::3], parts[2::3], strict=False)
        return {
            after.removeprefix(self.prefix): before.removeprefix(self.prefix)
            for before, after in pairs
            if before.startswith(self.prefix) and after.startswith(self.prefix)
        }

    def untracked(self) -> list[str]:
        """Files that git neither knows nor was told to ignore, relative to the target. Raises Inconclusive."""
        here = self.work_tree / self.prefix
        said = self._git("-C", str(here), "ls-files", "-z", "--others", "--exclude-standard")
        if said is None:
            raise Inconclusive("git cannot list the files that it does not know")
        return sorted(os.fsdecode(path) for path in said.split(b"\0") if path)

    def _git(self, *arguments: str) -> bytes | None:
        """What git wrote; None where it ended badly. Raises Inconclusive where it cannot start, hangs or floods."""
        argv = ["git", f"--git-dir={self.git_dir}", f"--work-tree={self.work_tree}", "--no-pager", *OFF, *arguments]
        with tempfile.TemporaryDirectory(prefix="vallum-git-") as name:
            folder = Path(name)
            done = run(
                argv,
                cwd=folder,
                deadline=DEADLINE,
                stdout=folder / "out",
                stderr=folder / "err",
                env=ENVIRONMENT | {"HOME": name, "XDG_CONFIG_HOME": name},
                max_file=MAX_OUTPUT,
            )
            return done.output(MAX_OUTPUT) if done.exit_code == 0 else None


def find(root: Path) -> Repository | None:
    """The repository that the folder `root` is checked out from: the nearest `.git` above. None where there is none."""
    root = root.resolve()
    for folder in (root, *root.parents):
        git = folder / ".git"
        if git.is_dir():
            inside = git
        elif git.is_file():  # a linked work tree or a submodule
            said = git.read_text("utf-8", "replace").strip()
            if not said.startswith("gitdir: "):
                continue
            inside = (folder / said.removeprefix("gitdir: ")).resolve()
        else:
            continue
        prefix = root.relative_to(folder).as_posix()
        return Repository(inside, folder, "" if prefix == "." else prefix + "/")
    return None


def object_of(data: bytes, like: str) -> str:
    """The id that git gives to these bytes as a file, by the hash that `like` (another id) was made with."""
    header = b"blob %d\0" % len(data)
    if len(like) == 64:
        return hashlib.sha256(header + data).hexdigest()
    return hashlib.sha1(
        header + data, usedforsecurity=False
    ).hexdigest()  # git's choice, and it refuses known collisions

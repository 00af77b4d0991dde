"""What is checked: the files of a repository, and the services, images and definitions found in it."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatch, translate
from pathlib import Path

from vallum.config import Config
from vallum.errors import UserError

SKIPPED_FOLDERS = frozenset({".git", ".hg", ".svn", ".nox", ".tox", ".venv", ".vallum", "node_modules", "__pycache__"})
"""Never the team's own source: version control, environments, installed packages, caches."""
OPENAPI_NAMES = ("openapi.yaml", "openapi.yml", "openapi.json", "swagger.yaml", "swagger.json")


@dataclass(frozen=True)
class Service:
    """A deployable part: `path` relative to the root (`.` for the root itself); the rest relative to the root or empty."""

    name: str
    path: str
    dockerfile: str = ""
    openapi: str = ""
    image: str = ""


@dataclass(frozen=True)
class Target:
    """A repository. `files` are relative posix paths, sorted; what was left out is counted in `excluded` by pattern.

    `renamed` maps what the change under judgement moved to the path at the merge base.
    """

    root: Path
    name: str
    files: tuple[str, ...]
    services: tuple[Service, ...]
    excluded: dict[str, int] = field(default_factory=dict)
    commit: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)

    def select(
        self, *suffixes: str, names: tuple[str, ...] = (), where: Callable[[str], bool] | None = None
    ) -> list[str]:
        """Files whose name ends in one of `suffixes` or matches one of the glob `names`, filtered by `where`."""
        return [
            path
            for path in self.files
            if ((suffixes and path.endswith(suffixes)) or (names and like(path.rpartition("/")[2], names)))
            and (where is None or where(path))
        ]

    def without(self, patterns: tuple[str, ...]) -> Target:
        """The target less the files that match one of the patterns (a glob, a path or a folder); they are counted."""
        if not patterns:
            return self
        excluded = dict(self.excluded)
        kept = []
        for path in self.files:
            pattern = next((pattern for pattern in patterns if _matches(path, pattern)), None)
            if pattern is None:
                kept.append(path)
            else:
                excluded[pattern] = excluded.get(pattern, 0) + 1
        return replace(self, files=tuple(kept), excluded=excluded)

    def service_of(self, path: str) -> str:
        """The name of the service that the file belongs to (the deepest folder wins), or an empty string."""
        best = ""
        depth = -1
        for service in self.services:
            inside = service.path in {".", path} or path.startswith(service.path + "/")
            if inside and len(service.path) > depth:
                best, depth = service.name, len(service.path)
        return best

    def service(self, name: str) -> Service:
        """The service of that name."""
        return next(service for service in self.services if service.name == name)

    def relative(self, path: str | Path) -> str:
        """`path` (absolute, or relative to the root) as a relative posix path; raises ValueError outside the target."""
        text = str(path)
        if text in self._names:
            return text
        return text[2:] if text[:2] == "./" and text[2:] in self._names else _relative(str(self.root), text)

    @functools.cached_property
    def base(self) -> str:
        """The root as text, without a slash at its end."""
        return str(self.root).rstrip(os.sep)

    @functools.cached_property
    def _names(self) -> frozenset[str]:
        return frozenset(self.files)


def like(name: str, globs: tuple[str, ...]) -> bool:
    """Whether `name` matches one of the globs, as fnmatch does; in one go, because every file of a target is asked about."""
    return _any_of(globs).match(name) is not None


@functools.lru_cache(64)
def _any_of(globs: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(map(translate, globs)))


@functools.lru_cache(65_536)  # a check asks for every finding
def _relative(root: str, path: str) -> str:
    absolute = os.path.normpath(os.path.join(root, path))
    if absolute == root:
        return "."
    if not absolute.startswith(root.rstrip(os.sep) + os.sep):
        raise ValueError(f"{absolute!r} is not in the target")
    return absolute[len(root.rstrip(os.sep)) + 1 :].replace(os.sep, "/")


def discover(root: Path, config: Config) -> Target:
    """Look at the folder `root`. Raises UserError where it is none. Reads names only, no file's content but compose files."""
    root = root.resolve()
    if not root.is_dir():
        raise UserError(f"{root} is not a folder", "name the repository to check: vallum -C FOLDER")
    excluded: dict[str, int] = {}
    files = tuple(sorted(_walk(root, config.exclude, excluded)))
    return Target(
        root=root,
        name=config.project.name or root.name,
        files=files,
        services=_services(files, config),
        excluded=excluded,
        commit=commit_of(root),
    )


def _walk(root: Path, exclude: tuple[str, ...], excluded: dict[str, int]) -> Iterator[str]:
    """All regular files, links not followed. We walk the tree ourselves: an ignore file of the target must not hide code."""
    for folder, folders, names in os.walk(root):
        here = os.path.relpath(folder, root)
        prefix = "" if here == "." else here.replace(os.sep, "/") + "/"
        folders[:] = sorted(name for name in folders if name not in SKIPPED_FOLDERS)
        if folder != str(root) and os.path.exists(os.path.join(folder, "pyvenv.cfg")):
            folders.clear()
            continue
        for name in names:
            path = prefix + name
            pattern = next((pattern for pattern in exclude if _matches(path, pattern)), None)
            if pattern is not None:
                excluded[pattern] = excluded.get(pattern, 0) + 1
            elif not os.path.islink(os.path.join(folder, name)):
                yield path


def _matches(path: str, pattern: str) -> bool:
    return fnmatch(path, pattern) or path == pattern or path.startswith(pattern.rstrip("/") + "/")


def _services(files: tuple[str, ...], config: Config) -> tuple[Service, ...]:
    """Configured services, then the staged ones, then every folder with a Dockerfile. The first to name a folder wins."""
    present = frozenset(files)
    by_path: dict[str, Service] = {}

    def add(name: str, path: str, dockerfile: str = "", openapi: str = "", image: str = "") -> None:
        path = path.strip("/").removeprefix("./") or "."
        if path in by_path or any(service.name == name for service in by_path.values()):
            return
        inner = "" if path == "." else path + "/"
        found = next((inner + name for name in OPENAPI_NAMES if inner + name in present), "")
        docker = inner + (dockerfile or "Dockerfile")
        by_path[path] = Service(
            name, path, docker if docker in present else "", inner + openapi if openapi else found, image
        )

    for name, service in config.services.items():
        add(name, service.path, service.dockerfile, service.openapi, service.image)
    if config.environment is not None:
        for name, staged in config.environment.services.items():
            add(name, staged.directory, openapi=staged.openapi)
    for path in files:
        folder, _, name = path.rpartition("/")
        if name == "Dockerfile":
            add(folder.rpartition("/")[2] or "app", folder)
    return tuple(sorted(by_path.values(), key=lambda service: service.name))


@functools.cache
def commit_of(root: Path) -> str:
    """The checked-out commit, read from .git without starting git: a hook or filter of the target must not run."""
    for folder in (root, *root.parents):
        head = folder / ".git" / "HEAD"
        if not head.is_file():
            continue
        text = head.read_text("utf-8", "replace").strip()
        if not text.startswith("ref: "):
            return text[:40]
        name = text[5:]
        loose = folder / ".git" / name
        if loose.is_file():
            return loose.read_text("utf-8", "replace").strip()[:40]
        packed = folder / ".git" / "packed-refs"
        if packed.is_file():
            for line in packed.read_text("utf-8", "replace").splitlines():
                if line.endswith(" " + name):
                    return line[:40]
        return ""
    return ""

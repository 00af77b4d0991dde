"""Python manifests: requirements files, `[project]` of pyproject.toml, uv.lock and pylock*.toml, read by ourselves.

What is read here is what coverage is counted by: a requirement that we cannot read is Missed, never dropped.
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import (
    InvalidSdistFilename,
    InvalidWheelFilename,
    canonicalize_name,
    parse_sdist_filename,
    parse_wheel_filename,
)
from packaging.version import InvalidVersion, Version

MAX_BYTES = 32 << 20


class Pin(NamedTuple):
    """One package at one version, on a line (from 1) of its manifest."""

    name: str
    version: str
    line: int


@dataclass
class Manifest:
    """What one file asks for. `loose` are requirements without an exact version (name, line); `missed` what could not be
    read and why; `own` how many are the team's own folders; `includes` other requirements files, relative to the root."""

    path: str
    pins: list[Pin] = field(default_factory=list)
    loose: list[tuple[str, int]] = field(default_factory=list)
    missed: list[tuple[str, str]] = field(default_factory=list)
    own: int = 0
    includes: list[str] = field(default_factory=list)
    extras: bool = False
    groups: tuple[str, ...] = ()
    relevant: bool = True


def read_all(root: Path, paths: list[str]) -> list[Manifest]:
    """Read the manifests and everything that they include by `-r`; a pyproject.toml beside a lock is covered by the lock."""
    found: dict[str, Manifest] = {}
    todo = list(paths)
    while todo:
        path = todo.pop(0)
        if path in found:
            continue
        found[path] = read(root, path)
        todo += [inner for inner in found[path].includes if inner not in found]
    locked = {str(PurePosixPath(path).parent) for path in found if not path.endswith((".txt", "pyproject.toml"))}
    for path, manifest in found.items():
        if path.endswith("pyproject.toml") and str(PurePosixPath(path).parent) in locked:
            manifest.loose.clear()
    return [found[path] for path in sorted(found)]


def read(root: Path, path: str) -> Manifest:
    """Read one manifest by its name."""
    manifest = Manifest(path)
    file = root / path
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ValueError(f"it has more than {MAX_BYTES >> 20} MB")
        text = file.read_text("utf-8-sig")
        name = PurePosixPath(path).name
        if name == "pyproject.toml":
            _project(manifest, text, tomllib.loads(text), root)
        elif name.endswith((".toml", ".lock")):
            _lock(manifest, text, tomllib.loads(text))
        else:
            _requirements(manifest, text, root)
    except (OSError, ValueError) as error:  # UnicodeDecodeError and TOMLDecodeError are ValueErrors
        manifest.missed.append((path, f"cannot be read: {error}"))
    return manifest


_COMMENT = re.compile(r"(?:^|(?<=\s))#.*$")
_OPTION = re.compile(r"\s--?[a-z][a-z-]*[=\s].*$")


def _requirements(manifest: Manifest, text: str, root: Path) -> None:
    """The format of pip: comments, lines continued by a backslash, options, one requirement a line."""
    joined, start = "", 0
    for number, raw in enumerate([*text.splitlines(), ""], 1):
        start = start or number
        line = _COMMENT.sub("", raw).rstrip()
        if line.endswith("\\"):
            joined += line[:-1] + " "
            continue
        full, at = (joined + line).strip(), start
        joined, start = "", 0
        if full:
            _requirement_line(manifest, full, at, root)


def _requirement_line(manifest: Manifest, line: str, at: int, root: Path) -> None:
    option = re.match(r"(-r|--requirement|-e|--editable|-c|--constraint)(?:\s*=\s*|\s+|(?<=-[rec]))(.+)", line)
    if option:
        kind, value = option[1], option[2].strip().strip("\"'")
        if kind in ("-r", "--requirement"):
            _include(manifest, value, root)
        elif kind in ("-e", "--editable"):
            _add(manifest, value, at, root)
    elif not line.startswith("-"):
        _add(manifest, _OPTION.sub("", line).strip(), at, root)


def _include(manifest: Manifest, value: str, root: Path) -> None:
    inside = root.resolve()
    file = (inside / manifest.path).parent / value
    try:
        relative = file.resolve().relative_to(inside).as_posix()
    except ValueError:
        manifest.missed.append((f"{manifest.path}: -r {value}", "the file lies outside the target"))
        return
    if not os.path.isfile(file):  # of a name that is too long it says no
        manifest.missed.append((f"{manifest.path}: -r {value}", "there is no such file"))
        return
    manifest.includes.append(relative)


def _add(manifest: Manifest, text: str, at: int, root: Path | None = None) -> None:
    """One requirement of PEP 508, or a path or address as pip takes it."""
    if re.match(r"(\.{1,2}(/|$|\[)|/|file:)", text) or (root is not None and _is_folder(root, manifest.path, text)):
        manifest.own += 1
        return
    if re.match(r"(git|hg|svn|bzr)\+|https?://", text):
        _address(manifest, "", text, at)
        return
    try:
        requirement = Requirement(text)
    except InvalidRequirement as error:
        manifest.missed.append(
            (f"{manifest.path}:{at}", f"{text[:80]!r} is no requirement: {str(error).splitlines()[0]}")
        )
        return
    if requirement.url:
        _address(manifest, requirement.name, requirement.url, at)
        return
    exact = [
        one.version for one in requirement.specifier if one.operator in ("==", "===") and not one.version.endswith(".*")
    ]
    if exact:
        _pin(manifest, requirement.name, exact[0], at)
    else:
        manifest.loose.append((requirement.name, at))


def _is_folder(root: Path, manifest: str, text: str) -> bool:
    return "/" in text and "@" not in text and os.path.isdir((root / manifest).parent / text.partition("[")[0])


def _address(manifest: Manifest, name: str, url: str, at: int) -> None:
    """A wheel or source archive says its version in its name; a repository does not."""
    if url.startswith("file:"):
        manifest.own += 1
        return
    file = PurePosixPath(re.split("[?#]", url)[0]).name
    for parse in (parse_wheel_filename, parse_sdist_filename):
        try:
            found = parse(file)
        except (InvalidWheelFilename, InvalidSdistFilename):
            continue
        manifest.pins.append(Pin(name or found[0], str(found[1]), at))
        return
    manifest.missed.append(
        (f"{manifest.path}:{at}", f"{name or url[:80]} comes from an address that does not say its version")
    )


def _pin(manifest: Manifest, name: str, version: str, at: int) -> None:
    try:
        manifest.pins.append(Pin(name, str(Version(version)), at))
    except InvalidVersion:
        manifest.missed.append((f"{manifest.path}:{at}", f"{name} {version} is no version by PEP 440"))


def _project(manifest: Manifest, text: str, table: dict[str, Any], root: Path) -> None:
    """`[project]`: dependencies, extras; `[dependency-groups]` (PEP 735). Another tool's table alone is not ours."""
    project = table.get("project")
    groups = table.get("dependency-groups") or {}
    poetry = (table.get("tool") or {}).get("poetry") or {}
    if not isinstance(project, dict) and not groups:
        manifest.relevant = "dependencies" in poetry
        if manifest.relevant and not (root / manifest.path).with_name("poetry.lock").is_file():
            manifest.missed.append((manifest.path, "poetry's dependencies have no lock"))
        return
    project = project if isinstance(project, dict) else {}
    if "dependencies" in (project.get("dynamic") or ()):
        manifest.missed.append((manifest.path, "its dependencies are dynamic: only running its build could say them"))
    optional = project.get("optional-dependencies") or {}
    manifest.extras = bool(optional)
    manifest.groups = tuple(sorted(groups))
    listed = [*(project.get("dependencies") or ()), *(one for each in optional.values() for one in each)]
    listed += [one for each in groups.values() for one in each if isinstance(one, str)]
    lines = text.splitlines()
    for one in listed:
        at = next((number for number, line in enumerate(lines, 1) if str(one) in line), 0)
        _add(manifest, str(one), at)


def _lock(manifest: Manifest, text: str, table: dict[str, Any]) -> None:
    """uv.lock (`[[package]]`) and pylock (`[[packages]]`, PEP 751): every package that is not the team's own folder."""
    key = "package" if "package" in table else "packages"
    packages = table.get(key)
    if not isinstance(packages, list):
        if "lock-version" in table or "version" in table:
            return
        raise ValueError("it is no lock file that we know")
    starts = [number for number, line in enumerate(text.splitlines(), 1) if re.match(rf"\s*\[\[{key}\]\]", line)]
    if len(starts) != len(packages):
        starts = [0] * len(packages)
    for one, start in zip(packages, starts, strict=True):
        name, version = str(one.get("name", "")), one.get("version")
        source = one.get("source") or {}
        if one.get("directory") or any(word in source for word in ("editable", "virtual", "directory", "path")):
            manifest.own += 1
        elif not name or not isinstance(version, str):
            manifest.missed.append((f"{manifest.path}:{start}", f"{name or 'a package'} has no version in the lock"))
        else:
            _pin(manifest, name, version, start + 1 if start else 0)


def resolved(text: str, manifest: Manifest) -> list[tuple[Pin, str]]:
    """What `uv pip compile` wrote, with annotations: each package on the line of the direct requirement that brings it."""
    versions: dict[str, list[str]] = {}
    parents: dict[str, list[str]] = {}
    current = ""
    for line in text.splitlines():
        found = re.match(r"([A-Za-z0-9][\w.-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", line)
        if found:
            current = canonicalize_name(found[1])
            versions.setdefault(current, []).append(found[2])
        elif current and line.strip().startswith("#"):
            word = line.strip().removeprefix("#").strip().removeprefix("via").strip().split(" ")[0]
            if re.fullmatch(r"[A-Za-z0-9][\w.-]*", word):
                parents.setdefault(current, []).append(canonicalize_name(word))
    direct: dict[str, tuple[str, int]] = {canonicalize_name(name): (name, line) for name, line in manifest.loose}
    direct |= {canonicalize_name(pin.name): (pin.name, pin.line) for pin in manifest.pins}
    pins: list[tuple[Pin, str]] = []
    for name, listed in versions.items():
        todo, known = [name], set[str]()
        while todo and todo[0] not in direct:
            first = todo.pop(0)
            known.add(first)
            todo += [parent for parent in parents.get(first, ()) if parent not in known]
        shown, at = direct[todo[0]] if todo else ("", 0)
        pins += [(Pin(direct[name][0] if name in direct else name, version, at), shown) for version in listed]
    return pins

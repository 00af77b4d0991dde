"""Lock files of every ecosystem but pip-audit's: which there are, and how many packages each must yield.

syft passes over a lock file that it cannot parse without a word and with exit 0, so what it must find is counted here: exactly
for npm's own locks, and as "some or none" for the rest.
"""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import msgspec

from vallum.target import like

NAMES = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "go.mod",
    "Cargo.lock",
    "Gemfile.lock",
    "composer.lock",
    "packages.lock.json",
    "*.deps.json",
    "pom.xml",
    "gradle.lockfile",
    "mix.lock",
    "pubspec.lock",
    "poetry.lock",
    "Pipfile.lock",
)
"""What syft 1.18 reads from a folder and OSV has an ecosystem for."""
BESIDE = {"go.mod": ("go.sum",)}
"""Files that a lock is read together with."""
_SIGNS = {
    "yarn.lock": r"(?m)^\s+version:? ",
    "pnpm-lock.yaml": r"(?m)^(packages|snapshots):",
    "go.mod": r"(?m)^\s*(require\s+[^\s(]+\s+v|[^\s/]\S*\.\S*\s+v\d)",
    "Cargo.lock": r"(?m)^source = ",
    "Gemfile.lock": r"(?m)^    \S+ \(",
    "composer.lock": r'"version"\s*:',
    "packages.lock.json": r'"resolved"\s*:',
    "*.deps.json": r'"type"\s*:\s*"package"',
    "pom.xml": r"<dependency>",
    "gradle.lockfile": r"(?m)^[^#\s:]+:[^:\s]+:[^=\s]+=",
    "mix.lock": r":hex,",
    "pubspec.lock": r"source: hosted",
    "poetry.lock": r"(?m)^\[\[package\]\]",
    "Pipfile.lock": r'"version"\s*:',
}
"""What a lock file of that kind contains once it names a package of somebody else."""
MAX_BYTES = 64 << 20


def is_lock(path: str) -> bool:
    """Whether the file is one, by its name."""
    return like(path.rpartition("/")[2], NAMES)


def expected(file: Path) -> frozenset[tuple[str, str]] | bool:
    """What must be found in `file`: name and version of each package, or only whether there is any.

    Raises ValueError where it cannot be read.
    """
    if file.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES >> 20} MB")
    text = file.read_text("utf-8")
    if file.name in ("package-lock.json", "npm-shrinkwrap.json"):
        return npm(text)
    if not text.strip():
        raise ValueError("it is empty")
    sign = next(sign for pattern, sign in _SIGNS.items() if fnmatch(file.name, pattern))
    return re.search(sign, text) is not None


def npm(text: str) -> frozenset[tuple[str, str]]:
    """Name and version of every package that is installed under `node_modules` by a package-lock.json (versions 1 to 3)."""
    try:
        table = msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise ValueError(f"it is no JSON: {error}") from None
    found: set[tuple[str, str]] = set()
    packages = table.get("packages")
    if isinstance(packages, dict):
        for path, one in packages.items():
            if "node_modules/" in path and isinstance(one, dict) and not one.get("link") and one.get("version"):
                found.add((str(one.get("name") or path.rpartition("node_modules/")[2]), str(one["version"])))
        return frozenset(found)
    if "lockfileVersion" not in table:
        raise ValueError("it is no lock file of npm: `lockfileVersion` is missing")
    todo = [table.get("dependencies") or {}]
    while todo:
        for name, one in todo.pop().items():
            if isinstance(one, dict):
                version = str(one.get("version", ""))
                if version and not version.startswith(("file:", "git", "http")):
                    found.add((name, version.rpartition("@")[2] if version.startswith("npm:") else version))
                todo.append(one.get("dependencies") or {})
    return frozenset(found)

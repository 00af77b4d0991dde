"""Rule files for semgrep as we read them: what must be loaded, and which files of a target they are about."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from vallum.check import Context
from vallum.errors import Inconclusive, UserError
from vallum.tools import packaged

LANGUAGES: dict[str, tuple[str, ...]] = {
    "bash": (".sh", ".bash"),
    "c": (".c", ".h"),
    "cpp": (".cc", ".cpp", ".cxx", ".hpp"),
    "csharp": (".cs",),
    "dockerfile": ("Dockerfile", "dockerfile"),
    "go": (".go",),
    "html": (".html", ".htm"),
    "java": (".java",),
    "javascript": (".js", ".jsx", ".cjs", ".mjs"),
    "json": (".json",),
    "kotlin": (".kt", ".kts"),
    "php": (".php",),
    "python": (".py", ".pyi"),
    "ruby": (".rb",),
    "rust": (".rs",),
    "scala": (".scala",),
    "swift": (".swift",),
    "terraform": (".tf",),
    "typescript": (".ts", ".tsx"),
    "yaml": (".yml", ".yaml"),
}
"""semgrep's own association of file names, the common ones. A rule of another language is refused, not half-counted."""
ANYTHING = frozenset({"generic", "regex"})
"""Languages of rules that look at every file."""
ALIASES = {
    "py": "python",
    "python3": "python",
    "js": "javascript",
    "ts": "typescript",
    "golang": "go",
    "docker": "dockerfile",
}
ALIASES |= {
    "hcl": "terraform",
    "tf": "terraform",
    "sh": "bash",
    "cs": "csharp",
    "c#": "csharp",
    "c++": "cpp",
    "kt": "kotlin",
}


INDEX = "index.json"
"""Beside our rule files, written from them: to parse their YAML takes a third of a second."""
Known = dict[str, list[str]]
"""What a rule file holds: id to languages."""
_NONE_KNOWN: Mapping[str, Known] = {}


@dataclass(frozen=True)
class Pack:
    """Rule files and what they hold, read by us: what semgrep must have loaded. `digest` is over all of them."""

    paths: tuple[Path, ...]
    rules: dict[str, frozenset[str]]
    """Id → languages."""
    digest: str
    of: dict[Path, frozenset[str]]
    """The ids in each file."""


def read_pack(paths: Iterable[Path], known: Mapping[str, Known] = _NONE_KNOWN) -> Pack:
    """Read rule files, but those that are `known` (by the SHA-256 of their bytes) already.

    Raises ValueError (with the file's name) where one is no rule file or an id stands twice.
    """
    paths = tuple(sorted(paths))
    digest = hashlib.sha256()
    found: dict[str, frozenset[str]] = {}
    of: dict[Path, frozenset[str]] = {}
    for path in paths:
        data = path.read_bytes()
        sha256 = hashlib.sha256(data)
        digest.update(sha256.digest())
        rules = known.get(sha256.hexdigest()) or _read(path, data)
        of[path] = frozenset(rules)
        for name, spoken in rules.items():
            if name in found:
                raise ValueError(f"{path.name}: the rule {name} stands twice")
            found[name] = frozenset(ALIASES.get(language, language) for language in spoken)
    return Pack(paths, found, digest.hexdigest(), of)


def _read(path: Path, data: bytes) -> Known:
    import yaml

    found: Known = {}
    try:
        for rule in yaml.load(data, Loader=yaml.CSafeLoader)["rules"]:
            name = str(rule["id"])
            if name in found:
                raise ValueError(f"{path.name}: the rule {name} stands twice")
            found[name] = [str(language).lower() for language in rule["languages"]]
    except (yaml.YAMLError, KeyError, TypeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ValueError(f"{path.name} is not a readable rule file: {type(error).__name__}: {said}") from None
    return found


def own_index() -> dict[str, Known]:
    """What the rule files of the package hold, read from them: to be kept in INDEX (docs/generate.py does)."""
    index = {}
    for path in sorted(_own_files()):
        data = path.read_bytes()
        index[hashlib.sha256(data).hexdigest()] = _read(path, data)
    return index


def _own_folder() -> Path:
    return packaged("vallum_checks") / "rules"


def _own_files() -> list[Path]:
    return list(_own_folder().rglob("*.yaml"))


def own_pack() -> Pack:
    """The rules in the package. They are a part of vallum: a broken one is Inconclusive."""
    try:
        index = msgspec.json.decode((_own_folder() / INDEX).read_bytes(), type=dict[str, Known])
        pack = read_pack(_own_files(), index)
    except (OSError, ValueError) as error:
        raise Inconclusive(f"vallum's rule {error}") from None
    if not pack.rules:
        raise Inconclusive("vallum's rule pack is empty: reinstall vallum")
    return pack


def user_pack(ctx: Context) -> Pack:
    """The rule files that the configuration names, relative to the target."""
    named = ctx.config.settings("semgrep").options.get("rules", [])
    if not isinstance(named, list) or not all(isinstance(name, str) for name in named):
        raise UserError("checks.semgrep.options.rules must be a list of file names")
    paths = []
    for name in named:
        path = (ctx.target.root / name).resolve()
        if not path.is_relative_to(ctx.target.root) or not path.is_file():
            raise UserError(f"checks.semgrep.options.rules: there is no file {name} in the target")
        paths.append(path)
    try:
        return read_pack(paths)
    except ValueError as error:
        raise UserError(f"checks.semgrep.options.rules: {error}") from None


def needed(rules: dict[str, frozenset[str]], batch: list[str]) -> frozenset[str]:
    """The rules that have a file in the batch: semgrep loads no others."""
    kinds = frozenset[str]().union(*map(kinds_of, batch))
    present = {language for language, names in LANGUAGES.items() if not kinds.isdisjoint(names)}
    return frozenset(name for name, spoken in rules.items() if spoken & (present | ANYTHING))


def kinds_of(path: str) -> tuple[str, str]:
    """What tells the language of a file: its name, and the last part of it from the dot on (empty where there is none)."""
    name = path.rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return name, dot + ending if stem and ending else ""

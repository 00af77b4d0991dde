"""Where there is no container engine: an OCI archive of a service's files and its installed dependencies.

This is **not a container build**: no base image, no line of the Dockerfile, nothing that the system's package manager would
bring. It shows what the service's own manifests install, and says so wherever it appears.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from vallum import artifacts, process
from vallum.check import Context
from vallum.errors import Inconclusive
from vallum.images import layout
from vallum.target import Service
from vallum.tools import cache_folder, uv

FORM = 2
"""Of what is cached: raise it when the layout changes."""
NOTE = "assembled (not a container build): the service's files and installed dependencies, without a base image"
INSTALL = 300.0
"""Seconds for the installation of a service's dependencies."""


class Assembled(NamedTuple):
    """An archive in the cache and what went into it: `python` and `node` say whose dependencies are installed in it."""

    path: Path
    digest: str
    python: str
    node: str
    installed: bool


def assemble(ctx: Context, service: Service) -> Assembled:
    """Build the archive, or find it built for the same inputs. Raises Inconclusive where dependencies cannot be installed."""
    inner = "" if service.path == "." else service.path + "/"
    files = [path for path in ctx.target.files if path.startswith(inner)]
    requirements, lock = _manifest(ctx, service, "requirements.txt"), _manifest(ctx, service, "package-lock.json")
    npm = shutil.which("npm") if lock else None
    key = _key(ctx, files, bool(npm))
    folder = cache_folder() / "assembled" / key
    archive = folder / "image.tar"
    with artifacts.locked(folder.with_name(key + ".lock")):
        if not (folder / "digest").is_file():
            content: dict[str, Path | bytes] = {
                f"app/{path.removeprefix(inner)}": ctx.target.root / path for path in files
            }
            if requirements:
                content |= _python(ctx, requirements)
            if lock and npm:
                content |= _node(ctx, npm, lock)
            folder.mkdir(parents=True, exist_ok=True)
            temporary = folder / f"image.{os.getpid()}"
            labels = {"org.opencontainers.image.title": service.name, "vallum.assembled": "not a container build"}
            digest = layout.write(temporary, content, labels)
            temporary.replace(archive)
            artifacts.write(folder / "digest", digest.encode())
        digest = (folder / "digest").read_text("utf-8")
    return Assembled(archive, digest, requirements, lock, bool(npm))


def _manifest(ctx: Context, service: Service, name: str) -> str:
    path = str(PurePosixPath(service.path) / name)
    return path if path in ctx.target.files else ""


def _key(ctx: Context, files: list[str], npm: bool) -> str:
    """A digest of everything that decides the archive: its files, our form, the Python that dependencies are chosen for."""
    digest = hashlib.sha256(f"{FORM}\0{sys.implementation.cache_tag}\0{sys.platform}\0{npm}\0".encode())
    for path in files:
        file = ctx.target.root / path
        with file.open("rb") as opened:
            content = hashlib.file_digest(opened, "sha256").hexdigest()
        digest.update(f"{path}\0{file.stat().st_mode & 0o100}\0{content}\0".encode())
    return digest.hexdigest()[:32]


def _python(ctx: Context, requirements: str) -> dict[str, Path | bytes]:
    place = ctx.scratch / "python"
    _install(
        ctx,
        [
            *(str(uv()), "pip", "install", "--quiet", "--no-config", "--no-deps", "--link-mode", "copy"),
            *("--python", sys.executable, "--target", str(place), "-r", str(ctx.target.root / requirements)),
        ],
        "install-python",
        requirements,
    )
    # Scripts name the interpreter of this machine in their first line, and a lock file is no part of a package.
    return {
        f"app/.python/{inner}": place / inner
        for inner in _inside(place)
        if not inner.startswith(("bin/", ".lock")) and "__pycache__/" not in inner
    }


def _node(ctx: Context, npm: str, lock: str) -> dict[str, Path | bytes]:
    place = ctx.scratch / "node"
    place.mkdir()
    for name in ("package.json", "package-lock.json"):
        source = (ctx.target.root / lock).with_name(name)
        if source.is_file():
            shutil.copyfile(source, place / name)
    argv = [npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--cache", str(ctx.scratch / "npm")]
    _install(ctx, argv, "install-node", lock, place)
    return {
        f"app/{inner}": place / inner
        for inner in _inside(place)
        if inner.startswith("node_modules/") and not inner.startswith("node_modules/.")
    }


def _install(ctx: Context, argv: list[str], name: str, manifest: str, cwd: Path | None = None) -> None:
    done = process.run(
        argv,
        cwd=cwd or ctx.scratch,
        deadline=min(ctx.deadline, INSTALL),
        stdout=ctx.raw / f"{name}.stdout",
        stderr=ctx.raw / f"{name}.stderr",
        scratch=ctx.scratch,
        installer=True,
    )
    if done.exit_code != 0:
        lines = [line.strip() for line in done.tail().splitlines() if line.strip()]
        raise Inconclusive(f"cannot install {manifest}: {lines[-1][:300] if lines else 'no word'}", done.tail())


def _inside(place: Path) -> list[str]:
    """Regular files below `place`, relative, sorted; links are not followed."""
    found = []
    for folder, _, names in os.walk(place):
        for name in names:
            path = Path(folder) / name
            if not path.is_symlink():
                found.append(path.relative_to(place).as_posix())
    return sorted(found)

"""docker or podman, where one works: build a service's image and save it as an archive.

Seen to work with podman 4.3.1 (build, save, remove, a build that fails). **Unverified** with docker, of which only a client
without an engine was at hand (and counts as none); the arguments are those of its command-line reference.
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

from vallum.check import Context
from vallum.errors import Inconclusive

PROBE = 15.0
"""Seconds for an engine to answer who it is."""
_ASK = {"docker": ("info", "--format", "{{.ServerVersion}}"), "podman": ("info", "--format", "{{.Version.Version}}")}


class Engine(NamedTuple):
    """A container engine that answered: `program` is docker or podman."""

    program: str
    path: str
    version: str


def find(ctx: Context) -> Engine | None:
    """The first engine that answers. A client alone does not: its daemon must name its version."""
    for program, question in _ASK.items():
        path = shutil.which(program)
        if path is None:
            continue
        try:
            done = ctx.run([path, *question], name=f"{program}-probe", deadline=PROBE, cwd=ctx.scratch)
        except Inconclusive as error:
            ctx.log.append(f"{program}: {error.reason}")
            continue
        version = done.output(1 << 16).decode("utf-8", "replace").strip()
        if done.exit_code == 0 and version and "\n" not in version:
            return Engine(program, path, version)
        ctx.log.append(f"{program} is installed, but no engine answers: {done.tail(200)}")
    return None


def build(ctx: Context, engine: Engine, dockerfile: str, folder: str) -> Path:
    """Build `dockerfile` with `folder` as its context (both relative to the root) and save the image as a docker-archive.

    Raises Inconclusive where the build or the save fails. The image is removed from the engine afterwards.
    """
    name = hashlib.sha256(f"{ctx.target.root}\0{ctx.unit}".encode()).hexdigest()[:12]
    tag = f"localhost/vallum-check-{name}:latest"
    root = ctx.target.root
    made = ctx.run(
        [
            engine.path,
            "build",
            "--file",
            root / dockerfile,
            "--tag",
            tag,
            "--label",
            "vallum.check=image",
            root / folder,
        ],
        name="build",
    )
    if made.exit_code != 0:
        raise Inconclusive(f"{engine.program} could not build {dockerfile}: {_last(made.tail())}", made.tail(4000))
    try:
        return save(ctx, engine, tag)
    finally:
        with contextlib.suppress(Inconclusive):  # what is left is an image with our label, and the scan is done
            ctx.run([engine.path, "image", "rm", "--force", tag], name="remove", deadline=60)


def save(ctx: Context, engine: Engine, reference: str) -> Path:
    """Save an image that the engine has, or pulls, as a docker-archive."""
    archive = ctx.scratch / "image.tar"
    known = ctx.run([engine.path, "image", "inspect", "--format", "{{.Id}}", reference], name="inspect", deadline=60)
    if known.exit_code != 0:
        pulled = ctx.run([engine.path, "pull", "--quiet", reference], name="pull")
        if pulled.exit_code != 0:
            raise Inconclusive(
                f"{engine.program} could not pull {reference}: {_last(pulled.tail())}", pulled.tail(4000)
            )
    form = ("--format", "docker-archive") if engine.program == "podman" else ()
    saved = ctx.run([engine.path, "save", *form, "--output", archive, reference], name="save")
    if saved.exit_code != 0 or not archive.is_file():
        raise Inconclusive(f"{engine.program} could not save {reference}: {_last(saved.tail())}", saved.tail(4000))
    return archive


def _last(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"

"""Which ZAP: the first that works of a daemon, an installation, a container, the official package, one assembled from Maven."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from vallum.config import Config
from vallum.errors import Inconclusive
from vallum_checks.zap_engine import assemble, java, warm
from vallum_checks.zap_engine.client import Zap
from vallum_checks.zap_engine.daemon import BOOT, Daemon, running

MEMORY = "1g"
"""Java heap. A full scan of a shop was seen to fit in 384 MB; 20,000 alerts want 1 GB."""
CONTAINER_BOOT = 180.0
CONTAINER_MEMORY = "2g"
"""Of which the heap has MEMORY: the JVM would take a quarter of the machine's, whatever the limit is."""
CONTAINER_LIFE = 6 * 3600
"""Seconds after which podman ends a container that nobody ended."""
_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Provided:
    """A ZAP that answers. `seeds` is where our starter rules read the operations from; None where they are not in it."""

    kind: str
    version: str
    zap: Zap
    digest: str = ""
    daemon: Daemon | None = None
    seeds: Path | None = None
    failed: tuple[str, ...] = field(default=())

    def alive(self) -> None:
        """Raise ZapGone where our ZAP ended."""
        if self.daemon is not None:
            self.daemon.alive()


Provider = Callable[[Config, Path, Path, contextlib.ExitStack], Provided]


@contextlib.contextmanager
def provided(config: Config, scratch: Path, raw: Path) -> Iterator[Provided]:
    """The first ZAP of `config.zap.provide` that works, ended afterwards if it is ours.

    Raises Inconclusive, with the reason for each, where none does.
    """
    reasons: list[str] = []
    for kind in config.zap.provide:
        with contextlib.ExitStack() as stack:
            try:
                found = PROVIDERS[kind](config, scratch, raw, stack)
            except Inconclusive as error:
                reasons.append(f"{kind}: {error.reason}")
                if error.detail:
                    (raw / f"zap-{kind}.txt").write_text(error.detail, "utf-8")
                continue
            yield Provided(
                found.kind, found.version, found.zap, found.digest, found.daemon, found.seeds, tuple(reasons)
            )
            return
    raise Inconclusive("no ZAP: " + ("; ".join(reasons) or "zap.provide names no way to have one"))


def _daemon(config: Config, _scratch: Path, _raw: Path, _stack: contextlib.ExitStack) -> Provided:
    if not config.zap.url:
        raise Inconclusive("zap.url is not set")
    zap = Zap(config.zap.url, os.environ.get(config.zap.key_env, ""))
    return Provided("daemon", str(zap.api.core.version), zap)


def _install(_config: Config, scratch: Path, raw: Path, stack: contextlib.ExitStack) -> Provided:
    home = os.environ.get("ZAP_HOME", "")
    at_home = Path(home) / "zap.sh"
    script = str(at_home) if home and at_home.is_file() else shutil.which("zap.sh")
    if not script:
        raise Inconclusive("no zap.sh in ZAP_HOME or on PATH")
    daemon = stack.enter_context(
        running([script, f"-Xmx{MEMORY}"], install=None, home=scratch / "zap-home", log=raw / "zap-install.log")
    )
    return Provided("install", daemon.version, daemon.zap, daemon=daemon)


def _container(config: Config, scratch: Path, raw: Path, stack: contextlib.ExitStack) -> Provided:
    """Needs the host's network, so Linux. Seen to work with podman 4.3.1; **unverified** with docker."""
    image = config.zap.image
    if not image:
        raise Inconclusive("zap.image is not set")
    if not _PINNED.fullmatch(image):
        raise Inconclusive("zap.image is not pinned by digest (NAME@sha256:…)")
    from vallum.stage import engine

    found = next(iter(engine.find("any")), None)
    if found is None:
        raise Inconclusive("neither podman nor docker answers")
    name = f"vallum-zap-{secrets.token_hex(4)}"
    # Writable for whoever ZAP is in the container, and out of reach for others of this machine.
    private = scratch / "zap-container"
    private.mkdir(mode=0o700)
    shared = private / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    argv = [found.path, "run", "--rm", "--name", name, "--network", "host", "--memory", CONTAINER_MEMORY]
    argv += ["--pids-limit", "2048", "--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    argv += [*_owner(found.program), *found.lifetime(CONTAINER_LIFE), "--env", f"HOME={shared}"]
    argv += ["--volume", f"{shared}:{shared}:rw", image, "zap.sh", f"-Xmx{MEMORY}"]

    def remove() -> None:
        with contextlib.suppress(Inconclusive):  # --rm has removed it, or its life ends
            found.ask("rm", "--force", name)

    stack.callback(remove)
    daemon = stack.enter_context(
        running(argv, install=None, home=shared / "home", log=raw / "zap-container.log", boot=CONTAINER_BOOT)
    )
    return Provided("container", daemon.version, daemon.zap, image.partition("@")[2], daemon)


def _owner(program: str) -> list[str]:
    """ZAP runs as us, so that its files are ours to remove. (Root in a rootless podman is us already.)"""
    if program == "podman" and os.getuid() != 0:
        return ["--userns", "keep-id"]
    return ["--user", f"{os.getuid()}:{os.getgid()}"]


def _release(config: Config, scratch: Path, raw: Path, stack: contextlib.ExitStack) -> Provided:
    from vallum_checks.zap_engine import release

    runtime = java.find(scratch)
    package = release.released(config)
    command = [str(runtime.java), f"-Xmx{MEMORY}", "-jar", str(package.jar)]
    daemon = stack.enter_context(
        running(command, install=package.folder, home=scratch / "zap-home", log=raw / "zap-release.log")
    )
    return Provided("release", daemon.version, daemon.zap, package.digest, daemon)


def _assembled(_config: Config, scratch: Path, raw: Path, stack: contextlib.ExitStack) -> Provided:
    runtime = java.find(scratch)
    made = assemble.assemble(runtime)
    seeds = scratch / "seeds.tsv"
    seeds.write_text("", "utf-8")
    quick = warm.warm(made, runtime, raw / "zap-first-start.log")
    command = [*made.command(runtime, MEMORY), *quick.arguments, f"-Dvallum.seeds={seeds}", "org.zaproxy.zap.ZAP"]
    daemon = stack.enter_context(
        running(
            command,
            install=made.folder,
            home=scratch / "zap-home",
            log=raw / "zap-assembled.log",
            boot=BOOT,
            settings=quick.settings,
        )
    )
    return Provided("assembled", daemon.version, daemon.zap, made.digest, daemon, seeds)


PROVIDERS: dict[str, Provider] = {
    "daemon": _daemon,
    "install": _install,
    "container": _container,
    "release": _release,
    "assembled": _assembled,
}

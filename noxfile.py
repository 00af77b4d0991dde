#!/usr/bin/env -S uv run --script
# /// script
# requires-python = ">=3.11"
# dependencies = [
#   "cel-expr-python>=0.1.3",
#   "cryptography>=46",
#   "cvss>=3.4",
#   "httpx>=0.28",
#   "jinja2>=3.1.6",
#   "markupsafe>=3.0",
#   "msgspec>=0.20",
#   "nox>=2026.10.20",
#   "packageurl-python>=0.17",
#   "pyyaml>=6.0.2",
#   "univers>=31",
#   "uv>=0.9",
#   "zaproxy>=0.6",
# ]
# ///
"""vallum's own noxfile: its sessions as any user has them, and what its developers need.

A clone runs it without an install: nox reads the header above, makes an environment with it and starts itself there.
"""

import os
import shutil
import sys
from pathlib import Path

import nox

HERE = Path(__file__).parent.resolve()
ROOTS = [HERE / name for name in ("pipeline", "checks", "templates")]
sys.path[:0] = [str(root) for root in ROOTS]

from vallum.sessions import register  # noqa: E402

register()

nox.options.default_venv_backend = "uv"
DEV = ["-r", "tests/requirements.txt", "--require-hashes"]
SOURCES = ["pipeline", "checks", "templates", "tests", "examples/truth.py", "docs/generate.py"]
LOCKS = HERE / "checks" / "vallum_checks" / "locks"


def vallum(session, *args, codes=(0,)):
    """Run vallum from the clone as a person would; returns nothing, fails on another exit code."""
    session.run(
        sys.executable,
        "-I",
        str(ROOTS[0] / "vallum" / "__main__.py"),
        *args,
        external=True,
        success_codes=list(codes),
        env={"UV": str(shutil.which("uv") or "")},
    )


@nox.session(python=False, default=False)
def demo(session):
    """the whole chain on the bundled weak shop (expected: FAIL) and on its repaired twin (expected: PASS)"""
    online = ["--online"] if "--online" in session.posargs else []
    for shop, code in (("shop", 1), ("shop-repaired", 0)):
        target = HERE / "examples" / shop
        session.log(f"examples/{shop}: expecting exit code {code}")
        vallum(session, "-C", str(target), *online, codes=(0, 1, 3) if online else (code,))
    session.run(sys.executable, "-I", "examples/truth.py", external=True)


@nox.session(default=False)
def tests(session):
    """all tests: real tools, real servers, real files"""
    session.install(*DEV)
    # one worker a core, a file on one worker: its fixtures (a ZAP, a wheel, an installed tool) are made once
    session.run("python", "-m", "pytest", "--numprocesses", "auto", "--dist", "loadfile", *session.posargs)


@nox.session(default=False)
def lint(session):
    """ruff, its formatter, and the direction of imports"""
    session.install(*DEV)
    paths = [path for path in SOURCES if (HERE / path).exists()]
    session.run("ruff", "check", "noxfile.py", *paths)
    session.run("ruff", "format", "--check", *paths)
    session.run("lint-imports", env={"PYTHONPATH": os.pathsep.join(map(str, ROOTS))})


@nox.session(default=False)
def typing(session):
    """mypy, strict"""
    session.install(*DEV)
    session.run("mypy")


@nox.session(default=False)
def docs(session):
    """write the generated pages anew; with `-- --check` fail where they are stale"""
    session.install(*DEV)
    session.run("python", "docs/generate.py", *session.posargs)


@nox.session(default=False)
def build(session):
    """wheel and source distribution into dist/"""
    session.install(*DEV)
    shutil.rmtree(HERE / "dist", ignore_errors=True)
    session.run("uv", "build", "--quiet", "--out-dir", "dist", external=True)


@nox.session(default=False)
def lock(session):
    """pin every tool and the developers' packages anew, with hashes, from the .in files (`-- NAME` for one)"""
    session.install("uv")
    wanted = set(session.posargs)
    for source in [*sorted(LOCKS.glob("*.in")), HERE / "tests" / "requirements.in", HERE / ".github" / "requirements.in"]:
        if wanted and source.stem not in wanted:
            continue
        out = source.with_suffix(".txt")
        header = source.read_text().splitlines()[0].split(";")[0].strip()
        session.run(
            *("uv", "pip", "compile", "--universal", "--generate-hashes", "--no-emit-index-url", "--no-header"),
            *("--no-annotate", "--python-version", "3.11", "--quiet", str(source), "--output-file", str(out)),
        )
        out.write_text(f"# tool: {header}\n" + out.read_text())


@nox.session(default=False)
def fuzz(session):
    """break the input of every reader; `-- --seconds 600`; what it finds is kept in tests/fuzz/corpus"""
    session.install(*DEV)
    session.run("python", "tests/fuzz/fuzz.py", *session.posargs)


@nox.session(default=False)
def bench(session):
    """what vallum costs beside its tools; prints ratios of one run (figures: docs/performance.md)"""
    session.install(*DEV)
    session.run("python", "tests/bench/bench.py", *session.posargs)

"""What `vallum -s import` left for a declared check: the report and what it was bound to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import msgspec

from vallum import artifacts
from vallum.check import Context
from vallum.declaration import DeclaredCheck
from vallum.errors import Inconclusive
from vallum.outcome import Run, Tool
from vallum.sarif.foreign import Foreign, clean

META = "import.json"


class Imported(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`import.json` beside the report: its SHA-256, the commit that the tool looked at, and the tool's name."""

    file: str
    sha256: str
    commit: str
    tool: str


def folder(root: Path, check: str) -> Path:
    """Where the import of a check lies."""
    return root / artifacts.FOLDER / "imported" / check


def read(
    ctx: Context, declared: DeclaredCheck, reader: Callable[[DeclaredCheck, Path, Path, int], Foreign]
) -> tuple[Foreign, Run]:
    """The imported report and a run without coverage. Inconclusive where there is none for this commit and tool."""
    place = folder(ctx.target.root, declared.id)
    if place.is_symlink() or place.parent.is_symlink():
        raise Inconclusive("what was imported lies behind a link")
    try:
        meta = msgspec.json.decode(artifacts.read(place / META, 1 << 16), type=Imported)
    except FileNotFoundError:
        raise Inconclusive("nothing was imported for it (`vallum -s import`)") from None
    except (OSError, ValueError) as error:
        raise Inconclusive(f"what was imported cannot be read: {clean(str(error), 300)}") from None
    if not ctx.target.commit or meta.commit != ctx.target.commit:
        raise Inconclusive(
            f"what was imported is of commit {clean(meta.commit, 64)}, not {ctx.target.commit or 'known'}"
        )
    if meta.file not in {"report.sarif", "report.xml"}:
        raise Inconclusive("what was imported has no name of ours")
    path = place / meta.file
    report = reader(declared, path, ctx.target.root, ctx.config.limits.report_mb)
    if hashlib.sha256(artifacts.read(path, ctx.config.limits.report_mb << 20)).hexdigest() != meta.sha256:
        raise Inconclusive("what was imported is not the file that was imported")
    if report.tool and report.tool.casefold() != meta.tool.casefold():
        raise Inconclusive(f"what was imported is of {report.tool}, not of {clean(meta.tool, 80)}")
    tool = Tool(report.tool or clean(meta.tool, 80), report.version or "not said", meta.sha256)
    return report, Run(tool=tool, coverage=(), notes=(f"imported, made of commit {meta.commit[:12]}",))

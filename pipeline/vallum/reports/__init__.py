"""The reports of a verdict: one file a format, and REPORTS names them all.

A report is a function of the verdict and the target's root that returns files: path below `.vallum/report/` to content. One
that grows with the findings gives its content in parts, and many files one after the other.
It decides nothing and counts nothing of its own; it raises Inconclusive, with a sentence, where there is nothing to write.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from vallum import artifacts
from vallum.errors import Inconclusive
from vallum.process import beside
from vallum.reports import findings, html, junit, markdown, sarif, sbom, vex
from vallum.verdict import Verdict

FOLDER = "report"
Content = bytes | Iterator[bytes]
Files = Mapping[str, Content] | Iterable[tuple[str, Content]]
Report = Callable[[Verdict, Path], Files]

REPORTS: dict[str, Report] = {
    "findings.json": findings.render,
    "junit.xml": junit.render,
    "summary.md": markdown.render,
    "vallum.sarif": sarif.render,
    "openvex.json": vex.render,
    "index.html": html.render,
    "sbom.cdx.json": sbom.render,
}
"""By main file, the quick and simple ones first."""


MANY = 1_000
"""Findings from which on half of the reports are written on another core."""
BESIDE = ("index.html", "vallum.sarif")
"""Those: about as long as all others together."""


class Written(NamedTuple):
    """One file of the report; `error` says why it is not there."""

    path: Path
    error: str | None = None


def write_all(verdict: Verdict, root: Path, also: Callable[[], None] = lambda: None) -> list[Written]:
    """Write every report of the verdict to `.vallum/report/`, and do `also` before the longest of them is waited for.

    Files of an earlier run go first, so that none is stale.

    A report that fails is said (`error`) and never loses the others, nor the verdict, which was written before.
    """
    folder = artifacts.folder(root) / FOLDER
    clear(folder)
    if len(verdict.findings) < MANY:
        written = _write(verdict, root, folder, tuple(REPORTS))
        also()
        return written
    here = tuple(name for name in REPORTS if name not in BESIDE)
    wait = beside(lambda: msgspec.json.encode(_told(_write(verdict, root, folder, BESIDE))))
    written = _write(verdict, root, folder, here)
    also()
    try:
        told = msgspec.json.decode(wait(), type=list[tuple[str, str | None]])
    except (Inconclusive, msgspec.MsgspecError) as error:
        told = [(str(folder / name), f"was not written whole: {error}") for name in BESIDE]
    return [*written, *(Written(Path(path), error) for path, error in told)]


def _told(written: list[Written]) -> list[tuple[str, str | None]]:
    return [(str(each.path), each.error) for each in written]


def _write(verdict: Verdict, root: Path, folder: Path, names: Iterable[str]) -> list[Written]:
    written: list[Written] = []
    for name in names:
        report = REPORTS[name]
        try:
            files = report(verdict, root)
            for path, data in files.items() if isinstance(files, Mapping) else files:
                artifacts.write(folder / path, data, durable=False)
                written.append(Written(folder / path))
        except Inconclusive as error:
            written.append(Written(folder / name, error.reason))
        except Exception as error:  # noqa: BLE001 - a bug in one format must not cost the person the others; it is said
            written.append(Written(folder / name, f"{type(error).__name__}: {error}"))
    return written


def clear(folder: Path) -> None:
    """Remove what an earlier run wrote there; what is not ours stays."""
    for name in (*REPORTS, "vex.cdx.json"):
        with contextlib.suppress(OSError):  # a folder in the way is said when the file cannot be written
            (folder / name).unlink()
    for numbered in folder.glob("vallum-*.sarif"):
        numbered.unlink()
    split = folder / sarif.FOLDER
    if split.is_symlink():
        split.unlink()
    elif split.is_dir():
        shutil.rmtree(split)

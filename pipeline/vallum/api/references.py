"""References to other files of the target, brought into one document. Nothing outside of the target is read or asked."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from vallum.api import document
from vallum.errors import Inconclusive

FILES = "x-vallum-files"
"""The key under which the other files stand in the bundled document, by number."""
MAX_FILES = 256
_REMOTE = re.compile(r"^(?:[a-zA-Z][a-zA-Z0-9+.-]*:|//)")


def bundle(first: document.Document, path: Path, root: Path) -> dict[str, Any]:
    """The document with all that its `$ref`s name in other files under FILES, and every `$ref` a pointer into it.

    Changes `first.data`. Raises Inconclusive for a reference to another host, out of `root`, or to what cannot be read.
    """
    start = Path(os.path.normpath(path.absolute()))
    top = Path(os.path.normpath(root.absolute()))
    numbers = {start: -1}
    others: list[Any] = []
    waiting: list[tuple[Path, document.Document]] = [(start, first)]
    total = first.size
    while waiting:
        here, doc = waiting.pop()
        for holder in _holders(doc.data):
            file, _, fragment = holder["$ref"].partition("#")
            if _REMOTE.match(file):
                raise Inconclusive(
                    f"the API definition {doc.name} refers to another host, which is never asked: bundle it"
                )
            there = Path(os.path.normpath(here.parent / unquote(file))) if file else here
            if there not in numbers:
                shown = _inside(there, top, doc.name)
                if len(others) >= MAX_FILES:
                    raise Inconclusive(f"the API definition {first.name} refers to over {MAX_FILES} files")
                other = document.load(there, top, shown)
                total += other.size
                if total > document.MAX_BYTES:
                    raise Inconclusive(
                        f"the API definition {first.name} and its files have over {document.MAX_BYTES} bytes"
                    )
                numbers[there] = len(others)
                others.append(other.data)
                waiting.append((there, other))
            number = numbers[there]
            holder["$ref"] = f"#{fragment}" if number < 0 else f"#/{FILES}/{number}{fragment}"
    if others:
        first.data[FILES] = {str(number): data for number, data in enumerate(others)}
    return first.data


def _inside(there: Path, top: Path, name: str) -> str:
    try:
        inside = there.is_relative_to(top) and there.resolve().is_relative_to(top.resolve())
    except (OSError, RuntimeError, ValueError):  # links in a circle, a null character
        inside = False
    if not inside:
        raise Inconclusive(f"the API definition {name} refers to {there.name[:100]!r}, which is outside of the target")
    return there.relative_to(top).as_posix()


def _holders(data: Any) -> list[dict[str, Any]]:
    """The objects with a `$ref`, each once, however many aliases lead to it."""
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    waiting = [data]
    while waiting:
        value = waiting.pop()
        if not isinstance(value, dict | list) or id(value) in seen:
            continue
        seen.add(id(value))
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                found.append(value)
            waiting += value.values()
        else:
            waiting += value
    return found

"""The text files of a target for a tool that looks for secrets, and lines shown without the secret in them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from vallum import artifacts
from vallum.target import Target
from vallum_checks.common import start_of

MAX_BYTES = 5 << 20
"""A text file above this is not looked at and said so (`options = { max-bytes = … }`): about 10 s a megabyte."""
UNREAD_SUFFIXES = frozenset(
    (
        *(
            ".7z",
            ".bin",
            ".bmp",
            ".bz2",
            ".class",
            ".css",
            ".dmg",
            ".doc",
            ".eot",
            ".exe",
            ".gif",
            ".gz",
            ".ico",
            ".iml",
        ),
        *(".ipr", ".iws", ".jar", ".jpg", ".jpeg", ".lock", ".map", ".mo", ".pdf", ".png", ".prefs", ".psd", ".rar"),
        *(".realm", ".s7z", ".sum", ".svg", ".tar", ".tif", ".tiff", ".ttf", ".webp", ".woff", ".xls", ".xlsx", ".zip"),
    )
)
"""Endings that detect-secrets 1.5.0 passes over even with the filter off; text with such a name goes in as a copy."""
SHOWN = 4
"""Characters at the end of a secret that are shown, and of those only with at least three times as many before them."""
FIX = (
    "Withdraw the secret where it was issued and make a new one; keep it in a secret store or a mounted file, and take this"
    " one out of the source. It stays in the history."
)
OWASP = ("A07:2025",)
CWE = 798
ALLOWED = re.compile(r"pragma: ?(allow|white)list[ -]secret|gitleaks:allow", re.IGNORECASE)
"""Markers of detect-secrets and gitleaks."""


@dataclass
class Texts:
    """`paths` are expected; of these `missed` are not looked at (path → why), and `copies` (copy → path) are read as a copy
    in UTF-8 under a name that the tool does not pass over. `binary` counts the files that are no text; `sizes` are in bytes."""

    paths: list[str] = field(default_factory=list)
    copies: dict[Path, str] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    binary: int = 0

    @property
    def notes(self) -> tuple[str, ...]:
        """What the report should say."""
        return (f"{self.binary} binary files were not looked at",) if self.binary else ()


def sort(target: Target, scratch: Path, limit: int) -> Texts:
    """Read the start of every file of the target and tell text from the rest; write the copies below `scratch`."""
    texts = Texts()
    for path in target.files:
        try:
            data = start_of(f"{target.base}/{path}", limit + 1)
        except OSError as error:
            texts.paths.append(path)
            texts.missed[path] = f"cannot be read: {error.strerror}"
            continue
        wide = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
        if b"\0" in data[: 1 << 16] and not wide:
            texts.binary += 1
            continue
        texts.paths.append(path)
        texts.sizes[path] = len(data)
        if len(data) > limit:
            texts.missed[path] = f"has more than {limit} bytes (options.max-bytes)"
            continue
        encoding = _encoding(data, wide=wide)
        name = PurePosixPath(path)
        if encoding != "utf-8" or name.suffix in UNREAD_SUFFIXES:
            inner = f"{name.name}.txt" if name.suffix in UNREAD_SUFFIXES else name.name
            copy = scratch / "copies" / str(len(texts.copies)) / inner
            copy.parent.mkdir(parents=True)
            copy.write_text(data.decode(encoding, "replace"), "utf-8")
            texts.copies[copy] = path
    return texts


def _encoding(data: bytes, *, wide: bool) -> str:
    if wide:
        return "utf-16"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


class Lines:
    """Lines of the target's files; the last file is kept, because findings come file by file."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._path = ""
        self._lines: list[str] = []

    def get(self, path: str, number: int) -> str:
        if path != self._path:
            self._path = path
            try:
                data = artifacts.read(self._target.root / path, 64 << 20)
            except (OSError, ValueError):
                data = b""
            wide = data[:2] in {b"\xff\xfe", b"\xfe\xff"}
            self._lines = data.decode("utf-16" if wide else "utf-8", "replace").splitlines()
        return self._lines[number - 1] if 0 < number <= len(self._lines) else ""


def masked(line: str, hashes: set[str], limit: int = 240) -> str:
    """The line with the secrets of these SHA-1 hashes cut out; nothing of the line where they cannot be found in it.

    detect-secrets gives only hashes. A secret starts and ends where the kind of character changes, which keeps the
    search small; lines over 1,000 characters are not shown at all.
    """
    line = line.strip()
    if len(line) > 1000:
        return "(a long line, not shown)"
    found: set[str] = set()
    edges = [0, *(at for at in range(1, len(line)) if line[at].isalnum() != line[at - 1].isalnum()), len(line)]
    if len(edges) <= 400:
        for start in edges:
            for end in edges:
                if end > start:
                    piece = line[start:end]
                    if hashlib.sha1(piece.encode(), usedforsecurity=False).hexdigest() in hashes:
                        found.add(piece)
    if any("PRIVATE KEY" in piece for piece in found):
        return "-----BEGIN … PRIVATE KEY-----…"
    known = {hashlib.sha1(piece.encode(), usedforsecurity=False).hexdigest() for piece in found}
    if known != hashes:
        return "(not shown: it holds a secret)"
    for piece in sorted(found, key=len, reverse=True):
        line = line.replace(piece, "…" + (piece[-SHOWN:] if len(piece) >= 4 * SHOWN else ""))
    return line[:limit]

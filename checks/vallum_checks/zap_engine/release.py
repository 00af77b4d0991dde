"""The official package of ZAP, with the add-ons that come in it: fetched once, and used only with the SHA-256 that it must have.

The digest of 2.17.0 is the one that packagers publish independently of each other: Arch Linux (`zaproxy`, PKGBUILD) and
Termux (`zaproxy`, build.sh) name the same. **Unverified** against the address itself: where this was written there was no
internet; the tests serve a package of their own.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import time
from dataclasses import dataclass
from pathlib import Path

from vallum.artifacts import locked
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.tools import cache_folder

URL = "https://github.com/zaproxy/zaproxy/releases/download/v2.17.0/ZAP_2.17.0_Linux.tar.gz"
SHA256 = "efe799aaa3627db683b43f00c9c210aea0b75c00cc8f0a0f0434d12bb3ddde5a"
"""243,895,361 bytes."""
LARGEST = 1 << 30
UNPACKED = 4 << 30
"""Bytes of the package and of what is in it."""
DEADLINE = 900.0


@dataclass(frozen=True)
class Released:
    """An unpacked package: its folder, ZAP's jar, and the package's SHA-256."""

    folder: Path
    jar: Path
    digest: str


def released(config: Config) -> Released:
    """The package from the cache, or fetched now. Raises Inconclusive where it cannot be had or is not the pinned one."""
    url, digest = config.zap.release or URL, (config.zap.release_sha256 or SHA256).lower()
    if config.zap.release and not config.zap.release_sha256:
        raise Inconclusive("zap.release is not pinned: give its SHA-256 as zap.release-sha256")
    folder = cache_folder() / "zap" / f"release-{digest[:16]}"
    if not (folder / ".complete").exists():
        with locked(folder.with_name(folder.name + ".lock")):
            if not (folder / ".complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                package = folder / "package"
                _fetch(url, digest, package)
                _unpack(package, folder)
                package.unlink()
                (folder / ".complete").touch()
    jars = sorted(folder.glob("*/zap-*.jar"))
    if len(jars) != 1:
        raise Inconclusive(f"the package of zap.release holds {len(jars)} files zap-*.jar, not one")
    return Released(jars[0].parent, jars[0], digest)


def _fetch(url: str, digest: str, out: Path) -> None:
    import httpx

    end = time.monotonic() + DEADLINE
    total, size = hashlib.sha256(), 0
    try:
        with (
            httpx.stream("GET", url, follow_redirects=True, timeout=httpx.Timeout(60.0, connect=15.0)) as answer,
            out.open("wb") as file,
        ):
            answer.raise_for_status()
            for chunk in answer.iter_bytes():
                size += len(chunk)
                if size > LARGEST or time.monotonic() > end:
                    limit = f"{LARGEST} bytes" if size > LARGEST else f"{DEADLINE:.0f} s"
                    raise Inconclusive(f"the official package of ZAP took more than {limit}")
                total.update(chunk)
                file.write(chunk)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        status = error.response.status_code if isinstance(error, httpx.HTTPStatusError) else type(error).__name__
        raise Inconclusive(f"cannot fetch the official package of ZAP: {status}") from None
    if total.hexdigest() != digest:
        raise Inconclusive(
            f"the official package of ZAP is not the pinned one: its SHA-256 is {total.hexdigest()}, {digest} was expected"
        )


def _unpack(package: Path, folder: Path) -> None:
    if not hasattr(tarfile, "data_filter"):
        raise Inconclusive("this Python is too old to unpack ZAP safely (3.11.4 can)")
    try:
        with tarfile.open(package, "r:*") as archive:
            size = 0
            for member in archive:
                size += member.size
                if size > UNPACKED:
                    raise Inconclusive(f"the official package of ZAP unpacks to more than {UNPACKED} bytes")
                archive.extract(member, folder, filter="data")
    except (tarfile.TarError, OSError, EOFError) as error:
        raise Inconclusive(f"the official package of ZAP cannot be unpacked: {type(error).__name__}") from None

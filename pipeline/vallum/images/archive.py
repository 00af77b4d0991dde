"""Look at an image archive before any scanner does: is it whole, is it what its digests say, and will it fit?

Scanners report as normal on layers that do not match their digests, and unpack bombs to disk; so nothing reaches them
unchecked. Takes a docker-archive or OCI archive (a plain tar), or a folder in OCI layout.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import posixpath
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeVar, cast

import msgspec

from vallum.errors import Inconclusive
from vallum.images.tarwalk import Entry, Reader, entries

MAX_ENTRIES = 500_000
"""Members of all layers: 300,000 empty files made syft use 1.7 GiB of memory."""
MAX_UNPACKED = 8 << 30
"""Bytes of all layers unpacked."""
MAX_RATIO, RATIO_FROM = 100, 64 << 20
"""A layer over 64 MiB that unpacks to more than 100 times its size is a bomb: gzip reaches 1,032 on zeros, code about 5."""
MAX_JSON = 16 << 20
PIECE = 1 << 20


class Checked(NamedTuple):
    """A sound image. `kind` is docker-archive, oci-archive or oci-dir (syft's words); `digest` that of its configuration, which
    stays the same through save, load, push and pull; `largest` the bytes of the largest layer, unpacked."""

    kind: str
    digest: str
    layers: int
    members: int
    unpacked: int
    largest: int


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    media_type: str = ""
    size: int = -1


class _Manifest(msgspec.Struct, frozen=True):
    config: _Descriptor | None = None
    layers: tuple[_Descriptor, ...] = ()
    manifests: tuple[_Descriptor, ...] = ()


class _Saved(msgspec.Struct, frozen=True, rename="pascal"):
    config: str
    layers: tuple[str, ...]


class _Filesystem(msgspec.Struct, frozen=True):
    diff_ids: tuple[str, ...]


class _Configuration(msgspec.Struct, frozen=True):
    rootfs: _Filesystem


@dataclass
class _Budget:
    members: int = 0
    unpacked: int = 0
    largest: int = 0
    limit: int = MAX_UNPACKED


T = TypeVar("T")
Opener = Callable[[str], BinaryIO]


def check(path: Path, label: str = "", max_unpacked: int = MAX_UNPACKED) -> Checked:
    """Read all of the image at `path`. Raises Inconclusive with what is wrong; writes nothing."""
    label = label or path.name
    budget = _Budget(limit=max_unpacked)
    if path.is_dir():
        return _oci("oci-dir", _in_folder(path, label), label, budget)
    try:
        with path.open("rb") as file:
            members = {posixpath.normpath(one.name): one for one in _outer(file, label)}
            opener = _in_tar(file, members, label)
            if "manifest.json" in members:
                return _docker(opener, label, budget)
            if "index.json" in members:
                return _oci("oci-archive", opener, label, budget)
    except OSError as error:
        raise Inconclusive(f"{label} cannot be read: {error.strerror}") from None
    raise Inconclusive(f"{label} is no image archive: it has neither manifest.json nor index.json")


def _outer(file: BinaryIO, label: str) -> Iterator[Entry]:
    for one in entries(file, label, 20_000):
        _name(one.name, label)
        if one.kind in "12":
            inside = posixpath.normpath(
                posixpath.join(posixpath.dirname(one.name) if one.kind == "2" else "", one.link)
            )
            if inside.startswith(("/", "..")):
                raise Inconclusive(f"{label} has a link that leads out of it: {one.name[:100]!r}")
        elif one.kind not in "057":
            raise Inconclusive(f"{label} has a member of an odd kind: {one.name[:100]!r}")
        if one.kind in "05":
            yield one


def _name(name: str, label: str) -> None:
    if ".." in name.split("/"):
        raise Inconclusive(f"{label} has a member that leads out of it: {name[:100]!r}")


def _in_tar(file: BinaryIO, members: dict[str, Entry], label: str) -> Opener:
    def opened(name: str) -> BinaryIO:
        found = members.get(posixpath.normpath(name))
        if found is None or found.kind != "0":
            raise Inconclusive(f"{label} has no member {name[:100]!r}")
        return cast("BinaryIO", io.BufferedReader(_Part(file, found.offset, found.size), 1 << 16))

    return opened


def _in_folder(folder: Path, label: str) -> Opener:
    def opened(name: str) -> BinaryIO:
        _name(name, label)
        path = folder / name
        if name.startswith("/") or path.is_symlink() or not path.is_file():
            raise Inconclusive(f"{label} has no file {name[:100]!r}")
        return path.open("rb")

    return opened


class _Part(io.RawIOBase):
    """A stretch of a file as a file. Keeps its own place, so that several may be open at once."""

    def __init__(self, file: BinaryIO, offset: int, size: int) -> None:
        self._file, self._at, self._end = file, offset, offset + size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._at)
        data = self._file.read(min(len(view), self._end - self._at))
        view[: len(data)] = data
        self._at += len(data)
        return len(data)


def _docker(opener: Opener, label: str, budget: _Budget) -> Checked:
    saved = _json(opener, "manifest.json", tuple[_Saved, ...], label)
    if len(saved) != 1:
        raise Inconclusive(f"{label} holds {len(saved)} images; save one at a time")
    data = _bytes(opener, saved[0].config, label)
    digest = hashlib.sha256(data).hexdigest()
    named = posixpath.basename(saved[0].config).removesuffix(".json")
    if len(named) == 64 and named != digest:
        raise Inconclusive(f"the configuration of {label} does not match its digest {named[:12]}…")
    return _layers("docker-archive", digest, data, [(name, "") for name in saved[0].layers], opener, label, budget)


def _oci(kind: str, opener: Opener, label: str, budget: _Budget) -> Checked:
    listed = list(_json(opener, "index.json", _Manifest, label).manifests)
    found: list[tuple[_Manifest, bytes]] = []
    for _ in range(64):
        if not listed:
            break
        digest = listed.pop(0).digest
        manifest = _decode(_blob(opener, digest, label), _Manifest, digest, label)
        listed += manifest.manifests
        if manifest.config is not None and manifest.layers:
            config = _blob(opener, manifest.config.digest, label)
            if b'"diff_ids"' in config:  # attestations have layers too, but no file system
                found.append((manifest, config))
    if len(found) != 1:
        raise Inconclusive(f"{label} holds {len(found)} images; give one, for one platform")
    manifest, config = found[0]
    digest = hashlib.sha256(config).hexdigest()
    names = [(_path(one.digest, label), one.digest) for one in manifest.layers]
    return _layers(kind, digest, config, names, opener, label, budget)


def _layers(
    kind: str, digest: str, data: bytes, names: list[tuple[str, str]], opener: Opener, label: str, budget: _Budget
) -> Checked:
    ids = _decode(data, _Configuration, "configuration", label).rootfs.diff_ids
    if len(ids) != len(names):
        raise Inconclusive(f"{label} has {len(names)} layers where its configuration names {len(ids)}")
    for (name, blob), expected in zip(names, ids, strict=True):
        with opener(name) as file:
            _layer(file, blob, expected, f"layer {expected.removeprefix('sha256:')[:12]}… of {label}", label, budget)
    return Checked(kind, f"sha256:{digest}", len(names), budget.members, budget.unpacked, budget.largest)


def _layer(file: BinaryIO, blob: str, expected: str, title: str, label: str, budget: _Budget) -> None:
    packed = _Counting(file, hashing=bool(blob))
    outer = io.BufferedReader(packed, PIECE)
    with _plain(outer, title) as plain:
        counted = _Counting(plain, hashing=True)

        def bounded() -> None:
            if counted.size + budget.unpacked > budget.limit:
                raise Inconclusive(f"{label} unpacks to more than {budget.limit >> 20} MB")
            if counted.size > RATIO_FROM and counted.size > MAX_RATIO * max(packed.size, 1):
                raise Inconclusive(f"{title} unpacks to more than {MAX_RATIO} times its size: a bomb")

        counted.watch = bounded
        inner = io.BufferedReader(counted, PIECE)
        try:
            for one in entries(inner, title, MAX_ENTRIES - budget.members):
                _name(one.name, title)
                budget.members += 1
            while inner.read(PIECE):
                pass
        except (OSError, EOFError, zlib.error) as error:
            raise Inconclusive(f"{title} cannot be unpacked: {error}") from None
    while outer.read(PIECE):
        pass
    if f"sha256:{counted.digest()}" != expected:
        raise Inconclusive(f"{title} does not match its digest: the archive was changed after it was made")
    if blob and f"sha256:{packed.digest()}" != blob:
        raise Inconclusive(f"{title} does not match the digest of its blob")
    budget.unpacked += counted.size
    budget.largest = max(budget.largest, counted.size)


class _Counting(io.RawIOBase):
    """Counts and hashes what is read through it, in the large pieces that a BufferedReader asks for."""

    def __init__(self, inner: Reader, *, hashing: bool) -> None:
        self._inner = inner
        self._hash = hashlib.sha256() if hashing else None
        self.size = 0
        self.watch: Callable[[], None] = lambda: None

    def readable(self) -> bool:
        """As BufferedReader wants to know."""
        return True

    def readinto(self, buffer: Any, /) -> int:
        """Fill `buffer` from the inner stream."""
        view = memoryview(buffer).cast("B")
        data = self._inner.read(len(view))
        view[: len(data)] = data
        self.size += len(data)
        if self._hash is not None:
            self._hash.update(data)
        self.watch()
        return len(data)

    def digest(self) -> str:
        """Hexadecimal SHA-256 of what was read, or an empty string."""
        return self._hash.hexdigest() if self._hash is not None else ""


@contextmanager
def _plain(packed: io.BufferedReader[Any], title: str) -> Iterator[Reader]:
    """The layer without its compression: gzip or none, told by the first bytes."""
    first = packed.peek(4)[:4]
    if first[:2] == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=packed, mode="rb") as file:
            yield file
    elif first == b"\x28\xb5\x2f\xfd":
        raise Inconclusive(f"{title} is compressed with zstd, which cannot be checked here; save it with gzip or plain")
    else:
        yield packed


def _path(digest: str, label: str) -> str:
    kind, _, number = digest.partition(":")
    if kind != "sha256" or len(number) != 64 or not all(c in "0123456789abcdef" for c in number):
        raise Inconclusive(f"{label} uses the digest {digest[:80]!r}, which is not SHA-256")
    return f"blobs/sha256/{number}"


def _blob(opener: Opener, digest: str, label: str) -> bytes:
    data = _bytes(opener, _path(digest, label), label)
    if hashlib.sha256(data).hexdigest() != digest.partition(":")[2]:
        raise Inconclusive(f"a blob of {label} does not match its digest {digest[7:19]}…")
    return data


def _bytes(opener: Opener, name: str, label: str) -> bytes:
    with opener(name) as file:
        data = file.read(MAX_JSON + 1)
    if len(data) > MAX_JSON:
        raise Inconclusive(f"{name[:100]} in {label} has more than {MAX_JSON >> 20} MB")
    return data


def _json(opener: Opener, name: str, kind: type[T], label: str) -> T:
    return _decode(_bytes(opener, name, label), kind, name, label)


def _decode(data: bytes, kind: type[T], name: str, label: str) -> T:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Inconclusive(f"{name[:80]} in {label} cannot be read: {error}") from None

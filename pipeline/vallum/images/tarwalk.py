"""Walk the headers of a tar from a stream: names, kinds and sizes, with bounds. For archives that nobody vouches for.

The standard library's reader takes a header's word for how much memory its long name needs; this one does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from vallum.errors import Inconclusive

BLOCK = 512
MAX_HEADER = 1 << 20
"""Bytes of one extended header. Linux paths end at 4,096 bytes (PATH_MAX); 1 MiB leaves room for attributes."""


class Reader(Protocol):
    """Anything with `read`."""

    def read(self, size: int = ..., /) -> bytes:
        """At most `size` bytes; none at the end."""
        ...


class Entry(NamedTuple):
    """One member: `kind` is the type flag (`0` file, `1` hard link, `2` symbolic link, `5` folder), `offset` where its data
    begins in the stream, `size` its bytes there."""

    name: str
    kind: str
    size: int
    link: str
    offset: int


def entries(stream: Reader, label: str, limit: int) -> Iterator[Entry]:
    """Every member in order; at most `limit`. Reads `stream` to the end of the archive.

    Raises Inconclusive where the archive is broken.
    """
    offset = count = 0
    extended: dict[str, str] = {}
    while True:
        header = _exactly(stream, BLOCK, label, at_end=True)
        offset += len(header)
        if not header or header == bytes(BLOCK):
            return
        if sum(header[:148]) + 8 * 32 + sum(header[156:]) != _number(header[148:156], label):
            raise Inconclusive(f"{label} holds a damaged header at byte {offset - BLOCK}")
        kind = chr(header[156]) if header[156] else "0"
        size = _number(header[124:136], label)
        padded = (size + BLOCK - 1) // BLOCK * BLOCK
        if kind in "xgLK":
            if size > MAX_HEADER:
                raise Inconclusive(f"{label} holds a header of {size} bytes")
            extended |= _extended(kind, _exactly(stream, padded, label)[:size])
            offset += padded
            continue
        if "size" in extended:
            size = int(extended["size"]) if extended["size"].isdigit() else -1
            padded = (size + BLOCK - 1) // BLOCK * BLOCK
        if size < 0:
            raise Inconclusive(f"{label} holds a member without a size")
        if kind not in "07":  # links, folders and devices have no data, whatever their header says (POSIX.1-1988)
            size = padded = 0
        count += 1
        if count > limit:
            raise Inconclusive(f"{label} has more than {limit} members")
        prefix = _text(header[345:500]) if header[257:262] == b"ustar" else ""
        name = extended.get("path") or (f"{prefix}/{_text(header[:100])}" if prefix else _text(header[:100]))
        yield Entry(name, kind, size, extended.get("linkpath") or _text(header[157:257]), offset)
        extended = {}
        _skip(stream, padded, label)
        offset += padded


def _extended(kind: str, data: bytes) -> dict[str, str]:
    if kind in "LK":
        return {"path" if kind == "L" else "linkpath": _text(data)}
    if kind == "g":
        return {}
    found: dict[str, str] = {}
    while data:
        digits, space, _ = data.partition(b" ")
        if not space or not digits.isdigit() or not len(digits) < int(digits) <= len(data):
            break
        key, _, value = data[len(digits) + 1 : int(digits)].removesuffix(b"\n").partition(b"=")
        found[_text(key)] = _text(value)
        data = data[int(digits) :]
    return found


def _text(data: bytes) -> str:
    return data.split(b"\0", 1)[0].decode("utf-8", "surrogateescape")


def _number(field: bytes, label: str) -> int:
    if field and field[0] & 0x80:  # GNU: a number of base 256
        return int.from_bytes(bytes([field[0] & 0x7F]) + field[1:], "big")
    text = field.split(b"\0", 1)[0].strip()
    try:
        return int(text, 8) if text else 0
    except ValueError:
        raise Inconclusive(f"{label} is no tar archive, or a damaged one") from None


def _exactly(stream: Reader, size: int, label: str, *, at_end: bool = False) -> bytes:
    first = stream.read(size)
    if len(first) == size:
        return first
    parts, left = [first], size - len(first)
    while left and first:
        part = stream.read(left)
        if not part:
            break
        parts.append(part)
        left -= len(part)
    if left and not (at_end and left == size):
        raise Inconclusive(f"{label} ends in the middle of a member")
    return b"".join(parts)


def _skip(stream: Reader, size: int, label: str) -> None:
    while size:
        part = stream.read(min(size, 1 << 20))
        if not part:
            raise Inconclusive(f"{label} ends in the middle of a member")
        size -= len(part)

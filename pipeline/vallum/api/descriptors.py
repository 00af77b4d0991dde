"""Descriptors of Protocol Buffers as a server's reflection hands them out, made into types. Needs the extra `grpc`."""

from __future__ import annotations

import importlib
from collections.abc import Iterable, Mapping
from typing import Any

from vallum.errors import Inconclusive

WELL_KNOWN = "google/protobuf/"
"""Where the files are that every implementation has with it."""
_MODULES = frozenset(
    {
        *("any", "api", "descriptor", "duration", "empty", "field_mask"),
        *("source_context", "struct", "timestamp", "type", "wrappers"),
    }
)


def parsed(files: Iterable[bytes], name: str) -> dict[str, Any]:
    """Serialized FileDescriptorProtos by their names. Raises Inconclusive for what is none."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto
    from google.protobuf.message import DecodeError

    found = []
    for data in files:
        try:
            found.append(FileDescriptorProto.FromString(data))
        except DecodeError as error:
            raise Inconclusive(f"{name}: what describes a file cannot be read ({error})") from None
    return _by_name(found, name)


def in_set(data: bytes, name: str) -> dict[str, Any]:
    """The files of a serialized FileDescriptorSet, by their names. Raises Inconclusive for what is none."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet
    from google.protobuf.message import DecodeError

    try:
        found = _by_name(FileDescriptorSet.FromString(data).file, name)
    except DecodeError as error:
        raise Inconclusive(f"{name} is no set of descriptors ({error})") from None
    if not any(one.service for one in found.values()):
        raise Inconclusive(f"{name} holds no service")
    return found


def _by_name(files: Iterable[Any], name: str) -> dict[str, Any]:
    """Where a text is no UTF-8, protobuf gives its bytes: of what we read ourselves, that is none. Raises Inconclusive."""
    found = {}
    for one in files:
        names = (one.name, one.package, *one.dependency, *(each.name for each in one.service))
        if not all(isinstance(each, str) for each in names):
            raise Inconclusive(f"{name}: a name in what describes a file is no text")
        found[one.name] = one
    return found


def services(files: Mapping[str, Any]) -> list[str]:
    """The full names of the services in `files`."""
    return sorted(".".join(filter(None, (one.package, each.name))) for one in files.values() for each in one.service)


def well_known(path: str) -> Any:
    """The FileDescriptorProto of a file of google/protobuf; None where the library has none of that name."""
    from google.protobuf import descriptor_pool
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    short = path.removeprefix(WELL_KNOWN).removesuffix(".proto")
    if path.startswith(WELL_KNOWN) and short in _MODULES:
        importlib.import_module(f"google.protobuf.{short}_pb2")
        return FileDescriptorProto.FromString(descriptor_pool.Default().FindFileByName(path).serialized_pb)
    return None


def pool(files: Mapping[str, Any], name: str) -> Any:
    """A pool of the types in `files`, which must hold all that they import. Raises Inconclusive where they do not fit."""
    from google.protobuf.descriptor_pool import DescriptorPool

    made = DescriptorPool()
    begun: set[str] = set()
    done: set[str] = set()
    waiting = list(files)
    while waiting:
        path = waiting[-1]
        one = files.get(path)
        if one is None:
            raise Inconclusive(f"{name}: it does not say what is in {path[:200]!r}")
        left = [each for each in one.dependency if each not in done]
        if path not in begun:
            begun.add(path)
            if not begun.isdisjoint(left):
                raise Inconclusive(f"{name}: {path[:200]!r} imports itself")
            waiting += left
            continue
        waiting.pop()
        if path not in done:
            try:
                made.Add(one)
            except (TypeError, ValueError) as error:
                raise Inconclusive(f"{name}: {path[:200]!r} cannot be used ({str(error)[:200]})") from None
            done.add(path)
    return made

"""Asking a deployed gRPC server for its methods and messages (gRPC Server Reflection Protocol, v1 and v1alpha)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from vallum.api import descriptors, grpc
from vallum.api.document import MAX_BYTES
from vallum.api.model import Definition
from vallum.environments import ApiDefinition
from vallum.errors import Inconclusive
from vallum.stage import rpc

if TYPE_CHECKING:
    from vallum.stage.environment import Deployment

MAX_FILES = 2_000
"""Files that describe one server's methods and messages, and services that it may have."""
SECONDS = 15.0
"""For one answer."""


class Unoffered(Inconclusive):
    """The server has no reflection, or is none of gRPC."""


def ask(deployment: Deployment, service: str, wanted: ApiDefinition, listed: Definition | None = None) -> Definition:
    """The definition that the server gives of itself, asked with the first user's login; `listed` is what a .proto declares.

    Raises Unoffered where it gives none (a .proto alone makes nothing callable), Inconclusive for what is no definition.
    """
    name = f"the reflection of {service}"
    with rpc.Calls(deployment.scope, MAX_BYTES) as calls:
        server = _Server(calls, deployment, service, name)
        services = server.services()
        files = server.files(services)
    beside = listed or grpc.nothing(Path("vallum.toml"))
    found = grpc.served(descriptors.pool(files, name), services, wanted, name, beside)
    if not found.operations and not found.unsupported:
        raise Unoffered(f"{name} declares no method")
    return found


class _Server:
    """One server, asked message by message. All answers together are at most MAX_BYTES."""

    def __init__(self, calls: rpc.Calls, deployment: Deployment, service: str, name: str) -> None:
        from grpc_reflection.v1alpha import reflection_pb2  # v1 is the same on the wire

        self._messages: Any = reflection_pb2
        self._calls = calls
        self._url = deployment.urls[service]
        self._headers = deployment.headers()
        self._name = name
        self._path = ""
        self._bytes = 0

    def services(self) -> list[str]:
        """Their full names, without reflection itself."""
        asked = self._messages.ServerReflectionRequest(list_services="*")
        for one in grpc.REFLECTION:
            self._path = f"/{one}/ServerReflectionInfo"
            said = self._said(asked)
            if said.code == "UNIMPLEMENTED":
                continue
            answer = self._answer(said)
            found = [each.name for each in answer.list_services_response.service if each.name not in grpc.REFLECTION]
            if len(found) > MAX_FILES:
                raise Inconclusive(f"{self._name} names over {MAX_FILES} services")
            return sorted(found)
        raise Unoffered(f"{self._name} is turned off: turn it on where it is staged")

    def files(self, services: list[str]) -> dict[str, Any]:
        """What describes the services, with all that it imports. Raises Inconclusive where something is left out."""
        found: dict[str, Any] = {}
        for service in services:
            found |= self._described(self._messages.ServerReflectionRequest(file_containing_symbol=service), service)
        while missing := sorted({each for one in found.values() for each in one.dependency} - found.keys()):
            if len(found) + len(missing) > MAX_FILES:
                raise Inconclusive(f"{self._name} has over {MAX_FILES} files")
            for path in missing:
                known = descriptors.well_known(path)
                if known is not None:
                    found[path] = known
                    continue
                got = self._described(self._messages.ServerReflectionRequest(file_by_filename=path), path)
                if path not in got:
                    raise Inconclusive(f"{self._name}: it does not say what is in {path[:200]!r}")
                found |= got
        return found

    def _described(self, asked: Any, what: str) -> dict[str, Any]:
        answer = self._answer(self._said(asked))
        if answer.HasField("error_response"):
            said = answer.error_response.error_message[:200]
            raise Inconclusive(f"{self._name}: it does not describe {what[:200]!r} ({said})")
        return descriptors.parsed(answer.file_descriptor_response.file_descriptor_proto, self._name)

    def _said(self, asked: Any) -> rpc.Said:
        return self._calls.first(self._url, self._path, asked.SerializeToString(), self._headers, SECONDS)

    def _answer(self, said: rpc.Said) -> Any:
        """The message of an answer. Raises Unoffered where there is none."""
        from google.protobuf.message import DecodeError

        if said.code != "OK":
            what = f"{said.code}{f': {said.details[:200]}' if said.details else ''}"
            raise Unoffered(f"{self._name} answers {what}" if said.status else f"{self._name} got no answer ({what})")
        if not said.body:
            raise Inconclusive(f"{self._name} gave {said.details or 'an empty answer'}")
        self._bytes += len(said.body)
        if self._bytes > MAX_BYTES:
            raise Inconclusive(f"{self._name} has over {MAX_BYTES} bytes")
        try:
            return self._messages.ServerReflectionResponse.FromString(said.body)
        except DecodeError as error:
            raise Inconclusive(f"{self._name} is none ({error})") from None

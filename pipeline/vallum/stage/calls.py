"""Single requests to the operations of a deployment, with what was said kept as evidence: for checks that send few."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

from vallum.api import descriptors, document, formats, graphql, grpc
from vallum.api.model import Definition, Request
from vallum.config import FILE as SETTINGS
from vallum.config import Config
from vallum.environments import ApiDefinition, StagedService
from vallum.errors import Inconclusive
from vallum.finding import Exchange
from vallum.stage import reflection, rpc
from vallum.stage.introspection import introspect
from vallum.stage.scope import TIMEOUT
from vallum.target import Target

if TYPE_CHECKING:
    from types import TracebackType

    import httpx

    from vallum.stage.environment import Deployment

MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
EVIDENCE = 2000
"""Characters of a request or an answer that are kept as evidence."""


@dataclass(frozen=True)
class Surface:
    """What a service declares: its origin, its definition, and the definition's path relative to the target's root (that of
    the settings where the service was asked itself)."""

    service: str
    url: str
    path: str
    definition: Definition


@dataclass(frozen=True)
class Answer:
    """What came back. `status` 0: nothing, and `why` says the reason. `seconds` until it was read; header names in lower case.
    Of gRPC `code` is what was said, `status` what stands for it in HTTP (vallum.stage.rpc), `body` the message as JSON."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    why: str = ""
    seconds: float = 0.0
    exchange: Exchange | None = field(repr=False, default=None)
    code: str = ""

    @property
    def shown(self) -> str:
        """Its status, as its protocol has it."""
        return self.code or str(self.status)

    @property
    def ok(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        import json

        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def surfaces(
    deployment: Deployment, target: Target, config: Config, *, with_rpc: bool = False
) -> tuple[list[Surface], list[str]]:
    """The services that declare their operations, and the names of those that do not. `with_rpc`: whether the caller calls
    gRPC; for others its methods are unsupported.

    Raises Inconclusive for a definition that cannot be read.
    """
    services = config.environment.services if config.environment is not None else {}
    found, bare = [], []
    for name, url in deployment.urls.items():
        service = services.get(name)
        path = formats.find(target, service) if service is not None else ""
        wanted = service.definition if service is not None else None
        if path:
            read = formats.read(target, path, wanted)
            if read.kind == "grpc" and with_rpc and service is not None:
                read = _callable(deployment, target, name, service, read)
            found.append(Surface(name, url, path, read))
        elif wanted is not None and wanted.kind == "graphql":
            asked = introspect(deployment, name, wanted.endpoint or graphql.ENDPOINT)
            found.append(Surface(name, url, SETTINGS, asked))
        elif service is not None and wanted is not None and wanted.kind == "grpc":
            asked = _described(deployment, target, name, service, grpc.nothing(target.root / SETTINGS))
            found.append(Surface(name, url, SETTINGS, asked if with_rpc else grpc.listed(asked, name)))
        else:
            bare.append(name)
            deployment.ledger.undefined(name)
    for surface in found:
        deployment.ledger.declare(surface)
    return found, bare


def _callable(
    deployment: Deployment, target: Target, name: str, service: StagedService, listed: Definition
) -> Definition:
    """What a .proto declares, with requests where its messages are known; else as it is, and why it is so in its notes."""
    if not rpc.installed():
        why = f"{rpc.MISSING} ({rpc.HINT})"
    else:
        try:
            return _described(deployment, target, name, service, listed)
        except reflection.Unoffered as error:
            why = error.reason
    left = tuple(replace(each, unsupported=why) for each in listed.unsupported)
    note = f"not tested: {len(left)} gRPC methods of {listed.path.name}: {why}"
    return replace(listed, unsupported=left, notes=(note,))


def _described(
    deployment: Deployment, target: Target, name: str, service: StagedService, beside: Definition
) -> Definition:
    """The definition that a file of descriptors gives where one is named, else the server's reflection."""
    wanted = service.definition or ApiDefinition()
    said = wanted.descriptors or f"the reflection of {name}"
    if wanted.descriptors:
        found = _from_file(target, service, wanted, beside)
    else:
        found = reflection.ask(deployment, name, wanted, beside)
    if not found.operations and not found.unsupported:
        raise Inconclusive(f"{said} declares no method")
    if len(found.operations) + len(found.unsupported) > formats.MAX_OPERATIONS:
        raise Inconclusive(f"{said} declares over {formats.MAX_OPERATIONS} methods")
    return found


def _from_file(target: Target, service: StagedService, wanted: ApiDefinition, beside: Definition) -> Definition:
    rpc.library()  # before its parts are imported: the reason where it is not there
    said = wanted.descriptors
    files = descriptors.in_set(document.data(target.root / service.directory / said, target.root, said), said)
    names = [each for each in descriptors.services(files) if each not in grpc.REFLECTION]
    return grpc.served(descriptors.pool(files, said), names, wanted, said, beside)


class Caller:
    """Sends requests to one deployment, one after the other, and counts them. Use it in a `with`."""

    def __init__(self, deployment: Deployment) -> None:
        self._scope = deployment.scope
        self._client: httpx.Client = deployment.scope.client()
        self._calls: rpc.Calls | None = None
        self._ledger = deployment.ledger
        self._logins = [user.session.header for user in deployment.users.values()]
        self.requests = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
        if self._calls is not None:
            self._calls.close()

    def send(self, surface: Surface, request: Request, headers: Mapping[str, str] | None = None) -> Answer:
        """Send an operation's request with `headers` on top (a user's `session.header()`, or none: from outside)."""
        if surface.definition.kind == "grpc":
            given = dict(headers or {})
            answer = self._call(surface, request, given)
        else:
            given = {**dict(request.headers), "Accept": "*/*", "User-Agent": "vallum", **(headers or {})}
            if request.body:
                given["Content-Type"] = request.content_type
            answer = self.raw(
                request.operation.method, surface.url + request.path, given, request.body, params=request.query
            )
        logins = [login() for login in self._logins]
        with_login = any(login.items() <= given.items() for login in logins)
        # The first user's own request is what an honest client sends; all else is sent to find out what comes of it.
        attack = not (logins and logins[0].items() <= given.items())
        self._ledger.answered(
            surface, request.operation, answer.status, with_login=with_login, attack=attack, why=answer.why
        )
        return answer

    def _call(self, surface: Surface, request: Request, headers: Mapping[str, str]) -> Answer:
        """Call a gRPC method. Raises Inconclusive outside the scope, and where the extra `grpc` is not installed."""
        if self._calls is None:
            self._calls = rpc.Calls(self._scope)
        self.requests += 1
        began = time.monotonic()
        said = self._calls.unary(surface.url, request.path, request.body, headers)
        decode = surface.definition.decode
        text = decode(request.operation, said.body) if decode is not None and said.code == "OK" else ""
        metadata = {"grpc-status": said.code, "grpc-message": said.details, **dict(said.metadata)}
        asked = _message(f"POST {request.path} HTTP/2", headers, request.shown.encode())
        return Answer(
            said.status,
            metadata,
            text.encode(),
            why=said.why,
            seconds=time.monotonic() - began,
            exchange=Exchange(asked, _message("HTTP/2", metadata, text.encode())),
            code=said.code,
        )

    def raw(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        params: tuple[tuple[str, str], ...] = (),
    ) -> Answer:
        """Send any request to the deployment; redirects are not followed. Raises Inconclusive outside the scope."""
        import httpx

        self.requests += 1
        began = time.monotonic()
        asked = self._client.build_request(
            method, url, headers=dict(headers or {}), content=body or None, params=params or None
        )
        try:
            answer = self._client.send(asked, stream=True)
            content = b""
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MAX_ANSWER or time.monotonic() - began > TIMEOUT:
                    break
            answer.close()
        except httpx.HTTPError as error:
            return Answer(
                0, why=type(error).__name__, seconds=time.monotonic() - began, exchange=_exchange(asked, body)
            )
        return Answer(
            answer.status_code,
            {name.lower(): value for name, value in answer.headers.items()},
            content,
            seconds=time.monotonic() - began,
            exchange=_exchange(asked, body, answer, content),
        )


def _exchange(
    asked: httpx.Request, body: bytes, answer: httpx.Response | None = None, content: bytes = b""
) -> Exchange:
    """Both messages as text, bounded. The frame of the dynamic checks takes the secrets out (vallum_checks.dast)."""
    first = f"{asked.method} {asked.url.raw_path.decode('ascii', 'replace')} HTTP/1.1"
    request = _message(first, asked.headers, body)
    if answer is None:
        return Exchange(request, "")
    return Exchange(request, _message(f"HTTP/1.1 {answer.status_code}", answer.headers, content))


def _message(first: str, headers: Mapping[str, str], body: bytes) -> str:
    lines = [first, *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n" + body[:EVIDENCE].decode("utf-8", "replace"))[:EVIDENCE]


def unanswered(answer: Answer, what: str) -> None:
    """Raise Inconclusive where no answer came: silence proves nothing."""
    if answer.status == 0:
        raise Inconclusive(f"{what} got no answer ({answer.why})")

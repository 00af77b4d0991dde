"""The way out of our own gRPC calls, below the scope: by the library grpcio, which the extra `grpc` brings along.

grpcio resolves, proxies and retries nothing here: it connects to the address that the scope names, once a call is admitted.
"""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from vallum.errors import Inconclusive
from vallum.stage.scope import TIMEOUT, Origin, Scope, origin_of

MAX_ANSWER = 1 << 20
"""Bytes of an answer's message: one that is larger counts as answered and is not read."""
MISSING = "the extra `grpc` is not installed"
HINT = 'pip install "vallum[grpc]"'
STATUS = {
    "OK": 200,
    "CANCELLED": 0,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 0,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 0,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}
"""Codes of gRPC as statuses of HTTP, by the comments of google/rpc/code.proto. What a client says by itself where nothing came
(no connection, no answer in time) is 0, as everywhere here."""
_LOCAL = ("grpc.enable_http_proxy", "grpc.enable_retries")
_NAME = re.compile(r"[0-9a-z_.-]+(?<!-bin)", re.ASCII)
_VALUE = re.compile(r"[\x20-\x7e]*")
_TOO_LARGE = "CLIENT: Received message larger than max"


@dataclass(frozen=True)
class Said:
    """What a call came to: its code, the status that stands for it (0: no answer, for the reason `details`), its message (empty
    where it is too large) and the metadata that came with it."""

    code: str
    status: int
    details: str = ""
    body: bytes = b""
    metadata: tuple[tuple[str, str], ...] = ()

    @property
    def why(self) -> str:
        """Why there was no answer; empty where there was one."""
        return "" if self.status else f"{self.code}: {self.details}"[:200]


def installed() -> bool:
    """Whether the extra is there. Imports nothing."""
    return importlib.util.find_spec("grpc_reflection") is not None


def library() -> Any:
    """The module grpc. Raises Inconclusive where the extra is not there.

    What it does around forks by itself starts its threads anew in the child, and they end it before it becomes the program that
    vallum.process starts: measured on grpcio 1.85, 2 to 6 of 150. Without, a child has none of its threads.
    """
    os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # it writes to standard error what it says in its errors as well
    try:
        import grpc
        import grpc_reflection  # noqa: F401 - both or none
    except ImportError:
        raise Inconclusive(f"{MISSING}: {HINT}") from None
    return grpc


class Calls:
    """Channels to the services of a scope, and calls through them, one after the other. `largest`: bytes of a message that are
    read. Use it in a `with`, or `close` it."""

    def __init__(self, scope: Scope, largest: int = MAX_ANSWER) -> None:
        self._grpc = library()
        self._scope = scope
        self._largest = largest
        self._channels: dict[Origin, Any] = {}

    def close(self) -> None:
        """End the connections."""
        for channel in self._channels.values():
            channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def unary(
        self, url: str, path: str, message: bytes, headers: Mapping[str, str] | None = None, seconds: float = TIMEOUT
    ) -> Said:
        """Call a unary method. `headers` go as metadata. Raises Inconclusive outside the scope."""

        def call(channel: Any, metadata: tuple[tuple[str, str], ...]) -> tuple[bytes, Any]:
            answer, state = channel.unary_unary(path).with_call(message, timeout=seconds, metadata=metadata)
            return answer, state.trailing_metadata()

        return self._call(url, path, headers or {}, call)

    def first(self, url: str, path: str, message: bytes, headers: Mapping[str, str], seconds: float = TIMEOUT) -> Said:
        """Send one message to a method that streams both ways, and read one answer; what is empty has none."""

        def call(channel: Any, metadata: tuple[tuple[str, str], ...]) -> tuple[bytes, Any]:
            stream = channel.stream_stream(path)(iter((message,)), timeout=seconds, metadata=metadata)
            answer = next(stream, b"")
            stream.cancel()
            return answer, ()

        return self._call(url, path, headers, call)

    def _call(
        self,
        url: str,
        path: str,
        headers: Mapping[str, str],
        call: Callable[[Any, tuple[tuple[str, str], ...]], tuple[bytes, Any]],
    ) -> Said:
        origin = origin_of(url)
        service = self._scope.admit(origin)
        sent = {name.lower(): value for name, value in headers.items()}
        said = Said("CANCELLED", 0)
        if not all(_NAME.fullmatch(name) and _VALUE.fullmatch(value) for name, value in sent.items()):
            return Said("CANCELLED", 0, "the login cannot be sent as metadata")
        try:
            answer, metadata = call(self._channel(origin), tuple(sent.items()))
            said = Said("OK", 200, "", answer, tuple(_texts(metadata)))
        except self._grpc.RpcError as error:
            said = self._failed(error)
        except ssl.SSLError as error:
            said = Said("UNAVAILABLE", 0, f"TLS: {error.reason or error}")
        except OSError as error:
            said = Said("UNAVAILABLE", 0, str(error))
        finally:
            self._scope.traffic.record(
                service,
                "POST",
                path,
                said.status,
                with_login=self._scope.logged_in(sent),
                why=said.why,
            )
        return said

    def _failed(self, error: Any) -> Said:
        code, details = error.code().name, str(error.details() or "")
        if code == "RESOURCE_EXHAUSTED" and _TOO_LARGE in details:
            return Said("OK", 200, f"over {self._largest} bytes, not read")
        return Said(code, STATUS[code], details[:1000], b"", tuple(_texts(error.trailing_metadata())))

    def _channel(self, origin: Origin) -> Any:
        """A channel to the address of `origin`; its certificate is checked with what the scope trusts. Raises OSError."""
        known = self._channels.get(origin)
        if known is not None:
            return known
        scheme, host, port = origin
        address, family = _address(self._scope.addresses(origin)[0], port)
        authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        options: list[tuple[str, str | int]] = [
            *((name, 0) for name in _LOCAL),
            ("grpc.service_config_disable_resolution", 1),
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 1000),
            ("grpc.max_receive_message_length", self._largest),
            ("grpc.compression_enabled_algorithms_bitset", 1),  # none: what is small must not become large here
            ("grpc.default_authority", authority),
            ("grpc.primary_user_agent", "vallum"),
        ]
        target = f"ipv6:[{address}]:{port}" if family == socket.AF_INET6 else f"ipv4:{address}:{port}"
        if scheme == "https":
            roots = _roots(self._scope.tls(origin), address, host, port)
            options.append(("grpc.ssl_target_name_override", host))
            credentials = self._grpc.ssl_channel_credentials(root_certificates=roots)
            channel = self._grpc.secure_channel(target, credentials, options=options)
        else:
            channel = self._grpc.insecure_channel(target, options=options)
        self._channels[origin] = channel
        return channel


def _address(host: str, port: int) -> tuple[str, int]:
    """The address to connect to, and its family: grpcio is never asked to resolve a name. Raises OSError."""
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    return str(address[0]), int(family)


def _roots(trust: ssl.SSLContext, address: str, host: str, port: int) -> bytes:
    """The authorities that `trust` holds, as PEM, once it has checked the server's certificate itself. Raises OSError.

    grpcio takes no SSLContext. One that trusts a folder of authorities holds those only that it has used, hence the handshake.
    """
    with (
        socket.create_connection((address, port), TIMEOUT) as plain,
        trust.wrap_socket(plain, server_hostname=host),
    ):
        pass
    return "".join(ssl.DER_cert_to_PEM_cert(one) for one in trust.get_ca_certs(binary_form=True)).encode()


def _texts(metadata: Any) -> Iterator[tuple[str, str]]:
    """Metadata without its binary values."""
    for name, value in metadata or ():
        if isinstance(value, str):
            yield name, value

"""A gRPC server that reads tokens well, or badly in a chosen way: `shop_server.py PORT MODE…`, the key in KEY."""

from __future__ import annotations

import base64
import hmac
import json
import os
import sys
import time
from concurrent import futures
from typing import Any

import grpc
from google.protobuf import descriptor_pool, message_factory, timestamp_pb2
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection

TEXT, NUMBER, MESSAGE = Field.TYPE_STRING, Field.TYPE_INT64, Field.TYPE_MESSAGE
SERVICES = ("shop.v1.Orders", "shop.v1.Sessions", "grpc.health.v1.Health")


def message(file: FileDescriptorProto, name: str, *fields: tuple[str, int] | tuple[str, int, str]) -> Any:
    """Add a message; a field is its name, its kind and the type of a message or enum."""
    made = file.message_type.add(name=name)
    for number, (field, kind, *of) in enumerate(fields, 1):
        made.field.add(
            name=field,
            number=number,
            type=kind,
            label=Field.LABEL_OPTIONAL,
            **dict(zip(("type_name",), of, strict=False)),
        )
    return made


def files() -> tuple[FileDescriptorProto, ...]:
    """What the server serves: two files, of which one imports the other and a well-known one."""
    model = FileDescriptorProto(name="model.proto", package="shop.v1", syntax="proto3")
    model.dependency.append("google/protobuf/timestamp.proto")
    message(model, "Order", ("id", TEXT), ("amount", NUMBER), ("made_at", MESSAGE, ".google.protobuf.Timestamp"))
    file = FileDescriptorProto(name="shop.proto", package="shop.v1", syntax="proto3")
    file.dependency.append("model.proto")
    message(file, "GetRequest", ("id", TEXT))
    message(file, "ListRequest", ("page_size", NUMBER), ("page_token", TEXT))
    message(file, "Orders_", ("first", MESSAGE, ".shop.v1.Order"))
    message(file, "LoginRequest", ("username", TEXT), ("password", TEXT))
    message(file, "LoginAnswer", ("token", TEXT))
    orders = file.service.add(name="Orders")
    for name, asked, said in (
        ("Get", "GetRequest", "Order"),
        ("List", "ListRequest", "Orders_"),
        ("Create", "Order", "Order"),
        ("Delete", "GetRequest", "Order"),
    ):
        orders.method.add(name=name, input_type=f".shop.v1.{asked}", output_type=f".shop.v1.{said}")
    orders.method.add(
        name="Watch", input_type=".shop.v1.GetRequest", output_type=".shop.v1.Order", server_streaming=True
    )
    sessions = file.service.add(name="Sessions")
    sessions.method.add(name="Login", input_type=".shop.v1.LoginRequest", output_type=".shop.v1.LoginAnswer")
    sessions.method.add(name="Logout", input_type=".shop.v1.GetRequest", output_type=".shop.v1.Order")
    health = FileDescriptorProto(name="health.proto", package="grpc.health.v1", syntax="proto3")
    message(health, "HealthCheckRequest", ("service", TEXT))
    message(health, "HealthCheckResponse", ("status", NUMBER))
    health.service.add(name="Health").method.add(
        name="Check",
        input_type=".grpc.health.v1.HealthCheckRequest",
        output_type=".grpc.health.v1.HealthCheckResponse",
    )
    return model, file, health


def pool() -> Any:
    """Their types, and the well-known one."""
    made = descriptor_pool.DescriptorPool()
    well_known = FileDescriptorProto.FromString(timestamp_pb2.DESCRIPTOR.serialized_pb)
    for each in (well_known, *files()):
        made.Add(each)
    return made


class Shop(grpc.GenericRpcHandler):
    """All methods: the id `1` is there, each asks for a token but Login and Check."""

    def __init__(self, modes: frozenset[str], key: bytes) -> None:
        self._modes = modes
        self._key = key
        self._pool = pool()
        self.seen: list[tuple[str, dict[str, str]]] = []

    def service(self, details: Any) -> Any:
        _, name, method = details.method.split("/")
        try:
            found = self._pool.FindServiceByName(name).methods_by_name[method]
        except KeyError:
            return None
        asked = message_factory.GetMessageClass(found.input_type)
        said = message_factory.GetMessageClass(found.output_type)

        def answer(request: Any, context: Any) -> Any:
            if "dies" in self._modes:
                print("out of memory", flush=True)
                os._exit(9)
            self.seen.append((method, dict(context.invocation_metadata())))
            if method not in {"Login", "Check"} and not self._open(method):
                why = self._refused(method, dict(context.invocation_metadata()))
                if why:
                    context.abort(grpc.StatusCode.UNAUTHENTICATED, why)
            if method == "List" and "hang" in self._modes:
                while context.is_active():  # until whoever asked has had enough
                    time.sleep(0.05)
            if method == "Get" and "missing" in self._modes:
                context.abort(grpc.StatusCode.NOT_FOUND, "there is no such order")
            made = said()
            if method == "Get" and "huge" in self._modes:
                made.id = "x" * (3 << 20)
            elif "Order" in said.DESCRIPTOR.name and hasattr(made, "id"):
                made.id = request.id
            return made

        def answers(request: Any, context: Any) -> Any:
            yield answer(request, context)

        make = grpc.unary_stream_rpc_method_handler if found.server_streaming else grpc.unary_unary_rpc_method_handler
        return make(
            answers if found.server_streaming else answer,
            request_deserializer=asked.FromString,
            response_serializer=said.SerializeToString,
        )

    def _open(self, method: str) -> bool:
        return method == "Get" and "open" in self._modes

    def _refused(self, method: str, metadata: dict[str, str]) -> str:
        token = metadata.get("authorization", "").removeprefix("Bearer ")
        try:
            text, _, signature = token.rpartition(".")
            header, claims = (json.loads(_bytes(part)) for part in text.split("."))
            if method == "List" and "unverified" in self._modes:
                return ""
            if header["alg"].lower() == "none" and method == "Create" and "none" in self._modes:
                return ""
            right = hmac.digest(self._key, text.encode(), "sha256")
            fits = header["alg"] == "HS256" and hmac.compare_digest(right, _bytes(signature))
            if not fits or claims["exp"] < time.time() or claims["aud"] != "shop":
                return "no valid token"
        except (ValueError, KeyError, TypeError, AttributeError):
            return "no token"
        return ""


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def serve(
    port: int, modes: frozenset[str], key: bytes, pair: tuple[bytes, bytes] | None = None
) -> tuple[grpc.Server, int, Shop]:
    """The server, started, its port (any where `port` is 0), and what answers."""
    server = grpc.server(futures.ThreadPoolExecutor(8), options=(("grpc.max_send_message_length", -1),))
    shop = Shop(modes, key)
    server.add_generic_rpc_handlers((shop,))
    if "mute" not in modes:
        reflection.enable_server_reflection((*SERVICES, reflection.SERVICE_NAME), server, pool=shop._pool)
    address = f"127.0.0.1:{port}"
    bound = (
        server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        if pair is not None
        else server.add_insecure_port(address)
    )
    server.start()
    return server, bound, shop


if __name__ == "__main__":
    serve(int(sys.argv[1]), frozenset(sys.argv[2:]), os.environ["KEY"].encode())[0].wait_for_termination()

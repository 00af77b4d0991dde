"""Calls through a scope, and asking by reflection, on real servers: sound, dead, silent, of another protocol, over TLS."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any, cast

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from google.protobuf import message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_reflection.v1alpha import reflection_pb2
from tests.rpc import shop_server

from vallum import process
from vallum.environments import ApiDefinition
from vallum.errors import Inconclusive
from vallum.stage import reflection, rpc
from vallum.stage.environment import Deployment
from vallum.stage.scope import OutOfScope, Scope

GET = "/shop.v1.Orders/Get"
Serve = Callable[..., tuple[str, shop_server.Shop]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    servers: list[grpc.Server] = []

    def start(*modes: str, pair: tuple[bytes, bytes] | None = None) -> tuple[str, shop_server.Shop]:
        server, port, shop = shop_server.serve(0, frozenset(modes), b"key", pair)
        servers.append(server)
        return f"{'http' if pair is None else 'https'}://127.0.0.1:{port}", shop

    yield start
    for server in servers:
        server.stop(None).wait()


@pytest.fixture
def silent() -> Iterator[str]:
    """Accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def unused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return f"http://127.0.0.1:{listening.getsockname()[1]}"


def ask(url: str, scope: Scope | None = None, wanted: ApiDefinition | None = None) -> Any:
    deployment = SimpleNamespace(urls={"shop": url}, scope=scope or Scope({"shop": url}), headers=dict)
    return reflection.ask(cast("Deployment", deployment), "shop", wanted or ApiDefinition(kind="grpc"))


def test_a_call_is_counted_and_carries_the_login_as_metadata(serve: Serve) -> None:
    url, shop = serve("open")
    scope = Scope({"shop": url})
    session = SimpleNamespace(header=lambda: {"Authorization": "Bearer token-of-alice"}, token="token-of-alice")
    scope.sessions = (cast("Any", session),)
    with rpc.Calls(scope) as calls:
        said = calls.unary(url, GET, b"\n\x017", {"Authorization": "Bearer token-of-alice"})
        assert (said.code, said.status, said.body) == ("OK", 200, b"\n\x017")
        said = calls.unary(url, "/shop.v1.Orders/List", b"")
        assert (said.code, said.status, said.details) == ("UNAUTHENTICATED", 401, "no token")
        assert calls.unary(url, "/shop.v1.Orders/None", b"").code == "UNIMPLEMENTED"
    assert shop.seen[0][1]["authorization"] == "Bearer token-of-alice"
    assert sorted(scope.traffic.asked("shop")) == [
        ("POST", GET, 200, True),
        ("POST", "/shop.v1.Orders/List", 401, False),
        ("POST", "/shop.v1.Orders/None", 501, False),
    ]


def test_processes_can_be_started_beside_a_channel(serve: Serve, tmp_path: Path) -> None:
    url, _ = serve("open")
    codes = set()
    with rpc.Calls(Scope({"shop": url})) as calls:
        for _ in range(50):
            assert calls.unary(url, GET, b"").code == "OK"
            done = process.run(
                ["true"],
                cwd=tmp_path,
                deadline=60,
                stdout=tmp_path / "out",
                stderr=tmp_path / "err",
                env=process.clean_environment(),
            )
            codes.add(done.exit_code)
    assert codes == {0}


def test_nothing_outside_the_scope_is_called(serve: Serve) -> None:
    url, shop = serve("open")
    scope = Scope({"shop": unused()})
    with rpc.Calls(scope) as calls, pytest.raises(OutOfScope):
        calls.unary(url, GET, b"")
    with pytest.raises(OutOfScope):
        ask(url, scope)
    assert shop.seen == []
    assert scope.traffic.outside == {url.removeprefix("http://"): 2}


def test_a_pinned_address_is_connected_to_whatever_the_name_says(serve: Serve) -> None:
    url, _ = serve("open")
    named = url.replace("127.0.0.1", "shop.invalid")
    with rpc.Calls(Scope({"shop": named}, pinned={"shop.invalid": ("127.0.0.1",)})) as calls:
        assert calls.unary(named, GET, b"").code == "OK"
    with rpc.Calls(Scope({"shop": named})) as calls:
        said = calls.unary(named, GET, b"")
        assert (said.code, said.status) == ("UNAVAILABLE", 0)


def test_the_environments_proxies_are_not_used(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    url, _ = serve("open")
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, unused())
    with rpc.Calls(Scope({"shop": url})) as calls:
        assert calls.unary(url, GET, b"").code == "OK"


def test_no_answer(serve: Serve, silent: str) -> None:
    hanging, _ = serve("unverified", "hang")
    dead = unused()
    scope = Scope({"dead": dead, "silent": silent})
    with rpc.Calls(scope) as calls:
        said = calls.unary(dead, GET, b"")
        assert (said.code, said.status, said.body) == ("UNAVAILABLE", 0, b"")
        said = calls.unary(silent, GET, b"", seconds=1)
        assert (said.code, said.status) == ("DEADLINE_EXCEEDED", 0)
    assert scope.traffic.services["dead"].why.startswith("UNAVAILABLE: ")
    token = {"authorization": "Bearer e30.e30.x"}
    with rpc.Calls(Scope({"shop": hanging})) as calls:
        said = calls.unary(hanging, "/shop.v1.Orders/List", b"", token, seconds=1)
        assert said.code == "DEADLINE_EXCEEDED"


def test_an_answer_that_is_too_large_was_answered_and_is_not_read(serve: Serve) -> None:
    url, _ = serve("open", "huge")
    with rpc.Calls(Scope({"shop": url})) as calls:
        said = calls.unary(url, GET, b"")
    assert (said.code, said.status, said.body) == ("OK", 200, b"")
    assert said.details == "over 1048576 bytes, not read"


def test_metadata_that_cannot_be_sent(serve: Serve) -> None:
    url, shop = serve("open")
    with rpc.Calls(Scope({"shop": url})) as calls:
        for headers in ({"authorization": "Bearer a\nb"}, {"x key": "a"}, {"token-bin": "a"}, {"cookie": "ü"}):
            said = calls.unary(url, GET, b"", headers)
            assert (said.code, said.status) == ("CANCELLED", 0)
            assert said.details == "the login cannot be sent as metadata"
    assert shop.seen == []


def test_reflection_tells_methods_and_messages(serve: Serve) -> None:
    url, _ = serve("open")
    scope = Scope({"shop": url})
    wanted = ApiDefinition(
        kind="grpc",
        public=("/shop.v1.Sessions/*", "/shop.v1.None/*"),
        messages={GET: {"id": "7"}, "/shop.v1.Orders/Gone": {}},
    )
    found = ask(url, scope, wanted)
    assert {each.template: each.secured for each in found.operations} == {
        "/grpc.health.v1.Health/Check": False,
        GET: True,
        "/shop.v1.Orders/List": True,
        "/shop.v1.Orders/Create": True,
        "/shop.v1.Orders/Delete": True,
        "/shop.v1.Sessions/Login": False,
        "/shop.v1.Sessions/Logout": False,
    }
    assert [(each.template, each.unsupported) for each in found.unsupported] == [
        ("/shop.v1.Orders/Watch", "a streaming method: only unary ones are called")
    ]
    by_name = {each.template.rpartition("/")[2]: each for each in found.operations}
    assert [name for name, each in by_name.items() if each.late] == ["Delete", "Logout"]
    assert [name for name, each in by_name.items() if each.login] == ["Login"]
    assert found.request(by_name["Get"], lambda *_: "").shown == '{"id": "7"}'
    made = found.request(by_name["Create"], lambda *_: "")
    assert made.shown == '{"id": "1", "amount": "1", "made_at": "2026-01-31T12:00:00Z"}'
    assert found.decode is not None
    assert found.decode(by_name["Create"], made.body) == made.shown
    assert "no method fits these of definition.public: /shop.v1.None/*" in "\n".join(found.notes)
    assert "no method fits these of definition.messages: /shop.v1.Orders/Gone" in "\n".join(found.notes)
    assert {path for _, path, _, _ in scope.traffic.asked("shop")} <= {
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")
    }


def test_who_has_no_reflection(serve: Serve, silent: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reflection, "SECONDS", 1.0)
    url, _ = serve("mute")
    with pytest.raises(reflection.Unoffered, match="is turned off: turn it on where it is staged"):
        ask(url)
    with pytest.raises(reflection.Unoffered, match="got no answer"):
        ask(unused())
    with pytest.raises(reflection.Unoffered, match=r"got no answer .*DEADLINE_EXCEEDED"):
        ask(silent)
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as other:
        monkeypatch.setattr(BaseHTTPRequestHandler, "log_message", lambda *_: None)
        thread = Thread(target=other.serve_forever, args=(0.05,))
        thread.start()
        try:
            with pytest.raises(reflection.Unoffered, match="got no answer"):
                ask(f"http://127.0.0.1:{other.server_port}")
        finally:
            other.shutdown()
            thread.join()


class Liar(grpc.GenericRpcHandler):
    """A reflection that answers as it is told, by what is asked."""

    def __init__(self, services: list[str], answers: dict[str, Any]) -> None:
        self._services = services
        self._answers = answers

    def service(self, details: Any) -> Any:
        def answer(requests: Any, _context: Any) -> Iterator[Any]:
            for each in requests:
                said = reflection_pb2.ServerReflectionResponse()
                if each.WhichOneof("message_request") == "list_services":
                    said.list_services_response.SetInParent()
                    for name in self._services:
                        said.list_services_response.service.add(name=name)
                else:
                    found = self._answers.get(each.file_containing_symbol or each.file_by_filename)
                    if isinstance(found, FileDescriptorProto):
                        found = found.SerializeToString()
                    if found is None:
                        said.error_response.error_message = "who knows"
                    else:
                        said.file_descriptor_response.file_descriptor_proto.append(found)
                yield said

        return grpc.stream_stream_rpc_method_handler(
            answer,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )


@pytest.mark.parametrize(
    ("services", "answers", "message"),
    [
        ([], {}, "declares no method"),
        (["a.B"], {}, r"does not describe 'a\.B' \(who knows\)"),
        (["a.B"], {"a.B": b"\xff\xff"}, "cannot be read"),
        (["a.B"], {"a.B": FileDescriptorProto(name="b.proto")}, r"names the service 'a\.B' and does not describe it"),
        (["a.B"], {"a.B": FileDescriptorProto(name="b.proto", dependency=["c.proto"])}, r"not describe 'c\.proto'"),
        (
            ["a.B"],
            {
                "a.B": FileDescriptorProto(name="b.proto", dependency=["c.proto"]),
                "c.proto": FileDescriptorProto(name="d.proto"),
            },
            r"does not say what is in 'c\.proto'",
        ),
        (
            ["a.B"],
            {
                "a.B": FileDescriptorProto(name="b.proto", dependency=["c.proto"]),
                "c.proto": FileDescriptorProto(name="c.proto", dependency=["b.proto"]),
            },
            "imports itself",
        ),
        (["a.B"], {"a.B": FileDescriptorProto(name="x" * (17 << 20))}, "over 16777216 bytes, not read"),
        ([f"a.B{number}" for number in range(2001)], {}, "names over 2000 services"),
    ],
)
def test_a_reflection_that_lies(services: list[str], answers: dict[str, Any], message: str) -> None:
    server = grpc.server(futures.ThreadPoolExecutor(2), options=(("grpc.max_send_message_length", -1),))
    server.add_generic_rpc_handlers((Liar(services, answers),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with pytest.raises(Inconclusive, match=message):
            ask(f"http://127.0.0.1:{port}")
    finally:
        server.stop(None).wait()


def test_without_the_extra_nothing_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_reflection", None)
    assert not rpc.installed()
    with pytest.raises(Inconclusive, match=r"the extra `grpc` is not installed: pip install \"vallum\[grpc\]\""):
        ask(unused())


def certified(name: str) -> tuple[bytes, bytes, bytes]:
    """An authority, and the key and certificate that it gave to `name` or its address."""
    now = dt.datetime.now(dt.UTC)
    authority = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "authority of this test")])

    def sign(whom: x509.Name, key: ec.EllipticCurvePrivateKey, *extensions: tuple[x509.ExtensionType, bool]) -> bytes:
        made = (
            x509.CertificateBuilder()
            .subject_name(whom)
            .issuer_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
        )
        for extension, critical in extensions:
            made = made.add_extension(extension, critical)
        return made.sign(authority, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    try:
        alternative: x509.GeneralName = x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        alternative = x509.DNSName(name)
    key = ec.generate_private_key(ec.SECP256R1())
    whom = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "server")])
    return (
        sign(subject, authority, (x509.BasicConstraints(ca=True, path_length=None), True)),
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()),
        sign(whom, key, (x509.SubjectAlternativeName([alternative]), False)),
    )


@pytest.mark.parametrize("name", ["127.0.0.1", "shop.invalid"])
def test_tls_is_checked_with_what_the_scope_trusts(serve: Serve, tmp_path: Path, name: str) -> None:
    authority, key, certificate = certified(name)
    (tmp_path / "ca.pem").write_bytes(authority)
    url, shop = serve("open", pair=(key, certificate))
    url = url.replace("127.0.0.1", name)
    pinned = {"shop.invalid": ("127.0.0.1",)}
    with rpc.Calls(Scope({"shop": url}, pinned=pinned)) as calls:
        said = calls.unary(url, GET, b"")
        assert (said.code, said.status) == ("UNAVAILABLE", 0)
        assert said.details.startswith("TLS: CERTIFICATE_VERIFY_FAILED")
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with rpc.Calls(Scope({"shop": url}, pinned=pinned, trust=trust)) as calls:
        assert calls.unary(url, GET, b"").code == "OK"
    folder = tmp_path / "folder"  # as many systems have their authorities: read when they are needed
    folder.mkdir()
    hashed = trust_folder(folder, authority)
    with rpc.Calls(Scope({"shop": url}, pinned=pinned, trust=hashed)) as calls:
        assert calls.unary(url, GET, b"").code == "OK"
    assert len(shop.seen) == 2


def trust_folder(folder: Path, authority: bytes) -> ssl.SSLContext:
    (folder / "ca.pem").write_bytes(authority)
    done = subprocess.run(
        ["openssl", "x509", "-hash", "-noout", "-in", str(folder / "ca.pem")],
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "ca.pem").rename(folder / f"{done.stdout.strip()}.0")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(capath=str(folder))
    assert context.get_ca_certs() == []
    return context


def test_a_certificate_of_somebody_else(serve: Serve, tmp_path: Path) -> None:
    authority, key, certificate = certified("other.invalid")
    (tmp_path / "ca.pem").write_bytes(authority)
    url, shop = serve("open", pair=(key, certificate))
    trust = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with rpc.Calls(Scope({"shop": url}, trust=trust)) as calls:
        assert calls.unary(url, GET, b"").details.startswith("TLS: CERTIFICATE_VERIFY_FAILED")
    assert shop.seen == []


def test_the_servers_own_descriptors_are_the_protos() -> None:
    text = Path(__file__).with_name("shop.proto").read_text()
    pool = shop_server.pool()
    made = FileDescriptorSet.FromString(Path(__file__).with_name("shop.binpb").read_bytes()).file
    assert list(made)[1:] == list(shop_server.files())
    for service in ("Orders", "Sessions"):
        for method in pool.FindServiceByName(f"shop.v1.{service}").methods:
            assert f"rpc {method.name}({method.input_type.name}) returns" in text
            assert message_factory.GetMessageClass(method.output_type)() is not None

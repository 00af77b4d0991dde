"""The check authentication on a real gRPC server, sound and weak, with and without reflection, and what coverage holds of it."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum import operations
from vallum.check import Context, Skipped
from vallum.config import Policy
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.outcome import Completed, Incomplete, Outcome, Reach
from vallum.target import discover
from vallum_checks import authentication, dast, schemathesis

TOML = """
[environment.secrets]
alice = "generate"
bob = "generate"
key = "generate"
[environment.services.accounts]
directory = "shop"
command = [PYTHON, "accounts_server.py", "{port}"]
env = { KEY = "{secret.key}", ALICE = "{secret.alice}", BOB = "{secret.bob}" }
ready = { path = "/ready", seconds = 60 }
[environment.services.shop]
directory = "shop"
command = [PYTHON, "shop_server.py", "{port}", MODES]
env = { KEY = "{secret.key}" }
ready = { tcp = true, seconds = 60 }
definition = { DEFINITION }
[environment.login]
service = "accounts"
path = "/login"
json = { username = "{username}", password = "{password}" }
probe = "/me"
[environment.users.alice]
username = "alice"
password = "{secret.alice}"
[environment.users.bob]
username = "bob"
password = "{secret.bob}"
"""
LOGIN = 'public = ["/shop.v1.Sessions/Login"]'
BOTH = f'file = "shop.proto", {LOGIN}'
ASKED = f'kind = "grpc", {LOGIN}'
Attack = Callable[..., tuple[Outcome, Context]]


@pytest.fixture
def attack(tmp_path: Path) -> Attack:
    def run(modes: str = "", definition: str = BOTH, check: str = "authentication") -> tuple[Outcome, Context]:
        folder = tmp_path / "target" / "shop"
        folder.mkdir(parents=True)
        for name in ("accounts_server.py", "shop_server.py", "shop.proto", "shop.binpb"):
            shutil.copy(Path(__file__).with_name(name), folder / name)
        words = ", ".join(map(json.dumps, modes.split())) or '""'
        text = TOML.replace("MODES", words).replace("PYTHON", json.dumps(sys.executable))
        (tmp_path / "target" / "vallum.toml").write_text(text.replace("DEFINITION", definition))
        config = configuration.load(tmp_path / "target")
        target = discover(tmp_path / "target", config)
        folders = [tmp_path / name for name in ("outcome", "raw", "scratch")]
        for each in folders:
            each.mkdir()
        ctx = Context(target, config, "_", *folders, 300)
        return dast.run_staged(target, config, "run-1", {check: ctx})[check], ctx

    return run


def found(outcome: Outcome) -> dict[tuple[str, str], Finding]:
    assert isinstance(outcome, Completed), outcome
    return {
        (each.rule.partition(".")[2], each.operation.path.rpartition("/")[2]): each
        for each in outcome.run.findings
        if each.operation is not None
    }


def reached(outcome: Outcome) -> dict[str, Reach]:
    assert outcome.run is not None
    return {each.path: each for each in outcome.run.operations if each.service == "shop"}


def test_a_sound_server_is_called_whole_and_nothing_is_found(attack: Attack) -> None:
    outcome, _ = attack()
    assert found(outcome) == {}
    assert isinstance(outcome, Completed)
    assert [(part.unit, part.expected, part.seen) for part in outcome.run.coverage] == [
        ("operations", 4, 4),
        ("logins", 1, 1),
    ]
    every = reached(outcome)
    assert all(each.declared for each in every.values()), every
    for name in ("Get", "List", "Create", "Delete"):
        one = every[f"/shop.v1.Orders/{name}"]
        assert (one.secured, one.reached, one.authenticated, one.attacked) == (True, True, True, True), one
    for path in ("/shop.v1.Sessions/Login", "/grpc.health.v1.Health/Check"):
        assert (every[path].secured, every[path].reached) == (False, True)
    assert every["/shop.v1.Orders/Watch"].why == "unsupported: a streaming method: only unary ones are called"
    assert every["/shop.v1.Retired/Old"].why == "unsupported: what describes the server does not name it"
    notes = "\n".join(outcome.run.notes)
    assert "public by definition.public, so without a login: /shop.v1.Sessions/Login" in notes
    assert "served, and not in shop.proto: /grpc.health.v1.Health/Check" in notes
    assert "shop POST /shop.v1.Sessions/Logout was called only without a token" in notes
    figures = {each.service: each for each in operations.by_service(outcome.run.operations, Policy(), {})}["shop"]
    assert (figures.declared, figures.secured, figures.reached, figures.authenticated, figures.attacked) == (
        *(9, 7),
        *(6, 6, 6),
    )


def test_what_a_weak_server_does_is_found_at_its_lines(attack: Attack) -> None:
    outcome, ctx = attack("open unverified none")
    every = found(outcome)
    assert every.keys() == {("no-token", "Get"), ("signature", "List"), ("alg-none", "Create")}
    one = every["no-token", "Get"]
    lines = Path(__file__).with_name("shop.proto").read_text().splitlines()
    assert one.location is not None
    assert (one.location.path, one.cwe, one.owasp) == ("shop/shop.proto", (306,), ("API2:2023",))
    assert lines[one.location.line - 1].strip().startswith("rpc Get(")
    assert one.message == "POST /shop.v1.Orders/Get answers OK without a token"
    assert one.exchange is not None
    assert one.exchange.request == 'POST /shop.v1.Orders/Get HTTP/2\r\n\r\n{"id": "1"}'
    assert one.exchange.response.startswith("HTTP/2\r\ngrpc-status: OK")
    assert one.exchange.response.endswith('{"id": "1"}')
    forged = every["signature", "List"].exchange
    assert forged is not None
    assert "authorization: [redacted]" in forged.request.lower()
    assert "eyJ" not in repr(outcome) + repr(ctx.log)


def test_reflection_alone_says_what_there_is(attack: Attack) -> None:
    outcome, _ = attack("open missing", ASKED)
    every = found(outcome)
    assert every == {}, "NOT_FOUND says neither that a token was asked for nor that none was"
    assert isinstance(outcome, Completed)
    missed = {each.target: each.why for part in outcome.run.coverage for each in part.missed}
    assert missed == {
        "shop POST /shop.v1.Orders/Get": "it answers NOT_FOUND with a login and NOT_FOUND without: "
        "give it an example that succeeds"
    }


def test_a_finding_of_reflection_alone_stands_at_the_settings(attack: Attack) -> None:
    outcome, _ = attack("open huge", ASKED)
    every = found(outcome)
    assert every.keys() == {("no-token", "Get")}
    one = every["no-token", "Get"]
    assert one.location is not None
    assert one.location.path == "vallum.toml"
    assert one.exchange is not None
    assert "over 1048576 bytes, not read" in one.exchange.response
    assert len(one.exchange.response) <= 2000


def test_without_reflection_a_proto_is_listed_and_a_note_says_why(attack: Attack) -> None:
    outcome, _ = attack("mute")
    assert found(outcome) == {}
    every = reached(outcome)
    assert len(every) == 8
    assert not any(each.reached for each in every.values())
    assert [path for path, each in every.items() if not each.secured] == ["/shop.v1.Sessions/Login"]
    assert isinstance(outcome, Completed)
    said = "not tested: 8 gRPC methods of shop.proto: the reflection of shop is turned off"
    assert any(note.startswith(said) for note in outcome.run.notes), outcome.run.notes
    figures = operations.by_service(outcome.run.operations, Policy(operations_min=0.5), {})
    assert [name for name, _ in operations.below(figures) if name == "shop"] == ["shop"]


def test_without_reflection_and_without_a_proto_nothing_is_known(attack: Attack) -> None:
    outcome, _ = attack("mute", ASKED)
    assert isinstance(outcome, Incomplete)
    assert "the reflection of shop is turned off: turn it on where it is staged" in outcome.reason


def test_descriptors_in_a_file_make_it_callable_without_reflection(attack: Attack) -> None:
    outcome, _ = attack("mute open", f'kind = "grpc", descriptors = "shop.binpb", {LOGIN}')
    assert found(outcome).keys() == {("no-token", "Get")}
    every = reached(outcome)
    assert {path for path, each in every.items() if not each.reached} == {
        "/shop.v1.Orders/Watch",
        "/shop.v1.Sessions/Logout",
    }
    assert not any("ServerReflection" in path for path in every)


def test_a_file_that_holds_no_descriptors(attack: Attack) -> None:
    outcome, _ = attack("mute", 'file = "shop.proto", descriptors = "shop.proto"')
    assert isinstance(outcome, Incomplete)
    assert "shop.proto is no set of descriptors" in outcome.reason


def test_without_the_extra_a_proto_is_listed(attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "grpc_reflection", None)
    outcome, _ = attack()
    assert isinstance(outcome, Completed)
    assert any("the extra `grpc` is not installed (pip install" in note for note in outcome.run.notes)


def test_without_the_extra_and_without_a_proto_it_is_said_before_anything_starts(
    attack: Attack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "grpc_reflection", None)
    outcome, ctx = attack("", ASKED)
    assert isinstance(outcome, Incomplete)
    assert "gRPC cannot be called: the extra `grpc` is not installed" in outcome.reason
    with pytest.raises(UserError, match="gRPC cannot be called") as caught:
        authentication.CHECK.applies(ctx.target, ctx.config)
    assert caught.value.hint == 'pip install "vallum[grpc]"'


def test_other_checks_say_that_they_cannot_call_it(attack: Attack) -> None:
    outcome, ctx = attack(check="throttling")
    assert outcome.run is not None, outcome
    notes = "\n".join(outcome.run.notes)
    assert "not tested: 8 gRPC methods of shop/shop.proto: gRPC needs HTTP/2" in notes
    assert len(reached(outcome)) == 8
    assert isinstance(schemathesis.CHECK.applies(ctx.target, ctx.config), Skipped)


def test_a_server_that_dies_makes_it_incomplete(attack: Attack) -> None:
    outcome, _ = attack("dies", ASKED)
    assert isinstance(outcome, Incomplete)
    assert "shop" in outcome.reason


def test_transport_asks_a_grpc_server_for_no_page(attack: Attack) -> None:
    outcome, _ = attack(check="transport")
    assert isinstance(outcome, Completed), outcome
    assert "not tested: headers and cookies of shop: it speaks gRPC" in outcome.run.notes
    assert [(part.unit, part.expected, part.seen) for part in outcome.run.coverage] == [("services", 2, 2)]

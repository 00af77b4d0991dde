"""Ready by a path, a port or a command: real services, and the ways in which they are not."""

from __future__ import annotations

import socket
import time
from pathlib import Path

import pytest

from vallum import stage
from vallum.environments import Ready
from vallum.errors import Inconclusive, UserError
from vallum.stage import readiness
from vallum.stage.sockets import free_ports

from .conftest import Shop


def ready(shop: Shop, how: str) -> None:
    shop.service()
    shop.lines[-1] = shop.lines[-1].replace('ready = { path = "/ready", seconds = 20 }', f"ready = {{ {how} }}")


@pytest.mark.parametrize(
    "how",
    [
        "tcp = true, seconds = 20",
        'command = ["{python}", "-c", "import sys, urllib.request as u; u.urlopen(sys.argv[1])", "{url.a}/ready"], seconds = 30',
    ],
)
def test_ready(shop: Shop, how: str) -> None:
    ready(shop, how)
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
    assert shop.processes() == []


def test_a_command_that_never_succeeds_says_what_it_printed(shop: Shop) -> None:
    ready(shop, """command = ["{python}", "-c", "import sys; sys.exit('no table users yet')"], seconds = 8""")
    target, config = shop.load()
    with pytest.raises(Inconclusive, match=r"not ready within 8 s: .*ended with exit code 1: no table users yet"):
        with stage.deploy(target, config, "r"):
            pytest.fail("it came up")
    assert shop.processes() == []


def test_a_command_that_hangs_is_ended(tmp_path: Path) -> None:
    command = readiness.Command(["sleep", "600"], tmp_path, {"PATH": "/bin:/usr/bin"}, tmp_path / "out")
    began = time.monotonic()
    assert readiness.run(command, time.monotonic() + 0.3, lambda: None) is None
    assert time.monotonic() - began < 60


def test_a_port_that_nobody_opens() -> None:
    (port,) = free_ports(1)
    ask = readiness.probe(Ready(tcp=True), port)
    with pytest.raises(Inconclusive, match=f"the service a was not ready within 0.3 s: port {port} is not open"):
        readiness.wait("a", 0.3, ask, lambda: None, lambda: "")
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        ask = readiness.probe(Ready(tcp=True), server.getsockname()[1])
        readiness.wait("a", 20, ask, lambda: None, lambda: "")


def test_one_way_only(shop: Shop) -> None:
    ready(shop, 'tcp = true, command = ["true"]')
    target, config = shop.load()
    with pytest.raises(UserError, match=r"services\.a\.ready: `path`, `tcp` and `command` exclude each other"):
        with stage.deploy(target, config, "r"):
            pytest.fail("it came up")

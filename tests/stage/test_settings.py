"""What is wrong with [environment] is said before anything starts, with its key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from vallum import stage
from vallum.environments import StagedService
from vallum.errors import UserError
from vallum.stage import settings

from .conftest import Shop


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"{port}"', '"{prot}"', r"environment\.services\.a\.command\[2\]: unknown placeholder \{prot\}"),
        (
            'MODE = ""',
            'KEY = "{secret.jwt}"',
            r"environment\.services\.a\.env\.KEY: unknown placeholder \{secret\.jwt\}",
        ),
        (
            'MODE = ""',
            'KEY = "{url.nowhere}"',
            r"environment\.services\.a\.env\.KEY: unknown placeholder \{url\.nowhere\}",
        ),
        ('MODE = ""', '"A=B" = "x"', r"environment\.services\.a\.env: 'A=B' cannot be"),
        ('directory = "a"', 'directory = "none"', r"a\.directory: there is no folder 'none'"),
        ('directory = "a"', 'directory = "../.."', r"a\.directory: there is no folder '\.\./\.\.'"),
        ('path = "/ready"', 'path = "ready"', r"a\.ready\.path: 'ready' is not a path"),
        ('path = "/ready"', 'path = "/x HTTP/1.1\\r\\nA: b"', r"a\.ready\.path: .* is not a path"),
        ("depends-on = []", 'depends-on = ["b"]', r"a\.depends-on: there is no service `b`"),
        ("depends-on = []", 'depends-on = ["a"]', r"depends-on goes round in a circle among a"),
        ("depends-on = []", 'openapi = "none.yaml"', r"a\.openapi: there is no file 'none\.yaml'"),
        ("depends-on = []", 'definition = { kind = "har" }', r"a\.definition\.file is empty"),
        (
            "depends-on = []",
            'definition = { kind = "grpc", public = ["pkg.Service/Get"] }',
            r"a\.definition\.public: 'pkg\.Service/Get' is no method",
        ),
        (
            "depends-on = []",
            'definition = { kind = "grpc", messages = { "/pkg.Service/*" = {} } }',
            r"a\.definition\.messages: '/pkg\.Service/\*' is no method",
        ),
        (
            "depends-on = []",
            'definition = { kind = "graphql", public = ["/a.B/C"] }',
            r"a\.definition\.public is for gRPC only",
        ),
        (
            "depends-on = []",
            'definition = { kind = "grpc", descriptors = "none.binpb" }',
            r"a\.definition\.descriptors: there is no file 'none\.binpb'",
        ),
        ("depends-on = []", 'definition = { file = "none.har" }', r"a\.definition\.file: there is no file 'none\.har'"),
        (
            "depends-on = []",
            'definition = { kind = "graphql", endpoint = "x" }',
            r"a\.definition\.endpoint: 'x' is not a path",
        ),
        ("depends-on = []", 'install = "none.txt"', r"a\.install: there is no file 'none\.txt'"),
        ('service = "a"', 'service = "b"', r"environment\.login\.service: there is no service `b`"),
        ('probe = "/me"', 'probe = "me"', r"environment\.login\.probe: 'me' is not a path"),
        ('probe = "/me"', 'probe = "/me"\nvalue = "Bearer"', r"environment\.login\.value has no \{token\}"),
        ("{secret.alice}", "{secret.bob}", r"environment\.login\.json\.password: unknown placeholder \{secret\.bob\}"),
        ("services.a]", 'services."../a"]', r"name has letters, digits"),
    ],
)
def test_mistakes(shop: Shop, old: str, new: str, message: str) -> None:
    shop.service("a")
    shop.login()
    shop.lines = [line.replace(old, new) for line in shop.lines]
    target, config = shop.load()
    with pytest.raises(UserError, match=message) as caught, stage.deploy(target, config, "r"):
        pytest.fail("it came up")
    assert caught.value.hint
    assert shop.processes() == []


def test_no_environment_and_no_services(shop: Shop) -> None:
    target, config = shop.load()
    with pytest.raises(UserError, match="has no services"), stage.deploy(target, config, "r"):
        pass
    shop.lines = []
    target, config = shop.load()
    with pytest.raises(UserError, match="there is no"), stage.deploy(target, config, "r"):
        pass


def test_levels() -> None:
    def service(*after: str) -> StagedService:
        return StagedService(directory=".", command=("x",), depends_on=after)

    services = {"d": service("b", "c"), "b": service("a"), "c": service("a"), "a": service(), "e": service()}
    assert settings.levels(services) == [("a", "e"), ("b", "c"), ("d",)]
    with pytest.raises(UserError, match=r"circle among b, c"):
        settings.levels({"a": service(), "b": service("c"), "c": service("b")})


def test_json_in_a_command_is_no_placeholder(tmp_path: Path) -> None:
    text = '{"a": {"b": 1}} {port}'
    assert settings.fill(text, "key", {"port": "80"}) == '{"a": {"b": 1}} 80'


def test_every_kind_of_the_configuration_exists() -> None:
    from typing import get_args, get_type_hints

    from vallum.config import Environment

    kinds = get_args(get_type_hints(Environment)["kind"])
    assert set(kinds) == set(stage.ENVIRONMENTS)
    for kind in stage.ENVIRONMENTS.values():
        assert isinstance(kind.deploy, Callable)  # type: ignore[arg-type]
        assert isinstance(kind.remove, Callable)  # type: ignore[arg-type]

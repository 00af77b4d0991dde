"""What is read of a compose file, and what in one is refused by name before anything is built."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum.errors import Inconclusive, UserError
from vallum.stage import composefile, settings

from .project import Project, enter

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("privileged", True, r"services\.a\.privileged cannot be staged: it would hand this machine"),
        ("network_mode", "host", r"services\.a\.network_mode cannot be staged: it would hand"),
        ("pid", "host", r"services\.a\.pid cannot be staged"),
        ("cap_add", ["SYS_ADMIN"], r"services\.a\.cap_add cannot be staged: SYS_ADMIN"),
        ("security_opt", ["seccomp:unconfined"], r"services\.a\.security_opt cannot be staged"),
        ("volumes", ["/var/run/docker.sock:/s:ro"], r"there is no '/var/run/docker\.sock' in the checkout"),
        ("volumes", ["/:/host:ro"], r"there is no '/' in the checkout"),
        ("volumes", ["./a:/a"], r"volumes\[0\] cannot be staged: a service under attack may not write"),
        ("volumes", ["data:/a"], r"services\.a\.volumes: there is no `data`"),
        ("depends_on", ["b"], r"services\.a\.depends_on: there is no `b`"),
        ("networks", ["b"], r"services\.a\.networks: there is no `b`"),
        ("secrets", ["b"], r"services\.a\.secrets: there is no `b`"),
        ("sysctls", {"a": 1}, r"services\.a\.sysctls cannot be staged: vallum does not carry it out"),
        ("extends", {"service": "b"}, r"services\.a\.extends cannot be staged"),
        ("environment", {"KEY": "${KEY}"}, r"services\.a\.environment\.KEY needs the variable KEY"),
        ("environment", ["KEY"], r"services\.a\.environment\.KEY needs the variable KEY"),
        ("build", "../..", r"services\.a\.build\.context: there is no '\.\./\.\.' in the checkout"),
        ("build", "none", r"services\.a\.build\.context: there is no 'none'"),
        ("ports", [], r"environment\.services\.a: compose\.yaml does not say what port"),
        ("deploy", {"replicas": 2}, r"deploy\.replicas cannot be staged"),
        ("healthcheck", {"test": "x", "interval": "soon"}, r"'soon' is no duration"),
    ],
)
def test_what_cannot_be_staged_is_refused_by_name(project: Project, key: str, value: object, message: str) -> None:
    project.service("a", **{key: value})
    with pytest.raises(UserError, match=message) as caught:
        enter(project)
    assert caught.value.hint


def test_interpolation(project: Project) -> None:
    given = {
        "A": "$$x",
        "B": "${NO:-b}",
        "C": "${NO-c}",
        "D": "${WORD}!",
        "E": "$WORD",
        "F": "${WORD:+f}",
        "G": "${EMPTY:-g}",
    }
    project.service("a", environment=given)
    project.lines.insert(1, '[environment.compose]\nvariables = { WORD = "word", EMPTY = "" }')
    _, config = project.load()
    assert config.environment is not None
    read = composefile.read(config.environment, project.root, {})
    assert dict(read.containers["a"].env) == {
        "A": "$x",
        "B": "b",
        "C": "c",
        "D": "word!",
        "E": "word",
        "F": "f",
        "G": "g",
    }


def test_no_engine(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    project.service("a")
    with pytest.raises(Inconclusive, match="no container engine answers: podman or docker is needed"):
        enter(project)


def test_the_repaired_shop_can_be_staged_and_the_weak_one_is_refused(tmp_path: Path) -> None:
    for name in ("shop", "shop-repaired"):
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(".vallum", "node_modules"))
        root = tmp_path / name
        text = (root / "vallum.toml").read_text().split("[environment]")[0] + SHOP
        (root / "vallum.toml").write_text(text)
        environment = configuration.load(root).environment
        assert environment is not None
        if name == "shop":
            with pytest.raises(UserError, match=r"services\.gateway\.privileged cannot be staged"):
                settings.check(environment, root)
            continue
        settings.check(environment, root)
        read = composefile.read(environment, root, {f"secret.{each}": each for each in environment.secrets})
        assert read.levels == [("orders", "accounts", "catalog"), ("gateway",)]
        assert read.networks == {"default": False, "front": False, "back": True}
        orders = read.containers["orders"]
        assert orders.tmpfs[0].owner == "10001:10001"
        assert "--read-only" in orders.options
        assert read.secrets["seed-bob"].value == "bob"


SHOP = """
[environment]
kind = "compose"
[environment.secrets]
jwt = "generate"
alice = "generate"
bob = "generate"
admin = "generate"
[environment.compose.variables]
JWT_KEY = "{secret.jwt}"
SEED_ALICE_PASSWORD = "{secret.alice}"
SEED_BOB_PASSWORD = "{secret.bob}"
SEED_ADMIN_PASSWORD = "{secret.admin}"
[environment.services.gateway]
directory = "services/gateway"
[environment.services.orders]
directory = "services/orders"
port = 8002
"""

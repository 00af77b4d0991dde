"""`vallum -s init`: what it writes is valid, true of the repository, and never in place of something else."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from vallum import init
from vallum.config import Config, load
from vallum.errors import UserError
from vallum.target import discover

SHOP = {
    "services/cart/Dockerfile": "FROM scratch\n",
    "services/cart/requirements.txt": "",
    "services/cart/app.py": "",
    "services/cart/openapi.yaml": "openapi: 3.0.0\n",
    "services/mail box/Dockerfile": "FROM scratch\n",
    "services/mail box/package.json": "{}",
    "services/mail box/package-lock.json": "{}",
    "services/mail box/server.js": "",
}
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def uncommented(text: str) -> str:
    """The file with everything that it only shows switched on."""
    return re.sub(r"^#(?=\S)", "", text, flags=re.MULTILINE)


def test_the_file_changes_nothing_as_it_is(make_tree, vallum) -> None:
    root = make_tree(SHOP)
    done = vallum("-C", str(root), "-s", "init")
    assert done.returncode == 0, done.stderr
    config = load(root, frozenset({"bandit"}))
    assert config == msgspec.structs.replace(Config(), project=config.project)
    assert config.project.name == root.name


def test_what_it_shows_are_the_defaults_and_what_was_found(make_tree) -> None:
    root = make_tree(SHOP)
    before = discover(root, Config())
    init.init(root, ())
    path = root / "vallum.toml"
    path.write_text(uncommented(path.read_text("utf-8")), "utf-8")
    config = load(root, frozenset({"bandit"}))
    default = Config()
    assert (config.policy, config.advisories, config.exclude) == (default.policy, default.advisories, default.exclude)
    assert config.settings("bandit") == default.settings("bandit")
    assert discover(root, config).services == before.services
    assert config.environment is not None
    cart, mail = config.environment.services["cart"], config.environment.services["mail box"]
    assert (cart.runtime, cart.install, cart.command) == ("python", "requirements.txt", ("python", "app.py"))
    assert (mail.runtime, mail.install, mail.command) == ("node", "package-lock.json", ("node", "server.js"))


def test_every_shown_file_says_what_a_key_means_in_words(make_tree) -> None:
    root = make_tree({"app.py": ""})
    init.init(root, ())
    text = (root / "vallum.toml").read_text("utf-8")
    assert "No service was found" in text
    tomllib.loads(uncommented(text))


def test_nothing_is_overwritten(make_tree, capsys: pytest.CaptureFixture[str]) -> None:
    root = make_tree({"vallum.toml": "# mine\n", ".github/workflows/vallum.yml": "# mine\n"})
    init.init(root, ())
    assert (root / "vallum.toml").read_text("utf-8") == "# mine\n"
    assert (root / ".github/workflows/vallum.yml").read_text("utf-8") == "# mine\n"
    assert capsys.readouterr().err.count("kept") == 2


def test_a_dangling_link_is_not_written_through(make_tree, tmp_path: Path) -> None:
    root = make_tree({"app.py": ""})
    (root / "vallum.toml").symlink_to(tmp_path / "elsewhere")
    init.init(root, ())
    assert not (tmp_path / "elsewhere").exists()


def test_a_project_that_is_configured_in_pyproject_gets_no_second_configuration(make_tree) -> None:
    root = make_tree({"pyproject.toml": "[tool.vallum.project]\nname = 'x'\n"})
    init.init(root, ())
    assert not (root / "vallum.toml").exists()
    assert (root / ".github/workflows/vallum.yml").exists()


@pytest.mark.parametrize(
    "arguments",
    [(), ("--matrix",), ("--action", f"me/vallum@{COMMIT}"), ("--matrix", "--action", f"me/vallum@{COMMIT}")],
)
def test_the_workflow_is_sound(make_tree, arguments: tuple[str, ...]) -> None:
    root = make_tree({"app.py": "", ".git/refs/remotes/origin/HEAD": "ref: refs/remotes/origin/trunk\n"})
    init.init(root, arguments)
    text = (root / ".github/workflows/vallum.yml").read_text("utf-8")
    flow = yaml.safe_load(text)
    assert flow["permissions"] == {}
    assert flow[True]["push"]["branches"] == ["trunk"]  # YAML 1.1 reads `on` as true
    assert ("me/vallum" in text) == ("--action" in arguments)
    assert (init.PLACEHOLDER in text or "vallum.yml@SHA" in text) == ("--action" not in arguments)
    assert "<<" not in text


@pytest.mark.parametrize("arguments", [("--action", "me/vallum@main"), ("--action", "x"), ("--force",), ("more",)])
def test_a_wrong_argument_writes_nothing(make_tree, arguments: tuple[str, ...]) -> None:
    root = make_tree({"app.py": ""})
    with pytest.raises(UserError):
        init.init(root, arguments)
    assert not (root / "vallum.toml").exists()


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_name_survives_being_written_as_toml(name: str) -> None:
    assert tomllib.loads(f"{init.key(name)} = {init.toml(name)}") == {name: name}
    assert tomllib.loads(f"x = {init.toml([name, name])}") == {"x": [name, name]}

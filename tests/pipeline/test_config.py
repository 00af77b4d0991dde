"""vallum.toml: what is wrong, where, and what to do."""

from __future__ import annotations

import pytest

from vallum.config import Config, load
from vallum.errors import UserError
from vallum.severity import Severity

CHECKS = frozenset({"bandit", "semgrep"})


def config(tmp_path, text: str, name: str = "vallum.toml") -> Config:
    (tmp_path / name).write_text(text)
    return load(tmp_path, CHECKS)


def test_no_file_means_the_strict_defaults(tmp_path):
    loaded = load(tmp_path)
    assert loaded.policy.block == (Severity.CRITICAL, Severity.HIGH)
    assert loaded.policy.unknown == "block"
    assert loaded.settings("anything").require == "required"


def test_pyproject_is_read_too(tmp_path):
    assert config(tmp_path, '[tool.vallum.project]\nname = "x"\n', "pyproject.toml").project.name == "x"


def test_someone_elses_broken_pyproject_is_not_our_error(tmp_path):
    assert config(tmp_path, "not toml [", "pyproject.toml") == Config()


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ('[project]\nnmae = "x"\n', "vallum.toml:2: unknown key `nmae`", "did you mean `name`?"),
        ('\n[checks.bandti]\nrequire = "off"\n', "vallum.toml:2: unknown check `bandti`", "did you mean `bandit`?"),
        ('[checks.bandit]\nrequire = "maybe"\n', "vallum.toml:2: Invalid enum value 'maybe'", "see docs"),
        ('[policy]\nblock = ["hihg"]\n', "Invalid enum value 'hihg'", "see docs"),
        ("[advisories]\nmax-age-days = 0\n", "vallum.toml:2: Expected `int` >= 1", "see docs"),
        ("[project\n", "vallum.toml: ", "repair the TOML"),
        ("[environment.users.a]\n", "missing required field `username`", "see docs"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_a_hint(tmp_path, text, message, hint):
    with pytest.raises(UserError) as raised:
        config(tmp_path, text)
    assert message in raised.value.message
    assert hint in raised.value.hint

"""Python manifests: whatever a line says, it is a pin, a loose requirement, the team's own, or missed with a reason."""

from __future__ import annotations

import pytest

from vallum.advisories.manifest_names import is_manifest
from vallum.advisories.python_manifests import Manifest, read, read_all, resolved

REQUIREMENTS = """\
# a comment
Flask[async]==2.0.1 ; python_version < "4"  # why
requests==2.31.0 \\
    --hash=sha256:aaaa \\
    --hash=sha256:bbbb
-r base.txt
-c constraints.txt
--index-url https://example.org/simple
click>=8
-e .
./vendored
https://example.org/idna-2.7-py3-none-any.whl#sha256=00
thing @ git+https://example.org/thing.git
odd==0.2.0-n653
wild==1.*
"""


def test_every_line_of_a_requirements_file_ends_up_somewhere(make_tree):
    root = make_tree({"requirements.txt": REQUIREMENTS, "base.txt": "idna==3.4\n", "vendored/x": ""})
    found = read(root, "requirements.txt")
    assert found.pins == [("Flask", "2.0.1", 2), ("requests", "2.31.0", 3), ("idna", "2.7", 12)]
    assert found.loose == [("click", 9), ("wild", 15)]
    assert found.own == 2
    assert found.includes == ["base.txt"]
    assert [where for where, _ in found.missed] == ["requirements.txt:13", "requirements.txt:14"]
    assert [one.path for one in read_all(root, ["requirements.txt"])] == ["base.txt", "requirements.txt"]


@pytest.mark.parametrize("line", ["-r ../outside.txt", "-r missing.txt", "-r /etc/passwd", "-r long" + "g" * 300])
def test_an_include_that_leads_nowhere_or_outside_is_missed(make_tree, line):
    root = make_tree({"requirements.txt": line + "\n"})
    (root.parent / "outside.txt").write_text("flask==1\n")
    (missed,) = read(root, "requirements.txt").missed
    assert line in missed[0]


def test_locks_are_read_with_lines_and_without_the_own_project(make_tree):
    lock = """version = 1

[[package]]
name = "mine"
version = "0.1"
source = { editable = "." }

[[package]]
name = "Jinja2"
version = "2.11.2"
source = { registry = "https://example.org/simple" }

[[package]]
name = "strange"
source = { registry = "x" }
"""
    pylock = 'lock-version = "1.0"\n\n[[packages]]\nname = "click"\nversion = "8.0"\n\n[[packages]]\nname = "own"\ndirectory = { path = "." }\n'
    root = make_tree({"uv.lock": lock, "pylock.toml": pylock})
    found = read(root, "uv.lock")
    assert (found.pins, found.own) == ([("Jinja2", "2.11.2", 9)], 1)
    assert found.missed == [("uv.lock:13", "strange has no version in the lock")]
    other = read(root, "pylock.toml")
    assert (other.pins, other.own) == ([("click", "8.0", 4)], 1)


@pytest.mark.parametrize("name", ["uv.lock", "pyproject.toml", "pylock.dev.toml"])
def test_a_broken_file_is_missed(make_tree, name):
    assert read(make_tree({name: "= broken"}), name).missed[0][0] == name


def test_a_file_that_is_not_text_is_missed(make_tree):
    assert read(make_tree({"requirements.txt": b"\xff\xfe\x00"}), "requirements.txt").missed


def test_pyproject(make_tree):
    text = """[project]
name = "x"
dependencies = [
  "flask==2.0.1",
  "click>=8",
]
optional-dependencies = { dev = ["pytest"] }
[dependency-groups]
docs = ["mkdocs==1.6.0", { include-group = "dev" }]
"""
    root = make_tree({"pyproject.toml": text})
    found = read(root, "pyproject.toml")
    assert found.pins == [("flask", "2.0.1", 4), ("mkdocs", "1.6.0", 9)]
    assert found.loose == [("click", 5), ("pytest", 7)]
    assert (found.extras, found.groups) == (True, ("docs",))
    (root / "uv.lock").write_text("version = 1\n")
    assert not read_all(root, ["pyproject.toml", "uv.lock"])[0].loose  # the lock says what is installed


def test_a_pyproject_of_other_tools_only_is_no_manifest_and_a_dynamic_one_is_missed(make_tree):
    root = make_tree(
        {"pyproject.toml": "[tool.ruff]\n", "b/pyproject.toml": '[project]\nname="x"\ndynamic=["dependencies"]\n'}
    )
    assert not read(root, "pyproject.toml").relevant
    assert "dynamic" in read(root, "b/pyproject.toml").missed[0][1]
    (root / "pyproject.toml").write_text("[tool.poetry.dependencies]\nflask = '*'\n")
    assert "no lock" in read(root, "pyproject.toml").missed[0][1]


def test_a_resolution_names_the_direct_requirement(make_tree):
    manifest = Manifest("requirements.txt", loose=[("Flask", 4)])
    text = "flask==2.0.1\n    # via -r requirements.txt\njinja2==3.0 ; python_version < '4'\n    # via flask\nmarkupsafe==2.0\n    # via\n    #   jinja2\n    #   werkzeug\n"
    assert resolved(text, manifest) == [
        (("Flask", "2.0.1", 4), "Flask"),
        (("jinja2", "3.0", 4), "Flask"),
        (("markupsafe", "2.0", 4), "Flask"),
    ]


@pytest.mark.parametrize(
    ("path", "yes"),
    [
        ("requirements-dev.txt", True),
        ("a/dev-requirements.txt", True),
        ("requirements/prod.txt", True),
        ("uv.lock", True),
        ("pylock.prod.toml", True),
        ("notes.txt", False),
        ("poetry.lock", False),
    ],
)
def test_names(path, yes):
    assert is_manifest(path) is yes

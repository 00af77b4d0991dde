"""What is found in a repository."""

from __future__ import annotations

import pytest

from vallum.config import Config, Service
from vallum.errors import UserError
from vallum.target import discover


def test_files_services_and_what_was_left_out(make_tree):
    root = make_tree(
        {
            "a/Dockerfile": "FROM x",
            "a/openapi.yaml": "",
            "a/app.py": "",
            "b/deep/Dockerfile": "FROM y",
            "node_modules/x/index.js": "",
            ".git/HEAD": "ref: refs/heads/main\n",
            ".git/refs/heads/main": "f" * 40 + "\n",
            ".gitignore": "a/\n",
            "vendor/x.py": "",
            "env/pyvenv.cfg": "",
            "env/lib/x.py": "",
        }
    )
    target = discover(root, Config(exclude=("vendor",)))
    assert [service.name for service in target.services] == ["a", "deep"]
    assert target.services[0].openapi == "a/openapi.yaml"
    assert "a/app.py" in target.files, "an ignore file must not hide code"
    assert not [path for path in target.files if path.startswith(("node_modules", ".git/", "vendor", "env"))]
    assert target.excluded == {"vendor": 1}
    assert target.commit == "f" * 40
    assert target.service_of("b/deep/x.py") == "deep"
    assert target.service_of("elsewhere.py") == ""


def test_links_are_not_followed(make_tree, tmp_path):
    root = make_tree({"a.py": ""})
    (tmp_path / "outside.py").write_text("x")
    (root / "link.py").symlink_to(tmp_path / "outside.py")
    (root / "loop").symlink_to(root)
    assert discover(root, Config()).files == ("a.py",)


def test_the_root_itself_is_a_service_and_the_deepest_folder_wins(make_tree):
    root = make_tree({"Dockerfile": "", "api/Dockerfile": "", "api/x.py": "", "y.py": ""})
    target = discover(root, Config(services={"whole": Service(path=".")}))
    assert target.service_of("api/x.py") == "api"
    assert target.service_of("y.py") == "whole"


def test_a_path_outside_the_target_is_refused(make_tree):
    target = discover(make_tree({"a.py": ""}), Config())
    with pytest.raises(ValueError):
        target.relative("../../etc/passwd")


def test_no_folder_is_the_users_mistake(tmp_path):
    with pytest.raises(UserError):
        discover(tmp_path / "nothing", Config())

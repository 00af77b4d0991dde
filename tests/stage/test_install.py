"""What a service needs is installed outside the user's tree, once for each lock file."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum import stage
from vallum.environments import StagedService
from vallum.errors import UserError
from vallum.stage import install
from vallum.target import discover

SERVER = """
const http = require("http"), greeting = require("./greeting");
http.createServer((_, answer) => answer.end(greeting)).listen(Number(process.env.PORT), "127.0.0.1");
"""


def service(runtime: str, file: str = "") -> StagedService:
    return StagedService(directory=".", command=("x",), runtime=runtime, install=file)  # type: ignore[arg-type]


def test_without_requirements_python_is_ours(tmp_path: Path) -> None:
    assert install.install("a", service("python"), tmp_path).python == Path(sys.executable)
    assert install.install("a", service("none"), tmp_path).bin is None


def test_a_pyproject_is_refused_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").touch()
    with pytest.raises(UserError, match="is not a requirements file") as caught:
        install.install("a", service("python", "pyproject.toml"), tmp_path)
    assert "uv export" in caught.value.hint


def test_the_key_changes_with_whatever_is_installed(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("-r base.txt\n-c limits.txt\n-e ./lib\n-r requirements.txt\n")
    (tmp_path / "lib").mkdir()
    for name in ("base.txt", "limits.txt", "lib/code.py"):
        (tmp_path / name).write_text("a==1\n")
    seen = {install._requirements_digest(file, set())}
    for name in ("base.txt", "limits.txt", "lib/code.py", "requirements.txt"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "#\n")
        seen.add(install._requirements_digest(file, set()))
    assert len(seen) == 5
    (tmp_path / "base.txt").unlink()
    with pytest.raises(UserError, match=r"cannot read base\.txt"):
        install._requirements_digest(file, set())


def test_pins(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("a==1 # why\n\n# note\nb[x]==2 ; python_version > '3'\n")
    assert install._all_pinned(file)
    file.write_text("a==1\nb>=2\n")
    assert not install._all_pinned(file)


def test_dependencies_without_a_lock_file(tmp_path: Path) -> None:
    if shutil.which("npm") is None:
        pytest.skip("there is no npm on PATH")
    (tmp_path / "package.json").write_text('{"dependencies": {"left": "1.0.0"}}')
    with pytest.raises(UserError, match="no lock file"):
        install.install("a", service("node"), tmp_path)


@pytest.mark.slow
def test_contradicting_pins_are_installed_as_they_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    (tmp_path / "requirements.txt").write_text("click==7.0\nflask==3.1.0\n")  # Flask 3.1 wants click 8.1.3 or newer
    installed = install.install("a", service("python"), tmp_path)
    names = {path.name.lower() for path in installed.python.parents[1].glob("lib/python*/site-packages/*.dist-info")}
    assert names == {"click-7.0.dist-info", "flask-3.1.0.dist-info"}
    again = install.install("a", service("python"), tmp_path)
    assert again == installed


@pytest.mark.slow
@pytest.mark.parametrize("own_node", [True, False], ids=["from PATH", "from the locked wheel"])
def test_a_node_service_runs_on_a_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own_node: bool) -> None:
    if own_node and shutil.which("npm") is None:
        pytest.skip("there is no npm on PATH")
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    if not own_node:
        real = shutil.which
        monkeypatch.setattr(shutil, "which", lambda name: None if name in ("node", "npm") else real(name))
        monkeypatch.setenv("PATH", "/usr/bin:/bin")
    root = tmp_path / "shop"
    (root / "web" / "greeting").mkdir(parents=True)
    (root / "web" / "server.js").write_text(SERVER)
    (root / "web" / "package.json").write_text('{"name": "web", "version": "1.0.0", "dependencies": {}}')
    packages = {"": {"name": "web", "version": "1.0.0"}}
    lock = {"name": "web", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": packages}
    (root / "web" / "package-lock.json").write_text(json.dumps(lock))
    (root / "web" / "greeting" / "index.js").write_text('module.exports = "hello";')
    (root / "vallum.toml").write_text(
        '[environment.services.web]\ndirectory = "web"\nruntime = "node"\ncommand = ["node", "server.js"]\n'
        'env = { PORT = "{port}" }\n'
    )
    config = configuration.load(root)
    before = sorted((root / "web").rglob("*"))
    with stage.deploy(discover(root, config), config, "r") as deployment:
        deployment.liveness()
        app = deployment.folder / "web" / "app"
        assert (app / "node_modules").is_symlink()
        assert (app / "node_modules").resolve().is_relative_to(tmp_path / "cache")
    assert sorted((root / "web").rglob("*")) == before
    assert not app.exists()

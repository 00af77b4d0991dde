"""Secrets come from where the configuration says, and from nowhere inside the repository."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from vallum.errors import UserError
from vallum.logins import SecretSource
from vallum.stage import secrets


def one(source: secrets.Source, root: Path = Path("/nowhere")) -> str:
    secrets.check({"x": source}, root)
    return secrets.resolve({"x": source})["x"]


def test_made_for_the_run() -> None:
    assert one("generate") != one("generate")
    assert len(one("generate")) == 32
    assert len(base64.b32decode(one("generate-totp"))) == 20


def test_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_PASSWORD", "from outside")
    assert one(SecretSource(env="A_PASSWORD")) == "from outside"
    monkeypatch.setenv("A_PASSWORD", "")
    with pytest.raises(UserError, match=r"environment\.secrets\.x: the environment variable A_PASSWORD is not set"):
        one(SecretSource(env="A_PASSWORD"))


def test_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, home = tmp_path / "repository", tmp_path / "home"
    root.mkdir()
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    (home / "secret").write_text("in a file\r\n")
    assert one(SecretSource(file="~/secret"), root) == "in a file"
    assert one(SecretSource(file=str(home / "secret")), root) == "in a file"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("secret", "is not a whole path"),
        ("{root}/secret", "is inside the repository"),
        ("{root}/../repository/secret", "is inside the repository"),
        ("{tmp}/link", "is inside the repository"),
        ("{root}/out", "is inside the repository"),
        ("{tmp}/none", "cannot read"),
        ("{tmp}/empty", "is empty, or no text"),
        ("{tmp}/binary", "cannot read"),
        ("{tmp}/large", "is empty, or no text"),
        ("{tmp}/nul", "is empty, or no text"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, path: str, message: str) -> None:
    root = tmp_path / "repository"
    root.mkdir()
    (root / "secret").write_text("committed")
    (tmp_path / "outside").write_text("outside")
    (tmp_path / "link").symlink_to(root / "secret")
    (root / "out").symlink_to(tmp_path / "outside")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    (tmp_path / "nul").write_bytes(b"a\0b")
    (tmp_path / "large").write_bytes(b"x" * (secrets.MAX_FILE + 1))
    with pytest.raises(UserError, match=message) as caught:
        one(SecretSource(file=path.format(root=root, tmp=tmp_path)), root)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (SecretSource(), "names not exactly one source"),
        (SecretSource(env="A", file="/b"), "names not exactly one source"),
        (SecretSource(vault="secret/app"), "names no secret of a Vault"),
        (SecretSource(vault="secret#key"), "names no secret of a Vault"),
    ],
)
def test_sources_that_cannot_be_meant(tmp_path: Path, source: SecretSource, message: str) -> None:
    with pytest.raises(UserError, match=message):
        secrets.check({"x": source}, tmp_path)


TOKEN = "token-of-the-vault"


class Vault(BaseHTTPRequestHandler):
    """Vault's HTTP API for the KV stores, as it is documented: two mounts, `kv/teams` of version 2 and `old` of version 1."""

    def do_GET(self) -> None:
        asked: list[tuple[str, str | None]] = self.server.asked  # type: ignore[attr-defined]
        asked.append((self.path, self.headers.get("X-Vault-Namespace")))
        path = self.path.removeprefix("/v1/")
        if path == "kv/teams/data/redirected":
            return self.answer(307, {}, "http://127.0.0.1:1/")
        if self.headers.get("X-Vault-Token") != TOKEN:
            return self.answer(403, {"errors": ["permission denied"]})
        if path.startswith("sys/internal/ui/mounts/"):
            mounts = {"kv/teams": {"version": "2"}, "old": None}
            path = path.removeprefix("sys/internal/ui/mounts/")
            for mount, options in mounts.items():
                if path.startswith(mount + "/") and self.server.tells:  # type: ignore[attr-defined]
                    return self.answer(200, {"data": {"path": mount + "/", "type": "kv", "options": options}})
            return self.answer(403, {"errors": ["preflight capability check returned 403"]})
        if path in {"kv/teams/data/shop", "kv/data/shop"}:
            return self.answer(
                200, {"data": {"data": {"password": "of version 2", "n": 7}, "metadata": {"version": 3}}}
            )
        if path == "kv/teams/data/deleted":
            gone = {"data": None, "metadata": {"deletion_time": "2026-01-01T00:00:00Z", "version": 1}}
            return self.answer(404, {"data": gone})
        if path == "old/shop/idp":
            return self.answer(200, {"data": {"password": "of version 1"}})
        return self.answer(404, {"errors": []})

    def answer(self, status: int, what: object, location: str = "") -> None:
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[ThreadingHTTPServer]:
    """A server as above; hvac, which `vallum[vault]` installs, is in the locked requirements of the tests."""
    if "CI" not in os.environ:
        pytest.importorskip("hvac", reason="hvac is not installed here; CI has it from tests/requirements.txt")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Vault)
    server.asked, server.tells = [], True  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", TOKEN)
    monkeypatch.delenv("VAULT_NAMESPACE", raising=False)
    yield server
    server.shutdown()
    server.server_close()


def test_from_a_vault(vault: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    assert one(SecretSource(vault="kv/teams/shop#password")) == "of version 2"
    assert one(SecretSource(vault="/old/shop/idp#password")) == "of version 1"
    monkeypatch.setenv("VAULT_NAMESPACE", "team-a")
    one(SecretSource(vault="old/shop/idp#password"))
    asked = vault.asked  # type: ignore[attr-defined]
    assert {namespace for _, namespace in asked} == {None, "team-a"}


def test_a_vault_that_does_not_tell_its_mounts(vault: ThreadingHTTPServer) -> None:
    vault.tells = False  # type: ignore[attr-defined]
    assert one(SecretSource(vault="old/shop/idp#password")) == "of version 1"
    assert one(SecretSource(vault="kv/shop#password")) == "of version 2"


@pytest.mark.parametrize(
    ("source", "env", "message"),
    [
        ("kv/teams/shop#none", {}, "the secret kv/teams/shop in Vault has no text named 'none'"),
        ("kv/teams/shop#n", {}, "has no text named 'n'"),
        ("kv/teams/none#password", {}, "Vault did not give kv/teams/none: InvalidPath"),
        ("kv/teams/deleted#password", {}, "Vault did not give kv/teams/deleted: InvalidPath"),
        ("kv/teams/redirected#password", {}, "has no text named|Vault did not give"),
        ("kv/teams/shop#password", {"VAULT_TOKEN": "wrong"}, "Vault did not give kv/teams/shop: Forbidden"),
        ("kv/teams/shop#password", {"VAULT_TOKEN": ""}, "VAULT_TOKEN is not set"),
        ("kv/teams/shop#password", {"VAULT_ADDR": ""}, "VAULT_ADDR is not set"),
        ("kv/teams/shop#password", {"VAULT_ADDR": "http://192.0.2.1:8200"}, "VAULT_ADDR is no https address"),
        ("kv/teams/shop#password", {"VAULT_ADDR": "http://127.0.0.1:1"}, "Vault did not give .*: ConnectionError"),
        ("kv/teams/shop#password", {"VAULT_ADDR": "https://127.0.0.1:{port}"}, "Vault did not give .*: SSLError"),
    ],
)
def test_a_vault_that_does_not_give_it(
    vault: ThreadingHTTPServer, monkeypatch: pytest.MonkeyPatch, source: str, env: dict[str, str], message: str
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value.format(port=vault.server_port))
    with pytest.raises(UserError, match=message) as caught:
        one(SecretSource(vault=source))
    assert TOKEN not in f"{caught.value.message}{caught.value.hint}"


def test_without_hvac_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: object) -> object:
        if name.partition(".")[0] == "hvac":
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UserError, match="needs hvac") as caught:
        one(SecretSource(vault="kv/teams/shop#password"))
    assert "vallum[vault]" in str(caught.value.hint)

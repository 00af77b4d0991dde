"""Where a ZAP comes from, and what is said where none does. The assembling itself is used by every slow test."""

from __future__ import annotations

import contextlib
import hashlib
import zipfile
from pathlib import Path

import pytest

from vallum.config import Config
from vallum.environments import Zap
from vallum.errors import Inconclusive
from vallum_checks.zap_engine import assemble, java, provide


def test_each_candidate_leaves_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("ZAP_HOME", raising=False)
    config = Config(zap=Zap(provide=("daemon", "install", "container")))
    with pytest.raises(Inconclusive) as caught, provide.provided(config, tmp_path, tmp_path):
        pytest.fail("there is none")
    assert caught.value.reason == (
        "no ZAP: daemon: zap.url is not set; install: no zap.sh in ZAP_HOME or on PATH; container: zap.image is not set"
    )


@pytest.mark.parametrize(
    "image", ["zaproxy", "zaproxy:stable", "zaproxy@sha256:12", "zaproxy:2.17.0@sha256:" + "a" * 63]
)
def test_an_image_without_a_digest_is_refused(tmp_path: Path, image: str) -> None:
    with pytest.raises(Inconclusive, match="not pinned by digest"), contextlib.ExitStack() as stack:
        provide.PROVIDERS["container"](Config(zap=Zap(image=image)), tmp_path, tmp_path, stack)


def test_an_installation_that_ends_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A zap.sh that exits 0 without ever listening."""
    script = tmp_path / "zap.sh"
    script.write_text("#!/bin/sh\necho 'mandatory add-on callhome not found'\nexit 0\n")
    script.chmod(0o755)
    monkeypatch.setenv("ZAP_HOME", str(tmp_path))
    config = Config(zap=Zap(provide=("install",)))
    with (
        pytest.raises(Inconclusive, match=r"exit code 0\): mandatory add-on callhome not found"),
        provide.provided(config, tmp_path, tmp_path),
    ):
        pytest.fail("there is none")


def test_a_java_that_is_too_old_or_broken_is_not_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    (home / "bin").mkdir(parents=True)
    old = home / "bin" / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\"' >&2\n")
    old.chmod(0o755)
    broken = tmp_path / "java"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(home))
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr(java, "_wheel", lambda: broken)  # not 40 MB for this test
    with pytest.raises(Inconclusive, match=r"no Java 17 or newer \(JAVA_HOME: version 11; PATH: does not run"):
        java.find(tmp_path)


def test_a_changed_jar_is_not_used(tmp_path: Path) -> None:
    name = next(iter(assemble.locked_jars("compiler")))
    (tmp_path / name).write_bytes(b"something else")
    with pytest.raises(Inconclusive, match=f"{name} is not the locked file"):
        assemble.verify("compiler", tmp_path)
    (tmp_path / name).unlink()
    with pytest.raises(Inconclusive, match=f"{name} is missing"):
        assemble.verify("compiler", tmp_path)
    (tmp_path / "extra-1.0.jar").write_bytes(b"")
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(Inconclusive, match="is not the locked file"):
        assemble.verify("compiler", tmp_path)


def test_the_lock_names_every_part_once() -> None:
    names = [name for part in (*assemble.PARTS, "compiler") for name in assemble.locked_jars(part)]
    assert f"zap-{assemble.VERSION}.jar" in names
    for addon, (version, _, families) in assemble.ADDONS.items():
        jars = assemble.locked_jars("addons")
        assert f"{addon}-{version}.jar" in jars
        assert not families or any(name.startswith(families) for name in jars)


def test_an_addon_is_laid_out_as_zap_wants_it(tmp_path: Path) -> None:
    jar, library, out = tmp_path / "a-1.jar", tmp_path / "b-2.jar", tmp_path / "a.zap"
    with zipfile.ZipFile(jar, "w") as archive:
        archive.writestr("ZapAddOn.xml", "<zapaddon><name>a</name><libs><lib>libs/gone.jar</lib></libs></zapaddon>")
        archive.writestr("A.class", b"x")
    library.write_bytes(b"library")
    assemble.lay_out(jar, [library], out)
    first = hashlib.sha256(out.read_bytes()).hexdigest()
    with zipfile.ZipFile(out) as archive:
        assert sorted(archive.namelist()) == ["A.class", "ZapAddOn.xml", "libs/b-2.jar"]
        manifest = archive.read("ZapAddOn.xml").decode()
    assert "<lib>libs/b-2.jar</lib>" in manifest
    assert "gone.jar" not in manifest
    assemble.lay_out(jar, [library], out)
    assert hashlib.sha256(out.read_bytes()).hexdigest() == first


def test_the_cache_key_changes_with_a_rule(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shutil

    copy = tmp_path / "zap_rules"
    shutil.copytree(assemble.sources(), copy)
    monkeypatch.setattr(assemble, "sources", lambda: copy)
    before = assemble.digest()
    rule = copy / "src" / "vallum" / "zap" / "SqlInjection.java"
    rule.write_text(rule.read_text() + "\n")
    assert assemble.digest() != before


def test_no_maven_and_no_repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("VALLUM_MAVEN_REPOSITORY", raising=False)
    with pytest.raises(Inconclusive, match="no Maven"):
        assemble.jars("compiler")
    assert not list((tmp_path / "cache").rglob(".complete"))


def test_a_repository_without_maven_serves_locked_jars_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve
) -> None:
    """A mirror of the person's settings.xml, with a jar that is not the locked one."""
    asked_for = []

    def app(asked):
        asked_for.append(asked.path)
        return 200, {}, b"another jar"

    server = serve(app)
    (tmp_path / ".m2").mkdir()
    (tmp_path / ".m2" / "settings.xml").write_text(
        f"<settings><mirrors><mirror><mirrorOf>central</mirrorOf><url>{server.url}/maven2</url></mirror></mirrors></settings>"
    )
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    with pytest.raises(Inconclusive, match="is not the locked file"):
        assemble.jars("compiler")
    assert asked_for == ["/maven2/org/eclipse/jdt/ecj/3.40.0/ecj-3.40.0.jar"]
    assert not list((tmp_path / "cache").rglob(".complete"))


@pytest.mark.slow
def test_rules_compile_without_a_jdk(runtime: java.Java, assembled: assemble.Assembled, tmp_path: Path) -> None:
    """As on a machine that has only a runtime: ecj on that Java."""
    only = java.Java(runtime.java, runtime.version, "test", None)
    classes = assemble._compile(assembled.folder, tmp_path / "work", only)
    assert (classes / "vallum" / "zap" / "SqlInjection.class").is_file()

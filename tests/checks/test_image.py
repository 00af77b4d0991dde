"""The image check: archives, layouts, a registry on loopback, no engine, the assembled image; real syft throughout."""

from __future__ import annotations

import http.server
import json
import os
import tarfile
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest

from vallum import config, runner, target
from vallum.images import layout
from vallum.outcome import Completed, Incomplete
from vallum_checks.image import CHECK


def advisory(identifier: str, name: str, fixed: str, ecosystem: str = "PyPI") -> str:
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = [
        {"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    ]
    return json.dumps({"id": identifier, "modified": "2026-11-20T00:00:00Z", "affected": affected})


def settings(image: str = "", options: str = "") -> str:
    text = '[advisories]\nsource = "advisories"\nmax-age-days = 10000\n[services.web]\npath = "web"\n'
    return (
        text + (f'image = "{image}"\n' if image else "") + (f"[checks.image.options]\n{options}\n" if options else "")
    )


SET = {
    "advisories/PYSEC-1.json": advisory("PYSEC-1", "jinja2", "2.11.3"),
    "web/Dockerfile": "FROM python:3.11\nUSER 1000\n",
}
SITE = "usr/lib/python3/site-packages"


def installed(name: str, version: str) -> dict[str, bytes]:
    info = f"{SITE}/{name}-{version}.dist-info"
    return {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/RECORD": b"",
        f"{info}/INSTALLER": b"pip\n",
    }


DPKG = b"Package: openssl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 3.0.11-1~deb12u1\nMaintainer: x\nDescription: x\n\n"
DEBIAN = {"etc/os-release": b'ID=debian\nVERSION_ID="12"\nNAME="Debian GNU/Linux"\n', "var/lib/dpkg/status": DPKG}


def outcome(root: Path, unit: str = "web"):
    chosen = config.load(root)
    return runner.run_unit(CHECK, target.discover(root, chosen), chosen, "test", unit)


def places(result):
    return [(one.rule, one.location.path, one.location.line, one.service) for one in result.run.findings]


@pytest.fixture
def tree(make_tree):
    """A target whose service `web` names the archive of `files`."""

    def make(files, image="images/web.tar", options="", **more):
        root = make_tree(SET | {"vallum.toml": settings(image, options)} | more)
        (root / "images").mkdir(exist_ok=True)
        layout.write(root / "images" / "web.tar", files, {})
        return root

    return make


def test_units_are_the_services_with_an_image(make_tree):
    root = make_tree({"a/Dockerfile": "FROM x\n", "b/app.py": ""})
    assert CHECK.applies(target.discover(root, config.Config()), config.Config()).units == ("a",)


def test_an_archive(tree):
    root = tree(installed("Jinja2", "2.11.2") | installed("click", "8.1"))
    result = outcome(root)
    assert isinstance(result, Completed), result
    assert places(result) == [("PYSEC-1", "web/Dockerfile", 1, "web")]
    assert {one.unit: (one.expected, one.seen) for one in result.run.coverage} == {"images": (1, 1), "packages": (2, 2)}
    assert "1 layers" in result.run.notes[0]
    assert result.run.findings[0].package.purl == "pkg:pypi/jinja2@2.11.2"  # as pip-audit's findings have it: one id
    document = json.loads((root / ".vallum" / "outcomes" / "image" / "web" / "raw" / "sbom.cdx.json").read_text())
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")


def test_a_finding_stands_at_the_manifest_that_pins_the_package(tree):
    result = outcome(tree(installed("Jinja2", "2.11.2"), **{"web/requirements.txt": "# x\njinja2==2.11.2\n"}))
    assert places(result) == [("PYSEC-1", "web/requirements.txt", 2, "web")]


def test_a_layout_in_a_folder(tree):
    root = tree(installed("Jinja2", "2.11.2"), image="images/web")
    with tarfile.open(root / "images" / "web.tar") as tar:
        tar.extractall(root / "images" / "web", filter="data")
    assert places(outcome(root)) == [("PYSEC-1", "web/Dockerfile", 1, "web")]


def test_system_packages_meet_the_records_of_their_release(tree):
    more = {"advisories/DSA-1.json": advisory("DSA-1", "openssl", "3.0.11-1~deb12u2", "Debian:12")}
    result = outcome(tree(DEBIAN | installed("Jinja2", "3.1.6"), **more))
    assert isinstance(result, Completed), result
    assert places(result) == [("DSA-1", "web/Dockerfile", 1, "web")]


def test_system_packages_without_advisories_are_a_gap(tree):
    result = outcome(tree(DEBIAN | installed("Jinja2", "2.11.2")))
    assert isinstance(result, Incomplete)
    assert "1 of Debian:12: no advisories for this ecosystem" in result.reason
    assert len(result.run.findings) == 1  # what could be told is kept


def test_unless_the_gap_is_chosen(tree):
    result = outcome(tree(DEBIAN | installed("Jinja2", "3.1.6"), options="ecosystems-without-advisories = 'note'"))
    assert isinstance(result, Completed), result
    assert "1 package of Debian:12" in result.run.notes[1]


def test_an_image_without_packages_is_no_clean_bill(tree):
    result = outcome(tree({"etc/hostname": b"x"}))
    assert isinstance(result, Incomplete)
    assert "syft found no package" in result.reason


def test_a_changed_layer_never_reaches_the_scanner(tree):
    root = tree(installed("Jinja2", "2.11.2"))
    path = root / "images" / "web.tar"
    path.write_bytes(path.read_bytes().replace(b"Version: 2.11.2", b"Version: 3.11.2"))
    result = outcome(root)
    assert isinstance(result, Incomplete)
    assert "does not match its digest" in result.reason
    assert not (root / ".vallum" / "outcomes" / "image" / "web" / "raw" / "syft.stderr").exists()


@pytest.mark.parametrize(
    ("image", "says"),
    [("images/none.tar", "no such file or folder"), ("web/Dockerfile", "no tar archive|damaged|middle")],
)
def test_an_image_that_is_not_there_or_is_none(tree, image, says, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    result = outcome(tree({}, image=image))
    assert isinstance(result, Incomplete)
    assert any(one in result.reason for one in says.split("|"))


def test_without_an_engine_nothing_is_built_and_that_is_said(make_tree, monkeypatch, tmp_path):
    """An engine's client that finds no engine: where docker is installed it is the real one, else there is none."""
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/no.sock")
    monkeypatch.setenv("PATH", _only("docker", tmp_path))
    result = outcome(make_tree(SET | {"vallum.toml": settings()}))
    assert isinstance(result, Incomplete)
    assert "no container engine answers" in result.reason


def _only(program: str, tmp_path: Path) -> str:
    import shutil

    found = shutil.which(program)
    folder = tmp_path / "bin"
    folder.mkdir()
    if found:
        (folder / program).symlink_to(found)
    return str(folder)


def wheel(folder: Path, name: str, version: str) -> None:
    import zipfile

    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_the_assembled_image_is_the_same_every_time_and_says_what_it_is(make_tree, monkeypatch, tmp_path):
    from vallum.tools import prepare

    prepare("syft")
    monkeypatch.setenv("PATH", "/nowhere")
    wheel(tmp_path / "wheels", "jinja2", "2.11.2")
    pins = {
        "web/requirements.txt": f"--no-index\n--find-links {tmp_path / 'wheels'}\njinja2==2.11.2\n",
        "web/app.py": "print(1)\n",
    }
    root = make_tree(SET | {"vallum.toml": settings(options="assemble = true")} | pins)
    result = outcome(root)
    assert isinstance(result, Completed), result
    assert places(result) == [("PYSEC-1", "web/requirements.txt", 3, "web")]
    assert "assembled (not a container build)" in result.run.notes[0]
    from vallum.images import assemble

    monkeypatch.setattr(assemble, "cache_folder", lambda: tmp_path / "other-cache")  # a cold cache, nothing else
    again = outcome(root)
    assert again.run.notes == result.run.notes  # the digest of the image is in it


def test_always_assembles_even_where_an_engine_answers(make_tree, monkeypatch, tmp_path):
    engine = tmp_path / "bin" / "docker"
    engine.parent.mkdir()
    engine.write_text(f"#!/bin/sh\ntouch {tmp_path}/asked\nexit 0\n")
    engine.chmod(0o755)
    monkeypatch.setenv("PATH", str(engine.parent), prepend=os.pathsep)
    pins = {"web/requirements.txt": "--no-index\nvallum-test-nobody==1.0\n"}
    result = outcome(make_tree(SET | {"vallum.toml": settings(options='assemble = "always"')} | pins))
    assert isinstance(result, Incomplete)
    assert "cannot install web/requirements.txt" in result.reason
    assert not (tmp_path / "asked").exists()
    result = outcome(make_tree(SET | {"vallum.toml": settings(options='assemble = "sometimes"')} | pins))
    assert isinstance(result, Incomplete)
    assert "assemble cannot be 'sometimes'" in result.reason


def test_an_assembled_image_whose_dependencies_cannot_be_installed(make_tree, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    pins = {"web/requirements.txt": "--no-index\nvallum-test-nobody==1.0\n"}
    result = outcome(make_tree(SET | {"vallum.toml": settings(options="assemble = true")} | pins))
    assert isinstance(result, Incomplete)
    assert "cannot install web/requirements.txt" in result.reason


def test_node_packages_of_a_service_without_npm_come_from_its_lock_and_that_is_said(make_tree, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    table = {"": {"name": "web", "version": "1.0.0"}, "node_modules/lodash": {"version": "4.17.11"}}
    lock = json.dumps({"name": "web", "lockfileVersion": 3, "packages": table}, indent=1)
    more = {"web/package-lock.json": lock, "advisories/GHSA-1.json": advisory("GHSA-1", "lodash", "4.17.12", "npm")}
    result = outcome(make_tree(SET | {"vallum.toml": settings(options="assemble = true")} | more))
    assert isinstance(result, Completed), result
    assert places(result) == [("GHSA-1", "web/package-lock.json", 9, "web")]
    assert "npm is not installed" in result.run.notes[0]


@contextmanager
def registry(folder: Path):
    """The pull side of the OCI distribution contract over a layout: enough for one image."""
    index = json.loads((folder / "index.json").read_text())["manifests"][0]

    class Answering(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/v2/":
                return self.answer(b"{}", "application/json")
            kind = index["mediaType"] if "/manifests/" in self.path else "application/octet-stream"
            wanted = (
                index["digest"]
                if self.path.endswith(":1") or self.path.endswith("/1")
                else self.path.rpartition("/")[2]
            )
            blob = folder / "blobs" / "sha256" / wanted.removeprefix("sha256:")
            if not blob.is_file():
                return self.send_error(404)
            return self.answer(blob.read_bytes(), kind, wanted)

        do_HEAD = do_GET

        def answer(self, data, kind, digest=""):
            self.send_response(200)
            self.send_header("content-type", kind)
            self.send_header("content-length", str(len(data)))
            if digest:
                self.send_header("docker-content-digest", digest)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(data)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_reference_is_read_from_its_registry_without_an_engine(tree, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", "/nowhere")
    layout.write(tmp_path / "web.tar", installed("Jinja2", "2.11.2"), {})
    with tarfile.open(tmp_path / "web.tar") as tar:
        tar.extractall(tmp_path / "layout", filter="data")
    with registry(tmp_path / "layout") as address:
        result = outcome(tree({}, image=f"{address}/team/web:1"))
    assert isinstance(result, Completed), result
    assert places(result) == [("PYSEC-1", "web/Dockerfile", 1, "web")]
    assert "read from its registry" in result.run.notes[0]


def test_a_registry_that_does_not_answer(tree, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    result = outcome(tree({}, image="127.0.0.1:9/team/web:1"))
    assert isinstance(result, Incomplete)
    assert "syft ended with 1" in result.reason

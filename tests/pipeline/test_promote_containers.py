"""Images promoted and taken back by a real podman, from scratch and a static program of a few lines. Needs root, podman, gcc."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import uuid

import pytest
from tests.pipeline.promotions import git
from tests.pipeline.test_cli import only
from tests.pipeline.test_promote import judge, repository, said_everywhere, until

from vallum import promote
from vallum.outcome import Tool
from vallum.promote.proof import scanned
from vallum.target import commit_of
from vallum.verdict import CheckResult, Status, Verdict

pytestmark = pytest.mark.slow
SERVER = r"""
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
/* VERSION SECONDS: answers 200, and 500 from SECONDS after it was first asked (never: -1) */
int main(int count, char **words) {
  signal(SIGTERM, exit);
  int server = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
  struct sockaddr_in here = {.sin_family = AF_INET, .sin_port = htons(8000)};
  setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (count != 3 || bind(server, (void *)&here, sizeof here) || listen(server, 9)) return 1;
  for (time_t began = 0;;) {
    char text[4096];
    int peer = accept(server, 0, 0);
    if (peer < 0 || read(peer, text, sizeof text) < 0) continue;
    if (!began) began = time(0);
    int bad = atoi(words[2]) >= 0 && time(0) - began > atoi(words[2]);
    int size = sprintf(text, "HTTP/1.0 %d X\r\n\r\n%s", bad ? 500 : 200, words[1]);
    if (write(peer, text, size) < 0) perror("write");
    close(peer);
  }
}
"""
COMPOSE = """
services:
  orders:
    image: %s:one
    ports: ["127.0.0.1:%d:8000"]
"""
PROMOTION = """
[promotion]
kind = "compose"
unscanned-images = "allow"
pass-env = ["TAG"]
watch-seconds = 3
rollback-watch-seconds = 0.5
interval = 0.2
start-seconds = 30
[promotion.compose]
project = "%s"
engine = "podman"
program = ["%s"]
images = { orders = "%s:{env.TAG}" }
[promotion.probes.orders]
url = "http://127.0.0.1:%d/"
"""


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True, timeout=120).stdout.strip()


@functools.cache
def why_not() -> str:
    missing = [name for name in ("podman", "gcc") if shutil.which(name) is None]
    if os.getuid() != 0 or missing:
        return f"needs root, podman and gcc; missing here: {', '.join(missing) or 'root'}"
    try:
        podman("info")
    except subprocess.SubprocessError as error:
        return f"podman does not work here: {error}"
    return ""


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """The repository name of three images: `one` and `two` stay well, `bad` does not."""
    if why_not():
        pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("images")
    name = f"localhost/vallum-promote-{uuid.uuid4().hex[:12]}"
    (folder / "s.c").write_text(SERVER)
    subprocess.run(["gcc", "-static", "-o", "server", "s.c"], cwd=folder, check=True, timeout=60)
    for tag, seconds in (("one", -1), ("two", -1), ("bad", 0)):
        text = f'FROM scratch\nCOPY server /server\nENTRYPOINT ["/server", "{tag}", "{seconds}"]\n'
        (folder / "Dockerfile").write_text(text)
        podman("build", "--quiet", "--isolation=chroot", "--tag", f"{name}:{tag}", str(folder))
    yield name
    subprocess.run(
        ["podman", "rmi", "--force", *(f"{name}:{tag}" for tag in ("one", "two", "bad", "live"))], check=False
    )


@pytest.fixture(scope="module")
def compose(tmp_path_factory) -> str:
    """podman-compose, from PATH or the package index."""
    found = shutil.which("podman-compose")
    if found or why_not():
        return found or pytest.skip(why_not())
    folder = tmp_path_factory.mktemp("compose")
    uv = [sys.executable, "-m", "uv"]
    try:
        subprocess.run([*uv, "venv", "-q", str(folder)], check=True, timeout=120)
        argv = [*uv, "pip", "install", "-q", "--python", str(folder / "bin/python"), "podman-compose==1.6.0"]
        subprocess.run(argv, check=True, timeout=120)
    except subprocess.SubprocessError as error:
        pytest.skip(f"podman-compose cannot be had: {error}")
    return str(folder / "bin" / "podman-compose")


def fetch(port: int) -> str:
    try:
        with socket.create_connection(("127.0.0.1", port), 10) as peer:
            peer.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return peer.makefile().read().partition("\n\n")[2]
    except OSError:
        return ""


def listens(port: int) -> bool:
    with socket.socket() as peer:
        return peer.connect_ex(("127.0.0.1", port)) == 0


def test_compose_switches_images_and_back(images, compose, tmp_path):
    project = f"vallum{uuid.uuid4().hex[:10]}"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    table = PROMOTION % (project, compose, images, port)
    files = {"a.py": "print(1)\n", "compose.yaml": COMPOSE % (images, port), "vallum.toml": only("bandit", extra=table)}
    root = repository(tmp_path / "target", files)
    try:
        assert judge(root).returncode == 0
        # nothing runs: what did not run before is removed again
        done = judge(root, "-s", "promote", env={"TAG": "bad"})
        assert done.returncode == 3, done.stderr
        assert podman("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={project}") == ""
        state = json.loads((root / ".vallum" / "promotion.json").read_text())
        assert "answered 500" in state["why"], done.stderr
        assert state["state"] == "rolled-back"
        done = judge(root, "-s", "promote", "--", "--again", env={"TAG": "two"})
        assert done.returncode == 0, done.stderr
        until(lambda: fetch(port) == "two")
        done = judge(root, "-s", "promote", env={"TAG": "bad"})
        assert done.returncode == 3, done.stderr
        assert "rolled back" in done.stderr
        until(lambda: fetch(port) == "two")
        said_everywhere(root, "answered 500")
        state = json.loads((root / ".vallum" / "promotion.json").read_text())
        assert state["previous"]["old.orders"].removeprefix("sha256:") == podman(
            "image", "inspect", "--format", "{{.Id}}", f"{images}:two"
        )
    finally:
        left = podman("ps", "--all", "--quiet", f"--filter=label=com.docker.compose.project={project}").split()
        if left:
            podman("rm", "--force", "--time", "1", *left)
        subprocess.run(["podman", "network", "rm", f"{project}_default"], capture_output=True, check=False)


IMAGE = """
[promotion]
kind = "tag"
health = ["{env.HEALTH}"]
pass-env = ["HEALTH", "SOURCE"]
unscanned-images = "%s"
watch-seconds = 0.2
rollback-watch-seconds = 0
interval = 0.1
start-seconds = 0.2
[promotion.tag]
what = "image"
name = "%s:live"
source = "{env.SOURCE}"
program = "podman"
"""


def test_an_image_tag_points_to_a_digest_and_back(images, tmp_path, monkeypatch):
    def settings(unscanned: str) -> None:
        (root / "vallum.toml").write_text(only("bandit", extra=IMAGE % (unscanned, images)))
        git(root, "commit", "-q", "-a", "--allow-empty", "-m", unscanned)
        plan = root / ".vallum" / "plan.json"
        made = {**json.loads(plan.read_text()), "commit": git(root, "rev-parse", "HEAD")}
        plan.write_text(json.dumps(made))
        commit_of.cache_clear()

    def points() -> str:
        found = subprocess.run(
            ["podman", "image", "inspect", "--format", "{{.Id}}", f"{images}:live"],
            capture_output=True,
            text=True,
            check=False,
        )
        return f"sha256:{found.stdout.strip()}" if found.returncode == 0 else ""

    def id_of(tag: str) -> str:
        return f"sha256:{podman('image', 'inspect', '--format', '{{.Id}}', f'{images}:{tag}')}"

    root = repository(
        tmp_path / "target", {"a.py": "print(1)\n", "vallum.toml": only("bandit", extra=IMAGE % ("refuse", images))}
    )
    assert judge(root).returncode == 0
    monkeypatch.setenv("HEALTH", "true")
    monkeypatch.setenv("SOURCE", f"{images}:one")
    settings("allow")
    with pytest.raises(Exception, match="is not named by its digest"):
        promote.promote(root, ())
    monkeypatch.setenv("SOURCE", id_of("one"))
    monkeypatch.setenv("HEALTH", "false")
    assert "rolled back: health was not well" in promote.promote(root, ())
    assert points() == ""  # it was not there before
    monkeypatch.setenv("HEALTH", "true")
    assert promote.promote(root, ("--again",)) == ""
    assert points() == id_of("one")
    monkeypatch.setenv("SOURCE", id_of("bad"))
    monkeypatch.setenv("HEALTH", "false")
    assert "rolled back" in promote.promote(root, ())
    assert points() == id_of("one")
    settings("refuse")
    assert "is none that this verdict's checks looked at" in promote.promote(root, ())
    assert points() == id_of("one")


def test_the_images_that_were_looked_at_are_those_of_whole_image_checks():
    def check(name: str, status: str, digest: str) -> CheckResult:
        note = f"podman built services/orders/Dockerfile (sha256:{digest * 64}, 3 layers)"
        return CheckResult(
            check=name,
            stage="images",
            unit="orders",
            status=status,
            require="required",
            tool=Tool("syft", "1"),
            notes=(note,),
        )

    results = (check("image", "completed", "a"), check("image", "incomplete", "b"), check("other", "completed", "c"))
    made = Verdict(status=Status.PASS, target="t", run="r", vallum="0", started="", checks=results)
    assert scanned(made) == {f"sha256:{'a' * 64}"}


REGISTRY = """
version: 0.1
storage: {filesystem: {rootdirectory: %s}}
http: {addr: "127.0.0.1:%d"}
"""
SKOPEO = """
[promotion]
kind = "tag"
health = ["{env.HEALTH}"]
pass-env = ["HEALTH", "DIGEST"]
unscanned-images = "allow"
watch-seconds = 0.2
rollback-watch-seconds = 0
interval = 0.1
start-seconds = 0.2
[promotion.tag]
what = "image"
name = "127.0.0.1:%(port)d/shop/live:now"
source = "127.0.0.1:%(port)d/shop/built@{env.DIGEST}"
"""


@pytest.fixture
def registry(images, tmp_path):
    """A registry on the loopback with the three images as shop/built; its port."""
    missing = [name for name in ("skopeo", "docker-registry") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not here: {', '.join(missing)}")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "registry.yml").write_text(REGISTRY % (tmp_path / "storage", port))
    settings = tmp_path / "home" / ".config" / "containers"
    settings.mkdir(parents=True)
    (settings / "registries.conf").write_text(f'[[registry]]\nlocation = "127.0.0.1:{port}"\ninsecure = true\n')
    with (tmp_path / "registry.log").open("wb") as log:
        server = subprocess.Popen(["docker-registry", "serve", str(tmp_path / "registry.yml")], stdout=log, stderr=log)
    try:
        until(lambda: listens(port))
        for tag in ("one", "two"):
            podman("push", "--tls-verify=false", f"{images}:{tag}", f"127.0.0.1:{port}/shop/built:{tag}")
        yield port
    finally:
        server.terminate()
        server.wait()


def test_skopeo_points_a_registrys_tag_to_a_digest_and_back(registry, tmp_path, monkeypatch):
    def digest(name: str) -> str:
        argv = ["skopeo", "inspect", "--format", "{{.Digest}}", f"docker://127.0.0.1:{registry}/shop/{name}"]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        return done.stdout.strip()

    files = {"a.py": "print(1)\n", "vallum.toml": only("bandit", extra=SKOPEO % {"port": registry})}
    root = repository(tmp_path / "target", files)
    assert judge(root).returncode == 0
    commit_of.cache_clear()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    one, two = digest("built:one"), digest("built:two")
    assert one != two
    monkeypatch.setenv("DIGEST", two)
    monkeypatch.setenv("HEALTH", "false")
    said = promote.promote(root, ())
    # a tag that was not there before cannot be taken from a registry
    assert said.startswith("ROLLBACK FAILED"), said
    assert "was not there before" in said
    assert promote.promote(root, ("--resolved",)) == ""
    monkeypatch.setenv("DIGEST", one)
    monkeypatch.setenv("HEALTH", "true")
    assert promote.promote(root, ("--again",)) == ""
    assert digest("live:now") == one
    monkeypatch.setenv("DIGEST", two)
    monkeypatch.setenv("HEALTH", "false")
    assert "rolled back: health was not well" in promote.promote(root, ())
    assert digest("live:now") == one

"""Real containers of a real compose file, in every way they fail; after each, nothing is left. Needs podman."""

from __future__ import annotations

import json
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from vallum import stage
from vallum.errors import Inconclusive, UserError
from vallum.stage import leftovers, log, sockets
from vallum.stage.stage import down, up

from .conftest import wait_for
from .project import BASE, Project, enter, get, orchestrate, podman, why_not
from .test_https import SERVICE as HTTPS
from .test_https import self_signed


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture
def running(project: Project) -> Iterator[Project]:
    """The project where containers can be run; whatever a failed test leaves is removed."""
    if reason := why_not():
        pytest.skip(reason)
    yield project
    label = f"label=vallum.stage={project.label}"
    if left := project.containers("--all"):
        podman("rm", "--force", "--time=0", *left)
    for what in ("network", "volume"):
        if names := podman(what, "ls", "-q", "--filter", label).split():
            podman(what, "rm", *names)
    if images := set(podman("image", "ls", "-q", "--no-trunc", "--filter", label).split()):
        podman("image", "rm", "--force", *images)


def test_up_logged_in_on_loopback_only_and_down(running: Project) -> None:
    """An internal network stays internal, ports of the file are not obeyed, secrets are on no disk and no command line."""
    running.file["networks"] = {"front": {}, "back": {"internal": True}}
    running.file["volumes"] = {"data": None}
    running.service("store", networks=["back"], cap_drop=["ALL"], volumes=["data:/data"])
    running.service("a", networks=["front", "back"], depends_on=["store"], read_only=True)
    running.login()
    target, config = running.load()
    with stage.deploy(target, config, "run-1") as deployment:
        assert set(deployment.urls) == {"a", "store"}
        deployment.liveness()
        for url in deployment.urls.values():
            assert url.startswith("http://127.0.0.1:")
            port = int(url.rpartition(":")[2])
            assert [each.loopback for each in sockets.listeners(port)] == [True]
            assert get(url + "/x") == 200
        state = json.loads((deployment.folder / "state.json").read_text())
        for name in ("a", "store"):
            built = podman("image", "inspect", "--format", "{{.Id}}", f"localhost/vallum-{running.label}/{name}:staged")
            assert state["images"][name] == f"sha256:{built.strip()}"
        container = next(name for name in running.containers() if name.endswith("-a"))
        inside = podman(
            "exec", container, "sh", "-c", "cat /run/secrets/alice; echo; echo $PASSWORD; echo $AT; touch /x || true"
        )
        password = deployment.secrets["alice"]
        assert inside.split() == [password, password, "http://a:8000"]
        store = next(name for name in running.containers() if name.endswith("-store"))
        routes = [line.split()[1] for line in podman("exec", store, "cat", "/proc/net/route").splitlines()[1:]]
        assert routes
        assert "00000000" not in routes  # no default route: no way out of the internal network
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert password.encode() not in line.read_bytes()
            except OSError:
                continue
    assert running.left() == []
    for path in (running.root / ".vallum").rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path
    assert "gave [redacted]" in deployment.logs["a"].read_text()
    assert not (deployment.folder / "state.json").exists()


def test_a_container_that_speaks_https_with_a_certificate_of_its_own(running: Project) -> None:
    """Self-signed, expired and in another name: it is the service because the configuration names this very certificate."""
    running.service("a", environment={"CERT": "/own.pem", "KEY": "/own.key"})
    folder = running.root / "a"
    self_signed(folder)
    (folder / "own.key").chmod(0o644)  # for the container's user
    served = HTTPS.replace('("127.0.0.1", int(os.environ["PORT"]))', '("0.0.0.0", 8000)')
    (folder / "service.py").write_text(served)
    with (folder / "Dockerfile").open("a") as file:
        file.write("COPY own.pem own.key /\n")
    running.lines.append('scheme = "https"\ncertificate = "own.pem"\nenv = { AT = "{url.a}" }')
    target, config = running.load()
    with stage.deploy(target, config, "run-1") as deployment:
        assert deployment.urls["a"].startswith("https://127.0.0.1:")
        with deployment.scope.client() as client:
            assert client.get(deployment.urls["a"]).json() == {"plain": False}
        (container,) = running.containers()
        assert podman("exec", container, "sh", "-c", "echo $AT") == "https://a:8000\n"
        with pytest.raises(urllib.error.URLError, match="CERTIFICATE_VERIFY_FAILED"):
            get(deployment.urls["a"])
    assert running.left() == []


def test_a_container_that_is_never_ready(running: Project) -> None:
    running.service("a", "never", seconds=8)
    with pytest.raises(Inconclusive, match="a was not ready within 8 s: GET /ready answered 503"):
        enter(running)
    assert running.left() == []


def test_a_container_that_dies_in_its_start_is_seen_at_once(running: Project) -> None:
    running.service("good")
    running.service("bad", "crash", seconds=300)
    began = time.monotonic()
    with pytest.raises(Inconclusive, match="bad ended with exit code 1 during its start: cannot read the settings"):
        enter(running)
    assert time.monotonic() - began < 100
    assert running.left() == []


def test_it_dies_in_use_after_a_flood_and_another_ignores_sigterm(running: Project) -> None:
    running.service("a")
    running.service("b", "deaf")
    target, config = running.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        assert get(deployment.urls["a"] + "/flood") == 200
        with pytest.raises((urllib.error.URLError, OSError)):
            get(deployment.urls["a"] + "/die")
        with pytest.raises(Inconclusive, match="a ended with exit code 7 while it was in use: the database is gone"):
            wait_for(deployment.liveness)
    size = deployment.logs["a"].stat().st_size
    assert log.HEAD < size < log.HEAD + log.TAIL + 200
    assert running.left() == []
    for url in deployment.urls.values():  # not even one who ignores SIGTERM holds its port
        assert sockets.listeners(int(url.rpartition(":")[2])) == []


def test_a_command_that_is_not_in_the_image(running: Project) -> None:
    running.service("a", command=["no-such-program"])
    with pytest.raises(Inconclusive, match=r"a ended with exit code 127 during its start: .*no-such-program"):
        enter(running)
    assert running.left() == []


def test_a_folder_for_secrets_that_somebody_else_made_is_not_used(project: Project) -> None:
    from vallum.stage import containers

    folder = containers.make_private(project.label)
    try:
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(Inconclusive, match="cannot make the folder for secrets"):
            containers.make_private(project.label)
    finally:
        folder.rmdir()


def test_an_image_that_cannot_be_built(running: Project) -> None:
    running.service("a")
    (running.root / "a/Dockerfile").write_text(f"FROM {BASE}\nRUN echo the reason; exit 3\n")
    with pytest.raises(Inconclusive, match="the image of a could not be built") as caught:
        enter(running)
    assert "exit status 3" in caught.value.detail + caught.value.reason
    assert running.left() == []


def test_what_others_wait_for_has_ended_or_is_healthy(running: Project) -> None:
    running.service("migrate", staged=False, command=["python3", "-c", "print('migrated')"])
    check = {"test": ["CMD", "python3", "-c", "import socket; socket.create_connection(('127.0.0.1', 8000))"]}
    running.service("store", staged=False, healthcheck={**check, "interval": "2s", "retries": 8})
    needs = {"store": {"condition": "service_healthy"}, "migrate": {"condition": "service_completed_successfully"}}
    running.service("a", depends_on=needs)
    target, config = running.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        assert set(deployment.urls) == {"a"}
    assert "migrated" in deployment.logs["migrate"].read_text()
    running.services["migrate"]["command"] = ["python3", "-c", "import sys; sys.exit('no such table')"]
    with pytest.raises(Inconclusive, match="migrate ended with exit code 1 during its start: no such table"):
        enter(running)
    assert running.left() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_take_everything_down(running: Project, number: signal.Signals) -> None:
    running.service("a", "deaf")
    process = orchestrate(running)
    assert len(running.containers()) == 1
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)
    assert process.wait(timeout=60) != 0
    assert running.left() == []


def test_what_a_kill_left_is_removed_by_the_next_run_and_by_unstage_and_ends_by_itself(running: Project) -> None:
    running.service("a")
    running.lines.insert(1, "[environment.compose]\nlifetime-minutes = 0.2")
    for attempt in range(2):
        process = orchestrate(running)
        process.kill()
        process.wait()
        before = running.containers("--all")
        assert len(before) == 1
        if attempt == 0:
            target, config = running.load()
            with stage.deploy(target, config, "run-2") as deployment:
                assert before[0] not in running.containers("--all")
                deployment.liveness()
            assert running.left() == []
        else:
            wait_for(lambda: not running.containers(), 60)  # nobody took it down: its time was up
            assert running.containers("--all") == before
            assert down(running.root) == "taken down: a"
            assert running.left() == []
            assert down(running.root) == "nothing was up"
            assert podman("image", "ls", "-q", "--filter", f"label=vallum.stage={running.label}") == ""


def test_stage_leaves_it_up_and_unstage_takes_it_down(running: Project) -> None:
    running.service("a")
    target, config = running.load()
    said = up(target, config, "by-hand")
    try:
        url = next(word for word in said.split() if word.startswith("http://"))
        assert get(url + "/ready") == 200
        with pytest.raises(UserError, match="is up"), stage.deploy(target, config, "other"):
            pass
    finally:
        assert down(running.root) == "taken down: a"
    assert running.left() == []


def test_a_secret_on_a_command_line_is_refused(running: Project) -> None:
    running.service("a", command=["python3", "/service.py", "8000", "${ALICE}"])
    running.login()
    with pytest.raises(UserError, match=r"services\.a holds a secret: every user of this machine could read"):
        enter(running)
    assert running.left() == []


def test_no_process_stays_behind(running: Project) -> None:
    running.service("a")
    target, config = running.load()
    with stage.deploy(target, config, "r") as deployment:
        assert leftovers.labelled(deployment.folder)
    assert leftovers.labelled(deployment.folder) == []

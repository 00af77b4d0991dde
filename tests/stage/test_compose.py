"""Real containers of a real compose file, in every way they fail; after each, nothing is left. Needs podman."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum import stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.stage import composefile, leftovers, log, relay, settings, sockets
from vallum.stage.stage import down, up
from vallum.target import Target, discover

from .conftest import SERVICE, wait_for
from .test_https import SERVICE as HTTPS
from .test_https import self_signed
from .test_process import ORCHESTRATOR

BASE = "localhost/vallum-test-base:1"
EXAMPLES = Path(__file__).parents[2] / "examples"


def podman(*words: str) -> str:
    return subprocess.run(["podman", *words], capture_output=True, text=True, check=True, timeout=300).stdout


@functools.cache
def why_not() -> str:
    """Why nothing can be run here; empty where podman works and has an image with Python."""
    if os.getuid() != 0 or shutil.which("podman") is None:
        return "podman as root is not at hand"
    try:
        podman("info")
        if subprocess.run(["podman", "image", "exists", BASE], check=False, timeout=60).returncode == 0:
            return ""
        if shutil.which("mmdebstrap") is None:
            return f"there is no image {BASE} and no mmdebstrap to make it"
        made = subprocess.Popen(
            ["mmdebstrap", "--quiet", "--variant=apt", "--include=python3", "bookworm", "-"], stdout=subprocess.PIPE
        )
        subprocess.run(["podman", "import", "-", BASE], stdin=made.stdout, check=True, timeout=300)
        return "" if made.wait(timeout=60) == 0 else "mmdebstrap failed"
    except (subprocess.SubprocessError, OSError) as error:
        return f"podman does not work here: {error}"


class Project:
    """A folder with a compose file of small services."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.label = hashlib.sha256(os.fsencode(root.resolve() / ".vallum/stage/compose")).hexdigest()[:12]
        self.services: dict[str, dict[str, object]] = {}
        self.file: dict[str, object] = {"services": self.services}
        self.lines = ['[environment]\nkind = "compose"']

    def service(
        self, name: str = "a", mode: str = "", *, seconds: float = 20, staged: bool = True, **keys: object
    ) -> None:
        folder = self.root / name
        folder.mkdir()
        (folder / "service.py").write_text(SERVICE.replace('"127.0.0.1", port', '"0.0.0.0", port'))
        (folder / "Dockerfile").write_text(
            f'FROM {BASE}\nCOPY service.py /\nUSER 10001:10001\nCMD ["python3", "/service.py", "8000"]\n'
        )
        environment = {"MODE": mode, "NAME": name}
        self.services[name] = {"build": name, "environment": environment, "ports": ["0.0.0.0:8001:8000"], **keys}
        if staged:
            self.lines.append(
                f'[environment.services.{name}]\ndirectory = "{name}"\n'
                f'ready = {{ path = "/ready", seconds = {seconds} }}\n'
            )

    def login(self) -> None:
        self.file["secrets"] = {"alice": {"environment": "ALICE"}}
        self.services["a"]["secrets"] = ["alice"]
        self.lines.insert(
            1,
            '[environment.secrets]\nalice = "generate"\n[environment.compose]\n'
            'variables = { ALICE = "{secret.alice}" }\n',
        )
        self.lines.append('env = { PASSWORD = "{secret.alice}", AT = "{url.a}" }')
        self.lines.append(
            '[environment.login]\nservice = "a"\npath = "/login"\ntoken = "data.access"\nprobe = "/me"\n'
            'json = { user = "alice", password = "{secret.alice}" }'
        )

    def load(self) -> tuple[Target, Config]:
        (self.root / "compose.yaml").write_text(json.dumps(self.file))  # JSON is YAML
        (self.root / "vallum.toml").write_text("\n".join(self.lines))
        config = configuration.load(self.root)
        return discover(self.root, config), config

    def containers(self, *more: str) -> list[str]:
        """What is there, asked without any code of vallum."""
        return podman("ps", *more, "--filter", f"label=vallum.stage={self.label}", "--format", "{{.Names}}").split()

    def left(self) -> list[str]:
        """Everything that a deployment makes, but for the images."""
        label = f"label=vallum.stage={self.label}"
        networks = podman("network", "ls", "-q", "--filter", label).split()
        volumes = podman("volume", "ls", "-q", "--filter", label).split()
        private = list(map(str, Path("/dev/shm").glob(f"vallum-*-{self.label}")))
        return [*self.containers("--all"), *networks, *volumes, *private]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    root = tmp_path / "project"
    root.mkdir()
    return Project(root)


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


def enter(project: Project) -> None:
    target, config = project.load()
    with stage.deploy(target, config, "r"):
        pytest.fail("it came up")


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:  # loopback
        return int(answer.status)


def orchestrate(project: Project) -> subprocess.Popen[bytes]:
    project.load()
    process = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(project.root), *filter(None, sys.path)],
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline() == b"up\n"
    return process


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


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("privileged", True, r"services\.a\.privileged cannot be staged: it would hand this machine"),
        ("network_mode", "host", r"services\.a\.network_mode cannot be staged: it would hand"),
        ("pid", "host", r"services\.a\.pid cannot be staged"),
        ("cap_add", ["SYS_ADMIN"], r"services\.a\.cap_add cannot be staged: SYS_ADMIN"),
        ("security_opt", ["seccomp:unconfined"], r"services\.a\.security_opt cannot be staged"),
        ("volumes", ["/var/run/docker.sock:/s:ro"], r"there is no '/var/run/docker\.sock' in the checkout"),
        ("volumes", ["/:/host:ro"], r"there is no '/' in the checkout"),
        ("volumes", ["./a:/a"], r"volumes\[0\] cannot be staged: a service under attack may not write"),
        ("volumes", ["data:/a"], r"services\.a\.volumes: there is no `data`"),
        ("depends_on", ["b"], r"services\.a\.depends_on: there is no `b`"),
        ("networks", ["b"], r"services\.a\.networks: there is no `b`"),
        ("secrets", ["b"], r"services\.a\.secrets: there is no `b`"),
        ("sysctls", {"a": 1}, r"services\.a\.sysctls cannot be staged: vallum does not carry it out"),
        ("extends", {"service": "b"}, r"services\.a\.extends cannot be staged"),
        ("environment", {"KEY": "${KEY}"}, r"services\.a\.environment\.KEY needs the variable KEY"),
        ("environment", ["KEY"], r"services\.a\.environment\.KEY needs the variable KEY"),
        ("build", "../..", r"services\.a\.build\.context: there is no '\.\./\.\.' in the checkout"),
        ("build", "none", r"services\.a\.build\.context: there is no 'none'"),
        ("ports", [], r"environment\.services\.a: compose\.yaml does not say what port"),
        ("deploy", {"replicas": 2}, r"deploy\.replicas cannot be staged"),
        ("healthcheck", {"test": "x", "interval": "soon"}, r"'soon' is no duration"),
    ],
)
def test_what_cannot_be_staged_is_refused_by_name(project: Project, key: str, value: object, message: str) -> None:
    project.service("a", **{key: value})
    with pytest.raises(UserError, match=message) as caught:
        enter(project)
    assert caught.value.hint


def test_a_secret_on_a_command_line_is_refused(running: Project) -> None:
    running.service("a", command=["python3", "/service.py", "8000", "${ALICE}"])
    running.login()
    with pytest.raises(UserError, match=r"services\.a holds a secret: every user of this machine could read"):
        enter(running)
    assert running.left() == []


def test_interpolation(project: Project) -> None:
    given = {
        "A": "$$x",
        "B": "${NO:-b}",
        "C": "${NO-c}",
        "D": "${WORD}!",
        "E": "$WORD",
        "F": "${WORD:+f}",
        "G": "${EMPTY:-g}",
    }
    project.service("a", environment=given)
    project.lines.insert(1, '[environment.compose]\nvariables = { WORD = "word", EMPTY = "" }')
    _, config = project.load()
    assert config.environment is not None
    read = composefile.read(config.environment, project.root, {})
    assert dict(read.containers["a"].env) == {
        "A": "$x",
        "B": "b",
        "C": "c",
        "D": "word!",
        "E": "word",
        "F": "f",
        "G": "g",
    }


def test_no_engine(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    project.service("a")
    with pytest.raises(Inconclusive, match="no container engine answers: podman or docker is needed"):
        enter(project)


def test_the_repaired_shop_can_be_staged_and_the_weak_one_is_refused(tmp_path: Path) -> None:
    for name in ("shop", "shop-repaired"):
        shutil.copytree(EXAMPLES / name, tmp_path / name, ignore=shutil.ignore_patterns(".vallum", "node_modules"))
        root = tmp_path / name
        text = (root / "vallum.toml").read_text().split("[environment]")[0] + SHOP
        (root / "vallum.toml").write_text(text)
        environment = configuration.load(root).environment
        assert environment is not None
        if name == "shop":
            with pytest.raises(UserError, match=r"services\.gateway\.privileged cannot be staged"):
                settings.check(environment, root)
            continue
        settings.check(environment, root)
        read = composefile.read(environment, root, {f"secret.{each}": each for each in environment.secrets})
        assert read.levels == [("orders", "accounts", "catalog"), ("gateway",)]
        assert read.networks == {"default": False, "front": False, "back": True}
        orders = read.containers["orders"]
        assert orders.tmpfs[0].owner == "10001:10001"
        assert "--read-only" in orders.options
        assert read.secrets["seed-bob"].value == "bob"


SHOP = """
[environment]
kind = "compose"
[environment.secrets]
jwt = "generate"
alice = "generate"
bob = "generate"
admin = "generate"
[environment.compose.variables]
JWT_KEY = "{secret.jwt}"
SEED_ALICE_PASSWORD = "{secret.alice}"
SEED_BOB_PASSWORD = "{secret.bob}"
SEED_ADMIN_PASSWORD = "{secret.admin}"
[environment.services.gateway]
directory = "services/gateway"
[environment.services.orders]
directory = "services/orders"
port = 8002
"""


def test_the_relay_hands_on_both_ways_and_closes(tmp_path: Path) -> None:
    """Against a real server on loopback, with a body larger than any buffer."""
    del tmp_path
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    from threading import Thread

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        forward = relay.Relay(("127.0.0.1", server.server_port))
        try:
            sent = os.urandom(3_000_000)
            for _ in range(5):
                with urllib.request.urlopen(f"http://127.0.0.1:{forward.port}/", data=sent, timeout=30) as answer:
                    assert answer.read() == sent
        finally:
            forward.close()
            forward.close()
            server.shutdown()
            thread.join()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{forward.port}/", timeout=5)


def test_no_process_stays_behind(running: Project) -> None:
    running.service("a")
    target, config = running.load()
    with stage.deploy(target, config, "r") as deployment:
        assert leftovers.labelled(deployment.folder)
    assert leftovers.labelled(deployment.folder) == []

"""Real services, in every way they fail; after each, nothing is left."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from vallum import stage
from vallum.errors import Inconclusive, UserError
from vallum.stage import leftovers, log, sockets

from .conftest import Shop, wait_for

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")

ORCHESTRATOR = """
import sys
sys.path[:0] = sys.argv[2:]
from pathlib import Path
from vallum import config, stage, target
root = Path(sys.argv[1])
settings = config.load(root)
with stage.deploy(target.discover(root, settings), settings, "run-1") as deployment:
    print("up", flush=True)
    import time
    time.sleep(60)
"""


def orchestrate(shop: Shop) -> subprocess.Popen[bytes]:
    """Another Python that deploys and then waits."""
    shop.load()
    paths = [path for path in sys.path if path]
    process = subprocess.Popen(
        [sys.executable, "-c", ORCHESTRATOR, str(shop.root), *paths], stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdout is not None
    with process.stdout as out:
        assert out.readline() == b"up\n"
    return process


def get(url: str) -> int:
    with urllib.request.urlopen(url, timeout=20) as answer:  # loopback
        return int(answer.status)


def test_services_come_up_in_order_and_go_down_in_reverse(shop: Shop) -> None:
    shop.service("front", after=("back", "store"), BACK="{url.back}")
    shop.service("back", after=("store",))
    shop.service("store")
    target, config = shop.load()
    with stage.deploy(target, config, "run-1") as deployment:
        assert set(deployment.urls) == {"front", "back", "store"}
        assert all(url.startswith("http://127.0.0.1:") for url in deployment.urls.values())
        state = json.loads((deployment.folder / "state.json").read_text())
        assert (deployment.folder / "state.json").stat().st_mode & 0o777 == 0o600
        assert state["run"] == "run-1"
        assert sorted(facts["pid"] for facts in state["services"].values()) == sorted(shop.processes())
        deployment.liveness()
        front = state["services"]["front"]["pid"]
        environment = dict(
            line.split("=", 1) for line in Path(f"/proc/{front}/environ").read_text().split("\0") if "=" in line
        )
        assert environment["BACK"] == deployment.urls["back"]
        assert not {key for key in environment if key.startswith(("PYTEST", "GITHUB", "HTTP_"))}
    words = [line.split() for line in shop.journal.read_text().splitlines()]
    assert [name for what, name in words if what == "start"] == ["store", "back", "front"]
    assert [name for what, name in words if what == "stop"] == ["front", "back", "store"]
    assert shop.processes() == []
    assert not (deployment.folder / "state.json").exists()
    assert sorted(path.name for path in (deployment.folder / "front").iterdir()) == ["log.txt"]
    assert "listening" in deployment.logs["front"].read_text()


def test_a_service_that_is_never_ready(shop: Shop) -> None:
    shop.service("a", "never", seconds=8)  # long enough for an interpreter to start on a busy machine
    began = time.monotonic()
    with pytest.raises(Inconclusive, match="a was not ready within 8 s: GET /ready answered 503"):
        enter(shop)
    assert time.monotonic() - began < 60
    assert shop.processes() == []


def test_a_service_that_answers_one_byte_at_a_time(shop: Shop) -> None:
    shop.service("a", "drip", seconds=1.5)
    began = time.monotonic()
    with pytest.raises(Inconclusive, match="did not answer"):
        enter(shop)
    assert time.monotonic() - began < 60
    assert shop.processes() == []


def test_a_service_that_dies_in_its_start_is_seen_at_once(shop: Shop) -> None:
    shop.service("good")
    shop.service("bad", "crash", seconds=300)
    began = time.monotonic()
    with pytest.raises(Inconclusive) as caught:
        enter(shop)
    assert time.monotonic() - began < 60
    assert caught.value.reason == (
        "the service bad ended with exit code 1 during its start: cannot read the settings: no such file"
    )
    assert "starting" in caught.value.detail
    assert shop.processes() == []


def test_a_service_that_dies_in_use(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        with pytest.raises((urllib.error.URLError, http.client.HTTPException, OSError)):
            get(deployment.urls["a"] + "/die")
        wait_for(lambda: not shop.processes())
        time.sleep(0.5)  # the last thread of a process ends a moment after its first is a zombie
        with pytest.raises(Inconclusive, match="a ended with exit code 7 while it was in use: the database is gone"):
            deployment.liveness()


def test_a_flood_of_output_neither_fills_the_disk_nor_blocks(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        assert get(deployment.urls["a"] + "/flood") == 200
    size = deployment.logs["a"].stat().st_size
    assert log.HEAD < size < log.HEAD + log.TAIL + 200
    assert b"bytes left out]" in deployment.logs["a"].read_bytes()


def test_a_service_that_ignores_sigterm(shop: Shop) -> None:
    shop.service("a", "deaf")
    shop.service("b", "deaf")
    target, config = shop.load()
    with stage.deploy(target, config, "r"):
        began = time.monotonic()
    assert time.monotonic() - began < 60
    assert shop.processes() == []


def test_a_child_that_left_its_group_and_ignores_sigterm(shop: Shop, tmp_path: Path) -> None:
    shop.service("a", "escape", PIDFILE=str(tmp_path / "pid"))
    target, config = shop.load()
    with stage.deploy(target, config, "r"):
        wait_for((tmp_path / "pid").exists)
        assert len(shop.processes()) == 2
    assert shop.processes() == []


def test_an_exception_inside_takes_everything_down(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    with pytest.raises(ZeroDivisionError), stage.deploy(target, config, "r"):
        _ = 1 / 0
    assert shop.processes() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_take_everything_down(shop: Shop, number: signal.Signals) -> None:
    shop.service("a", "deaf")
    shop.service("b", after=("a",))
    process = orchestrate(shop)
    assert len(shop.processes()) == 2
    process.send_signal(number)
    time.sleep(0.3)
    process.send_signal(number)  # an impatient second one must not stop the teardown
    assert process.wait(timeout=30) != 0
    assert shop.processes() == []
    assert not (shop.root / ".vallum/stage/process/state.json").exists()


def test_what_a_kill_left_is_removed_by_the_next_run(shop: Shop, tmp_path: Path) -> None:
    shop.service("a", "escape", PIDFILE=str(tmp_path / "pid"))
    shop.service("b", "deaf")
    process = orchestrate(shop)
    wait_for((tmp_path / "pid").exists)
    process.kill()
    process.wait()
    escaped = int((tmp_path / "pid").read_text())
    wait_for(lambda: shop.processes() == [escaped])  # the services died with their parent, their child did not
    target, config = shop.load()
    with stage.deploy(target, config, "run-2") as deployment:
        assert escaped not in shop.processes()
        deployment.liveness()
    assert shop.processes() == []


def test_unstage_removes_what_a_kill_left(shop: Shop, tmp_path: Path) -> None:
    from vallum.stage.stage import down

    shop.service("a", "escape", PIDFILE=str(tmp_path / "pid"))
    process = orchestrate(shop)
    wait_for((tmp_path / "pid").exists)
    process.kill()
    process.wait()
    assert down(shop.root) == "taken down: a"
    assert shop.processes() == []
    assert down(shop.root) == "nothing was up"


@pytest.mark.parametrize("recorded", ["another", "1", ""])
def test_a_foreign_process_with_a_recycled_pid_is_never_ended(shop: Shop, recorded: str) -> None:
    shop.service("a")
    target, config = shop.load()
    folder = shop.root / ".vallum/stage/process"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as foreign:
        try:
            facts = {"port": 1, "pid": foreign.pid, "started": recorded}
            owner = {"pid": foreign.pid, "started": recorded, "detached": True}
            (folder / "state.json").write_text(json.dumps({"run": "old", "owner": owner, "services": {"a": facts}}))
            with stage.deploy(target, config, "r"):
                assert foreign.poll() is None
            assert foreign.poll() is None
        finally:
            foreign.kill()


def test_a_recorded_process_without_the_label_is_ended(shop: Shop) -> None:
    """A service may clean its environment: pid and start time together still prove that it is ours."""
    shop.service("a")
    target, config = shop.load()
    folder = shop.root / ".vallum/stage/process"
    folder.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True) as ours:
        facts = {"port": 1, "pid": ours.pid, "started": leftovers.started(ours.pid)}
        (folder / "state.json").write_text(json.dumps({"run": "old", "services": {"a": facts}}))
        with stage.deploy(target, config, "r"):
            assert ours.wait(timeout=30) == -signal.SIGTERM


def test_rubbish_in_state_json_is_not_believed(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    folder = shop.root / ".vallum/stage/process"
    folder.mkdir(parents=True)
    keep = shop.root / "keep" / "state"
    keep.mkdir(parents=True)
    for text in (
        "not json",
        "[1, 2]",
        '{"services": [1]}',
        '{"services": {"a": 5}, "owner": 3}',
        '{"services": {"../../../keep": {"pid": "1"}}}',
        '{"services": {"a": {"pid": -1, "started": ""}}}',
    ):
        (folder / "state.json").write_text(text)
        with stage.deploy(target, config, "r") as deployment:
            deployment.liveness()
    assert keep.is_dir()


def test_two_runs_do_not_share_a_deployment(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    with stage.deploy(target, config, "r") as deployment:
        with pytest.raises(UserError, match="a run is using it"), stage.deploy(target, config, "other"):
            pass
        deployment.liveness()


def test_a_port_that_is_taken_is_chosen_anew(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.service("a")
    target, config = shop.load()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = [other.getsockname()[1]]
        choose = sockets.free_ports
        monkeypatch.setattr(sockets, "free_ports", lambda count: [taken.pop()] if taken else choose(count))
        with stage.deploy(target, config, "r") as deployment:
            assert not taken
            deployment.liveness()


def test_another_programs_answer_does_not_count_as_ready(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    class Foreign(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    shop.service("a", "idle")
    target, config = shop.load()
    with HTTPServer(("127.0.0.1", 0), Foreign) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setattr(sockets, "free_ports", lambda count: [server.server_port])
            with pytest.raises(Inconclusive, match="belongs to another program"), stage.deploy(target, config, "r"):
                pass
        finally:
            server.shutdown()
            thread.join()
    assert shop.processes() == []


def test_a_service_open_to_the_network_is_refused(shop: Shop) -> None:
    shop.service("a", "public")
    with pytest.raises(UserError, match=r"a listens on 0\.0\.0\.0:\d+, open to the network"):
        enter(shop)
    assert shop.processes() == []


def test_a_command_that_does_not_exist(shop: Shop) -> None:
    shop.service("a")
    shop.lines[-1] = shop.lines[-1].replace('"{python}"', '"no-such-program"')
    with pytest.raises(Inconclusive, match="cannot start no-such-program"):
        enter(shop)


def test_the_users_tree_is_left_alone(shop: Shop) -> None:
    shop.service("a")
    target, config = shop.load()
    before = {path for path in shop.root.rglob("*") if ".vallum" not in path.parts}
    with stage.deploy(target, config, "r"):
        pass
    after = {path for path in shop.root.rglob("*") if ".vallum" not in path.parts}
    assert after - before == {shop.journal}


def test_stage_leaves_it_up_and_unstage_takes_it_down(shop: Shop) -> None:
    from vallum.stage.stage import down, up

    shop.service("a", PASSWORD="{secret.alice}")
    shop.login()
    target, config = shop.load()
    said = up(target, config, "by-hand")
    try:
        url = next(word for word in said.split() if word.startswith("http://"))
        assert get(url + "/ready") == 200
        password = next(line.split()[2] for line in said.splitlines() if line.startswith("secret alice"))
        for path in (shop.root / ".vallum").rglob("*"):
            assert not path.is_file() or password.encode() not in path.read_bytes(), path
        with pytest.raises(UserError, match="is up"), stage.deploy(target, config, "other"):
            pass
        with pytest.raises(UserError, match="is up"):
            up(target, config, "again")
        assert get(url + "/ready") == 200
    finally:
        assert down(shop.root) == "taken down: a"
    assert shop.processes() == []


def test_the_supervisors_death_is_the_services_death(shop: Shop) -> None:
    from vallum.stage.stage import down, up

    shop.service("a", "deaf")
    target, config = shop.load()
    up(target, config, "by-hand")
    folder = shop.root / ".vallum/stage/process"
    state = json.loads((folder / "state.json").read_text())
    os.kill(state["owner"]["pid"], signal.SIGKILL)
    wait_for(lambda: not shop.processes())
    wait_for(lambda: unlocked(folder / "lock"))  # a service dies with one thread of its owner; the others may end later
    assert down(shop.root) == "taken down: a"


def unlocked(path: Path) -> bool:
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True


def test_stage_says_why_it_did_not_come_up(shop: Shop) -> None:
    from vallum.stage.stage import down, up

    shop.service("a", "crash")
    target, config = shop.load()
    with pytest.raises(Inconclusive, match="a ended with exit code 1 during its start"):
        up(target, config, "by-hand")
    assert shop.processes() == []
    assert down(shop.root) == "nothing was up"


def enter(shop: Shop) -> None:
    target, config = shop.load()
    with stage.deploy(target, config, "r"):
        pytest.fail("it came up")

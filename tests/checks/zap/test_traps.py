"""What is known to go wrong with a ZAP, done to a real one: each must end in Inconclusive or an incomplete attack, never clean."""

from __future__ import annotations

import http.server
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vallum.config import Config
from vallum.environments import Zap
from vallum.errors import Inconclusive
from vallum_checks.zap_engine import Attack, ScanTarget, assemble, attack, daemon, provide, scan, watch
from vallum_checks.zap_engine.client import Zap as Client
from vallum_checks.zap_engine.client import ZapGone
from vallum_checks.zap_engine.java import Java

pytestmark = pytest.mark.slow

ONE = """
openapi: 3.0.3
info: { title: one }
paths:
  /items:
    get:
      parameters: [{ name: q, in: query, example: lamp }]
      responses: { "200": { description: ok } }
"""


def command(runtime: Java, assembled: assemble.Assembled) -> list[str]:
    return [*assembled.command(runtime, "512m"), "org.zaproxy.zap.ZAP"]


def echo(asked) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "text/html"}, b"<h1>" + asked.query.get("q", "").encode() + b"</h1>"


def test_a_daemon_given_by_url_works_and_is_left_as_it_was(serve, start, definition, shared: daemon.Daemon) -> None:
    result = start(serve(echo).url, definition(ONE))
    assert result.incomplete == ""
    assert "600002" in {finding.rule for finding in result.findings}
    assert str(shared.zap.api.core.mode) == "standard"


def test_nothing_outside_the_target_is_requested(serve, start, definition) -> None:
    other = serve(echo)
    page = f"<a href='{other.url}/away'>x</a><form action='{other.url}/form'><input name=a></form>".encode()
    server = serve(lambda _asked: (200, {"Content-Type": "text/html"}, page))
    redirect = serve(lambda _asked: (302, {"Location": other.url + "/redirected"}, b""))
    start(server.url, definition(ONE), pages=("/",))
    start(redirect.url, definition(ONE), pages=("/",))
    assert other.count == 0


def test_target_dead_before(start, definition, serve) -> None:
    server = serve(echo)
    server.stop()
    with pytest.raises(Inconclusive, match="items does not answer before the attack"):
        start(server.url, definition(ONE))


def test_target_dies_in_mid_scan(start, definition, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "PROBE_EVERY", 0.2)
    died = threading.Event()

    def dying(asked):
        if server.count > 40 and not died.is_set():
            died.set()
            threading.Thread(target=server.stop, daemon=True).start()
        time.sleep(0.02)
        return echo(asked)

    server = serve(dying)
    result = start(server.url, definition(ONE))
    assert died.is_set()
    assert "items does not answer after the attack" in result.incomplete


def test_target_hangs(start, definition, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The port answers, the operation never again: ZAP's own progress would creep on for hours."""
    monkeypatch.setattr(watch, "FROZEN", 4.0)
    release = threading.Event()

    def hanging(asked):
        if asked.path == "/items" and server.count > 25:
            release.wait(60)
        return echo(asked)

    server = serve(hanging)
    began = time.monotonic()
    result = start(server.url, definition(ONE))
    release.set()
    assert "the scan hung: no request for 4 s" in result.incomplete
    assert time.monotonic() - began < 150


def test_time_is_up(start, definition, serve) -> None:
    def slow(asked):
        time.sleep(0.3)
        return echo(asked)

    result = start(serve(slow).url, definition(ONE), minutes=0.05)
    assert "the time was up at" in result.incomplete


def test_empty_definition(start, definition, serve) -> None:
    with pytest.raises(Inconclusive, match="nothing to attack"):
        start(serve(echo).url, definition("openapi: 3.0.3\ninfo: {title: a}\npaths: {}\n"))


def test_wrong_prefix_is_found_out(start, definition, serve) -> None:
    """A servers entry whose path the deployment does not have: every request would be a 404, and the scan clean."""
    server = serve(lambda asked: echo(asked) if asked.path == "/items" else (404, {}, b""))
    result = start(server.url, definition(ONE + "servers: [{ url: 'https://api.shop.example/v1' }]\n"))
    assert result.incomplete == ""
    assert "600002" in {finding.rule for finding in result.findings}


def test_nothing_but_404_is_not_clean(start, definition, serve) -> None:
    result = start(serve(lambda _asked: (404, {}, b"")).url, definition(ONE))
    assert "only 0 of 1 operations of items answered 2xx or 3xx" in result.incomplete
    assert result.coverage[0].seen == 0
    assert result.coverage[0].missed[0].why == "answered 404"


def test_a_login_that_ends_is_noticed(start, definition, serve) -> None:
    calls = {"n": 0}

    def expiring(asked):
        calls["n"] += 1
        return echo(asked) if calls["n"] < 30 else (401, {}, b"")

    text = ONE.replace("    get:\n", "    get:\n      security: [{ bearer: [] }]\n")
    result = start(serve(expiring).url, definition(text), auth={"Authorization": "Bearer a-token-of-a-test"})
    assert "the login to items no longer counted after the attack (401)" in result.incomplete


def test_wrong_key(shared: daemon.Daemon, start, definition, serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAP_API_KEY", "wrong")
    with pytest.raises(Inconclusive, match=r"no ZAP: daemon: ZAP refused core/view/version: bad_api_key"):
        start(serve(echo).url, definition(ONE))


def test_error_bodies_are_no_values(shared: daemon.Daemon) -> None:
    with pytest.raises(Inconclusive, match="url_not_found"):
        shared.zap.api.ascan.scan(url="http://127.0.0.1:1/nothing")
    with pytest.raises(Inconclusive, match="does_not_exist"):
        shared.zap.api.ascan.status("99")
    assert shared.zap.passive() is False


def test_a_frozen_zap_does_not_block(shared: daemon.Daemon) -> None:
    client = Client(shared.zap.address, shared.zap._key, read=1.0)
    os.kill(shared.process.pid, signal.SIGSTOP)
    try:
        began = time.monotonic()
        with pytest.raises(ZapGone, match="did not answer core/view/version within 1 s"):
            _ = client.api.core.version
        assert time.monotonic() - began < 150
    finally:
        os.kill(shared.process.pid, signal.SIGCONT)


def test_no_proxy_of_the_environment_sees_the_key(shared: daemon.Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert Client(shared.zap.address, shared.zap._key).api.core.version == "2.17.0"


def test_port_in_use_by_another_server(runtime: Java, assembled: assemble.Assembled, tmp_path: Path, serve) -> None:
    port = int(serve(echo).url.rpartition(":")[2])
    with (
        pytest.raises(Inconclusive, match=r"ZAP ended while it started|answered .* with what is no JSON|ZAP refused"),
        daemon.running(
            command(runtime, assembled), install=assembled.folder, home=tmp_path / "h", log=tmp_path / "log", port=port
        ),
    ):
        pytest.fail("it came up")


def test_port_in_use_by_another_zap(
    shared: daemon.Daemon, runtime: Java, assembled: assemble.Assembled, tmp_path: Path
) -> None:
    port = int(shared.zap.address.rpartition(":")[2])
    with (
        pytest.raises(Inconclusive, match=r"another ZAP answers at the port that was meant for ours"),
        daemon.running(
            command(runtime, assembled), install=assembled.folder, home=tmp_path / "h", log=tmp_path / "log", port=port
        ),
    ):
        pytest.fail("it came up")


def test_start_that_fails_with_exit_code_0(runtime: Java, assembled: assemble.Assembled, tmp_path: Path) -> None:
    broken = without(assembled, tmp_path, "callhome")
    with (
        pytest.raises(Inconclusive, match=r"ZAP ended while it started \(exit code 0\)"),
        daemon.running(command(runtime, broken), install=broken.folder, home=tmp_path / "h", log=tmp_path / "log"),
    ):
        pytest.fail("it came up")


def test_start_that_hangs(runtime: Java, assembled: assemble.Assembled, tmp_path: Path) -> None:
    broken = without(assembled, tmp_path, "network")
    began = time.monotonic()
    with (
        pytest.raises(Inconclusive, match=r"ZAP did not listen within 12 s|ZAP ended while it started"),
        daemon.running(
            command(runtime, broken), install=broken.folder, home=tmp_path / "h", log=tmp_path / "log", boot=12
        ),
    ):
        pytest.fail("it came up")
    assert time.monotonic() - began < 100


def without(assembled: assemble.Assembled, folder: Path, addon: str) -> assemble.Assembled:
    """A copy that lacks one add-on."""
    copy = folder / "zap"
    shutil.copytree(assembled.folder, copy)
    for path in copy.joinpath("plugin").glob(f"{addon}-*.zap"):
        path.unlink()
    return assemble.Assembled(copy, assembled.digest)


@pytest.fixture
def own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[assemble.Assembled, str, Path], Attack]:
    """Attack with a ZAP of this test's own."""

    def run(made: assemble.Assembled, url: str, definition: Path) -> Attack:
        monkeypatch.setattr(assemble, "assemble", lambda _java: made)  # which ZAP: everything else is real
        (tmp_path / "raw").mkdir()
        return attack(
            [ScanTarget("items", url, definition, "openapi.yaml")],
            config=Config(zap=Zap(provide=("assembled",))),
            scratch=tmp_path,
            raw=tmp_path / "raw",
            deadline=120,
            auth={},
        )

    return run


def test_no_rules_is_not_clean(own, assembled: assemble.Assembled, tmp_path: Path, serve, definition) -> None:
    """The facts: a scan without rules ends at once with 100 %, FINISHED, no alert."""
    with pytest.raises(Inconclusive, match="no active scan rule: a clean result would mean nothing"):
        own(without(assembled, tmp_path, "vallumrules"), serve(echo).url, definition(ONE))


def test_zap_killed_in_mid_scan_keeps_what_was_found(
    own, assembled: assemble.Assembled, serve, definition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "KEEP_EVERY", 0.1)
    running: list[provide.Provided] = []
    real = scan.provided

    def spy(*arguments):
        import contextlib

        @contextlib.contextmanager
        def inner():
            with real(*arguments) as found:
                running.append(found)
                yield found

        return inner()

    monkeypatch.setattr(scan, "provided", spy)

    def killing(asked):
        if server.count > 60 and running[0].daemon is not None:
            os.kill(running[0].daemon.process.pid, signal.SIGKILL)
        time.sleep(0.05)
        return echo(asked)

    server = serve(killing)
    result = own(assembled, server.url, definition(ONE))
    assert "ZAP ended" in result.incomplete
    assert {finding.rule for finding in result.findings} >= {"600002"}


def test_a_server_that_is_no_zap() -> None:
    """A port where no ZAP is: an HTTP server that knows nothing of the API."""

    class Plain(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Plain)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        with pytest.raises(Inconclusive, match="with what is no JSON"):
            _ = Client(f"http://127.0.0.1:{server.server_address[1]}", "k").api.core.version
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)

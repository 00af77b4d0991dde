"""What the scope's proxy costs: CPU a request, and the wall time of a ZAP scan with it and without.

`python tests/bench/proxy.py [FOLDER]`: FOLDER is a target with an [environment] (a copy of examples/shop), for the scan, which
is run by turns with and without the proxy (`--turns 2`). Ratios of one run on one machine; never asserted in a test.
"""

from __future__ import annotations

import argparse
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]

SERVER = """
import socket, sys, threading
def serve(peer):
    data = b""
    while True:
        while b"\\r\\n\\r\\n" not in data:
            got = peer.recv(65536)
            if not got:
                return
            data += got
        data = data.partition(b"\\r\\n\\r\\n")[2]
        peer.sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: application/json\\r\\nContent-Length: 500\\r\\n\\r\\n" + b"x" * 500)
server = socket.create_server(("127.0.0.1", 0))
print(server.getsockname()[1], flush=True)
while True:
    threading.Thread(target=serve, args=(server.accept()[0],), daemon=True).start()
"""
CLIENT = """
import socket, sys, threading
via, target, each = int(sys.argv[1]), sys.argv[2].encode(), int(sys.argv[3])
def run():
    with socket.create_connection(("127.0.0.1", via)) as peer:
        form = target if int(target.rpartition(b":")[2]) != via else b""
        for number in range(each):
            peer.sendall(b"GET %s/items/%d?q=lamp HTTP/1.1\\r\\nHost: x\\r\\nAuthorization: Bearer %s\\r\\n\\r\\n" % (form, number, b"y" * 200))
            got = b""
            while len(got.partition(b"\\r\\n\\r\\n")[2]) < 500:
                got += peer.recv(65536)
threads = [threading.Thread(target=run) for _ in range(8)]
[t.start() for t in threads]; [t.join() for t in threads]
"""


def raw() -> None:
    """10,000 requests on 8 connections: wall time direct and through the proxy, and the proxy's CPU."""
    from vallum.stage.proxy import Proxy
    from vallum.stage.renewal import Keeper
    from vallum.stage.scope import Scope

    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        url = f"http://127.0.0.1:{port}"
        scope = Scope({"s": url})
        try:
            with Proxy(scope, Keeper((), scope)) as proxy:
                via = int(proxy.address.rpartition(":")[2])
                for name, to in (("direct", port), ("proxy", via), ("direct", port), ("proxy", via)):
                    cpu, began = time.process_time(), time.perf_counter()
                    subprocess.run([sys.executable, "-c", CLIENT, str(to), url, "1250"], check=True)
                    wall = time.perf_counter() - began
                    print(f"10,000 requests {name:6}  {wall:5.1f} s wall, CPU here {time.process_time() - cpu:5.2f} s")
        finally:
            server.terminate()


def scan(folder: Path, turns: int) -> None:
    """A ZAP scan of a staged deployment, by turns."""
    from vallum import config as configuration
    from vallum import stage, target
    from vallum.check import Context
    from vallum.stage.guard import guarded
    from vallum_checks import zap, zap_engine

    settings = configuration.load(folder)
    found = target.discover(folder, settings)
    took: dict[str, list[float]] = {"with": [], "without": []}
    attack = zap_engine.attack
    for turn in range(2 * turns):
        name = "without" if turn % 2 == 0 else "with"

        def timed(*rest: object, proxy: str = "", name: str = name, **options: object) -> zap_engine.Attack:
            began, cpu = time.perf_counter(), time.process_time()
            result = attack(*rest, proxy=proxy if name == "with" else "", **options)  # type: ignore[arg-type]
            took[name].append(time.perf_counter() - began)
            print(
                f"{name:7} {took[name][-1]:6.1f} s wall, CPU here {time.process_time() - cpu:.1f} s, "
                f"{len(result.findings)} findings, {result.incomplete or 'whole'}",
                flush=True,
            )
            return result

        zap_engine.attack = timed  # type: ignore[assignment]
        with tempfile.TemporaryDirectory() as scratch, stage.deploy(found, settings, "bench") as deployment:
            folders = [Path(scratch, each) for each in ("outcome", "raw", "scratch")]
            for each in folders:
                each.mkdir()
            with guarded(deployment):
                zap.run_on(deployment, Context(found, settings, "zap", *folders, 900.0))
            requests = sum(service.total.requests for service in deployment.traffic.services.values())
            print(f"        {requests} requests seen by the scope")
    ratio = statistics.median(took["with"]) / statistics.median(took["without"])
    print(f"ratio of the medians, with over without: {ratio:.2f}")
    print(f"peak memory here: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB")


if __name__ == "__main__":
    socket.setdefaulttimeout(60)
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--turns", type=int, default=2)
    given = parser.parse_args()
    raw()
    if given.folder:
        scan(given.folder.resolve(), given.turns)

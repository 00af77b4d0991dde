"""Small services as real teams have them, only worse: one script whose behaviour is chosen by the variable MODE."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vallum import config as configuration
from vallum.config import Config
from vallum.target import Target, discover

SERVICE = """
import json, os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

mode, name, port = os.environ.get("MODE", ""), os.environ.get("NAME", "a"), int(sys.argv[1])
TOKEN = "token-of-this-run-" + os.environ.get("PASSWORD", "none")[::-1]
forgotten = []

def journal(what):
    path = os.environ.get("JOURNAL")
    if path:
        with open(path, "a") as file:
            file.write(f"{what} {name}\\n")

def bye(*_):
    journal("stop")
    os._exit(0)

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        if mode == "drip":
            while True:
                self.wfile.write(b"H")
                time.sleep(0.2)
        if self.path == "/die":
            print("the database is gone", flush=True)
            os._exit(7)
        if self.path == "/flood":
            line = b"x" * 1023 + b"\\n"
            for _ in range(20_000):
                os.write(1, line)
        if self.path == "/forget":
            forgotten.append(True)
        if self.path == "/ready" and mode == "never":
            return self.answer(503, {})
        if self.path == "/me":
            given = self.headers.get("Authorization")
            print("asked with", given, flush=True)
            if forgotten:
                return self.answer(401, {})
            if mode == "open" or given == f"Bearer {TOKEN}":
                return self.answer(403 if mode == "refuses" else 200, {})
            return self.answer(401, {})
        self.answer(200, {"name": name})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if asked.get("password") != os.environ.get("PASSWORD"):
            return self.answer(401, {})
        print("gave", TOKEN, "for", asked["password"], flush=True)
        self.answer(200, {"data": {"access": TOKEN} if mode != "tokenless" else {}})

    def answer(self, status, what):
        body = json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

signal.signal(signal.SIGTERM, signal.SIG_IGN if mode == "deaf" else bye)
if mode == "crash":
    print("starting")
    sys.exit("cannot read the settings: no such file")
if mode == "escape":
    if os.fork() == 0:
        os.setsid()
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with open(os.environ["PIDFILE"], "w") as file:
            file.write(str(os.getpid()))
        while True:
            time.sleep(1)
if mode == "idle":
    while True:
        time.sleep(1)
server = ThreadingHTTPServer(("0.0.0.0" if mode == "public" else "127.0.0.1", port), Handler)
journal("start")
print("listening", flush=True)
server.serve_forever()
"""


class Shop:
    """A folder with services, and what vallum makes of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.journal = root / "journal.txt"
        self.lines = ['[environment]\nkind = "process"']
        self.tail: list[str] = []

    def service(
        self, name: str = "a", mode: str = "", *, seconds: float = 20, after: tuple[str, ...] = (), **env: str
    ) -> None:
        folder = self.root / name
        folder.mkdir()
        (folder / "service.py").write_text(SERVICE)
        variables = {"MODE": mode, "NAME": name, "JOURNAL": str(self.journal), **env}
        table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in variables.items())
        self.lines.append(
            f'[environment.services.{name}]\ndirectory = "{name}"\nruntime = "python"\n'
            f'command = ["{{python}}", "service.py", "{{port}}"]\nenv = {{ {table} }}\n'
            f'ready = {{ path = "/ready", seconds = {seconds} }}\ndepends-on = {json.dumps(after)}'
        )

    def login(self, service: str = "a") -> None:
        self.lines.insert(1, '[environment.secrets]\nalice = "generate"')
        self.lines.append(
            f'[environment.login]\nservice = "{service}"\npath = "/login"\ntoken = "data.access"\nprobe = "/me"\n'
            'json = { user = "alice", password = "{secret.alice}" }'
        )

    def load(self) -> tuple[Target, Config]:
        (self.root / "vallum.toml").write_text("\n".join(self.lines))
        config = configuration.load(self.root)
        return discover(self.root, config), config

    def processes(self) -> list[int]:
        """Every live process whose environment names this folder: counted without any code of vallum."""
        found = []
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit() or int(entry.name) == os.getpid():
                continue
            try:
                environment = (entry / "environ").read_bytes()
                state = (entry / "stat").read_bytes().rpartition(b")")[2].split()[0]
            except OSError:
                continue
            if str(self.journal).encode() in environment and state != b"Z":
                found.append(int(entry.name))
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    root = tmp_path / "shop"
    root.mkdir()
    return Shop(root)


def wait_for(what: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until `what()` is true; the test fails after `seconds`."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)

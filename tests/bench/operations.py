"""`python tests/bench/operations.py [CHECK …] [N …]`: what the checks of an API cost on a service with N operations.

Writes a sound service in memory with N operations (collections with a list, an object to make, read, change and delete; for
each user their own; some for administrators) and its definition, stages it, and runs each CHECK (authorization) on N = 50,
100 and 200 operations, each in a process of its own. Prints a line for each: seconds with the deployment, requests as the
service counts them, the largest resident memory of vallum and of any program it started, findings, and what was missed.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]

SERVICE = """
import json, os, re, sys, itertools
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKENS = {f"tok-{name}-" + os.environ[name.upper()]: name for name in ("alice", "bob", "root")}
NUMBERS = itertools.count(1)
STORE = {}
COUNT = open(os.environ["COUNT"], "wb", buffering=0)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *_):
        pass

    def say(self, status, what=None):
        body = b"" if what is None else json.dumps(what).encode()
        head = f"HTTP/1.1 {status} x\\r\\nContent-Type: application/json\\r\\nContent-Length: {len(body)}\\r\\n\\r\\n"
        self.wfile.write(head.encode() + body)

    def do(self):
        COUNT.write(b".")
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw or b"{}")
        except ValueError:
            return self.say(400)
        path = self.path.partition("?")[0]
        me = TOKENS.get(self.headers.get("Authorization", "").removeprefix("Bearer "), "")
        if path == "/ready":
            return self.say(200)
        if path == "/login":
            name = str(body.get("username"))
            token = f"tok-{name}-{body.get('password')}"
            return self.say(200, {"access_token": token}) if token in TOKENS else self.say(401)
        if not me:
            return self.say(401)
        if path == "/me":
            return self.say(200, {"username": me})
        if path.startswith("/admin/"):
            return self.say(200, {"report": 1}) if me == "root" else self.say(403)
        found = re.fullmatch(r"/(things-\\d+)(?:/(\\d+))?", path)
        if not found:
            return self.say(404)
        kind, number = found[1], found[2]
        mine = STORE.setdefault((kind, me), {})
        if number is None and self.command == "GET":
            return self.say(200, list(mine.values()))
        if not isinstance(body, dict) or not isinstance(body.get("text", ""), str) or body.keys() - {"text", "size"}:
            return self.say(422)
        if not isinstance(body.get("size", 1), int) or isinstance(body.get("size"), bool):
            return self.say(422)
        if number is None and self.command == "POST":
            if "text" not in body:
                return self.say(422)
            new = {"id": next(NUMBERS), "owner": me, "price": 9.5, "size": 1, **body}
            mine[new["id"]] = new
            return self.say(201, new)
        thing = mine.get(int(number or 0))
        if thing is None:
            return self.say(404)
        if self.command == "PUT":
            thing.update(body)
        elif self.command == "DELETE":
            del mine[thing["id"]]
            return self.say(204)
        return self.say(200, thing)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


class Server(ThreadingHTTPServer):
    request_queue_size = 128


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
TOML = """
[environment.secrets]
alice = "generate"
bob = "generate"
root = "generate"
[environment.services.api]
directory = "api"
runtime = "python"
command = ["{python}", "service.py", "{port}"]
env = { ALICE = "{secret.alice}", BOB = "{secret.bob}", ROOT = "{secret.root}", COUNT = "COUNT_HERE" }
ready = { path = "/ready", seconds = 30 }
openapi = "openapi.json"
[environment.login]
service = "api"
path = "/login"
json = { username = "{username}", password = "{password}" }
probe = "/me"
"""
USER = '[environment.users.{0}]\nusername = "{0}"\npassword = "{{secret.{0}}}"\nrole = "{1}"\n'


def definition(operations: int) -> dict:
    """An OpenAPI document with that many operations, at least 7."""
    refused = {code: {"description": "refused"} for code in ("400", "401", "403", "404", "422")}
    new = {
        "type": "object",
        "required": ["text"],
        "additionalProperties": False,
        "properties": {"text": {"type": "string"}, "size": {"type": "integer"}},
    }
    shown = {name: {"type": kind} for name, kind in (("id", "integer"), ("owner", "string"), ("price", "number"))}
    thing = {"type": "object", "properties": {**new["properties"], **shown}}

    def one(code: str, schema: dict | None = None, body: bool = False) -> dict:
        answer = {"description": "it worked"} | (
            {"content": {"application/json": {"schema": schema}}} if schema else {}
        )
        taken = {"requestBody": {"required": True, "content": {"application/json": {"schema": new}}}} if body else {}
        return {"responses": {code: answer, **refused}, **taken}

    credentials = {"username": {"type": "string"}, "password": {"type": "string"}}
    schema = {"type": "object", "required": [*credentials], "properties": credentials}
    login = {**one("200"), "security": [], "requestBody": {"content": {"application/json": {"schema": schema}}}}
    paths: dict[str, dict] = {"/login": {"post": login}, "/me": {"get": one("200", {"type": "object"})}}
    left = operations - 2
    kinds = left // 6
    for number in range(kinds):
        key = {"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 1}}
        paths[f"/things-{number}"] = {
            "get": one("200", {"type": "array", "items": thing}),
            "post": one("201", thing, body=True),
        }
        paths[f"/things-{number}/{{id}}"] = {
            "parameters": [key],
            "get": one("200", thing),
            "put": one("200", thing, body=True),
            "delete": one("204"),
        }
    for number in range(left - 5 * kinds):
        paths[f"/admin/report-{number}"] = {"get": one("200", {"type": "object"})}
    return {
        "openapi": "3.0.3",
        "info": {"title": "many", "version": "1"},
        "security": [{"bearer": []}],
        "components": {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}},
        "paths": paths,
    }


def write(root: Path, operations: int) -> None:
    """The project with its service, its definition and its vallum.toml."""
    (root / "api").mkdir(parents=True)
    (root / "api" / "service.py").write_text(SERVICE, "utf-8")
    (root / "api" / "openapi.json").write_text(json.dumps(definition(operations), indent=1), "utf-8")
    users = "".join(USER.format(name, "admin" if name == "root" else "user") for name in ("alice", "bob", "root"))
    (root / "vallum.toml").write_text(TOML.replace("COUNT_HERE", str(root / "count")) + users, "utf-8")


def measure(check: str, operations: int) -> dict:
    """Run one check on such a service, in this process."""
    from vallum import config as configuration
    from vallum.check import Context
    from vallum.target import discover
    from vallum_checks import dast

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "target"
        write(root, operations)
        config = configuration.load(root)
        folders = [Path(folder) / name for name in ("outcome", "raw", "scratch")]
        for one in folders:
            one.mkdir()
        ctx = Context(discover(root, config), config, "_", *folders, 1800.0)
        if check == "schemathesis":
            ctx.tool(check)  # its installation is not what is measured
        began = time.monotonic()
        outcome = dast.run_staged(ctx.target, config, "bench", {check: ctx})[check]
        seconds = time.monotonic() - began
        run = getattr(outcome, "run", None)
        own, child = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        return {
            "check": check,
            "operations": operations,
            "status": type(outcome).__name__ + (f": {outcome.reason}" if hasattr(outcome, "reason") else ""),
            "seconds": round(seconds, 1),
            "cpu": round(own.ru_utime + own.ru_stime, 1),
            "requests": (root / "count").stat().st_size,
            "vallum_mb": own.ru_maxrss // 1024,
            "largest_child_mb": child.ru_maxrss // 1024,
            "findings": len(run.findings) if run else None,
            "missed": sum(part.expected - part.seen for part in run.coverage) if run else None,
        }


def main() -> None:
    """Measure each pair in a process of its own, so that one's memory is not another's."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("what", nargs="*")
    arguments.add_argument("--one", action="store_true", help="in this process")
    given = arguments.parse_args()
    sizes = [int(word) for word in given.what if word.isdigit()] or [50, 100, 200]
    checks = [word for word in given.what if not word.isdigit()] or ["authorization"]
    for check in checks:
        for size in sizes:
            if given.one:
                print(json.dumps(measure(check, size)), flush=True)
            else:
                subprocess.run([sys.executable, __file__, "--one", check, str(size)], check=False)


if __name__ == "__main__":
    main()

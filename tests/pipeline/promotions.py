"""What the tests of promotion share: a repository with a service that is deployed by a script, and a stand-in for kubectl."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

OWN = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"], "HOME": "/nonexistent"}

SERVICE = """\
import http.server
import sys
import time

version, port, broken_after = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
began = 0.0


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        global began
        began = began or time.monotonic()
        bad = broken_after >= 0 and time.monotonic() - began > broken_after
        self.send_response(500 if bad else 200)
        self.end_headers()
        self.wfile.write(version.encode())

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
"""One version of a small service; it goes bad that many seconds after it was first asked, if they are not negative."""

DEPLOY = """\
import os
import pathlib
import signal
import sys
import time

live, port, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
version, _, broken_after = name.partition("/")
if version == "undeployable":
    print("no such version, said", os.environ.get("DEPLOY_TOKEN"), file=sys.stderr)
    sys.exit(7)
running = live / "pid"
if running.exists():
    try:
        os.kill(int(running.read_text()), signal.SIGKILL)
    except ProcessLookupError:
        pass
    while True:
        try:
            os.kill(int(running.read_text()), 0)
        except ProcessLookupError:
            break
        if pathlib.Path("/proc", running.read_text(), "stat").read_text().rpartition(")")[2].split()[0] == "Z":
            break
        time.sleep(0.01)
if version == "hangs":
    (live / "version").write_text(name)
    time.sleep(600)
child = os.fork()
if not child:
    # in our session and group, as a careless script leaves it
    out = os.open(live / "log.txt", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.execv(sys.executable, [sys.executable, "service.py", version, port, broken_after or "-1"])
running.write_text(str(child))
(live / "version").write_text(name)
print("deployed with", os.environ.get("DEPLOY_TOKEN"))
"""

PROMOTION = """
[promotion]
kind = "command"
command = ["{env.PYTHON}", "deploy.py", "{env.LIVE}", "{env.PORT}", "{env.VERSION}"]
current = ["cat", "{env.LIVE}/version"]
rollback = ["{env.PYTHON}", "deploy.py", "{env.LIVE}", "{env.PORT}", "{previous}"]
pass-env = ["LIVE", "PORT", "VERSION", "PYTHON", "DEPLOY_TOKEN"]
watch-seconds = 1
rollback-watch-seconds = 0.3
interval = 0.1
start-seconds = 20

[promotion.probes.service]
url = "http://127.0.0.1:{env.PORT}/"
"""


def git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(root), *arguments],
        env=OWN,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


class Live:
    """Where the service is deployed: a folder and a port."""

    def __init__(self, folder: Path, port: int, root: Path) -> None:
        self.folder, self.port, self.root = folder, port, root
        folder.mkdir()

    def env(self, version: str) -> dict[str, str]:
        return {
            "LIVE": str(self.folder),
            "PORT": str(self.port),
            "VERSION": version,
            "PYTHON": sys.executable,
            "DEPLOY_TOKEN": "very-secret-deploy-token",
        }

    def deploy(self, version: str) -> None:
        argv = [sys.executable, "deploy.py", str(self.folder), str(self.port), version]
        subprocess.run(argv, cwd=self.root, check=True, capture_output=True, start_new_session=True)

    @property
    def version(self) -> str:
        return (self.folder / "version").read_text()

    def end(self) -> None:
        if (self.folder / "pid").exists():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int((self.folder / "pid").read_text()), signal.SIGKILL)


KUBECTL = '''\
#!/usr/bin/env -S python3 -S -E
"""kubectl as its reference describes it, for the few commands that a promotion uses. State: state.json beside it."""
import copy
import json
import pathlib
import sys

here = pathlib.Path(__file__).parent
state = json.loads((here / "state.json").read_text())
with (here / "calls.txt").open("a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
words = [w for w in sys.argv[1:] if not w.startswith(("--context", "--namespace", "--request-timeout"))]
assert any(w.startswith("--namespace=") for w in sys.argv), "no namespace"


def fail(text):
    print(text, file=sys.stderr)
    sys.exit(1)


def save():
    (here / "state.json").write_text(json.dumps(state))


def roll(name, template):
    """A new template is a new revision, or an old one with the next number."""
    one = state[name]
    if one["template"] == template:
        return False
    one["history"] = {r: t for r, t in one["history"].items() if t != template}
    one["revision"] = str(int(one["revision"]) + 1)
    one["history"][one["revision"]] = one["template"] = template
    return True


def pod(image):
    return {"spec": {"containers": [{"name": "app", "image": image}]}}


def files():
    path = pathlib.Path(words[words.index("-f") + 1])
    return [json.loads(each.read_text()) for each in (sorted(path.iterdir()) if path.is_dir() else [path])]


if words[0] == "get":
    one = state.get(words[1])
    if one:
        print(json.dumps({
            "kind": "Deployment",
            "metadata": {"name": words[1], "annotations": {"deployment.kubernetes.io/revision": one["revision"]}},
            "spec": {"template": one["template"]},
        }))
elif words[0] == "apply":
    if "--dry-run=client" in words:
        print(json.dumps({"kind": "List", "items": files()}))
        sys.exit()
    for document in files():
        name = document["kind"].lower() + "/" + document["metadata"]["name"]
        template = document["spec"]["template"]
        state.setdefault(name, {"template": None, "revision": "0", "history": {}})
        roll(name, template)
        print(f"{name} configured")
elif words[:2] == ["set", "image"]:
    if words[2] not in state:
        fail(f'Error from server (NotFound): {words[2]} not found')
    template = copy.deepcopy(state[words[2]]["template"])
    template["spec"]["containers"][0]["image"] = words[3].partition("=")[2]
    roll(words[2], template)
elif words[:2] == ["rollout", "status"]:
    image = state[words[2]]["template"]["spec"]["containers"][0]["image"]
    if "b" * 64 in image:
        fail("error: timed out waiting for the condition")
    print("successfully rolled out")
elif words[:2] == ["rollout", "undo"]:
    if (here / "undo-fails").exists():
        fail("Error from server (Forbidden): deployments.apps is forbidden")
    one = state[words[2]]
    revision = next((w.partition("=")[2] for w in words if w.startswith("--to-revision=")), "")
    if revision not in one["history"]:
        fail("error: unable to find specified revision " + revision + " in history")
    if not roll(words[2], one["history"][revision]):
        print("skipped rollback (current template already matches revision " + revision + ")")
elif words[0] == "delete":
    state.pop(words[1], None)
else:
    fail(f"error: unknown command {words}")
save()
'''

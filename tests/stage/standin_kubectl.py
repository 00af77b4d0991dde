"""A stand-in for kubectl and a cluster, for machines that have none: pods are processes of this machine, on loopback.

It knows the commands that vallum.stage gives, with the output formats and exit codes of kubectl 1.32, as seen on a real cluster.
Its state lies beside the file that KUBECONFIG names. The tests that use it run on a real cluster too (see test_kubernetes).
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HOME = Path(os.environ["KUBECONFIG"]).parent
RESOURCES = """\
configmaps                 cm       v1                           true   ConfigMap
pods                       po       v1                           true   Pod
secrets                             v1                           true   Secret
services                   svc      v1                           true   Service
deployments                deploy   apps/v1                      true   Deployment
jobs                                batch/v1                     true   Job
ingresses                  ing      networking.k8s.io/v1         true   Ingress
networkpolicies            netpol   networking.k8s.io/v1         true   NetworkPolicy
rolebindings                        rbac.authorization.k8s.io/v1 true   RoleBinding
"""


def fail(message: str) -> None:
    print(message, file=sys.stderr)
    sys.exit(1)


def folder(namespace: str) -> Path:
    return HOME / "namespaces" / namespace


def objects(namespace: str) -> list[dict]:
    path = folder(namespace) / "objects.json"
    return json.loads(path.read_text())["items"] if path.exists() else []


def pods(namespace: str) -> list[Path]:
    return sorted((folder(namespace) / "pods").glob("*")) if folder(namespace).is_dir() else []


def create(namespace: str, path: str) -> None:
    text = Path(path).read_text()
    (folder(namespace) / "objects.json").write_text(text)
    items = json.loads(text)["items"]
    secrets = {each["metadata"]["name"]: each["stringData"] for each in items if each["kind"] == "Secret"}
    for each in items:
        if each["kind"] != "Deployment":
            continue
        container = each["spec"]["template"]["spec"]["containers"][0]
        pod = folder(namespace) / "pods" / f"{each['metadata']['name']}-5f7d-x2x"
        pod.mkdir(parents=True)
        if container["image"] == "localhost/no-such-image:1":
            (pod / "image-missing").touch()
            continue
        env = {"PATH": os.environ["PATH"]}
        for entry in container.get("env", []):
            source = entry.get("valueFrom", {}).get("secretKeyRef")
            env[entry["name"]] = secrets[source["name"]][source["key"]] if source else entry["value"]
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (pod / "port").write_text(str(port))
        argv = [sys.executable, *container["command"][1:-1], str(port)]
        runner = ["/bin/sh", "-c", '"$@"; echo $? > "$0"', str(pod / "exit"), *argv]
        with (pod / "log").open("wb") as log:
            process = subprocess.Popen(
                runner, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        (pod / "pid").write_text(str(process.pid))


def shown(pod: Path) -> dict:
    name, status = (
        pod.name.split("-")[0],
        {"name": "app", "restartCount": 0, "imageID": "sha256:" + "0" * 64, "state": {}},
    )
    if (pod / "image-missing").exists():
        status["state"] = {"waiting": {"reason": "ErrImageNeverPull", "message": "the image is not present"}}
    elif (pod / "exit").exists():
        status["restartCount"] = 1
        status["lastState"] = {"terminated": {"exitCode": int((pod / "exit").read_text() or 0), "reason": "Error"}}
    owner = {"kind": "ReplicaSet", "name": f"{name}-5f7d"}
    metadata = {"name": pod.name, "uid": pod.name, "ownerReferences": [owner]}
    return {"metadata": metadata, "status": {"phase": "Running", "containerStatuses": [status]}}


def rollout(namespace: str, name: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    pod = next(each for each in pods(namespace) if each.name.startswith(name + "-"))
    time.sleep(0.5)
    while time.monotonic() < deadline:
        if not (pod / "exit").exists() and not (pod / "image-missing").exists():
            print(f'deployment "{name}" successfully rolled out')
            return
        time.sleep(0.1)
    fail("error: timed out waiting for the condition")


def logs(namespace: str, name: str, follow: bool) -> None:
    pod = next(each for each in pods(namespace) if each.name.startswith(name + "-"))
    with (pod / "log").open("rb") as log:
        while True:
            data = log.read(65536)
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
            if not data and not follow:
                return
            if not data:
                time.sleep(0.05)


def forward(namespace: str, name: str, inside: str) -> None:
    pod = next(each for each in pods(namespace) if each.name.startswith(name + "-"))
    target = ("127.0.0.1", int((pod / "port").read_text()))
    with socket.create_server(("127.0.0.1", 0)) as server:
        print(f"Forwarding from 127.0.0.1:{server.getsockname()[1]} -> {inside}", flush=True)
        while True:
            client, _ = server.accept()
            try:
                backend = socket.create_connection(target, timeout=5)
            except OSError:
                if (pod / "exit").exists():
                    fail("error: lost connection to pod")
                client.close()  # it does not listen yet
                continue
            for one, other in ((client, backend), (backend, client)):
                threading.Thread(target=copy, args=(one, other), daemon=True).start()


def copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def delete(names: list[str]) -> None:
    for name in names:
        for pod in pods(name):
            with contextlib.suppress(OSError, ValueError):
                os.killpg(int((pod / "pid").read_text()), signal.SIGKILL)
        shutil.rmtree(folder(name))
        print(f'namespace "{name}" deleted')


def main(words: list[str]) -> None:
    assert words[0] == "--context", words
    if words[1] != "vallum-test":
        fail(f'error: context "{words[1]}" does not exist')
    words, namespace = words[2:], ""
    if words[0] == "--namespace":
        namespace, words = words[1], words[2:]
    plain = [word for word in words if not word.startswith("-")]
    option = {key: value for key, _, value in (word.partition("=") for word in words if word.startswith("--"))}
    match plain:
        case ["get", "/readyz"]:
            print("ok")
        case ["api-resources"]:
            print(RESOURCES, end="")
        case ["create", "namespace", name]:
            folder(name).mkdir(parents=True)
        case ["create", path]:
            create(namespace, path)
        case ["label", "namespace", name, *labels]:
            (folder(name) / "labels").write_text(json.dumps(dict(label.split("=", 1) for label in labels)))
        case ["get", "pods", "json"]:
            print(json.dumps({"items": [shown(pod) for pod in pods(namespace)]}))
        case ["get", "namespaces", "vallum/stage", "json"]:
            found = [each for each in sorted((HOME / "namespaces").glob("*")) if (each / "labels").exists()]
            items = [
                {"metadata": {"name": each.name, "labels": json.loads((each / "labels").read_text())}} for each in found
            ]
            print(json.dumps({"items": items}))
        case ["rollout", "status", workload]:
            rollout(namespace, workload.split("/")[1], float(option["--timeout"].rstrip("s")))
        case ["logs", *which]:
            selected = which[0].split("/")[1] if which else option["--selector"].split("=")[1]
            logs(namespace, selected, "--follow" in option)
        case ["port-forward", target, port]:
            forward(namespace, target.split("/")[1], port.lstrip(":"))
        case ["delete", "namespace", *names]:
            delete(names)
        case _:
            fail(f"error: the stand-in does not know {words}")


if __name__ == "__main__":
    main(sys.argv[1:])

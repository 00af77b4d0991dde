"""A namespace of the run, in every way it fails; after each, nothing is left.

On a stand-in for kubectl everywhere, and on a real cluster where VALLUM_TEST_CONTEXT names a context of the kubeconfig whose nodes
have the image localhost/vallum-test-base:1 (anything with python3).
"""

from __future__ import annotations

import copy
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
from typing import Any

import pytest

from vallum import config as configuration
from vallum import stage
from vallum.config import Config
from vallum.environments import Kubernetes
from vallum.errors import Inconclusive, UserError
from vallum.stage import leftovers, manifests
from vallum.stage.stage import down, up
from vallum.target import Target, discover

from .conftest import SERVICE, wait_for
from .project import get, orchestrate

IMAGE = "localhost/vallum-test-base:1"
REAL = os.environ.get("VALLUM_TEST_CONTEXT", "")
EXAMPLES = Path(__file__).parents[2] / "examples"
NAMESPACED = frozenset(
    {
        *(("v1", kind) for kind in ("ConfigMap", "Pod", "Secret", "Service")),
        *(("networking.k8s.io/v1", kind) for kind in ("NetworkPolicy", "Ingress")),
        ("apps/v1", "Deployment"),
    }
)


class Chart:
    """A folder with manifests of one service."""

    def __init__(self, root: Path, context: str) -> None:
        self.root = root
        self.env = {"MODE": ""}
        self.table = [f'context = "{context}"', 'manifests = ["k8s"]']
        self.service = ['directory = "a"', 'ready = { path = "/ready", seconds = 20 }']
        self.more: list[str] = []
        security = {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        self.container: dict[str, Any] = {
            "name": "app",
            "image": IMAGE,
            "imagePullPolicy": "Never",
            "command": ["python3", "-u", "-c", SERVICE, "8000"],
            "securityContext": security,
        }

    def documents(self) -> list[dict[str, Any]]:
        env = [{"name": name, "value": value} for name, value in self.env.items()]
        user = {"runAsNonRoot": True, "runAsUser": 10001, "seccompProfile": {"type": "RuntimeDefault"}}
        pod = {
            "automountServiceAccountToken": False,
            "securityContext": user,
            "containers": [{**self.container, "env": env}],
        }
        labels = {"app": "a"}
        template = {"metadata": {"labels": labels}, "spec": pod}
        level = {"pod-security.kubernetes.io/enforce": "restricted"}
        policy = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
        return [
            {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": level}},
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": "deny-all", "namespace": "shop"},
                "spec": policy,
            },
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": "a", "namespace": "shop"},
                "spec": {"replicas": 1, "selector": {"matchLabels": labels}, "template": template},
            },
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": "a", "namespace": "shop"},
                "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": 8000}]},
            },
        ]

    def login(self) -> None:
        self.service.append('env = { PASSWORD = "{secret.alice}", AT = "{url.a}" }')
        self.table.append('secrets = { shop-a = { key = "{secret.alice}" } }')
        self.more = [
            '[environment.secrets]\nalice = "generate"',
            '[environment.login]\nservice = "a"\npath = "/login"\ntoken = "data.access"\nprobe = "/me"',
            'json = { user = "alice", password = "{secret.alice}" }',
        ]

    def load(self) -> tuple[Target, Config]:
        for name in ("a", "k8s"):
            (self.root / name).mkdir(exist_ok=True)
        (self.root / "k8s/all.yaml").write_text("\n---\n".join(json.dumps(each) for each in self.documents()))
        lines = ['[environment]\nkind = "kubernetes"', "[environment.kubernetes]", *self.table]
        lines += ["[environment.services.a]", *self.service, *self.more]
        (self.root / "vallum.toml").write_text("\n".join(lines))
        config = configuration.load(self.root)
        return discover(self.root, config), config

    def enter(self) -> None:
        target, config = self.load()
        with stage.deploy(target, config, "r"):
            pytest.fail("it came up")


def namespaces(chart: Chart) -> list[str]:
    """The namespaces of this folder, asked without any code of vallum but the name."""
    import hashlib

    label = hashlib.sha256(os.fsencode(chart.root.resolve() / ".vallum/stage/kubernetes")).hexdigest()[:12]
    argv = ["kubectl", "--context", REAL or "vallum-test", "get", "namespaces", "--selector", "vallum/stage"]
    done = subprocess.run([*argv, "--output", "json"], capture_output=True, text=True, check=True, timeout=60)
    items = [each["metadata"] for each in json.loads(done.stdout)["items"]]
    return [each["name"] for each in items if each["labels"]["vallum/stage"] == label]


@pytest.fixture(params=["stand-in", "real"])
def chart(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Chart]:
    root = tmp_path / "project"
    root.mkdir()
    if request.param == "real":
        if not REAL:
            pytest.skip("VALLUM_TEST_CONTEXT names no cluster")
        yield Chart(root, REAL)
        return
    program = tmp_path / "bin" / "kubectl"
    program.parent.mkdir()
    source = Path(__file__).with_name("standin_kubectl.py")
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -I {source} "$@"\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "cluster" / "config"))
    monkeypatch.setattr(sys.modules[__name__], "REAL", "")
    yield Chart(root, "vallum-test")
    for pid in (tmp_path / "cluster").glob("namespaces/*/pods/*/pid"):
        os.killpg(int(pid.read_text()), signal.SIGKILL)


def test_up_logged_in_on_loopback_and_down(chart: Chart) -> None:
    chart.login()
    target, config = chart.load()
    with stage.deploy(target, config, "run-1") as deployment:
        assert deployment.urls["a"].startswith("http://127.0.0.1:")
        deployment.liveness()
        assert get(deployment.urls["a"] + "/x") == 200
        assert len(namespaces(chart)) == 1
        state = json.loads((deployment.folder / "state.json").read_text())
        assert list(state["images"]) == ["a/app"]
        assert state["images"]["a/app"].startswith("sha256:")
        password = deployment.secrets["alice"]
        for line in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                assert password.encode() not in line.read_bytes()
            except OSError:
                continue
    assert namespaces(chart) == []
    assert leftovers.labelled(deployment.folder) == []
    for path in (chart.root / ".vallum").rglob("*"):
        assert not path.is_file() or password.encode() not in path.read_bytes(), path
    assert "gave [redacted]" in deployment.logs["a"].read_text()


def test_a_service_that_is_never_ready(chart: Chart) -> None:
    chart.env["MODE"] = "never"
    chart.service[1] = 'ready = { path = "/ready", seconds = 8 }'
    with pytest.raises(Inconclusive, match="a was not ready within 8 s: GET /ready answered 503"):
        chart.enter()
    assert namespaces(chart) == []


def test_a_service_that_crashes_in_its_start(chart: Chart) -> None:
    chart.env["MODE"] = "crash"
    chart.table.append(f"minutes = {0.2 if REAL else 0.05}")
    chart.service[1] = 'ready = { path = "/ready", seconds = 8 }'
    with pytest.raises(Inconclusive) as caught:
        chart.enter()
    assert "app ended with exit code 1" in caught.value.reason or "the port-forward to a" in caught.value.reason
    assert namespaces(chart) == []


def test_an_image_that_is_not_there_is_seen_at_once(chart: Chart) -> None:
    chart.container["image"] = "localhost/no-such-image:1"
    began = time.monotonic()
    with pytest.raises(Inconclusive, match=r"the pod a-.* cannot start: app: ErrImageNeverPull"):
        chart.enter()
    assert time.monotonic() - began < 200
    assert namespaces(chart) == []


def test_a_service_that_dies_in_use(chart: Chart) -> None:
    target, config = chart.load()
    with stage.deploy(target, config, "r") as deployment:
        deployment.liveness()
        with pytest.raises((urllib.error.URLError, OSError)):
            get(deployment.urls["a"] + "/die")
        with pytest.raises(
            Inconclusive, match=r"started anew while it was in use: app ended with exit code 7|port-forward"
        ):
            wait_for(deployment.liveness)
    assert namespaces(chart) == []


def test_a_dead_port_forward_is_inconclusive(chart: Chart) -> None:
    target, config = chart.load()
    with stage.deploy(target, config, "r") as deployment:
        state = json.loads((deployment.folder / "state.json").read_text())
        os.kill(state["services"]["a"]["pid"], signal.SIGKILL)
        with pytest.raises(Inconclusive, match="the port-forward to a ended while it was in use"):
            wait_for(deployment.liveness)
    assert namespaces(chart) == []


def test_ctrl_c_takes_it_down_and_what_a_kill_left_goes_with_the_next_run_or_unstage(chart: Chart) -> None:
    chart.env["MODE"] = "deaf"
    process = orchestrate(chart)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) != 0
    assert namespaces(chart) == []
    for attempt in range(2):
        process = orchestrate(chart)
        process.kill()
        process.wait()
        before = namespaces(chart)
        assert len(before) == 1
        if attempt == 0:
            target, config = chart.load()
            with stage.deploy(target, config, "run-2"):
                assert before[0] not in namespaces(chart)
        else:
            assert down(chart.root) == "taken down: a"
            assert down(chart.root) == "nothing was up"
        assert namespaces(chart) == []


def test_stage_leaves_it_up_and_unstage_takes_it_down(chart: Chart) -> None:
    target, config = chart.load()
    said = up(target, config, "by-hand")
    try:
        url = next(word for word in said.split() if word.startswith("http://"))
        assert get(url + "/ready") == 200
    finally:
        assert down(chart.root) == "taken down: a"
    assert namespaces(chart) == []


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('context = "none"', 'context = ""', r"kubernetes\.context is empty"),
        ('context = "none"', 'context = "--token=x"', r"kubernetes\.context is empty"),
        ('manifests = ["k8s"]', 'manifests = ["none"]', r"there is no 'none' in the checkout"),
        ('manifests = ["k8s"]', 'manifests = ["../.."]', r"there is no '\.\./\.\.' in the checkout"),
        ('manifests = ["k8s"]', 'manifests = ["k8s"]\nkustomize = "k8s"', r"exactly one of"),
        ('manifests = ["k8s"]', "", r"exactly one of"),
        ('directory = "a"', 'directory = "a"\ncommand = ["x"]', r"are for the kind `process`"),
        ('directory = "a"', 'directory = "a"\nenv = { A = "{state}" }', r"unknown placeholder \{state\}"),
        ('manifests = ["k8s"]', 'manifests = ["k8s"]\nsecrets = { a = { b = "{secret.c}" } }', r"unknown placeholder"),
    ],
)
def test_mistakes_in_the_table(tmp_path: Path, old: str, new: str, message: str) -> None:
    project = Chart(tmp_path, "none")
    project.table = [line.replace(old, new) for line in project.table]
    project.service = [line.replace(old, new) for line in project.service]
    with pytest.raises(UserError, match=message) as caught:
        project.enter()
    assert caught.value.hint


def test_a_context_that_does_not_exist(chart: Chart) -> None:
    chart.table[0] = 'context = "no-such-cluster"'
    with pytest.raises(Inconclusive, match="the cluster of the context no-such-cluster does not answer"):
        chart.enter()


def pod(**spec: object) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [], **spec}}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (pod(hostNetwork=True), "Pod/p: hostNetwork would hand the node"),
        (pod(hostPID=True), "Pod/p: hostPID"),
        (pod(volumes=[{"name": "v", "hostPath": {"path": "/"}}]), "Pod/p: hostPath"),
        (pod(containers=[{"securityContext": {"privileged": True}}]), "Pod/p: privileged"),
        (pod(initContainers=[{"securityContext": {"privileged": True}}]), "Pod/p: privileged"),
        (pod(containers=[{"ports": [{"containerPort": 1, "hostPort": 1}]}]), "Pod/p: hostPort"),
        (
            {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"type": "LoadBalancer"}},
            "Service/s opens the service to a network",
        ),
        (
            {"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "i"}},
            "Ingress/i opens the service to a network",
        ),
        (
            {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "c"}},
            "ClusterRole/c does not live in a namespace",
        ),
        (
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "h", "annotations": {"helm.sh/hook": "pre-install"}},
            },
            "Pod/h is a Helm hook",
        ),
    ],
)
def test_what_may_not_be_staged(document: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        manifests.prepare([copy.deepcopy(document)], NAMESPACED, "label", {})
    assert caught.value.hint


def test_objects_become_those_of_the_run(tmp_path: Path) -> None:
    """The manifests of the repaired shop: several files, one namespace, its Pod Security level, NetworkPolicies kept."""
    shutil.copytree(EXAMPLES / "shop-repaired/kubernetes", tmp_path / "k8s")
    table = Kubernetes(context="c", manifests=("k8s",))
    documents = manifests.read(table, tmp_path, "kubectl", "run")
    entry = {"A": {"valueFrom": {"secretKeyRef": {"name": "s", "key": "A"}}}}
    prepared = manifests.prepare(documents, NAMESPACED, "label", {"accounts": entry, "orders": {}})
    assert prepared.labels == {"pod-security.kubernetes.io/enforce": "restricted"}
    assert prepared.ports == {"accounts": 8003, "catalog": 8004, "gateway": 8001, "orders": 8002}
    assert sorted(prepared.workloads) == [("Deployment", name) for name in ("accounts", "catalog", "gateway", "orders")]
    assert not [each for each in prepared.documents if "namespace" in each["metadata"]]
    assert {each["metadata"]["labels"]["vallum/stage"] for each in prepared.documents} == {"label"}
    assert sum(each["kind"] == "NetworkPolicy" for each in prepared.documents) >= 4
    for each in prepared.documents:
        if each["kind"] == "Deployment":
            spec = each["spec"]["template"]["spec"]
            assert spec["terminationGracePeriodSeconds"] == 5
            injected = [entry["name"] for entry in spec["containers"][0].get("env", []) if entry["name"] == "A"]
            assert injected == (["A"] if each["metadata"]["name"] == "accounts" else [])
    with pytest.raises(UserError, match="the manifests have no workload `nobody`"):
        manifests.prepare(documents, NAMESPACED, "label", {"nobody": entry})


def test_two_namespaces_are_refused() -> None:
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "x"}}
    two = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "y"}}
    with pytest.raises(UserError, match="several namespaces: x, y"):
        manifests.prepare([one, two], NAMESPACED, "label", {})


def test_kustomize_is_rendered_by_kubectl(tmp_path: Path) -> None:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not at hand")
    (tmp_path / "k").mkdir()
    (tmp_path / "k/c.yaml").write_text(json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}))
    (tmp_path / "k/kustomization.yaml").write_text("namePrefix: staged-\nresources: [c.yaml]\n")
    table = Kubernetes(context="c", kustomize="k")
    documents = manifests.read(table, tmp_path, kubectl, "run")
    assert [each["metadata"]["name"] for each in documents] == ["staged-c"]
    (tmp_path / "k/kustomization.yaml").write_text("resources: [none.yaml]\n")
    with pytest.raises(UserError, match="kubectl kustomize failed"):
        manifests.read(table, tmp_path, kubectl, "run")


def test_helm_that_is_not_there_is_inconclusive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "chart").mkdir()
    with pytest.raises(Inconclusive, match="helm is needed"):
        manifests.read(Kubernetes(context="c", chart="chart"), tmp_path, "kubectl", "run")

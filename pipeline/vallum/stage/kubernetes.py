"""The kind of environment `kubernetes`: manifests, kustomize or a Helm chart, in a namespace of the run, by kubectl.

The namespace is made, labelled and deleted by the run; each service is reached through a `kubectl port-forward` of its own, on a
free port of 127.0.0.1. A port-forward that ends, or a container that was started anew, makes the outcome incomplete: what a
scanner saw through it was not the service all the time. A NetworkPolicy stays in force; a port-forward is let in by the node.

Seen to work with a cluster of Kubernetes 1.32.13 on one node, manifests and kustomize. **Unverified**: Helm (no helm was at
hand), a cluster of several nodes, other versions, credential plugins that need variables of their own.
"""

from __future__ import annotations

import contextlib
import re
import secrets as random
import shutil
import subprocess  # noqa: TID251 - only its type; vallum.process starts
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from vallum import artifacts
from vallum.config import Config
from vallum.environments import Environment, Kubernetes
from vallum.errors import Inconclusive, UserError
from vallum.process import clean_environment, start
from vallum.stage import cluster as clusters
from vallum.stage import leftovers, manifests, readiness, settings, sockets, state
from vallum.stage.cluster import Cluster
from vallum.stage.containers import private_folder
from vallum.stage.environment import Deployment
from vallum.stage.identities import Identities
from vallum.stage.log import Logs
from vallum.stage.objects import Objects
from vallum.stage.redact import Redactor
from vallum.stage.secrets import resolve
from vallum.stage.settle import settle
from vallum.stage.signals import interrupting, uninterrupted
from vallum.target import Target

KIND = "kubernetes"
PATIENCE = 240.0
"""Seconds that the supervisor of `vallum -s stage` gets to take its namespace down."""
FORWARDS = 30.0
"""Seconds for a port-forward to name its port."""
GLANCE = 2.0
"""Seconds between two looks at the pods while something is waited for."""
_FORWARDING = re.compile(r"Forwarding from 127\.0\.0\.1:(\d+) ->")


@contextlib.contextmanager
def deploy(target: Target, config: Config, run_id: str) -> Iterator[Deployment]:
    """See vallum.stage.environment.Environment. Call it in a thread that outlives the `with`."""
    environment = config.environment
    if environment is None or environment.kubernetes is None:
        raise UserError("there is no [environment.kubernetes] in the configuration", "see docs/environments.md")
    settings.check(environment, target.root)
    folder = state.folder(target.root, KIND)
    held = artifacts.locked(folder / "lock", "a staged deployment of this folder is up, or a run is using it")
    with interrupting(), held:
        cluster = clusters.find(environment.kubernetes.context)
        _clear(folder, cluster)
        running = _Running(target.root, environment, environment.kubernetes, run_id, folder, cluster)
        try:
            running.up()
            yield running.deployment()
        finally:
            with uninterrupted():
                running.down()


def remove(root: Path) -> list[str]:
    """See vallum.stage.environment.Environment."""
    if not (artifacts.folder(root.resolve()) / "stage" / KIND).is_dir():
        return []
    folder = state.folder(root, KIND)
    where = state.read(folder).where
    ended = state.evict(folder, PATIENCE)
    with artifacts.locked(folder / "lock", "the staged deployment does not end"):
        if not where or not (folder / state.FILE).exists():
            return ended
        return sorted({*ended, *_clear(folder, clusters.find(where))})


def _clear(folder: Path, cluster: Cluster) -> list[str]:
    """Remove what an earlier run left, by its label; the names of its services."""
    label = state.label_of(folder)
    services = state.read(folder).services
    cluster.sweep(label)
    shutil.rmtree(private_folder(label), ignore_errors=True)
    state.clear(folder, 1.0)
    return sorted(services)


class _Running:
    """The namespace of one deployment, and the kubectl processes that lead into it."""

    def __init__(
        self, root: Path, environment: Environment, table: Kubernetes, run_id: str, folder: Path, cluster: Cluster
    ) -> None:
        self._root = root
        self._environment = environment
        self._table = table
        self._run_id = run_id
        self._folder = folder
        self._label = state.label_of(folder)
        self._cluster = Cluster(cluster.path, cluster.context, f"vallum-{self._label}-{random.token_hex(3)}")
        self._secrets = resolve(environment.secrets)
        self._identities = Identities(environment, root)
        self._redactor = Redactor()
        for secret in self._secrets.values():
            self._redactor.add(secret)
        self._objects = Objects(environment, table, root, self._cluster, self._label, self._secrets, self._redactor)
        self._prepared = self._objects.prepared
        self._logs = Logs(self._redactor)  # a thread begins here: what may fail comes before
        self._forwards: dict[str, subprocess.Popen[bytes]] = {}
        self._followers: list[subprocess.Popen[bytes]] = []
        self._ports: dict[str, int] = {}
        self._images: dict[str, str] = {}
        self._known: dict[str, int] = {}
        self._looked = 0.0
        self._down = False

    def up(self) -> None:
        """Create everything, wait for the rollout, forward the ports, wait until ready. Raises UserError or Inconclusive."""
        self._write_state()
        self._cluster.create_namespace(self._prepared.labels, self._label)
        self._objects.create()
        self._roll_out()
        for pod in self._cluster.pods():
            self._known[pod.uid] = pod.restarts
            self._images |= {f"{pod.workload}/{name}": image for name, image in pod.images.items()}
        for name in self._environment.services:
            self._follow(name)
            self._forward(name)
        for name in self._environment.services:
            self._await(name)
        self._write_state()

    def deployment(self) -> Deployment:
        """Log in, where configured, and say what is up."""
        urls = {name: self._identities.url(name, self._ports[name]) for name in self._environment.services}
        return settle(
            KIND,
            self._run_id,
            self._environment,
            self._root,
            self._folder,
            urls,
            self._secrets,
            self._redactor,
            self._logs,
            logged=self._environment.services,
            identities=self._identities,
            check=self.check,
            alive=self._watch,
        )

    def _roll_out(self) -> None:
        """`kubectl rollout status` for each workload, all within one deadline; what can never start is seen at once."""
        deadline = time.monotonic() + self._table.minutes * 60
        for kind, name in self._prepared.workloads:
            seconds = max(1, int(deadline - time.monotonic()))
            if kind in manifests.WORKLOADS:
                words = ["rollout", "status", f"{kind.lower()}/{name}", f"--timeout={seconds}s"]
            else:
                condition = "Complete" if kind == "Job" else "Ready"
                words = ["wait", f"--for=condition={condition}", f"{kind.lower()}/{name}", f"--timeout={seconds}s"]
            command = readiness.Command(
                self._cluster.argv(*words), self._root, self._environment_of_kubectl(), self._folder / "rollout.txt"
            )
            if readiness.run(command, deadline + 5, self._glance) != 0:
                self._look()
                pods = [pod for pod in self._cluster.pods() if pod.workload == name]
                why = next((pod.ended for pod in pods if pod.ended), "it is not ready")
                detail = self._cluster.ask("logs", f"{kind.lower()}/{name}", "--all-containers", "--tail=40").output
                raise Inconclusive(
                    f"{kind.lower()}/{name} was not rolled out within {self._table.minutes:g} min: {why}",
                    self._redactor.text(detail),
                )

    def _environment_of_kubectl(self) -> Mapping[str, str]:
        return clean_environment() | {leftovers.LABEL: str(self._folder)}

    def _start(self, log: str, path: Path, *words: str) -> subprocess.Popen[bytes]:
        with self._logs.pipe(log, path) as out:
            argv = self._cluster.argv(*words)
            return start(argv, cwd=self._root, env=self._environment_of_kubectl(), stdout=out)

    def _target(self, name: str) -> str:
        return self._environment.services[name].forward or f"service/{name}"

    def _follow(self, name: str) -> None:
        """Collect the output of a service's pods from its beginning."""
        selector = self._prepared.selectors.get(name)
        which = [f"--selector={','.join(f'{key}={value}' for key, value in selector.items())}"] if selector else []
        which = which or [self._target(name)]
        words = ["logs", "--follow", "--all-containers", "--max-log-requests=50", "--tail=-1", *which]
        shutil.rmtree(self._folder / name, ignore_errors=True)
        self._followers.append(self._start(name, self._folder / name / "log.txt", *words))

    def _forward(self, name: str) -> None:
        log = f"{name} (port-forward)"
        where = [self._target(name), f":{self._objects.ports[name]}"]
        words = ["port-forward", f"--address={sockets.LOOPBACK}", *where]
        self._forwards[name] = self._start(log, self._folder / name / "forward.txt", *words)
        deadline = time.monotonic() + FORWARDS
        while not (found := _FORWARDING.search(self._logs.tail(log))):
            self._check_forwards("before it was up")
            if time.monotonic() > deadline:
                raise Inconclusive(f"the port-forward to {name} named no port within {FORWARDS:.0f} s")
        self._ports[name] = int(found[1])

    def _await(self, name: str) -> None:
        ready = self._environment.services[name].ready
        key = f"environment.services.{name}.ready.command"
        command = None
        if ready.command:
            words = [settings.fill(word, key, self._objects.values(name)) for word in ready.command]
            argv = self._cluster.argv("exec", self._target(name), "--", *words)
            command = readiness.Command(argv, self._root, clean_environment(), self._folder / name / "ready.txt")
        ask = readiness.probe(ready, self._ports[name], command, tls=self._identities.trust.get(name))
        readiness.wait(name, ready.seconds, ask, self._glance, lambda: self._logs.tail(name))

    def _glance(self) -> None:
        self._check_forwards("during the start")
        if time.monotonic() - self._looked > GLANCE:
            self._look()

    def _watch(self) -> None:
        """`check`, but the pods are asked for every two seconds at most."""
        self._check_forwards("while it was seeded")
        if time.monotonic() - self._looked > GLANCE:
            self.check()
            self._looked = time.monotonic()

    def _look(self) -> None:
        for pod in self._cluster.pods():
            if pod.trouble:
                raise Inconclusive(f"the pod {pod.name} cannot start: {pod.trouble}")
        self._looked = time.monotonic()

    def _check_forwards(self, when: str) -> None:
        for name, process in self._forwards.items():
            if process.poll() is not None:
                tail = self._logs.tail(f"{name} (port-forward)")
                last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "it said nothing")
                raise Inconclusive(f"the port-forward to {name} ended {when}: {last[:300]}", self._logs.tail(name))

    def check(self) -> None:
        """Raise Inconclusive where a port-forward has ended, or a pod is gone or has started a container anew."""
        pods = {pod.uid: pod for pod in self._cluster.pods()}
        for uid, restarts in self._known.items():
            pod = pods.get(uid)
            if pod is None or pod.leaving:
                raise Inconclusive(f"a pod{f' ({pod.name})' if pod else ''} went away while it was in use")
            if pod.restarts != restarts:
                why = pod.ended or "no reason given"
                raise Inconclusive(f"the pod {pod.name} was started anew while it was in use: {why}")
            if pod.phase not in ("Running", "Succeeded"):
                raise Inconclusive(
                    f"the pod {pod.name} is {pod.phase or 'in no phase'}: {pod.ended or 'no reason given'}"
                )
        self._check_forwards("while it was in use")

    def down(self) -> None:
        """End the port-forwards, delete the namespace, keep the logs only. Safe to call twice. Raises Inconclusive where
        the namespace does not go away."""
        if self._down:
            return
        try:
            leftovers.end_groups(self._forwards.values(), 1.0)
            self._cluster.sweep(self._label)
            self._down = True
        finally:
            leftovers.end_groups(self._followers, 1.0)
            self._logs.close()
            (self._folder / "rollout.txt").unlink(missing_ok=True)
            if self._down:
                state.forget(self._folder, self._environment.services)

    def _write_state(self) -> None:
        services = {}
        for name in self._environment.services:
            pid = self._forwards[name].pid if name in self._forwards else 0
            services[name] = state.Staged(pid, leftovers.started(pid) if pid else "", self._ports.get(name, 0))
        state.write(self._folder, self._run_id, services, self._images, self._cluster.context)

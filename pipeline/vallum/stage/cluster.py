"""A Kubernetes cluster by kubectl, and one namespace of it.

Seen to work with kubectl 1.32.4 and a cluster of Kubernetes 1.32.13 on containerd 1.6.20.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vallum.errors import Inconclusive
from vallum.stage.commandline import Answer, ask
from vallum.stage.manifests import LABEL

EXPIRES = "vallum/expires"
"""The label that says when a namespace may be removed by any run, in seconds since 1970."""
LIFETIME = 6 * 3600
"""Seconds until then: longer than any run. For what a killed run left on a machine that is gone."""
DEADLINE = 60.0
"""Seconds for a question."""
GOES = 180.0
"""Seconds for a namespace to go away with all that is in it."""
HOPELESS = frozenset({"ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "CreateContainerConfigError"})
"""Reasons for which a waiting container will not start by being waited for (kubelet's `state.waiting.reason`).
CrashLoopBackOff is none: services of a cluster may crash until what they need is there."""


@dataclass(frozen=True)
class Pod:
    """What is looked at of a pod: why it cannot start, how often its containers were started anew, what they run."""

    name: str
    workload: str
    uid: str
    phase: str
    leaving: bool
    trouble: str
    restarts: int
    ended: str
    images: Mapping[str, str]


@dataclass(frozen=True)
class Cluster:
    """kubectl at `path`, told its context with every command."""

    path: str
    context: str
    namespace: str = ""

    def argv(self, *words: str) -> list[str]:
        """A command in the namespace."""
        inside = ["--namespace", self.namespace] if self.namespace else []
        return [self.path, "--context", self.context, *inside, *words]

    def ask(self, *words: str, deadline: float = DEADLINE) -> Answer:
        """Run one command to its end."""
        return ask(self.argv(*words), deadline)

    def must(self, *words: str, deadline: float = DEADLINE) -> str:
        """The same for a command that has to succeed: its output. Raises Inconclusive otherwise."""
        answer = self.ask(*words, deadline=deadline)
        if answer.exit_code != 0:
            raise Inconclusive(f"kubectl {words[0]} failed: {answer.reason}", answer.error)
        return answer.output

    def items(self, *words: str) -> list[dict[str, Any]]:
        """The objects that `get … -o json` lists."""
        try:
            items = json.loads(self.must("get", *words, "--output", "json"))["items"]
        except (ValueError, KeyError, TypeError):
            raise Inconclusive("kubectl get printed no list") from None
        return [each for each in items if isinstance(each, dict)]

    def namespaced(self) -> frozenset[tuple[str, str]]:
        """The (apiVersion, kind) pairs that live in namespaces. The columns are NAME [SHORTNAMES] APIVERSION NAMESPACED KIND."""
        lines = self.must("api-resources", "--namespaced=true", "--no-headers").splitlines()
        return frozenset((words[-3], words[-1]) for words in map(str.split, lines) if len(words) >= 4)

    def create_namespace(self, labels: Mapping[str, str], label: str) -> None:
        """Make the namespace, with the manifests' labels for it (such as the Pod Security level) and ours."""
        self.must("create", "namespace", self.namespace)
        ours = {**labels, LABEL: label, EXPIRES: str(int(time.time()) + LIFETIME)}
        ours.pop("kubernetes.io/metadata.name", None)
        self.must(
            "label", "namespace", self.namespace, "--overwrite", *(f"{key}={value}" for key, value in ours.items())
        )

    def pods(self) -> list[Pod]:
        """The pods of the namespace."""
        return [_pod(each) for each in self.items("pods")]

    def sweep(self, label: str) -> list[str]:
        """Delete the namespaces with our label, and any vallum's whose time is up; their names.

        Raises Inconclusive where one does not go away.
        """
        names = []
        for each in self.items("namespaces", "--selector", LABEL):
            labels = each["metadata"].get("labels", {})
            expires = str(labels.get(EXPIRES, ""))
            if labels.get(LABEL) == label or (expires.isdigit() and int(expires) < time.time()):
                names.append(str(each["metadata"]["name"]))
        if names:
            answer = self.ask(
                "delete", "namespace", *names, "--ignore-not-found", f"--timeout={GOES:.0f}s", deadline=GOES + 30
            )
            if answer.exit_code != 0:
                raise Inconclusive(f"the namespace {', '.join(names)} does not go away: {answer.reason}", answer.error)
        return names


def find(context: str) -> Cluster:
    """The cluster of a context. Raises Inconclusive where kubectl is missing or the cluster does not answer."""
    path = shutil.which("kubectl")
    if path is None:
        raise Inconclusive("kubectl is needed for a kubernetes environment, and is not on the PATH")
    cluster = Cluster(path, context)
    answer = cluster.ask("get", "--raw", "/readyz", "--request-timeout=20s", deadline=40.0)
    if answer.exit_code != 0:
        raise Inconclusive(f"the cluster of the context {context} does not answer: {answer.reason}", answer.error)
    return cluster


def _pod(item: Mapping[str, Any]) -> Pod:
    metadata, status = item["metadata"], item.get("status", {})
    states = [*status.get("initContainerStatuses", []), *status.get("containerStatuses", [])]
    trouble, ended = "", ""
    for each in states:
        waiting = each.get("state", {}).get("waiting", {})
        if waiting.get("reason") in HOPELESS and not trouble:
            trouble = f"{each['name']}: {waiting['reason']} {waiting.get('message', '')}".strip()[:300]
        last = each.get("lastState", {}).get("terminated") or each.get("state", {}).get("terminated")
        if last and last.get("exitCode") != 0:
            ended = (
                f"{each['name']} ended with exit code {last.get('exitCode')} ({last.get('reason', 'no reason given')})"
            )
    owner: dict[str, Any] = next(iter(metadata.get("ownerReferences", [])), {})
    workload = str(owner.get("name", metadata["name"]))
    if owner.get("kind") == "ReplicaSet":
        workload = workload.rpartition("-")[0]
    return Pod(
        name=str(metadata["name"]),
        workload=workload,
        uid=str(metadata["uid"]),
        phase=str(status.get("phase", "")),
        leaving="deletionTimestamp" in metadata,
        trouble=trouble,
        restarts=sum(int(each.get("restartCount", 0)) for each in states),
        ended=ended,
        images={str(each["name"]): str(each.get("imageID", "")) for each in states},
    )

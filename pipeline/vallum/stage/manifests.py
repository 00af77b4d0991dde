"""What a `kubernetes` environment applies: read, rendered, and made safe to attack in a namespace of the run.

Every object goes into that namespace, whatever namespace it names; what cannot (a ClusterRole, a CustomResourceDefinition) would
outlive the run and is refused, as is what opens a service under attack to a network or hands a node to it.
"""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vallum import artifacts
from vallum.environments import Environment, Kubernetes
from vallum.errors import Inconclusive, UserError
from vallum.stage import settings
from vallum.stage.commandline import ask

LABEL = "vallum/stage"
"""The label of everything that is made; its value names the stage folder."""
GRACE = 5
"""Seconds between SIGTERM and SIGKILL for a pod, at most: its state is thrown away anyway."""
RENDER = 120.0
MAX_SIZE = 16 << 20
WORKLOADS = ("Deployment", "StatefulSet", "DaemonSet")
_OPEN = ("LoadBalancer", "NodePort")
_HOST = ("hostNetwork", "hostPID", "hostIPC")

Document = dict[str, Any]


@dataclass(frozen=True)
class Prepared:
    """What is created, in order, the labels that the manifests give their namespace, and facts about Services by name."""

    documents: list[Document]
    labels: Mapping[str, str]
    ports: Mapping[str, int]
    selectors: Mapping[str, Mapping[str, str]]
    workloads: list[tuple[str, str]] = field(default_factory=list)


def check(environment: Environment, root: Path) -> None:
    """Raise UserError where `[environment.kubernetes]` cannot work. Nothing is rendered and no cluster is asked."""
    table = environment.kubernetes
    if table is None:
        raise UserError("there is no [environment.kubernetes]", "name the context of a cluster, and what to apply")
    key = "environment.kubernetes"
    if not table.context or table.context.startswith("-"):
        raise UserError(f"{key}.context is empty", "name it: the current context of a shell is never guessed")
    if sum(map(bool, (table.manifests, table.kustomize, table.chart))) != 1:
        raise UserError(f"{key} needs exactly one of `manifests`, `kustomize` and `chart`", "keep one of them")
    for option in (*table.manifests, table.kustomize, table.chart, *table.values):
        if option:
            _inside(root, option, key)
    names = {f"secret.{name}": "" for name in environment.secrets}
    for name, entries in table.secrets.items():
        for entry, value in entries.items():
            settings.fill(value, f"{key}.secrets.{name}.{entry}", names)


def _inside(root: Path, name: str, key: str) -> Path:
    path = (root / name).resolve()
    if not path.exists() or not path.is_relative_to(root.resolve()):
        raise UserError(f"{key}: there is no {name!r} in the checkout", "name it relative to the root")
    return path


def read(table: Kubernetes, root: Path, kubectl: str, namespace: str) -> list[Document]:
    """The objects, rendered by kubectl or helm where they say so. Raises UserError or Inconclusive."""
    key = "environment.kubernetes"
    if table.kustomize:
        return _parsed(_output([kubectl, "kustomize", str(_inside(root, table.kustomize, key))]), table.kustomize)
    if table.chart:
        helm = shutil.which("helm")
        if helm is None:
            raise Inconclusive("helm is needed for environment.kubernetes.chart, and is not on the PATH")
        values = [word for name in table.values for word in ("--values", str(_inside(root, name, key)))]
        argv = [helm, "template", "staged", str(_inside(root, table.chart, key)), "--namespace", namespace, *values]
        return _parsed(_output(argv), table.chart)
    documents: list[Document] = []
    for name in table.manifests:
        path = _inside(root, name, key)
        files = [each for each in sorted(path.iterdir()) if each.suffix in (".yaml", ".yml", ".json")]
        for file in files if path.is_dir() else [path]:
            try:
                documents += _parsed(artifacts.read(file, MAX_SIZE).decode("utf-8-sig"), file.name)
            except (OSError, ValueError) as error:
                raise UserError(f"{file.name}: {error}", "correct the manifest") from None
    return documents


def _output(argv: list[str]) -> str:
    answer = ask(argv, RENDER)
    if answer.exit_code != 0:
        raise UserError(f"{Path(argv[0]).name} {argv[1]} failed: {answer.reason}", "correct what it complains of")
    return answer.output


def _parsed(text: str, name: str) -> list[Document]:
    import yaml

    try:
        found = [each for each in yaml.safe_load_all(text) if each is not None]
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UserError(f"{name}: {str(error).splitlines()[0][:200]}", "correct the manifest") from None
    documents: list[Document] = []
    for each in found:
        inner = (
            each.get("items", []) if isinstance(each, dict) and str(each.get("kind", "")).endswith("List") else [each]
        )
        for document in inner:
            if not isinstance(document, dict) or not document.get("kind") or not _name(document):
                raise UserError(f"{name}: an object has no kind or no name", "correct the manifest")
            documents.append(copy.deepcopy(document))  # YAML anchors share what is changed below
    return documents


def _name(document: Document) -> str:
    metadata = document.get("metadata")
    return str(metadata.get("name") or "") if isinstance(metadata, dict) else ""


def prepare(
    documents: list[Document], namespaced: frozenset[tuple[str, str]], label: str, env: Mapping[str, Mapping[str, Any]]
) -> Prepared:
    """Make the objects those of the run. `namespaced` are the (apiVersion, kind) pairs that the cluster keeps in namespaces;
    `env` gives each workload entries for its containers' `env`. Raises UserError for what may not be staged."""
    labels: dict[str, str] = {}
    kept: list[Document] = []
    homes: set[str] = set()
    for document in documents:
        kind, metadata = str(document["kind"]), document["metadata"]
        where = f"{kind}/{_name(document)}"
        hook = str((metadata.get("annotations") or {}).get("helm.sh/hook", ""))
        if hook.startswith("test"):
            continue
        if hook:
            raise UserError(
                f"{where} is a Helm hook ({hook}), which is not carried out", "switch it off by a values file"
            )
        if kind == "Namespace":
            labels |= {str(name): str(value) for name, value in (metadata.get("labels") or {}).items()}
            homes.add(_name(document))
            continue
        if (str(document.get("apiVersion")), kind) not in namespaced:
            raise UserError(
                f"{where} does not live in a namespace, or the cluster does not know it: it cannot be made for a run only",
                "leave it out of what is staged, and have it in the cluster before",
            )
        if metadata.get("namespace"):
            homes.add(str(metadata.pop("namespace")))
        _check_safe(where, document)
        metadata["labels"] = {**(metadata.get("labels") or {}), LABEL: label}
        kept.append(document)
    if len(homes) > 1:
        raise UserError(f"the manifests use several namespaces: {', '.join(sorted(homes))}", "stage one at a time")
    present = {_name(document) for document in kept if document["kind"] in WORKLOADS}
    for name in env:
        if env[name] and name not in present:
            raise UserError(f"environment.services.{name}.env: the manifests have no workload `{name}`", "rename it")
    for document in kept:
        for pod in _pods(document):
            pod["terminationGracePeriodSeconds"] = min(GRACE, int(pod.get("terminationGracePeriodSeconds", GRACE)))
            if document["kind"] in WORKLOADS and env.get(_name(document)):
                _add_env(pod, env[_name(document)])
    services = {_name(each): each.get("spec") or {} for each in kept if each["kind"] == "Service"}
    return Prepared(
        kept,
        labels,
        {name: int(spec["ports"][0]["port"]) for name, spec in services.items() if spec.get("ports")},
        {name: spec.get("selector") or {} for name, spec in services.items()},
        [(each["kind"], _name(each)) for each in kept if each["kind"] in (*WORKLOADS, "Job", "Pod")],
    )


def _pods(value: Any) -> Iterator[dict[str, Any]]:
    """Every pod spec in an object."""
    if isinstance(value, dict):
        if isinstance(value.get("containers"), list):
            yield value
        for each in value.values():
            yield from _pods(each)
    elif isinstance(value, list):
        for each in value:
            yield from _pods(each)


def _check_safe(where: str, document: Document) -> None:
    kind, spec = document["kind"], document.get("spec") or {}
    if kind == "Ingress" or (kind == "Service" and (spec.get("type") in _OPEN or spec.get("externalIPs"))):
        raise UserError(
            f"{where} opens the service to a network while it is attacked", "use a ClusterIP Service for staging"
        )
    for pod in _pods(document):
        containers = [each for key in ("containers", "initContainers") for each in pod.get(key) or []]
        given = [key for key in _HOST if pod.get(key)]
        given += ["hostPath" for volume in pod.get("volumes") or [] if "hostPath" in volume]
        given += ["privileged" for each in containers if (each.get("securityContext") or {}).get("privileged")]
        given += ["hostPort" for each in containers for port in each.get("ports") or [] if port.get("hostPort")]
        if given:
            raise UserError(f"{where}: {given[0]} would hand the node to a service under attack", "stage it without")


def _add_env(pod: dict[str, Any], entries: Mapping[str, Any]) -> None:
    for container in pod["containers"]:
        kept = [each for each in container.get("env") or [] if each.get("name") not in entries]
        container["env"] = [*kept, *({"name": name, **value} for name, value in entries.items())]


def secret(name: str, entries: Mapping[str, str], label: str) -> Document:
    """A Secret object."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "labels": {LABEL: label}},
        "stringData": dict(entries),
    }

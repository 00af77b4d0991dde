"""Kubernetes manifests of a target: which files are some, which cannot be read, and on which line a key stands."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from vallum import artifacts
from vallum.target import Target
from vallum_checks.common import chart_folders, is_template

CHECKED_KINDS = frozenset(
    (
        *(
            "AdmissionConfiguration",
            "ClusterRole",
            "ClusterRoleBinding",
            "ConfigMap",
            "CronJob",
            "DaemonSet",
            "Deployment",
        ),
        *("DeploymentConfig", "Ingress", "Job", "Pod", "PodSecurityPolicy", "PodTemplate", "ReplicaSet"),
        *("ReplicationController", "Role", "RoleBinding", "Secret", "Service", "ServiceAccount", "StatefulSet"),
    )
)
"""Kinds that checkov 3.3.30 has a check for (its Kubernetes registry); a file with none of them leaves no record."""
MAX_BYTES = 4 << 20
KIND = re.compile(rb"^[ ]{0,2}[\"']?kind[\"']?\s*:", re.MULTILINE)
API_VERSION = re.compile(rb"^[ {]{0,2}[\"']?apiVersion[\"']?\s*:", re.MULTILINE)
JSON_KEYS = re.compile(rb"\"apiVersion\"\s*:.*\"kind\"\s*:|\"kind\"\s*:.*\"apiVersion\"\s*:", re.DOTALL)


@dataclass(frozen=True)
class Manifest:
    """One document. `line` and `end` count from 1; `node` is its YAML node."""

    kind: str
    line: int
    end: int
    node: Any

    def find(self, key: str) -> tuple[int, int, int] | None:
        """`(depth, first line, last line)` of the deepest existing part of a path such as
        `spec/containers/[0]/securityContext/privileged`; None where not even its first part is there."""
        node, depth = self.node, 0
        first, last = 0, 0
        for part in key.split("/"):
            found = _step(node, part)
            if found is None:
                break
            place, node = found
            first, last = place.start_mark.line + 1, _last_line(node)
            depth += 1
        return (depth, first, last) if depth else None


def _step(node: Any, part: str) -> tuple[Any, Any] | None:
    """The node whose start marks the place, and the value."""
    index = re.fullmatch(r"\[?(\d+)\]?", part)
    if isinstance(node.value, list) and node.id == "sequence" and index:
        number = int(index[1])
        return (node.value[number], node.value[number]) if number < len(node.value) else None
    if node.id == "mapping":
        for key, value in node.value:
            if key.value == part:
                return key, value
    return None


def _last_line(node: Any) -> int:
    """A block ends where the next token starts: at column 0 of a later line its last line is the one before."""
    mark = node.end_mark
    return int(mark.line + (1 if mark.column or mark.line == node.start_mark.line else 0))


@dataclass
class Manifests:
    """What was read. `files` are expected of checkov, `missed` among them cannot be read (path → why)."""

    files: list[str] = field(default_factory=list)
    manifests: dict[str, list[Manifest]] = field(default_factory=dict)
    missed: dict[str, str] = field(default_factory=dict)
    templates: int = 0
    unsupported: int = 0


def is_manifest(target: Target, path: str) -> bool:
    """Whether a YAML or JSON file says `apiVersion` and `kind` at its top. Reads the file."""
    if not path.endswith((".yaml", ".yml", ".json")):
        return False
    try:
        data = artifacts.read(target.root / path, MAX_BYTES)
    except (OSError, ValueError):
        return False
    if path.endswith(".json"):
        return JSON_KEYS.search(data) is not None
    return API_VERSION.search(data) is not None and KIND.search(data) is not None


def read_manifests(target: Target) -> Manifests:
    """All manifests, parsed by us first: checkov passes over unreadable YAML in silence."""
    import yaml

    read = Manifests()
    charts = chart_folders(target)
    for path in target.files:
        if not is_manifest(target, path):
            continue
        if is_template(charts, path):
            read.templates += 1
            continue
        data = artifacts.read(target.root / path, MAX_BYTES)
        try:
            documents = [
                manifest
                for node in yaml.compose_all(data, Loader=yaml.CSafeLoader)
                if node is not None
                for manifest in _documents(node)
            ]
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            mark = getattr(error, "problem_mark", None)
            line = f" (line {mark.line + 1})" if mark is not None else ""
            read.files.append(path)
            read.missed[path] = f"not readable as YAML{line}"
            continue
        if any(document.kind in CHECKED_KINDS for document in documents):
            read.files.append(path)
            read.manifests[path] = documents
        else:
            read.unsupported += 1
    return read


def _documents(node: Any) -> list[Manifest]:
    """The document, or the items of a List."""
    if node.id != "mapping":
        return []
    fields = {key.value: value for key, value in node.value if isinstance(key.value, str)}
    kind = fields["kind"].value if "kind" in fields else ""
    if isinstance(kind, str) and kind.endswith("List") and "items" in fields and fields["items"].id == "sequence":
        return [manifest for item in fields["items"].value for manifest in _documents(item)]
    return [Manifest(str(kind), node.start_mark.line + 1, _last_line(node), node)]

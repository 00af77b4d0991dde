"""The kind `kubernetes`: `kubectl apply` or `set image` by digest, `rollout status`, and `rollout undo`.

Seen to work with kubectl 1.32 on a cluster of one node (promoted; health went bad; an image that nobody has; killed in the
rollout of a new workload); the tests have a stand-in that answers so.
What `apply` changes beside the workloads' pod templates (a ConfigMap, a Service, a number of replicas) `rollout undo` does
not bring back.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from vallum.errors import Inconclusive, UserError
from vallum.promote.job import PINNED, Job
from vallum.promotions import Promotion, PromotionKubernetes

WORKLOAD = re.compile(r"(deployment|statefulset|daemonset)/[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
REVISION = "deployment.kubernetes.io/revision"
"""The annotation by which the deployment controller numbers its ReplicaSets."""
ABSENT = "absent"


def _settings(settings: Promotion) -> PromotionKubernetes:
    if settings.kubernetes is None:
        raise UserError(
            'promotion.kind is "kubernetes", and there is no [promotion.kubernetes]', "see docs/promotion.md"
        )
    return settings.kubernetes


def check(settings: Promotion, root: Path) -> None:
    """See vallum.promote.job.Kind."""
    key, kube = "promotion.kubernetes", _settings(settings)
    if not _NAME.fullmatch(kube.namespace):
        raise UserError(f"{key}.namespace: {kube.namespace!r} is no namespace", "name one")
    if not kube.workloads:
        raise UserError(f"{key}.workloads is empty: nothing would be waited for", 'such as ["deployment/orders"]')
    for name in (*kube.workloads, *kube.images):
        if not WORKLOAD.fullmatch(name):
            raise UserError(
                f"{key}.workloads: {name!r} is no workload", "deployment/NAME, statefulset/NAME or daemonset/NAME"
            )
    if bool(kube.manifests) == bool(kube.images):
        raise UserError(f"{key}: give either `manifests` or `images`", "either says which images run afterwards")
    if kube.manifests and not (root / kube.manifests).resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}.manifests: {kube.manifests!r} is not in the target", "give a path in it")
    if kube.manifests and not (root / kube.manifests).exists():
        raise UserError(f"{key}.manifests: there is no {kube.manifests!r}", "correct the path")
    missing = sorted(set(kube.images) - set(kube.workloads))
    if missing:
        raise UserError(f"{key}.images: {missing[0]} is not in `workloads`", "add it there: it must be waited for")


def paths(settings: Promotion) -> list[str]:
    """See vallum.promote.job.Kind."""
    kube = _settings(settings)
    return [kube.manifests] if kube.manifests else []


def nothing(previous: Mapping[str, str]) -> bool:
    """See vallum.promote.job.Kind."""
    return all(was == ABSENT for was in previous.values())


def before(job: Job) -> dict[str, str]:
    """Each workload's pod template (by digest) and revision. Raises where an image is not named by a digest, or not scanned."""
    kube = _settings(job.settings)
    if kube.manifests:
        rendered = _documents(
            job.steps.run("render", _kubectl(kube, "apply", "--dry-run=client", "-o", "json", *_files(kube))).out
        )
        images = sorted({image for document in rendered for image in _images(document)})
        if not images:
            raise Inconclusive(f"no image in {kube.manifests}: there is nothing to promote")
        declared = {f"{document.get('kind', '')}/{_get(document, 'metadata', 'name')}".lower() for document in rendered}
        lost = sorted(set(kube.workloads) - declared)
        if lost:
            raise Inconclusive(f"{lost[0]} is not in {kube.manifests}: it would be watched and not changed")
    else:
        images = [ref for _, _, ref in _new(job, kube)]
    for image in images:
        if not PINNED.fullmatch(image):
            raise Inconclusive(
                f"the image {image} is not named by its digest: a tag can be moved to what nobody judged"
            )
        if job.unscanned(image.rpartition("@")[2]):
            raise Inconclusive(f"the image {image} is none that this verdict's checks looked at (unscanned-images)")
    return {name: _state(_look(job, kube, name)) for name in kube.workloads}


def promote(job: Job, previous: Mapping[str, str]) -> None:
    """See vallum.promote.job.Kind."""
    del previous
    kube = _settings(job.settings)
    if kube.manifests:
        job.steps.run("apply", _kubectl(kube, "apply", *_files(kube)))
    for workload, container, image in _new(job, kube):
        job.steps.run(f"set image {workload}", _kubectl(kube, "set", "image", workload, f"{container}={image}"))
    _settle(job, kube, kube.workloads)


def rollback(job: Job, previous: Mapping[str, str]) -> None:
    """Undo what changed since, and prove that each pod template is the one that it was."""
    kube = _settings(job.settings)
    changed = []
    for workload, was in previous.items():
        now = _state(_look(job, kube, workload))
        if now == was or now.split()[0] == was.split()[0]:
            continue
        if was == ABSENT:
            job.steps.run(f"delete {workload}", _kubectl(kube, "delete", workload, "--ignore-not-found", "--wait=true"))
            continue
        revision = was.split()[1]
        to = [f"--to-revision={revision}"] if revision != "0" else []
        job.steps.run(f"undo {workload}", _kubectl(kube, "rollout", "undo", workload, *to))
        changed.append(workload)
    _settle(job, kube, [name for name, was in previous.items() if was != ABSENT])
    for workload in changed:
        if _state(_look(job, kube, workload)).split()[0] != previous[workload].split()[0]:
            raise Inconclusive(f"{workload} was undone, and its pod template is still not what it was")


def _settle(job: Job, kube: PromotionKubernetes, workloads: tuple[str, ...] | list[str]) -> None:
    patience = max(1, int(job.settings.deadline) - 2)  # kubectl then says itself what it waited for
    for workload in workloads:
        argv = _kubectl(kube, "rollout", "status", workload, f"--timeout={patience}s", request_timeout="0")
        job.steps.run(f"rollout of {workload}", argv)


def _new(job: Job, kube: PromotionKubernetes) -> Iterator[tuple[str, str, str]]:
    for workload, containers in kube.images.items():
        for container, image in containers.items():
            yield workload, container, job.fill(image, f"kubernetes.images.{workload}.{container}")


def _files(kube: PromotionKubernetes) -> list[str]:
    return ["-k" if kube.kustomize else "-f", kube.manifests]


def _kubectl(kube: PromotionKubernetes, *arguments: str, request_timeout: str = "60s") -> list[str]:
    context = [f"--context={kube.context}"] if kube.context else []
    return ["kubectl", *context, f"--namespace={kube.namespace}", f"--request-timeout={request_timeout}", *arguments]


def _look(job: Job, kube: PromotionKubernetes, workload: str) -> dict[str, Any] | None:
    """The workload as the cluster has it, None where it has none."""
    argv = _kubectl(kube, "get", workload, "--ignore-not-found", "-o", "json")
    said = job.steps.run(f"look at {workload}", argv)
    if not said.text:
        return None
    documents = _documents(said.out)
    return documents[0] if documents else None


def _state(workload: dict[str, Any] | None) -> str:
    """`TEMPLATE REVISION`: a digest of the pod template, and the deployment's revision (0: not known)."""
    if workload is None:
        return ABSENT
    template = _get(workload, "spec", "template")
    if not isinstance(template, dict):
        raise Inconclusive("kubectl shows a workload without a pod template")
    text = json.dumps(template, sort_keys=True).encode()
    revision = str(_get(workload, "metadata", "annotations", REVISION) or "0")
    return f"{hashlib.sha256(text).hexdigest()} {revision if revision.isdigit() else '0'}"


def _documents(data: bytes) -> list[dict[str, Any]]:
    """The objects that kubectl wrote as JSON: one, a List, or several one after the other."""
    text, found, at = data.decode("utf-8", "replace"), [], 0
    decoder = json.JSONDecoder()
    try:
        while text[at:].strip():
            at += len(text[at:]) - len(text[at:].lstrip())
            document, at = decoder.raw_decode(text, at)
            found.append(document)
    except (ValueError, RecursionError):
        raise Inconclusive("kubectl wrote something else than JSON") from None
    flat: list[dict[str, Any]] = []
    for document in found:
        items = document.get("items") if isinstance(document, dict) else None
        flat += [one for one in (items if isinstance(items, list) else [document]) if isinstance(one, dict)]
    return flat


def _images(document: dict[str, Any]) -> Iterator[str]:
    """The images of a pod, a workload, or a CronJob."""
    for path in (("spec",), ("spec", "template", "spec"), ("spec", "jobTemplate", "spec", "template", "spec")):
        spec = _get(document, *path)
        for kind in ("containers", "initContainers"):
            containers = spec.get(kind) if isinstance(spec, dict) else None
            for container in containers if isinstance(containers, list) else ():
                if isinstance(container, dict):
                    yield str(container.get("image", ""))


def _get(value: Any, *keys: str) -> Any:
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value

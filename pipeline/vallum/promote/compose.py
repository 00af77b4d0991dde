"""The kind `compose`: services of a long-living compose deployment are switched to other images, and back.

An image is looked up once, by the engine, and deployed by its id. What ran before is read from the containers themselves, by
the labels that docker compose and podman-compose give them. Seen to work with podman 4.3.1 and podman-compose;
**unverified** with docker. What else a new compose file changed (variables, volumes) a rollback does not bring back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

from vallum import artifacts
from vallum.errors import Inconclusive, UserError
from vallum.promote.job import DIGEST, Job
from vallum.promotions import Promotion, PromotionCompose

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_SERVICE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
PROJECT, SERVICE = "com.docker.compose.project", "com.docker.compose.service"
"""Labels of docker compose, which podman-compose gives too."""
OVERRIDE = "promotion.compose.json"
"""YAML is a superset of JSON."""
PROGRAMS = {"docker": ("docker", "compose"), "podman": ("podman-compose",)}
OLD, NEW = "old.", "new."


def _settings(settings: Promotion) -> PromotionCompose:
    if settings.compose is None:
        raise UserError('promotion.kind is "compose", and there is no [promotion.compose]', "see docs/promotion.md")
    return settings.compose


def check(settings: Promotion, root: Path) -> None:
    """See vallum.promote.job.Kind."""
    key, compose = "promotion.compose", _settings(settings)
    if not _NAME.fullmatch(compose.project):
        raise UserError(f"{key}.project: {compose.project!r} is no project name", "small letters, digits, `-` and `_`")
    if not (root / compose.file).is_file() or not (root / compose.file).resolve().is_relative_to(root.resolve()):
        raise UserError(f"{key}.file: there is no file {compose.file!r} in the target", "correct the path")
    if not compose.images:
        raise UserError(f"{key}.images is empty: there is nothing to promote", "give each service its new image")
    for service in compose.images:
        if not _SERVICE.fullmatch(service):
            raise UserError(f"{key}.images: {service!r} is no service name", "correct it")


def paths(settings: Promotion) -> list[str]:
    """See vallum.promote.job.Kind."""
    return [_settings(settings).file]


def nothing(previous: Mapping[str, str]) -> bool:
    """See vallum.promote.job.Kind."""
    return not any(image for name, image in previous.items() if name.startswith(OLD))


def before(job: Job) -> dict[str, str]:
    """`old.SERVICE` and `new.SERVICE` to an image id; an old one is empty where the service does not run."""
    compose = _settings(job.settings)
    known: dict[str, str] = {}
    for service, image in compose.images.items():
        reference = job.fill(image, f"compose.images.{service}")
        said = job.steps.run(
            f"image of {service}", [compose.engine, "image", "inspect", "--format", "{{.Id}}", reference]
        )
        new = _id(said.text, f"{compose.engine} does not say which image {reference} is")
        if job.unscanned(new, reference.rpartition("@")[2]):
            raise Inconclusive(f"the image {reference} is none that this verdict's checks looked at (unscanned-images)")
        known |= {f"{NEW}{service}": new, f"{OLD}{service}": _running(job, compose, service)}
    return known


def promote(job: Job, previous: Mapping[str, str]) -> None:
    """See vallum.promote.job.Kind."""
    _switch(job, "switch", {name.removeprefix(NEW): each for name, each in previous.items() if name.startswith(NEW)})


def rollback(job: Job, previous: Mapping[str, str]) -> None:
    """The old images again; what did not run before is removed."""
    compose = _settings(job.settings)
    old = {name.removeprefix(OLD): each for name, each in previous.items() if name.startswith(OLD)}
    for service, image in old.items():
        if not image:
            for container in _containers(job, compose, service):
                job.steps.run(f"remove {service}", [compose.engine, "rm", "--force", container])
    _switch(job, "switch back", {service: image for service, image in old.items() if image})


def _switch(job: Job, name: str, images: Mapping[str, str]) -> None:
    """Bring the services up with these images, and prove that just they run."""
    if not images:
        return
    compose = _settings(job.settings)
    override = job.folder / OVERRIDE
    artifacts.write(
        override, json.dumps({"services": {each: {"image": image} for each, image in images.items()}}).encode()
    )
    program = compose.program or PROGRAMS[compose.engine]
    argv = [*program, "--project-name", compose.project, "--file", compose.file, "--file", str(override)]
    job.steps.run(name, [*argv, "up", "--detach", "--no-build", "--no-deps", "--force-recreate", *sorted(images)])
    for service, image in images.items():
        runs = _running(job, compose, service)
        if runs != image:
            raise Inconclusive(f"{name}: {service} runs {runs[:19] or 'nothing'}, not {image[:19]}")


def _containers(job: Job, compose: PromotionCompose, service: str) -> list[str]:
    labels = (f"label={PROJECT}={compose.project}", f"label={SERVICE}={service}")
    argv = [compose.engine, "ps", "--all", "--quiet", "--no-trunc", *(f"--filter={label}" for label in labels)]
    return job.steps.run(f"containers of {service}", argv).text.split()


def _running(job: Job, compose: PromotionCompose, service: str) -> str:
    """The id of the image that the service's containers were made from; empty where there are none."""
    found = set()
    for container in _containers(job, compose, service):
        argv = [compose.engine, "container", "inspect", "--format", "{{.Image}}", container]
        found.add(_id(job.steps.run(f"container of {service}", argv).text, f"cannot tell what {service} runs"))
    if len(found) > 1:
        raise Inconclusive(
            f"the containers of {service} run {len(found)} different images: there is no one state to return to"
        )
    return found.pop() if found else ""


def _id(text: str, problem: str) -> str:
    found = text if text.startswith("sha256:") else f"sha256:{text}"
    if not DIGEST.fullmatch(found):
        raise Inconclusive(problem)
    return found

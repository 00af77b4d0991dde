"""The table `[promotion]` of `vallum.toml`: what `vallum -s promote` does after a pass, how health is watched, what undoes it."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from vallum.tables import Table

Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class Probe(Table, frozen=True, kw_only=True):
    """One service's health: `GET url` answers one of `status` within `seconds`. Redirects are not followed."""

    url: str
    status: tuple[Annotated[int, msgspec.Meta(ge=100, le=599)], ...] = (200,)
    seconds: Seconds = 5


class PromotionTag(Table, frozen=True, kw_only=True):
    """`what = "git"`: the tag `name` on the judged commit, annotated where there is a `message`, pushed where there is a
    `remote`; an existing tag is never moved. `what = "image"`: the tag `name` (a reference) onto the image `source`, which ends
    in `@sha256:…`, or is a bare image id for podman and docker (`program`), which work in the engine's own store; skopeo copies
    between registries."""

    what: Literal["git", "image"] = "git"
    name: str
    message: str = ""
    remote: str = ""
    source: str = ""
    program: Literal["skopeo", "podman", "docker"] = "skopeo"


class PromotionCompose(Table, frozen=True, kw_only=True):
    """The long-living deployment `project` of a compose `file`. `images` gives each service that is switched its new image:
    it is looked up once, and deployed by its id. `program` is the compose command, `engine` what runs its containers."""

    project: str
    file: str = "compose.yaml"
    images: dict[str, str]
    engine: Literal["docker", "podman"] = "docker"
    program: tuple[str, ...] = ()


class PromotionKubernetes(Table, frozen=True, kw_only=True):
    """`workloads` (`deployment/NAME`, `statefulset/NAME`, `daemonset/NAME`) are watched and rolled back. Either `manifests` (a
    file or folder for `kubectl apply -f`, or with `kustomize` for `-k`) or `images` (`deployment/NAME` to container to image) is
    what changes; every image ends in `@sha256:…`."""

    namespace: str
    context: str = ""
    workloads: tuple[str, ...]
    manifests: str = ""
    kustomize: bool = False
    images: dict[str, dict[str, str]] = {}


class Promotion(Table, frozen=True, kw_only=True):
    """What is done after a pass, and undone when it goes wrong. Placeholders in commands, names and images: {commit} {run}
    {env.NAME} (of `pass-env`), and {previous} in `rollback`.

    `command`, `current` and `rollback` are lists of words, no shell: what promotes, what prints one line that says what is
    deployed now, and what brings that back. `deadline` is for each command, in seconds. `pass-env` names variables of our
    environment that the commands see; their values are masked wherever we write.

    Health: all `probes` and the `health` command, every `interval` seconds. They must be well together within `start-seconds`;
    then `watch-seconds` pass in which none may fail `failures` times in a row. After a rollback the same holds for
    `rollback-watch-seconds`. `watch-seconds = 0` watches nothing, and the verdict says so.

    `state` is a folder in which what is under way is kept beside `.vallum`, for checkouts that are deleted between runs.
    `public-key`: the evidence must be signed (`vallum -s attest`) with the key's other half."""

    kind: Literal["command", "tag", "compose", "kubernetes"]
    command: tuple[str, ...] = ()
    current: tuple[str, ...] = ()
    rollback: tuple[str, ...] = ()
    pass_env: tuple[str, ...] = ()
    deadline: Seconds = 600
    max_age_minutes: Annotated[float, msgspec.Meta(gt=0)] = 120
    probes: dict[str, Probe] = {}
    health: tuple[str, ...] = ()
    start_seconds: Seconds = 60
    watch_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 120
    rollback_watch_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 30
    interval: Annotated[float, msgspec.Meta(ge=0.1, le=3600)] = 2
    failures: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3
    unscanned_images: Literal["refuse", "allow"] = "refuse"
    public_key: str = ""
    state: str = ""
    tag: PromotionTag | None = None
    compose: PromotionCompose | None = None
    kubernetes: PromotionKubernetes | None = None

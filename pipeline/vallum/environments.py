"""The tables `[environment]` and `[zap]` of `vallum.toml`: what is staged, who logs in to it, what attacks it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from vallum.logins import EnvironmentUser, Login, SecretSource
from vallum.tables import Table


class Ready(Table, frozen=True, kw_only=True):
    """How a service says that it is up, within `seconds`: an HTTP `path` that answers 2xx, or `tcp`, a port that is open, or
    a `command` that ends with 0 (placeholders as in the service's own command)."""

    path: str = "/"
    tcp: bool = False
    command: tuple[str, ...] = ()
    seconds: Annotated[float, msgspec.Meta(gt=0, le=600)] = 30


class ApiDefinition(Table, frozen=True, kw_only=True):
    """What a service's API is, where no `openapi` says it. `file` is relative to the service's folder; its content tells the
    `kind` where none is named. GraphQL is posted to `endpoint` (/graphql if not set) and asked for its types where there is no
    file. Of a HAR only requests to `origin` count (that of the first one if not set). A gRPC server is asked by reflection
    for its messages, unless `descriptors` names a file that holds them (a FileDescriptorSet with all imports); of its methods,
    `public` need no login (`/package.Service/Method`, or `/package.Service/*`), and `messages` maps a method to the message it
    is called with (as JSON)."""

    kind: Literal["", "openapi", "graphql", "grpc", "postman", "har"] = ""
    file: str = ""
    endpoint: str = ""
    origin: str = ""
    public: tuple[str, ...] = ()
    messages: dict[str, dict[str, Any]] = {}
    descriptors: str = ""


class StagedService(Table, frozen=True, kw_only=True):
    """One service. Placeholders in `command` and `env`: {port} {state} {python} {url.NAME} {secret.NAME}. `command`, `runtime`
    and `install` are for `process`; elsewhere the image says what runs, and `port` is what it listens on in its container (else
    what the compose file or the Service names); `forward` is what kubectl forwards to, `service/` and the name if not set.

    `scheme`: what it speaks at its port. An https service of `process` takes its certificate from {tls.certificate} and
    {tls.key}, made for the run and signed by {tls.authorities}; one that brings its own names, in its folder, either the
    `authorities` that signed it or the `certificate` itself. `plain`: it answers plain HTTP too, at {port.plain}. `mtls`: whether
    callers must show a certificate, where that differs from the environment's."""

    directory: str = ""
    url: str = ""
    command: tuple[str, ...] = ()
    runtime: Literal["python", "node", "none"] = "none"
    install: str = ""
    env: dict[str, str] = {}
    ready: Ready = Ready()
    depends_on: tuple[str, ...] = ()
    openapi: str = ""
    definition: ApiDefinition | None = None
    scheme: Literal["http", "https"] = "http"
    certificate: str = ""
    authorities: str = ""
    plain: bool = False
    mtls: bool | None = None
    port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0
    forward: str = ""


class Compose(Table, frozen=True, kw_only=True):
    """How a `compose` environment is built: `file`, an engine that answers, `variables` for ${NAME} and for `environment:` of
    the file's secrets (nothing else is looked up; placeholders {secret.NAME}). A container that nobody takes down ends after
    `lifetime-minutes` by itself (podman)."""

    file: str = "compose.yaml"
    engine: Literal["any", "podman", "docker"] = "any"
    variables: dict[str, str] = {}
    build_minutes: Annotated[float, msgspec.Meta(gt=0)] = 15
    lifetime_minutes: Annotated[float, msgspec.Meta(gt=0)] = 120


class Kubernetes(Table, frozen=True, kw_only=True):
    """What a `kubernetes` environment applies, in a namespace of the run: `manifests` (files or folders), a `kustomize` folder
    or a Helm `chart` with its `values` files. `context` names the cluster and is never guessed; `secrets` are Secret objects
    that are made first (placeholders {secret.NAME}); `minutes` is the deadline of the rollout."""

    context: str
    manifests: tuple[str, ...] = ()
    kustomize: str = ""
    chart: str = ""
    values: tuple[str, ...] = ()
    secrets: dict[str, dict[str, str]] = {}
    minutes: Annotated[float, msgspec.Meta(gt=0)] = 5


class Elsewhere(Table, frozen=True, kw_only=True):
    """What a `url` environment may be asked: `allow` names every origin as `host:port`. `i-may-attack` says that its owner allows
    attacks on a public address. `authorities` is a PEM file for certificates that the system does not know."""

    allow: tuple[str, ...] = ()
    i_may_attack: bool = False
    authorities: str = ""


class SeedRequest(Table, frozen=True, kw_only=True):
    """A request that fills the deployment with data, as the user `user` where one is named. Its status must be among `expect`.
    `save` keeps values of the JSON answer, by dotted path, for {saved.NAME} in later requests."""

    service: str
    path: str
    method: str = "POST"
    json: Any = None
    headers: dict[str, str] = {}
    user: str = ""
    expect: tuple[int, ...] = (200, 201, 202, 204)
    save: dict[str, str] = {}


class Seed(Table, frozen=True, kw_only=True):
    """What fills the deployment once it is ready: a `command`, run at the top of the target within `seconds`, then the requests,
    in order; those of a user after the login. Placeholders: {url.NAME} {secret.NAME}, in requests {saved.NAME} too."""

    command: tuple[str, ...] = ()
    env: dict[str, str] = {}
    seconds: Annotated[float, msgspec.Meta(gt=0)] = 120
    request: tuple[SeedRequest, ...] = ()


class Environment(Table, frozen=True, kw_only=True):
    """The staged deployment. `process`: each service is a process group of this machine. `compose`: the containers of a compose
    file. `kubernetes`: what is applied to a namespace of the run. `url`: what runs already, at each service's `url`. The
    table of the kind's name says how.

    `mtls`: services accept callers with a certificate only, which the check `transport` proves. `requests-per-second`: at most so
    many are sent to each service."""

    kind: Literal["process", "compose", "kubernetes", "url"] = "process"
    compose: Compose = Compose()
    kubernetes: Kubernetes | None = None
    secrets: dict[str, Literal["generate", "generate-totp"] | SecretSource] = {}
    services: dict[str, StagedService] = {}
    url: Elsewhere | None = None
    seed: Seed | None = None
    requests_per_second: Annotated[float, msgspec.Meta(gt=0)] | None = None
    mtls: bool = False
    login: Login | None = None
    users: dict[str, EnvironmentUser] = {}


class Zap(Table, frozen=True, kw_only=True):
    """Where a ZAP is: a running daemon's `url` (its key in the environment variable named by `key-env`), else what is found;
    `provide` is what may be tried, in order. `release` is for the official package: its URL and SHA-256, else those of 2.17.0.

    `mode`: `baseline` only looks at answers, `api` attacks the operations of the definitions, `full` follows every page too.
    `minutes` is each service's budget of active scanning, `service-minutes` that of single ones; the whole is
    `[checks.zap] deadline`. `rules` is a rule file in ZAP's format. `min-version`, `min-rules` (active and passive together)
    and `add-ons` (ids) are what the ZAP must have.
    """

    url: str = ""
    key_env: str = "ZAP_API_KEY"
    image: str = ""
    release: str = ""
    release_sha256: str = ""
    mode: Literal["baseline", "api", "full"] = "api"
    rules: str = ""
    minutes: Annotated[float, msgspec.Meta(gt=0)] = 10
    service_minutes: dict[str, Annotated[float, msgspec.Meta(gt=0)]] = {}
    min_version: str = ""
    min_rules: Annotated[int, msgspec.Meta(ge=0)] = 0
    add_ons: tuple[str, ...] = ()
    provide: tuple[Literal["daemon", "install", "container", "release", "assembled"], ...] = (
        "daemon",
        "install",
        "container",
        "assembled",
    )

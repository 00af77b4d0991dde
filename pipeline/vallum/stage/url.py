"""The kind of environment `url`: services that somebody else has started. Nothing is started or stopped here, nothing left.

What may be asked is said twice, by each service's `url` and by `[environment.url] allow`. Names are resolved once; from then
on only those addresses are connected to, whatever the name says later (DNS rebinding). An address that is neither of this
machine nor of a private network is attacked only with `i-may-attack = true`, and not a packet goes there without.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from vallum import artifacts
from vallum.config import Config
from vallum.environments import Elsewhere, Environment, StagedService
from vallum.errors import Inconclusive, UserError
from vallum.stage import readiness, seed, settings
from vallum.stage.environment import Deployment
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope, origin_of
from vallum.stage.secrets import resolve
from vallum.target import Target

CONNECT = 5.0
"""Seconds for a connection."""
NEAR = tuple(
    ipaddress.ip_network(network)
    for network in (
        *("127.0.0.0/8", "::1/128"),  # this machine
        *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"),  # RFC 1918
        "fc00::/7",  # RFC 4193
        *("169.254.0.0/16", "fe80::/10"),  # RFC 3927, RFC 4291: link-local
    )
)
"""Networks whose addresses nobody else can mean. All others are public, those of documentation and of providers too."""


def check(environment: Environment, root: Path) -> None:
    """Raise UserError for what is wrong with a `url` environment. Nothing is resolved or asked."""
    elsewhere = environment.url
    if elsewhere is None or not elsewhere.allow:
        raise UserError(
            "[environment.url] has no `allow`", 'name every origin, such as allow = ["staging.example:443"]'
        )
    if elsewhere.authorities and not (root / elsewhere.authorities).is_file():
        raise UserError(f"environment.url.authorities: there is no file {elsewhere.authorities!r}", "correct the path")
    allowed = frozenset(_allowed(each) for each in elsewhere.allow)
    for name, service in environment.services.items():
        key = f"environment.services.{name}"
        parts = _origin(service, key)
        if (parts[1], parts[2]) not in allowed:
            raise UserError(
                f"{key}.url: {parts[1]}:{parts[2]} is not in environment.url.allow", "add it, if it may be attacked"
            )
        if service.ready.command:
            raise UserError(f"{key}.ready: a `url` environment has `path` or `tcp`", "remove `command`")


def _origin(service: StagedService, key: str) -> tuple[str, str, int]:
    try:
        parts = urlsplit(service.url)
        origin = origin_of(service.url)
    except ValueError:
        raise UserError(f"{key}.url: {service.url!r} is no address", 'such as "https://staging.example"') from None
    if parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc:
        raise UserError(f"{key}.url: {service.url!r} is more than an origin", "scheme, host and port only")
    return origin


def _allowed(entry: str) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{entry}")
        if parts.hostname and parts.port and parts.netloc == entry and "@" not in entry:
            return parts.hostname.lower().rstrip("."), parts.port
    except ValueError:
        pass
    raise UserError(f"environment.url.allow: {entry!r} is no host:port", 'such as "staging.example:443"')


@contextlib.contextmanager
def deploy(target: Target, config: Config, run_id: str) -> Iterator[Deployment]:
    """See vallum.stage.environment.Environment. The services run already; they are asked whether they are ready."""
    environment = config.environment
    if environment is None or environment.url is None:
        raise UserError("there is no [environment.url] in the configuration", "see docs/scope.md")
    settings.check(environment, target.root)
    folder = artifacts.folder(target.root.resolve()) / "stage" / "url"
    folder.mkdir(parents=True, exist_ok=True)
    with artifacts.locked(folder / "lock", "a run is attacking the services of this folder"):
        yield _deployment(target.root, environment, environment.url, run_id, folder)


def remove(root: Path) -> list[str]:
    """Nothing is ever left: see vallum.stage.environment.Environment."""
    del root
    return []


def _deployment(root: Path, environment: Environment, elsewhere: Elsewhere, run_id: str, folder: Path) -> Deployment:
    urls = {name: service.url.rstrip("/") for name, service in environment.services.items()}
    secrets = resolve(environment.secrets)
    redactor = Redactor()
    for secret in secrets.values():
        redactor.add(secret)
    found = {name: resolved(origin_of(url), elsewhere) for name, url in urls.items()}
    for name, service in environment.services.items():
        host, port = origin_of(urls[name])[1:]
        ask = partial(_connects, found, name, port)
        readiness.wait(f"{name} ({host}:{port})", service.ready.seconds, ask, _nothing, str)
    pinned = {origin_of(urls[name])[1]: addresses for name, addresses in found.items()}
    scope = Scope(urls, pinned=pinned, trust=_trust(root, elsewhere))
    for name, service in environment.services.items():
        if not service.ready.tcp:
            readiness.wait(name, service.ready.seconds, _answers(scope, urls[name], service.ready.path), _nothing, str)
    alive = partial(_alive, urls, pinned)
    users = seed.populate(environment, root, folder, urls, secrets, redactor, alive=alive, scope=scope)
    return Deployment(
        kind="url",
        run_id=run_id,
        urls=urls,
        folder=folder,
        logs={},
        redactor=redactor,
        secrets=secrets,
        check_services=alive,
        users=users,
        given_scope=scope,
    )


def resolved(origin: tuple[str, str, int], elsewhere: Elsewhere) -> tuple[str, ...]:
    """The addresses of a host. Raises UserError for a public one without permission, Inconclusive where there is none."""
    addresses = _lookup(origin[1], origin[2])
    public = next((address for address in addresses if not is_near(address)), "")
    if public and not elsewhere.i_may_attack:
        raise UserError(
            f"{origin[1]} is at the public address {public}: it is not attacked",
            "say i-may-attack = true in [environment.url], if its owner allows it",
        )
    return addresses


def is_near(address: str) -> bool:
    """Whether an address is one of this machine or of a private network (NEAR)."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    parsed = mapped or parsed
    return any(parsed.version == network.version and parsed in network for network in NEAR)


def _lookup(host: str, port: int) -> tuple[str, ...]:
    try:
        rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Inconclusive(f"{host} cannot be resolved: {error}") from None
    return tuple(dict.fromkeys(str(row[4][0]) for row in rows))


def _connects(
    found: dict[str, tuple[str, ...]], name: str, port: int, _deadline: float, _tick: Callable[[], None]
) -> str:
    """Whether one of the addresses accepts connections; that one becomes the first (`localhost` has two)."""
    for address in found[name]:
        if _accepts(address, port):
            found[name] = (address, *(each for each in found[name] if each != address))
            return ""
    return "it does not accept connections"


def _accepts(address: str, port: int) -> bool:
    try:
        with socket.create_connection((address, port), CONNECT):
            return True
    except OSError:
        return False


def _answers(scope: Scope, url: str, path: str) -> readiness.Probe:
    def ask(_deadline: float, _tick: Callable[[], None]) -> str:
        import httpx

        try:
            with scope.client(counted=False) as client, client.stream("GET", url + path) as answer:
                status = answer.status_code
        except httpx.HTTPError as error:
            return f"GET {path} did not answer ({type(error).__name__}: {error})"
        return "" if 200 <= status < 300 else f"GET {path} answered {status}"

    return ask


def _alive(urls: dict[str, str], pinned: dict[str, tuple[str, ...]]) -> None:
    """Raise Inconclusive where a service does not accept connections, or its name leads elsewhere by now."""
    for name, url in urls.items():
        _, host, port = origin_of(url)
        now = _lookup(host, port)
        if not set(now) & set(pinned[host]):
            raise Inconclusive(f"{host} was at {', '.join(pinned[host])} and is at {', '.join(now)} now: not attacked")
        if not any(_accepts(address, port) for address in pinned[host]):
            raise Inconclusive(f"the service {name} does not accept connections at {host}:{port}")


def _trust(root: Path, elsewhere: Elsewhere) -> ssl.SSLContext | None:
    if not elsewhere.authorities:
        return None
    context = ssl.create_default_context()
    try:
        context.load_verify_locations(root / elsewhere.authorities)
    except (OSError, ssl.SSLError) as error:
        raise UserError(
            f"environment.url.authorities: cannot read {elsewhere.authorities}: {error}", "a PEM file"
        ) from None
    return context


def _nothing() -> None:
    """There is no process of ours to look after."""

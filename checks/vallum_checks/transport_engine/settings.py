"""The settings of the check: its own options, and what the environment says of mutual TLS."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vallum.config import Config
from vallum.errors import UserError

if TYPE_CHECKING:
    from vallum.environments import Environment


def options(config: Config, root: Path) -> tuple[Path | None, dict[str, str]]:
    """`[checks.transport.options]`: `ca`, a file with the authorities that sign the services' certificates
    (else `environment.url.authorities`), and `http`, the
    plain-HTTP address of a service on the same host, which must redirect. Raises UserError."""
    given = dict(config.settings("transport").options)
    ca, plain = given.pop("ca", ""), given.pop("http", {})
    where = "checks.transport.options"
    if given:
        raise UserError(f"{where}.{next(iter(given))} is not known", "known: ca, http")
    if not isinstance(ca, str) or (ca and not (root / ca).is_file()):
        raise UserError(f"{where}.ca: there is no file {ca!r}", "a PEM file with certificates, relative to the target")
    if not isinstance(plain, dict) or not all(
        isinstance(url, str) and urlsplit(url).scheme == "http" and urlsplit(url).hostname for url in plain.values()
    ):
        raise UserError(f"{where}.http cannot be {plain!r}", 'such as { gateway = "http://127.0.0.1:8080" }')
    elsewhere = config.environment.url if config.environment is not None else None
    ca = ca or (elsewhere.authorities if elsewhere is not None else "")
    return (root / ca if ca else None), plain


def mutual(environment: Environment | None, name: str) -> bool:
    """Whether callers of the service must show a certificate: the service says, else the environment."""
    service = environment.services.get(name) if environment is not None else None
    said = service.mtls if service is not None else None
    return said if said is not None else environment is not None and environment.mtls


def made_for_run(environment: Environment | None, name: str) -> bool:
    """Whether the certificate of an https service was made by vallum for this deployment."""
    service = environment.services.get(name) if environment is not None else None
    return service is not None and service.scheme == "https" and not service.certificate and not service.authorities


def loopback(url: str) -> bool:
    """Whether the host is this machine."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")

"""Who the https services of a deployment are: the certificates that they are given, and what checks theirs.

Nothing is ever asked without a check. A service's certificate is one that was made for the run, or signed by `authorities` of
its own, or exactly the `certificate` that its table names. The last may be self-signed, expired or in another name, which is
for the check `transport` to say: who holds its key is the service all the same.
"""

from __future__ import annotations

import functools
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from vallum.environments import Environment, StagedService
from vallum.errors import UserError
from vallum.stage.sockets import LOOPBACK

if TYPE_CHECKING:
    from vallum.stage import certificates

PLACEHOLDERS = ("tls.certificate", "tls.key", "tls.authorities")
_FILES = dict(zip(PLACEHOLDERS, ("certificate.pem", "key.pem", "authorities.pem"), strict=True))
FOLDER = "tls"
"""Of each service, beside its state: its certificate and key, and the run's authorities."""
AUTHORITIES = "authorities.pem"
"""In the state folder: what signs the services' certificates."""


def https(environment: Environment) -> bool:
    """Whether a service speaks https."""
    return any(service.scheme == "https" for service in environment.services.values())


def check(kind: str, name: str, service: StagedService, folder: Path) -> None:
    """Raise UserError for what is wrong with a service's `scheme`, `certificate`, `authorities` and `plain`."""
    key = f"environment.services.{name}"
    own = {"certificate": service.certificate, "authorities": service.authorities}
    if kind == "url" and (service.scheme != "http" or any(own.values()) or service.plain):
        raise UserError(
            f"{key}: `scheme`, `certificate`, `authorities` and `plain` are for services that are started",
            "a `url` environment has the scheme in `url`, and environment.url.authorities",
        )
    if service.scheme == "http":
        named = next((option for option, value in own.items() if value), "plain" if service.plain else "")
        if named:
            raise UserError(f"{key}.{named} is for https services", 'set scheme = "https"')
        return
    if all(own.values()):
        raise UserError(f"{key}: `certificate` and `authorities` exclude each other", "keep one of them")
    if kind != "process" and not any(own.values()):
        raise UserError(
            f"{key}.scheme: only services of the kind `process` are given a certificate",
            "name its `authorities`, or its `certificate`",
        )
    if service.plain and kind != "process":
        raise UserError(f"{key}.plain is for the kind `process`", "see checks.transport.options.http")
    for option, value in own.items():
        if value:
            _read(f"{key}.{option}", folder, value, single=option == "certificate")


def _read(key: str, folder: Path, path: str, *, single: bool) -> list[bytes]:
    """The certificates of a PEM file, as DER. Raises UserError."""
    file = folder / path
    if not file.is_file() or not file.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{key}: there is no file {path!r} in the service's folder", "correct the path")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        parts = file.read_text("utf-8").split(begin)[1:]
        found = [ssl.PEM_cert_to_DER_cert(f"{begin}{part.partition(end)[0]}{end}\n") for part in parts]
        ssl.create_default_context(cadata="".join(map(ssl.DER_cert_to_PEM_cert, found)))
    except (OSError, ValueError) as error:
        raise UserError(f"{key}: cannot read {path}: {error}", "a PEM file") from None
    if not found or (single and len(found) != 1):
        raise UserError(
            f"{key}: {path} holds {len(found)} certificates", "one of the service" if single else "a PEM file"
        )
    return found


class Identities:
    """The certificates of one deployment. `root` is the target's top."""

    def __init__(self, environment: Environment, root: Path) -> None:
        self._services = environment.services
        self._root = root
        self._any = https(environment)

    @functools.cached_property
    def _authority(self) -> certificates.Authority:
        from vallum.stage import certificates

        return certificates.Authority()

    def _named(self, name: str, option: str) -> list[bytes]:
        service = self._services[name]
        path = service.certificate if option == "certificate" else service.authorities
        key = f"environment.services.{name}.{option}"
        return _read(key, self._root / service.directory, path, single=option == "certificate") if path else []

    @functools.cached_property
    def bundle(self) -> str:
        """PEM: what signs the certificates of the services, but for those that name their very certificate."""
        theirs = [ssl.DER_cert_to_PEM_cert(der) for name in self._services for der in self._named(name, "authorities")]
        return self._authority.certificate.decode() + "".join(theirs)

    def url(self, name: str, port: int) -> str:
        """The address of a service at `port` of the loopback."""
        return f"{self._services[name].scheme}://{LOOPBACK}:{port}"

    @functools.cached_property
    def caller(self) -> tuple[bytes, bytes] | None:
        """What we show to services that ask for a certificate, and its key, PEM; None where no service speaks https."""
        return self._authority.issue("vallum", [LOOPBACK]) if self._any else None

    @functools.cached_property
    def trust(self) -> Mapping[str, ssl.SSLContext]:
        """What checks the certificate of each https service; to services that ask for one, it shows the run's own."""
        return {name: self._context(name) for name, service in self._services.items() if service.scheme == "https"}

    def _context(self, name: str) -> ssl.SSLContext:
        from vallum.stage import certificates

        pinned = self._named(name, "certificate")
        if pinned:
            context: ssl.SSLContext = Pinned.to(name, pinned[0])
        else:
            theirs = [ssl.DER_cert_to_PEM_cert(der) for der in self._named(name, "authorities")]
            context = ssl.create_default_context(cadata="".join(theirs) or self._authority.certificate.decode())
        if self.caller is not None:
            certificates.load(context, *self.caller)
        return context

    def hand_out(self, name: str, folder: Path) -> None:
        """Write what the placeholders name below the service's own `folder`."""
        if not self._any:
            return
        certificate, key = self._authority.issue(name, [LOOPBACK, "localhost"])
        (folder / FOLDER).mkdir(mode=0o700)
        for file, content in zip(_FILES.values(), (certificate, key, self.bundle.encode()), strict=True):
            (folder / FOLDER / file).write_bytes(content)

    def placeholders(self, folder: Path) -> dict[str, str]:
        """The files that `hand_out` wrote, by placeholder; none where no service speaks https."""
        return {name: str(folder / FOLDER / file) for name, file in _FILES.items()} if self._any else {}

    def write(self, folder: Path) -> Path | None:
        """The file with `bundle` in the state folder; None where no service speaks https."""
        if not self._any:
            return None
        (folder / AUTHORITIES).write_text(self.bundle, "ascii")
        return folder / AUTHORITIES


class _PinnedSocket(ssl.SSLSocket):
    def do_handshake(self, block: bool = False) -> None:
        super().do_handshake(block)
        context = self.context
        if isinstance(context, Pinned) and self.getpeercert(binary_form=True) != context.expected:
            raise ssl.SSLCertVerificationError(
                f"{context.name} shows another certificate than the one that is configured"
            )


class Pinned(ssl.SSLContext):
    """Trusts one certificate and nothing else; of that, neither name nor dates nor strength matter, and TLS may be as old as this
    OpenSSL speaks it. For sockets only, not for BIOs."""

    sslsocket_class = _PinnedSocket
    name: str
    expected: bytes

    @classmethod
    def to(cls, name: str, certificate: bytes) -> Pinned:
        """What trusts `certificate` (DER), the service `name`'s."""
        context = cls(ssl.PROTOCOL_TLS_CLIENT)
        context.name, context.expected = name, certificate
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # instead of a chain, the very certificate is compared in each handshake
        context.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        context.set_ciphers("ALL:@SECLEVEL=0")
        return context

    def wrap_bio(self, *_given: object, **_named: object) -> ssl.SSLObject:
        """Never: the certificate would not be compared."""
        raise NotImplementedError("a pinned certificate is compared on sockets only")

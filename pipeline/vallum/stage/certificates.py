"""Certificates of the run's own: those of staged https services, and those with which the proxy answers in their name.

The tools are told not to check the proxy's: what they talk to is on loopback. The service's own certificate is checked by the
proxy (vallum.stage.scope.Scope.tls), and by the check `transport`. An authority's key stays in memory.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec


LIFETIME = dt.timedelta(days=16)
"""More than the two weeks within which the check `transport` calls an end near."""


def contexts(hosts: Iterable[str]) -> dict[str, ssl.SSLContext]:
    """A server's TLS context for each host name or address."""
    return {host: _server(host) for host in dict.fromkeys(hosts)}


def _server(host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load(context, *Authority().issue("vallum", [host]))
    return context


class Authority:
    """An authority of the run's own, whose certificates nobody else trusts. `certificate` is its own, PEM."""

    def __init__(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("vallum: authority of one run")
        self.certificate = self._sign(self._name, self._key.public_key(), [])

    def issue(self, name: str, hosts: Iterable[str]) -> tuple[bytes, bytes]:
        """A certificate for servers at `hosts` (names or addresses) and for clients, and its key; both PEM."""
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric import ec

        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(_name(name), key.public_key(), list(hosts))
        form = serialization.PrivateFormat.PKCS8
        return certificate, key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePublicKey, hosts: list[str]) -> bytes:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes, serialization
        from cryptography.x509.oid import ExtendedKeyUsageOID

        now = dt.datetime.now(dt.UTC)
        mine = self._key.public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + LIFETIME)
            .add_extension(x509.BasicConstraints(ca=not hosts, path_length=0 if not hosts else None), critical=True)
            .add_extension(_usage(signs=not hosts), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(mine), critical=False)
        )
        if hosts:
            both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            builder = builder.add_extension(x509.SubjectAlternativeName(map(_other, hosts)), critical=False)
            builder = builder.add_extension(x509.ExtendedKeyUsage(both), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def load(context: ssl.SSLContext, certificate: bytes, key: bytes) -> None:
    """Let `context` show a certificate. OpenSSL reads key pairs from files only: from one that nobody else can read, gone at
    once."""
    handle, path = tempfile.mkstemp()
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(certificate + key)
        context.load_cert_chain(path)
    finally:
        Path(path).unlink()


def _name(text: str) -> x509.Name:
    from cryptography import x509

    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def _other(host: str) -> x509.GeneralName:
    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _usage(*, signs: bool) -> x509.KeyUsage:
    """What a key may be used for (RFC 5280, 4.2.1.3): to sign certificates, or handshakes."""
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )

"""Secrets from a HashiCorp Vault's KV store, version 1 or 2, with hvac (the extra `vallum[vault]`).

Unverified against a real Vault: none could be had where this was written. The tests run hvac against a server of our own
that answers as Vault's HTTP API is documented (KV version 1 and 2, `sys/internal/ui/mounts`).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vallum.errors import UserError

if TYPE_CHECKING:
    from hvac import Client

TIMEOUT = 10
"""Seconds for one request, as hvac counts them: to connect, and between two pieces of the answer."""
_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


def read(key: str, source: str) -> str:
    """The value at `MOUNT/PATH#KEY`. Raises UserError with `key`; nothing that Vault answered is in it.

    VAULT_ADDR, VAULT_TOKEN and VAULT_NAMESPACE say where and as whom; VAULT_CACERT, where set, what its certificate is
    checked with. A certificate is always checked, and a token goes over http to the loopback only.
    """
    path, _, name = source.partition("#")
    path = path.strip("/")
    try:
        import hvac
        from hvac.exceptions import VaultError
        from requests.exceptions import RequestException
    except ImportError:
        raise UserError(
            f"{key}: reading from Vault needs hvac, which is not installed", "install vallum[vault]"
        ) from None
    client = _client(key, hvac.Client)
    try:
        data = _read(client, path)
    except (VaultError, RequestException) as error:
        raise UserError(
            f"{key}: Vault did not give {path}: {type(error).__name__}",
            "see that VAULT_ADDR, VAULT_TOKEN and VAULT_NAMESPACE are right, and that the token may read it",
        ) from None
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, str) or not value:
        raise UserError(f"{key}: the secret {path} in Vault has no text named {name!r}", "MOUNT/PATH#KEY")
    return value


def _client(key: str, make: type[Client]) -> Client:
    address, token = os.environ.get("VAULT_ADDR", ""), os.environ.get("VAULT_TOKEN", "")
    if not address or not token:
        missing = "VAULT_TOKEN" if address else "VAULT_ADDR"
        raise UserError(f"{key}: the environment variable {missing} is not set", "set it for this run")
    parts = urlsplit(address)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise UserError(f"{key}: VAULT_ADDR is no https address", "the token would be sent where anybody can read it")
    namespace = os.environ.get("VAULT_NAMESPACE") or None
    verify = os.environ.get("VAULT_CACERT") or True
    return make(url=address, token=token, namespace=namespace, timeout=TIMEOUT, verify=verify, allow_redirects=False)


def _read(client: Client, path: str) -> Any:
    """The secret's values. The mount and its version are asked for, as Vault's own client does; else both are tried."""
    from hvac.exceptions import Forbidden, InvalidPath, InvalidRequest

    try:
        mounted = client.adapter.get(f"/v1/sys/internal/ui/mounts/{path}")
    except (Forbidden, InvalidPath, InvalidRequest):
        mounted = {}
    found = mounted.get("data") if isinstance(mounted, dict) else None
    if isinstance(found, dict) and isinstance(found.get("path"), str):
        mount = found["path"].strip("/")
        version = str((found.get("options") or {}).get("version", "1"))
        return _read_as(client, version, mount, path[len(mount) :].strip("/"))
    mount, _, rest = path.partition("/")
    try:
        return _read_as(client, "2", mount, rest)
    except (Forbidden, InvalidPath):
        return _read_as(client, "1", mount, rest)


def _read_as(client: Client, version: str, mount: str, path: str) -> Any:
    if version == "2":
        answer = client.secrets.kv.v2.read_secret_version(path=path, mount_point=mount, raise_on_deleted_version=True)
        outer = answer.get("data") if isinstance(answer, dict) else None
        return outer.get("data") if isinstance(outer, dict) else None
    answer = client.secrets.kv.v1.read_secret(path=path, mount_point=mount)
    return answer.get("data") if isinstance(answer, dict) else None

"""Sending all of ZAP's own requests through the scope's proxy: what the scope refuses, no rule, link or redirect gets out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum_checks.zap_engine.client import Zap


@contextlib.contextmanager
def through(zap: Zap, proxy: str) -> Iterator[None]:
    """While the `with` lasts, ZAP sends everything to `proxy` (`http://HOST:PORT`), for addresses of this machine too.

    What was set before comes back afterwards. Empty: as ZAP was. Raises Inconclusive where ZAP does not do it.
    """
    if not proxy:
        yield
        return
    network = zap.api.network
    before = network.get_http_proxy
    was_on = str(network.is_http_proxy_enabled)
    exclusions = _exclusions(zap)
    host, port = urlsplit(proxy).hostname, urlsplit(proxy).port
    zap.action(network.set_http_proxy(host, port), "use a proxy")
    for each in exclusions:
        zap.action(network.set_http_proxy_exclusion_enabled(each, "false"), "send everything through the proxy")
    zap.action(network.set_http_proxy_enabled("true"), "use a proxy")
    if str(network.is_http_proxy_enabled) != "true" or _exclusions(zap):
        raise Inconclusive("ZAP does not send everything through the proxy that limits its scope")
    try:
        yield
    finally:
        with contextlib.suppress(Inconclusive):  # a ZAP that is gone needs nothing back
            network.set_http_proxy_enabled(was_on)
            for each in exclusions:
                network.set_http_proxy_exclusion_enabled(each, "true")
            if isinstance(before, dict) and before.get("host"):
                network.set_http_proxy(before["host"], before["port"])


def _exclusions(zap: Zap) -> list[str]:
    """The hosts that ZAP asks past its proxy."""
    rows: Any = zap.api.network.get_http_proxy_exclusions
    return [
        str(row.get("host"))
        for row in zap.rows(rows, "hosts past its proxy")
        if str(row.get("enabled")).lower() == "true"
    ]

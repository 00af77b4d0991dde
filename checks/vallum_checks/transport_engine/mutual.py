"""Mutual TLS where the environment says that there is: callers without TLS and without a certificate must be refused."""

from __future__ import annotations

from urllib.parse import urlsplit

from vallum.errors import Inconclusive
from vallum_checks.transport_engine import rules
from vallum_checks.transport_engine.tls import Weakness
from vallum_checks.transport_engine.wire import Line, Reply

REFUSED = frozenset({400, 401, 403, 421, 495, 496})
"""What a proxy says to a caller without a certificate; nginx says 400, and 495 or 496 in its log."""
_WORDS = (b"certificate", b"plain http", b"https port")


def probe(line: Line, service: str, url: str, path: str, beside: str = "") -> list[tuple[Weakness, Reply]]:
    """Call a service that must demand a certificate, without TLS (at the address `beside` too) and without a certificate.

    `path` is one that answers without a login. Raises Inconclusive where an answer may be a refusal of either kind.
    """
    parts = urlsplit(url)
    found = []
    for address, where in ((f"http://{parts.netloc}", ""), (beside, " at its other port")):
        plain = line.ask("GET", address + path, bare=True) if address else None
        if plain is not None and not _leads_to_https(plain) and _answered(service, plain, "without TLS"):
            found.append((Weakness(rules.PLAIN_INSIDE, f"GET {path} answers {plain.status} without TLS{where}"), plain))
    if parts.scheme == "https":
        bare = line.ask("GET", f"https://{parts.netloc}{path}", bare=True)
        if _answered(service, bare, "without a client certificate"):
            text = f"GET {path} answers {bare.status} to a caller without a certificate"
            found.append((Weakness(rules.NO_CLIENT_CERTIFICATE, text), bare))
    return found


def _leads_to_https(reply: Reply) -> bool:
    return 300 <= reply.status < 400 and urlsplit(reply.header("location")).scheme == "https"


def _answered(service: str, reply: Reply, how: str) -> bool:
    """Whether the service itself answered. No answer is what should be: but a service that is gone proves nothing either, and
    the frame of the dynamic checks proves that it is alive."""
    if reply.status == 0:
        return False
    if reply.status not in REFUSED:
        return True
    if any(word in reply.body.lower() for word in _WORDS) or reply.status in {495, 496}:
        return False
    raise Inconclusive(
        f"{service} answers {reply.status} {how}: whether it refuses the caller or the login is not clear"
    )

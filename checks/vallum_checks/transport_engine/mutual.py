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


def probe(line: Line, service: str, url: str, path: str) -> list[tuple[Weakness, Reply]]:
    """Call a service that must demand a certificate, without TLS and without a certificate.

    `path` is one that answers without a login. Raises Inconclusive where an answer may be a refusal of either kind.
    """
    parts = urlsplit(url)
    found = []
    plain = line.ask("GET", f"http://{parts.netloc}{path}")
    if _answered(service, plain, "without TLS"):
        found.append((Weakness(rules.PLAIN_INSIDE, f"GET {path} answers {plain.status} without TLS"), plain))
    if parts.scheme == "https":
        bare = line.ask("GET", f"https://{parts.netloc}{path}")
        if _answered(service, bare, "without a client certificate"):
            text = f"GET {path} answers {bare.status} to a caller without a certificate"
            found.append((Weakness(rules.NO_CLIENT_CERTIFICATE, text), bare))
    return found


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

"""Limits by client: requests in a minute, and failed logins in a minute. Behind a proxy, name it in waitress's `trusted_proxy`."""
import threading
import time
from collections import OrderedDict

from werkzeug.exceptions import TooManyRequests

from settings import setting

REQUESTS = int(setting("RATE_LIMIT", "600"))
FAILED_LOGINS = 20
SECONDS = 60
REMEMBERED = 10_000


class Window:
    """Counts what clients do in windows of fixed length, and forgets those not seen for longest."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._lock = threading.Lock()
        self._counts: OrderedDict[str, tuple[int, int]] = OrderedDict()

    def left(self, client: str, add: int) -> int:
        """How many are left after `add` more; below zero: too many."""
        window = int(time.monotonic() // SECONDS)
        with self._lock:
            start, count = self._counts.get(client, (window, 0))
            count = count + add if start == window else add
            self._counts[client] = window, count
            self._counts.move_to_end(client)
            while len(self._counts) > REMEMBERED:
                self._counts.popitem(last=False)
        return self.most - count


requests, logins = Window(REQUESTS), Window(FAILED_LOGINS)


def seconds_left() -> int:
    """Until the next window begins."""
    return SECONDS - int(time.monotonic() % SECONDS)


def refuse() -> None:
    raise TooManyRequests("too many requests, wait a minute", retry_after=seconds_left())


def headers(client: str) -> dict[str, str]:
    """As in the IETF's draft on RateLimit header fields."""
    left = max(requests.left(client, 0), 0)
    return {
        "RateLimit-Policy": f'"client";q={REQUESTS};w={SECONDS}',
        "RateLimit": f'"client";r={left};t={seconds_left()}',
    }

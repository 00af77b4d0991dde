"""A limit on failed logins, per user name."""
import threading
import time
from collections import OrderedDict

ATTEMPTS = 10
SECONDS = 60
REMEMBERED = 10_000

_lock = threading.Lock()
_failures: OrderedDict[str, list[float]] = OrderedDict()


def blocked(username: str) -> bool:
    with _lock:
        recent = [moment for moment in _failures.get(username, []) if moment > time.monotonic() - SECONDS]
        if recent:
            _failures[username] = recent
        else:
            _failures.pop(username, None)
        return len(recent) >= ATTEMPTS


def failed(username: str) -> None:
    with _lock:
        _failures.setdefault(username, []).append(time.monotonic())
        _failures.move_to_end(username)
        while len(_failures) > REMEMBERED:
            _failures.popitem(last=False)

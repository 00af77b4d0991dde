"""What was asked of a deployment and how it answered, counted at the one place that every request passes."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

MAX_PATHS = 20_000
"""Different (method, path) that are kept a service: scanners put what they try into paths. The first ones are the seeds."""
MAX_PATH = 1024
"""Characters of a path that are kept."""
MAX_OUTSIDE = 100
"""Different hosts outside the scope that are kept."""


@dataclass
class Count:
    """Requests by their answer: 2xx, 3xx, 401 and 403, other 4xx, 5xx, none. `authenticated` are those that carried the token
    of one of our users and were answered with something else than 401, 403 or nothing."""

    requests: int = 0
    successful: int = 0
    redirected: int = 0
    refused: int = 0
    wrong: int = 0
    failed: int = 0
    unanswered: int = 0
    authenticated: int = 0

    @property
    def answered(self) -> int:
        """Requests that got any answer."""
        return self.requests - self.unanswered

    def add(self, status: int, *, with_login: bool) -> None:
        """Count one request. `status` 0: no answer."""
        self.requests += 1
        if status == 0:
            self.unanswered += 1
            return
        if status in (401, 403):
            self.refused += 1
            return
        self.authenticated += with_login
        if status < 300:
            self.successful += 1
        elif status < 400:
            self.redirected += 1
        elif status < 500:
            self.wrong += 1
        else:
            self.failed += 1


@dataclass
class ServiceTraffic:
    """One service: the sum, and by (METHOD, path without the query) how often it answered (status, whether a login was sent).
    `more`: requests to paths that no longer fitted."""

    total: Count = field(default_factory=Count)
    paths: dict[tuple[str, str], dict[tuple[int, bool], int]] = field(default_factory=dict)
    more: int = 0
    why: str = ""
    """Why the first request without an answer had none."""


class Traffic:
    """All services of a deployment. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.services: dict[str, ServiceTraffic] = {}
        self.outside: dict[str, int] = {}
        self.retried = 0

    def record(
        self, service: str, method: str, path: str, status: int, *, with_login: bool = False, why: str = ""
    ) -> None:
        """Count a request to `service`; `path` without the query. `status` 0 for none, and `why`."""
        key = (method, path[:MAX_PATH])
        with self._lock:
            known = self.services.get(service)
            if known is None:
                known = self.services[service] = ServiceTraffic()
            known.total.add(status, with_login=with_login)
            known.why = known.why or why
            answers = known.paths.get(key)
            if answers is None:
                if len(known.paths) >= MAX_PATHS:
                    known.more += 1
                    return
                answers = known.paths[key] = {}
            answers[status, with_login] = answers.get((status, with_login), 0) + 1

    def asked(self, service: str) -> list[tuple[str, str, int, bool]]:
        """What was asked of a service, each once: method, path without the query, status (0: none), whether with a login."""
        with self._lock:
            known = self.services.get(service)
            paths = known.paths.items() if known is not None else ()
            return [(method, path, *answer) for (method, path), answers in paths for answer in answers]

    def retry(self) -> None:
        """Count a request that was sent again with a renewed login."""
        with self._lock:
            self.retried += 1

    def refuse(self, host: str) -> None:
        """Count a request to `host` that was not sent because it is outside the scope."""
        with self._lock:
            if host not in self.outside and len(self.outside) >= MAX_OUTSIDE:
                host = "others"
            self.outside[host] = self.outside.get(host, 0) + 1

    def notes(self) -> list[str]:
        """What a reader of the outcome must know: how much was asked, and what was not sent."""
        with self._lock:
            said = []
            for name, service in self.services.items():
                total = service.total
                said.append(
                    f"{name}: {total.requests} requests; 2xx {total.successful}, 3xx {total.redirected}, 401/403 "
                    f"{total.refused}, other 4xx {total.wrong}, 5xx {total.failed}, none {total.unanswered}"
                    + (f" ({service.why})" if total.unanswered and service.why else "")
                )
            if self.outside:
                hosts = ", ".join(f"{host} ({number})" for host, number in sorted(self.outside.items())[:20])
                said.append(f"outside the deployment, not requested: {hosts}")
            return said

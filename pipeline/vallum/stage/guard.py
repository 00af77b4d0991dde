"""What stands around an attack: the proxy that the tools must use, and a thread that watches whether the target still lives."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from vallum.errors import Inconclusive
from vallum.stage.proxy import Proxy
from vallum.stage.renewal import THRESHOLD, Keeper, Outage

if TYPE_CHECKING:
    from vallum.stage.environment import Deployment

EVERY = 5.0
"""Seconds between two looks: two requests a user, which no service notices."""


class Guard:
    """Watches one attack. `problems` and `notes` are for its outcome, once the `with` has ended."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self.keeper = Keeper((user.session for user in deployment.users.values()), deployment.scope)
        self._services = Outage("the deployment")
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="vallum-liveness", daemon=True)
        self.looks = 0

    def _watch(self) -> None:
        while not self._ended.wait(EVERY):
            self._look()

    def _look(self) -> None:
        self.looks += 1
        try:
            self._deployment.check_services()
        except Inconclusive as error:
            self._services.fails(error.reason)
            return
        self._services.holds()
        self.keeper.check()

    def begin(self) -> None:
        """Watch from now on."""
        self._thread.start()

    def end(self) -> None:
        """Look a last time, so that a login which ended a moment ago is renewed before it is proved, and stop."""
        self._ended.set()
        self._thread.join()
        self._look()

    def problems(self, *, dead: bool = False) -> list[str]:
        """Why the attack was not whole. `dead`: that a service does not live is said elsewhere."""
        said = self.keeper.problems()
        if dead:
            return said
        if self._services.since:
            said.append(f"during the attack: {self._services.reason}")
        elif self._services.longest > THRESHOLD:
            said.append(f"for {self._services.longest:.0f} s of the attack: {self._services.reason}")
        return said

    def notes(self) -> list[str]:
        """What was asked, what was refused, what was mended."""
        return [*self._deployment.scope.traffic.notes(), *self.keeper.notes()]


@contextlib.contextmanager
def guarded(deployment: Deployment, requests_per_second: float | None = None) -> Iterator[Guard]:
    """Let an attack happen inside the `with`: its tools find the proxy's address at `deployment.proxy`."""
    scope = deployment.scope
    scope.limit(requests_per_second)
    guard = Guard(deployment)
    with Proxy(scope, guard.keeper, deployment.certificates()) as proxy:
        scope.proxy = proxy.address
        guard.begin()
        try:
            yield guard
        finally:
            guard.end()
            scope.proxy = ""

"""What a kind of environment gives to the checks that attack it: a Deployment, for as long as the `with` lasts."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.stage.ledger import Ledger
from vallum.stage.login import Session, User
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope, origin_of
from vallum.stage.traffic import Traffic
from vallum.target import Target


@dataclass(frozen=True)
class Deployment:
    """A staged deployment that is up, ready and logged in.

    `urls` maps each service to its origin (`http://127.0.0.1:PORT`, no slash at the end); nothing else is requested. `plain` has
    the addresses where https services answer plain HTTP too, `authorities` is a PEM file with what signs their certificates,
    `identity` the certificate that we show, and its key.
    `folder` is the state folder, `logs` the services' log files. `users` are logged in, in the configuration's order; empty
    where no login is configured. `given_scope` is for a kind whose scope is more than its origins.
    `secrets` are the values made for this run; whatever is written goes through `redactor` first.
    """

    kind: str
    run_id: str
    urls: Mapping[str, str]
    folder: Path
    logs: Mapping[str, Path]
    redactor: Redactor = field(repr=False)
    secrets: Mapping[str, str] = field(repr=False)
    check_services: Callable[[], None] = field(repr=False)
    users: Mapping[str, User] = field(repr=False, default_factory=dict)
    given_scope: Scope | None = field(repr=False, default=None)
    authorities: Path | None = None
    identity: tuple[bytes, bytes] | None = field(repr=False, default=None)
    plain: Mapping[str, str] = field(default_factory=dict)

    @property
    def session(self) -> Session | None:
        """The first user's login: what a scanner attacks with."""
        return next((user.session for user in self.users.values()), None)

    @functools.cached_property
    def scope(self) -> Scope:
        """What may be requested: the services' origins and nothing else."""
        scope = self.given_scope or Scope(self.urls)
        scope.sessions = tuple(user.session for user in self.users.values())
        return scope

    @property
    def proxy(self) -> str:
        """The address of the proxy that every tool must use. Raises Inconclusive outside an attack (vallum.stage.guard)."""
        if not self.scope.proxy:
            raise Inconclusive("there is no proxy: a tool may be started during a guarded attack only")
        return self.scope.proxy

    @property
    def traffic(self) -> Traffic:
        """What was asked so far and how it was answered."""
        return self.scope.traffic

    def certificates(self) -> dict[str, ssl.SSLContext]:
        """What the proxy answers with in the name of the https services."""
        hosts = {origin_of(url)[1] for url in self.urls.values() if url.startswith("https:")}
        if not hosts:
            return {}
        from vallum.stage import certificates

        return certificates.contexts(sorted(hosts))

    @functools.cached_property
    def ledger(self) -> Ledger:
        """What became of each declared operation so far."""
        return Ledger()

    def liveness(self) -> None:
        """Prove that every service runs and that the login still counts: for before, during and after an attack.

        Raises Inconclusive with the reason otherwise.
        """
        self.check_services()
        for user in self.users.values():
            user.session.prove()

    def headers(self) -> dict[str, str]:
        """The headers of a logged-in request; empty where no login is configured."""
        return self.session.header() if self.session is not None else {}


class Environment(Protocol):
    """A kind of environment: a module with these two functions, and one line in ENVIRONMENTS."""

    def deploy(self, target: Target, config: Config, run_id: str) -> AbstractContextManager[Deployment]:
        """Build, start, wait until ready, log in; take everything down when the `with` ends, however it ends.

        Removes first what an earlier run left. Raises UserError for settings that cannot work, Inconclusive for a
        deployment that does not come up.
        """
        ...

    def remove(self, root: Path) -> list[str]:
        """End what is up, or was left by a killed run, and name it. Raises UserError while a run is using it."""
        ...

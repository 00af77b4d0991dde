"""The last step of every kind that starts services itself: fill them, log in, let their output go to their logs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from vallum.environments import Environment
from vallum.stage import seed
from vallum.stage.environment import Deployment
from vallum.stage.identities import Identities
from vallum.stage.log import Logs
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope


def settle(
    kind: str,
    run_id: str,
    environment: Environment,
    root: Path,
    folder: Path,
    urls: Mapping[str, str],
    secrets: Mapping[str, str],
    redactor: Redactor,
    logs: Logs,
    *,
    logged: Iterable[str],
    identities: Identities,
    check: Callable[[], None],
    alive: Callable[[], None] | None = None,
    plain: Mapping[str, str] | None = None,
) -> Deployment:
    """Seed and log in as vallum.stage.seed does, release the logs, and say what is up.

    `logged` names what has a log in `folder`. `check` raises when a service has ended; `alive`, where it is given, does so while
    the seed's command runs. Raises Inconclusive where something fails.
    """
    scope = Scope(urls, trust=identities.trust)
    users = seed.populate(
        environment, root, folder, urls, secrets, redactor, alive=alive or check, quiet=logs.held, scope=scope
    )
    logs.release()
    return Deployment(
        kind=kind,
        run_id=run_id,
        urls=urls,
        folder=folder,
        logs={name: folder / name / "log.txt" for name in logged},
        redactor=redactor,
        secrets=secrets,
        check_services=check,
        users=users,
        given_scope=Scope(urls, trust=identities.trust),
        authorities=identities.write(folder),
        identity=identities.caller,
        plain=plain or {},
    )

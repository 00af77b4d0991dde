"""`vallum -s stage` and `vallum -s unstage`: bring the deployment up and leave it; take it down."""

from __future__ import annotations

from pathlib import Path

from vallum.config import Config
from vallum.errors import UserError
from vallum.logins import SecretSource
from vallum.stage import ENVIRONMENTS, settings, state, supervisor
from vallum.stage.environment import Deployment
from vallum.stage.identities import FOLDER
from vallum.target import Target


def up(target: Target, config: Config, run_id: str) -> str:
    """Bring the deployment up and leave it, in a process of its own; returns what is up, as text for stdout.

    The text holds the secrets made for this deployment, because nobody could log in otherwise and they are written
    nowhere else. They are good for this deployment only, on this machine only, until `down`.
    """
    if config.environment is None:
        raise UserError("there is no [environment] in the configuration", "see docs/staging.md")
    settings.check(config.environment, target.root)
    if config.environment.kind == "url":
        raise UserError("the services of a `url` environment run already: there is nothing to stage", "run the checks")
    return supervisor.detach(target, run_id, state.folder(target.root, config.environment.kind))


def down(root: Path) -> str:
    """Take down what `up` or a killed run left; returns a sentence for stdout. Raises UserError while a run uses it."""
    ended = [name for environment in ENVIRONMENTS.values() for name in environment.remove(root)]
    return f"taken down: {', '.join(ended)}" if ended else "nothing was up"


def describe(deployment: Deployment, config: Config) -> str:
    """The addresses, the secrets and how to send a logged-in request.

    A secret that was read from elsewhere holds beyond this deployment: it is named, and its value is not shown. Nor is the
    header of a login that such a secret, or an identity provider outside, stands behind.
    """
    environment = config.environment
    sources = environment.secrets if environment else {}
    made = {name for name, source in sources.items() if not isinstance(source, SecretSource)}
    lines = [f"{name:12} {url}" for name, url in deployment.urls.items()]
    if deployment.authorities is not None:
        lines.append(f"{'https':12} curl --cacert {deployment.authorities}")
        shown = next((deployment.folder / name / FOLDER for name in deployment.urls), deployment.folder)
        if (shown / "key.pem").is_file():
            lines.append(f"{'':12} --cert {shown / 'certificate.pem'} --key {shown / 'key.pem'}")
    lines += [
        f"secret {name:5} {value if name in made else '(read from elsewhere: not shown)'}"
        for name, value in deployment.secrets.items()
    ]
    login = environment.login if environment else None
    if login is not None and deployment.session is not None:
        lines.append(f"logged in at {deployment.urls[login.service]}{login.path}:")
        own = made >= deployment.secrets.keys() and not login.allow
        headers = deployment.headers().items()
        lines.append("  " + ("; ".join(f"{key}: {value}" for key, value in headers) if own else "(not shown)"))
    return "\n".join([*lines, "take it down with: vallum -s unstage"])

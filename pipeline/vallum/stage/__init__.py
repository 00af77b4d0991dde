"""Staged deployments: bring the services of a target up on this machine, prove that they are up, and take them down.

    with deploy(target, config, run_id) as deployment:
        deployment.urls["gateway"], deployment.headers(), deployment.liveness()

A new kind of environment is one module like `process.py` and one line in ENVIRONMENTS.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

from vallum.config import Config
from vallum.errors import UserError
from vallum.stage import compose, kubernetes, process, url
from vallum.stage.environment import Deployment, Environment
from vallum.target import Target

__all__ = ["ENVIRONMENTS", "Deployment", "Environment", "deploy"]

ENVIRONMENTS: dict[str, Environment] = {
    "process": process,
    "compose": compose,
    "kubernetes": kubernetes,
    "url": url,
}


def deploy(target: Target, config: Config, run_id: str) -> AbstractContextManager[Deployment]:
    """The deployment of the configured kind, for the length of a `with`. Entering raises UserError or Inconclusive."""
    if config.environment is None:
        raise UserError("there is no [environment] in the configuration", "see docs/staging.md")
    return ENVIRONMENTS[config.environment.kind].deploy(target, config, run_id)

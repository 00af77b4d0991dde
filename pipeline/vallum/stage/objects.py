"""The objects of a `kubernetes` environment's run: prepared from the manifests, with our Secrets, and created."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vallum.environments import Environment, Kubernetes
from vallum.errors import Inconclusive, UserError
from vallum.stage import manifests, settings
from vallum.stage.cluster import Cluster
from vallum.stage.containers import make_private
from vallum.stage.redact import Redactor


class Objects:
    """What is created in the namespace of `cluster`. `ports` is what each staged service listens on, by its Service."""

    def __init__(
        self,
        environment: Environment,
        table: Kubernetes,
        root: Path,
        cluster: Cluster,
        label: str,
        secrets: Mapping[str, str],
        redactor: Redactor,
    ) -> None:
        self._environment = environment
        self._table = table
        self._root = root
        self._cluster = cluster
        self._label = label
        self._secrets = secrets
        self._redactor = redactor
        self.prepared = self._prepare()
        self.ports = {name: self._port_inside(name) for name in environment.services}

    def _prepare(self) -> manifests.Prepared:
        documents = manifests.read(self._table, self._root, self._cluster.path, self._cluster.namespace)
        env = {name: self._env_names(name) for name in self._environment.services}
        return manifests.prepare(documents, self._cluster.namespaced(), self._label, env)

    def _env_names(self, name: str) -> dict[str, Any]:
        """The entries of a workload's `env`: each refers to a Secret of ours, so that no object but that holds a value."""
        return {
            each: {"valueFrom": {"secretKeyRef": {"name": f"vallum-env-{name.lower()}", "key": each}}}
            for each in self._environment.services[name].env
        }

    def _port_inside(self, name: str) -> int:
        port = self._environment.services[name].port or self.prepared.ports.get(name, 0)
        if not port:
            raise UserError(
                f"environment.services.{name}: the manifests have no Service `{name}` that names a port",
                f"set environment.services.{name}.port, and `forward` where it has another name",
            )
        return port

    def values(self, name: str) -> dict[str, str]:
        """The placeholders of a service, filled."""
        services = self._environment.services
        urls = {f"url.{other}": f"{services[other].scheme}://{other}:{port}" for other, port in self.ports.items()}
        secrets = {f"secret.{each}": value for each, value in self._secrets.items()}
        return {**urls, **secrets, "port": str(self.ports[name])}

    def create(self) -> None:
        """`create`, not `apply`: apply would keep a copy of each Secret in an annotation of it."""
        documents: list[manifests.Document] = []
        for name, entries in self._table.secrets.items():
            key = f"environment.kubernetes.secrets.{name}"
            values = {f"secret.{each}": value for each, value in self._secrets.items()}
            filled = {each: settings.fill(value, f"{key}.{each}", values) for each, value in entries.items()}
            documents.append(manifests.secret(name, filled, self._label))
        for name, service in self._environment.services.items():
            key = f"environment.services.{name}.env"
            filled = {
                each: settings.fill(value, f"{key}.{each}", self.values(name)) for each, value in service.env.items()
            }
            if filled:
                documents.append(manifests.secret(f"vallum-env-{name.lower()}", filled, self._label))
        private = make_private(self._label)
        try:
            path = private / "objects.json"
            everything = [*documents, *self.prepared.documents]
            path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": everything}, default=str), "utf-8")
            answer = self._cluster.ask("create", "--filename", str(path), deadline=120.0)
        finally:
            shutil.rmtree(private, ignore_errors=True)
        if answer.exit_code != 0:
            reason = self._redactor.text(answer.reason)
            raise Inconclusive(f"the cluster refuses an object: {reason}", self._redactor.text(answer.error))

"""What the engine is told: the arguments that build an image and run a container of a compose project."""

from __future__ import annotations

import os
import secrets as random
from collections.abc import Mapping
from pathlib import Path

from vallum.environments import Environment
from vallum.errors import Inconclusive, UserError
from vallum.process import clean_environment
from vallum.stage import settings, sockets
from vallum.stage.composefile import Project
from vallum.stage.composemodel import Container
from vallum.stage.engine import LABEL, Engine
from vallum.stage.redact import Redactor

_OURS = ("LD_", "DOCKER", "CONTAINER", "PODMAN", "BUILDAH", "STORAGE_", "XDG_", "GO")
"""Beginnings of variables that mean something to the engine's own program: a service's secret cannot have such a name."""


def private_folder(label: str) -> Path:
    """Where files with secrets lie while the containers are up: in memory, where the system has such a place."""
    memory = Path("/dev/shm")  # noqa: S108 - a folder of our own in it, made for us alone
    return (memory if memory.is_dir() else Path.home() / ".cache") / f"vallum-{os.getuid()}-{label}"


def make_private(label: str) -> Path:
    """The private folder, made anew. Raises Inconclusive where somebody else has taken its name."""
    folder = private_folder(label)
    try:
        folder.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise Inconclusive(f"cannot make the folder for secrets {folder}: {error.strerror}") from None
    return folder


class Commands:
    """The commands of one run. `prefix` begins the name of everything that is made; `secrets` are never on a command line."""

    def __init__(
        self,
        environment: Environment,
        project: Project,
        driver: Engine,
        label: str,
        run_id: str,
        secrets: Mapping[str, str],
        redactor: Redactor,
    ) -> None:
        self._environment = environment
        self._project = project
        self._engine = driver
        self._label = label
        self._run_id = run_id
        self._secrets = secrets
        self._redactor = redactor
        self.prefix = f"vallum-{label}-{random.token_hex(3)}"
        self.private = private_folder(label)
        containers = project.containers
        services = environment.services
        urls = {f"url.{name}": f"{each.scheme}://{name}:{containers[name].port}" for name, each in services.items()}
        self.values = urls | {f"secret.{name}": value for name, value in secrets.items()}

    def labels(self, name: str = "") -> list[str]:
        """The labels of everything that is made; with a name, of what belongs to a service."""
        words = {LABEL: self._label, "vallum.run": self._run_id, **({"vallum.service": name} if name else {})}
        return [f"--label={key}={value}" for key, value in words.items()]

    def write_secrets(self) -> None:
        """Each secret as a file that containers may read, in a folder that nobody else may enter."""
        folder = make_private(self._label)
        for name, secret in self._project.secrets.items():
            data = secret.file.read_bytes() if secret.file else secret.value.encode()
            self._redactor.add(data.decode("utf-8", "replace").strip())
            (folder / name).write_bytes(data)
            (folder / name).chmod(0o444)

    def image(self, name: str, container: Container) -> str:
        """Build or find the image: the digest of its configuration, which stays the same wherever the image goes."""
        minutes = self._environment.compose.build_minutes * 60
        tag = container.image
        if container.build is not None:
            tag = f"localhost/vallum-{self._label}/{name.lower()}:staged"
            build = container.build
            words = ["--file", str(build.dockerfile), "--tag", tag, *self.labels(name)]
            for key, value in build.args.items():
                self._refuse_secret(value, f"services.{name}.build.args.{key}", "it would stay in the image")
                words += ["--build-arg", f"{key}={value}"]
            if build.target:
                words += ["--target", build.target]
            answer = self._engine.ask("build", *words, str(build.context), deadline=minutes)
            if answer.exit_code != 0:
                raise Inconclusive(f"the image of {name} could not be built: {answer.reason}", answer.error)
        elif self._engine.ask("image", "inspect", tag).exit_code != 0:
            answer = self._engine.ask("pull", "--quiet", tag, deadline=minutes)
            if answer.exit_code != 0:
                raise Inconclusive(f"the image {tag} of {name} could not be pulled: {answer.reason}", answer.error)
        digest = self._engine.must("image", "inspect", "--format", "{{.Id}}", tag)
        return digest if digest.startswith("sha256:") else f"sha256:{digest}"

    def arguments(self, name: str, container: Container, image: str) -> tuple[list[str], dict[str, str]]:
        """The whole command that runs a container, and the environment that it needs besides ours."""
        lifetime = int(self._environment.compose.lifetime_minutes * 60)
        words = ["run", "--name", f"{self.prefix}-{name}", "--pull=never", "--log-driver=none"]
        words += [*self.labels(name), *self._engine.lifetime(lifetime), *container.options]
        for network, aliases in container.networks.items():
            words += self._engine.network(f"{self.prefix}-{network}", (name, *aliases))
        if name in self._environment.services and not self.hidden(container):
            words += ["--publish", f"{sockets.LOOPBACK}::{container.port}"]
        for mount in container.mounts:
            source = f"{self.prefix}-{mount.source}" if mount.kind == "volume" else mount.source
            words += ["--volume", f"{source}:{mount.target}" + (":ro" if mount.read_only else "")]
        for path, secret in container.secrets.items():
            words += ["--volume", f"{self.private / secret}:{path}:ro"]
        for each in container.tmpfs:
            words += self._engine.tmpfs(each.target, each.options, each.owner, container.user)
        variables, inherited = self._env(name, container)
        words += variables
        if container.entrypoint:
            words += ["--entrypoint", container.entrypoint[0]]
        rest = [*(container.entrypoint or ())[1:], *container.command]
        words += [image, *rest]
        for word in words:
            self._refuse_secret(word, f"services.{name}", "every user of this machine could read the command line")
        return words, inherited

    def hidden(self, container: Container) -> bool:
        """Whether all networks of a container are internal: no engine publishes its ports."""
        return all(self._project.networks[name] for name in container.networks)

    def _env(self, name: str, container: Container) -> tuple[list[str], dict[str, str]]:
        """The arguments for a container's variables, and those that the engine takes from its own environment: a
        secret on a command line could be read by every user of this machine."""
        env = dict(container.env)
        staged = self._environment.services.get(name)
        if staged is not None:
            key = f"environment.services.{name}.env"
            values = {**self.values, "port": str(container.port)}
            env |= {each: settings.fill(value, f"{key}.{each}", values) for each, value in staged.env.items()}
        words, inherited = [], {}
        for each, value in env.items():
            if any(secret in value for secret in self._secrets.values()):
                if each in clean_environment() or each.startswith(_OURS):
                    raise UserError(f"{name}: the variable {each} cannot hold a secret", "give it another name")
                inherited[each] = value
                words += ["--env", each]
            else:
                words += ["--env", f"{each}={value}"]
        return words, inherited

    def _refuse_secret(self, text: str, key: str, why: str) -> None:
        if any(secret in text for secret in self._secrets.values()):
            raise UserError(f"{self._environment.compose.file}: {key} holds a secret: {why}", "use `secrets` or env")

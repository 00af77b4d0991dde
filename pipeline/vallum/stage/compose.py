"""The kind of environment `compose`: the images of a compose file, built from the checkout, as containers of the run.

The engine (podman, else docker) is driven by its own command line, one container at a time: what a compose program does not
carry out it tends to leave out with a warning, and here nothing may be left out (vallum.stage.composefile). A container is
attached to us, so its output comes through our pipe (bounded, redacted, on no disk of the engine's) and its end is seen at
once. Ports are published on 127.0.0.1 only, on a free port of the engine's choice, whatever the file says.

Seen to work with podman 4.3.1 as root, and with docker's client on podman's socket; **unverified**: docker's own engine, rootless
podman, an engine on another machine (whose ports and addresses would not be this machine's).
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess  # noqa: TID251 - only its type; vallum.process starts
import time
from collections.abc import Iterator
from pathlib import Path

from vallum import artifacts
from vallum.config import Config
from vallum.environments import Environment, Ready
from vallum.errors import Inconclusive, UserError
from vallum.process import clean_environment, start
from vallum.stage import composefile, engine, leftovers, readiness, settings, sockets, state
from vallum.stage.composemodel import Container
from vallum.stage.containers import Commands, private_folder
from vallum.stage.engine import Engine
from vallum.stage.environment import Deployment
from vallum.stage.identities import Identities
from vallum.stage.log import Logs
from vallum.stage.redact import Redactor
from vallum.stage.relay import Relay
from vallum.stage.secrets import resolve
from vallum.stage.settle import settle
from vallum.stage.signals import interrupting, uninterrupted
from vallum.target import Target

KIND = "compose"
PATIENCE = 60.0
"""Seconds that the supervisor of `vallum -s stage` gets to take its containers down."""
APPEARS = 30.0
"""Seconds for a container to get its address after its start."""
COMPLETES = 600.0
"""Seconds for a container that others wait to end (`service_completed_successfully`), such as a migration."""


@contextlib.contextmanager
def deploy(target: Target, config: Config, run_id: str) -> Iterator[Deployment]:
    """See vallum.stage.environment.Environment. Call it in a thread that outlives the `with`."""
    environment = config.environment
    if environment is None:
        raise UserError("there is no [environment] in the configuration", "see docs/environments.md")
    settings.check(environment, target.root)
    folder = state.folder(target.root, KIND)
    held = artifacts.locked(folder / "lock", "a staged deployment of this folder is up, or a run is using it")
    with interrupting(), held:
        driver = engine.choose(environment.compose.engine)
        _clear(folder, [driver])
        running = _Running(target.root, environment, run_id, folder, driver)
        try:
            running.up()
            yield running.deployment()
        finally:
            with uninterrupted():
                running.down()


def remove(root: Path) -> list[str]:
    """See vallum.stage.environment.Environment. The images that were built go too."""
    if not (artifacts.folder(root.resolve()) / "stage" / KIND).is_dir():
        return []
    folder = state.folder(root, KIND)
    ended = state.evict(folder, PATIENCE)
    with artifacts.locked(folder / "lock", "the staged deployment does not end"):
        drivers = engine.find("any")
        if not drivers and state.read(folder).services:
            raise Inconclusive("no container engine answers, so what is left cannot be removed")
        names = sorted({*ended, *_clear(folder, drivers)})
        for driver in drivers:
            driver.forget_images(state.label_of(folder))
        return names


def _clear(folder: Path, drivers: list[Engine]) -> list[str]:
    """Remove what an earlier run left, by its label; the names of its services."""
    label = state.label_of(folder)
    names = state.clear(folder, 1.0)
    found = [name for driver in drivers for name in driver.sweep(label)]
    shutil.rmtree(private_folder(label), ignore_errors=True)
    return sorted({*names, *(_service_of(name) for name in found)})


def _service_of(container: str) -> str:
    """`vallum-LABEL-RUN-SERVICE`."""
    return container.split("-", 3)[-1]


class _Running:
    """The containers of one deployment."""

    def __init__(self, root: Path, environment: Environment, run_id: str, folder: Path, driver: Engine) -> None:
        self._root = root
        self._environment = environment
        self._run_id = run_id
        self._folder = folder
        self._engine = driver
        self._label = state.label_of(folder)
        self._secrets = resolve(environment.secrets)
        self._identities = Identities(environment, root)
        self._redactor = Redactor()
        for secret in self._secrets.values():
            self._redactor.add(secret)
        values = {f"secret.{name}": value for name, value in self._secrets.items()}
        self._project = composefile.read(environment, root, values)
        self._commands = Commands(
            environment, self._project, driver, self._label, run_id, self._secrets, self._redactor
        )
        self._prefix = self._commands.prefix
        self._logs = Logs(self._redactor)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._relays: dict[str, Relay] = {}
        self._ports: dict[str, int] = {}
        self._images: dict[str, str] = {}
        self._completed: set[str] = set()
        self._down = False

    def up(self) -> None:
        """Build, then start level by level; all of a level at once. Raises UserError or Inconclusive."""
        self._write_state()
        self._commands.write_secrets()
        self._make_networks()
        for name, container in self._project.containers.items():
            self._images[name] = self._commands.image(name, container)
            self._write_state()
        for level in self._project.levels:
            for name in level:
                self._launch(name, self._project.containers[name])
            self._write_state()
            for name in level:
                self._await(name)
            self._write_state()

    def deployment(self) -> Deployment:
        """Log in, where configured, and say what is up."""
        urls = {name: self._identities.url(name, self._ports[name]) for name in self._environment.services}
        return settle(
            KIND,
            self._run_id,
            self._environment,
            self._root,
            self._folder,
            urls,
            self._secrets,
            self._redactor,
            self._logs,
            logged=self._project.containers,
            identities=self._identities,
            check=self.check,
        )

    def _make_networks(self) -> None:
        used = {name for container in self._project.containers.values() for name in container.networks}
        for name in sorted(used):
            internal = ["--internal"] if self._project.networks[name] else []
            self._engine.must("network", "create", *internal, *self._commands.labels(), f"{self._prefix}-{name}")
        for name in self._project.volumes:
            self._engine.must("volume", "create", *self._commands.labels(), f"{self._prefix}-{name}")

    def _launch(self, name: str, container: Container) -> None:
        own = self._folder / name
        shutil.rmtree(own, ignore_errors=True)
        words, inherited = self._commands.arguments(name, container, self._images[name])
        env = clean_environment(inherited) | {leftovers.LABEL: str(self._folder)}
        with self._logs.pipe(name, own / "log.txt") as out:
            self._processes[name] = start([self._engine.path, *words], cwd=self._root, env=env, stdout=out)

    def _await(self, name: str) -> None:
        container = self._project.containers[name]
        if any(
            each.depends.get(name) == "service_completed_successfully" for each in self._project.containers.values()
        ):
            self._await_end(name)
            return
        address = self._address(name)
        staged = self._environment.services.get(name)
        if staged is not None:
            if self._commands.hidden(container):
                self._relays[name] = Relay((address, container.port))
                self._ports[name] = self._relays[name].port
            else:
                self._ports[name] = self._published(name, container.port)
            inside = self._inside(name, staged.ready.command)
            ask = readiness.probe(staged.ready, self._ports[name], inside, tls=self._identities.trust.get(name))
            readiness.wait(name, staged.ready.seconds, ask, self._tick, lambda: self._logs.tail(name))
            self._check_listeners(name)
        elif any(each.depends.get(name) == "service_healthy" for each in self._project.containers.values()):
            self._await_health(name, container)

    def _inside(self, name: str, words: tuple[str, ...]) -> readiness.Command | None:
        """A command that is run in a container."""
        if not words:
            return None
        port = str(self._project.containers[name].port)
        key = f"environment.services.{name}.ready.command"
        filled = [settings.fill(word, key, {**self._commands.values, "port": port}) for word in words]
        argv = [self._engine.path, "exec", f"{self._prefix}-{name}", *filled]
        return readiness.Command(argv, self._root, clean_environment(), self._folder / name / "ready.txt")

    def _await_health(self, name: str, container: Container) -> None:
        """Run the health check ourselves: an engine without systemd runs none (podman), and waits for ever."""
        check = container.healthcheck
        if check is None:
            raise AssertionError("composefile demands one")
        command = self._inside(name, check.command)
        if command is None:
            raise UserError(f"{self._environment.compose.file}: services.{name}.healthcheck has no command", "add one")
        seconds = check.start + check.interval * (check.retries + 1)
        ask = readiness.probe(Ready(command=check.command), 0, command)
        readiness.wait(name, seconds, ask, self._tick, lambda: self._logs.tail(name))

    def _await_end(self, name: str) -> None:
        deadline = time.monotonic() + COMPLETES
        self._completed.add(name)
        while self._processes[name].poll() is None:
            self._tick()
            if time.monotonic() > deadline:
                raise Inconclusive(f"the service {name} did not end within {COMPLETES:.0f} s", self._logs.tail(name))
            time.sleep(0.05)
        self._tick()

    def _address(self, name: str) -> str:
        """The address of a container in its first network, as soon as it runs."""
        deadline = time.monotonic() + APPEARS
        while time.monotonic() < deadline:
            self._tick()
            answer = self._engine.ask(
                "container", "inspect", "--format", "{{.State.Running}}", f"{self._prefix}-{name}"
            )
            if answer.exit_code == 0 and answer.output.strip() == "true":
                facts = self._engine.json(
                    "container", "inspect", "--format", "{{json .NetworkSettings.Networks}}", f"{self._prefix}-{name}"
                )
                return next((str(each.get("IPAddress") or "") for each in facts.values()), "")
            time.sleep(0.05)
        self._tick()
        raise Inconclusive(f"the container of {name} did not start within {APPEARS:.0f} s", self._logs.tail(name))

    def _published(self, name: str, port: int) -> int:
        shown = self._engine.must("port", f"{self._prefix}-{name}", f"{port}/tcp").split()
        host, _, number = (shown[0] if shown else "").rpartition(":")
        if host != sockets.LOOPBACK or not number.isdigit():
            raise Inconclusive(f"{self._engine.program} published {name} at {' '.join(shown) or 'no address'}")
        return int(number)

    def _check_listeners(self, name: str) -> None:
        for each in sockets.listeners(self._ports[name]):
            if not each.loopback:
                raise Inconclusive(f"{name} is open to the network at {each.address}:{self._ports[name]}")

    def _tick(self) -> None:
        self.check(starting=True)

    def check(self, starting: bool = False) -> None:
        """Raise Inconclusive, with the end of the log, where a container has ended."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is None or (code == 0 and name in self._completed):
                continue
            tail = self._logs.tail(name)
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            lines = [line.strip() for line in tail.splitlines() if line.strip()]
            if code in engine.OWN_FAILURES:  # after the reason docker prints an advice
                lines = [line for line in lines if "error" in line.lower()] or lines
            last = lines[-1] if lines else "it printed nothing"
            when = "during its start" if starting else "while it was in use"
            raise Inconclusive(f"the service {name} {how} {when}: {last[:300]}", tail)

    def down(self) -> None:
        """End all containers in reverse order and remove all that was made but the images and the logs. Safe to call
        twice. Raises Inconclusive where something does not go away."""
        if self._down:
            return
        try:
            for level in reversed(self._project.levels):
                names = [f"{self._prefix}-{name}" for name in level if name in self._processes]
                if names:
                    self._engine.ask("stop", f"--time={engine.GRACE}", *names)
            self._engine.sweep(self._label)
            self._down = True
        finally:
            for relay in self._relays.values():
                relay.close()
            leftovers.end_groups(self._processes.values(), 1.0)
            self._logs.close()
            shutil.rmtree(self._commands.private, ignore_errors=True)
            if self._down:
                state.forget(self._folder, self._project.containers)

    def _write_state(self) -> None:
        services = {}
        for name in self._project.containers:
            pid = self._processes[name].pid if name in self._processes else 0
            services[name] = state.Staged(pid, leftovers.started(pid) if pid else "", self._ports.get(name, 0))
        state.write(self._folder, self._run_id, services, self._images)

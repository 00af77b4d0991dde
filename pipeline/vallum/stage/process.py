"""The kind of environment `process`: each service is a process group of this machine, on a free port of the loopback.

A service gets a private state folder, the environment variables of its table on top of a scrubbed environment, its own
dependencies, and the label by which a later run finds what a killed one left. Node services run on a copy of their
folder (their node_modules never appears in the user's tree), the others in it, without writing bytecode.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess  # noqa: TID251 - only its type; vallum.process starts
from collections.abc import Iterator, Sequence
from pathlib import Path

from vallum import artifacts
from vallum.config import Config
from vallum.environments import Environment, Ready, StagedService
from vallum.errors import Inconclusive, UserError
from vallum.process import start
from vallum.stage import leftovers, readiness, settings, sockets, state
from vallum.stage.environment import Deployment
from vallum.stage.identities import Identities
from vallum.stage.install import Installed, install
from vallum.stage.log import Logs
from vallum.stage.redact import Redactor
from vallum.stage.secrets import resolve
from vallum.stage.settle import settle
from vallum.stage.signals import interrupting, uninterrupted
from vallum.target import Target

GRACE = 3.0
"""Seconds that all services of a level together get between SIGTERM and SIGKILL: their state is thrown away anyway."""
PATIENCE = 30.0
"""Seconds that the supervisor of `vallum -s stage` gets to take its services down."""
ATTEMPTS = 3
"""How often the deployment is begun anew when another program took a port between choosing and using it."""
PASSED_ON = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "JAVA_HOME", "SSL_CERT_FILE", "SSL_CERT_DIR")
"""What a service under attack may see of our environment: no proxy (it talks to loopback), no cloud settings."""
_TAKEN = re.compile(r"address already in use|EADDRINUSE", re.IGNORECASE)
_NOT_COPIED = shutil.ignore_patterns("node_modules", ".git", ".vallum", ".venv", ".nox")


class _PortTaken(Exception):
    """Another program took a port first."""


@contextlib.contextmanager
def deploy(target: Target, config: Config, run_id: str) -> Iterator[Deployment]:
    """See vallum.stage.environment.Environment. Call it in a thread that outlives the `with`: services die with it."""
    environment = config.environment
    if environment is None:
        raise UserError("there is no [environment] in the configuration", "see docs/staging.md")
    settings.check(environment, target.root)
    folder = state.folder(target.root, "process")
    held = artifacts.locked(folder / "lock", "a staged deployment of this folder is up, or a run is using it")
    with interrupting(), held:
        state.clear(folder, GRACE)
        services = {
            name: install(name, service, target.root / service.directory)
            for name, service in environment.services.items()
        }
        running = _bring_up(target.root, environment, run_id, folder, services)
        try:
            yield running.deployment()
        finally:
            with uninterrupted():
                running.down()


def remove(root: Path) -> list[str]:
    """See vallum.stage.environment.Environment."""
    folder = state.folder(root, "process")
    ended = state.evict(folder, PATIENCE)
    with artifacts.locked(folder / "lock", "the staged deployment does not end"):
        return sorted({*ended, *state.clear(folder, GRACE)})


def _bring_up(
    root: Path, environment: Environment, run_id: str, folder: Path, services: dict[str, Installed]
) -> _Running:
    for attempt in range(1, ATTEMPTS + 1):
        running = _Running(root, environment, run_id, folder, services)
        try:
            running.up()
            return running
        except _PortTaken as error:
            with uninterrupted():
                running.down()
            if attempt == ATTEMPTS:
                raise Inconclusive(f"a port was taken {ATTEMPTS} times: {error}") from None
        except BaseException:
            with uninterrupted():
                running.down()
            raise
    raise AssertionError("unreachable")


class _Running:
    """The processes of one deployment."""

    def __init__(
        self, root: Path, environment: Environment, run_id: str, folder: Path, installed: dict[str, Installed]
    ) -> None:
        self._root = root
        self._environment = environment
        self._run_id = run_id
        self._folder = folder
        self._installed = installed
        services = environment.services
        plain = [name for name, service in services.items() if service.plain]
        ports = sockets.free_ports(len(services) + len(plain))
        self._ports = dict(zip(services, ports, strict=False))
        self._plain = dict(zip(plain, ports[len(services) :], strict=True))
        self._identities = Identities(environment, root)
        self._urls = {name: self._identities.url(name, port) for name, port in self._ports.items()}
        self._secrets = resolve(environment.secrets)
        self._redactor = Redactor()
        for secret in self._secrets.values():
            self._redactor.add(secret)
        self._logs = Logs(self._redactor)
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._levels = settings.levels(environment.services)

    def up(self) -> None:
        """Start level by level; all of a level at once. Raises _PortTaken, UserError or Inconclusive."""
        self._write_state()
        for level in self._levels:
            for name in level:
                self._launch(name, self._environment.services[name])
                self._write_state()
            for name in level:
                self._await(name)

    def deployment(self) -> Deployment:
        """Seed, log in, where configured, and say what is up."""
        return settle(
            "process",
            self._run_id,
            self._environment,
            self._root,
            self._folder,
            self._urls,
            self._secrets,
            self._redactor,
            self._logs,
            logged=self._environment.services,
            identities=self._identities,
            check=self.check,
            plain={name: f"http://{sockets.LOOPBACK}:{port}" for name, port in self._plain.items()},
        )

    def _launch(self, name: str, service: StagedService) -> None:
        own = self._folder / name
        shutil.rmtree(own, ignore_errors=True)
        for each in ("state", "tmp"):
            (own / each).mkdir(parents=True)
        self._identities.hand_out(name, own)
        installed = self._installed[name]
        if service.runtime == "node":
            copy = shutil.copytree(self._root / service.directory, own / "app", symlinks=True, ignore=_NOT_COPIED)
            if installed.modules is not None:
                (copy / "node_modules").symlink_to(installed.modules)
        command, cwd, environment = self._prepared(name, service, service.command, "command")
        with self._logs.pipe(name, own / "log.txt") as out:
            self._processes[name] = start(command, cwd=cwd, env=environment, stdout=out)

    def _prepared(
        self, name: str, service: StagedService, command: Sequence[str], option: str
    ) -> tuple[list[str], Path, dict[str, str]]:
        """A command of a service with its placeholders filled in, where it runs, and its whole environment."""
        own, installed = self._folder / name, self._installed[name]
        values = {
            "port": str(self._ports[name]),
            "state": str(own / "state"),
            "python": str(installed.python),
            **({"port.plain": str(self._plain[name])} if name in self._plain else {}),
            **self._identities.placeholders(own),
            **{f"url.{other}": url for other, url in self._urls.items()},
            **{f"secret.{key}": value for key, value in self._secrets.items()},
        }
        key = f"environment.services.{name}"
        environment = self._base_environment(own, installed)
        environment |= {
            variable: settings.fill(value, f"{key}.env.{variable}", values) for variable, value in service.env.items()
        }
        environment[leftovers.LABEL] = str(self._folder)
        cwd = own / "app" if service.runtime == "node" else self._root / service.directory
        return [settings.fill(word, f"{key}.{option}", values) for word in command], cwd, environment

    def _base_environment(self, own: Path, installed: Installed) -> dict[str, str]:
        environment = {key: os.environ[key] for key in PASSED_ON if key in os.environ}
        environment |= {
            "HOME": str(own / "state"),
            "TMPDIR": str(own / "tmp"),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
            "PYTHONNOUSERSITE": "1",
            "PYTHONUTF8": "1",
        }
        if installed.bin is not None:
            environment["PATH"] = f"{installed.bin}{os.pathsep}{environment.get('PATH', os.defpath)}"
        return environment

    def _await(self, name: str) -> None:
        """Wait until the service answers. The death of any service is seen within about 50 ms."""
        ready = self._environment.services[name].ready
        ask = readiness.probe(ready, self._ports[name], self._ready_command(name), tls=self._identities.trust.get(name))
        readiness.wait(name, ready.seconds, ask, self._tick, lambda: self._logs.tail(name))
        self._check_listeners(name, self._ports[name])
        if name in self._plain:
            ask = readiness.probe(Ready(tcp=True), self._plain[name])
            readiness.wait(f"{name} (plain HTTP)", ready.seconds, ask, self._tick, lambda: self._logs.tail(name))
            self._check_listeners(name, self._plain[name])

    def _ready_command(self, name: str) -> readiness.Command | None:
        """The `ready.command` of a service, in its folder and with its own environment."""
        service = self._environment.services[name]
        if not service.ready.command:
            return None
        argv, cwd, environment = self._prepared(name, service, service.ready.command, "ready.command")
        return readiness.Command(argv, cwd, environment, self._folder / name / "tmp" / "ready.txt")

    def _tick(self) -> None:
        self.check(starting=True)

    def _check_listeners(self, name: str, port: int) -> None:
        """The port must be our service's, not a quicker program's, and must not be open to the network."""
        listening = sockets.listeners(port)
        for each in listening:
            if not each.loopback:
                raise UserError(
                    f"the service {name} listens on {each.address}:{port}, open to the network while it is attacked",
                    f"make environment.services.{name} listen on 127.0.0.1",
                )
        if listening:
            pids = [seen.pid for seen in leftovers.labelled(self._folder)]
            if not any(sockets.held_by(each, pids) for each in listening):
                raise _PortTaken(f"port {port} of {name} belongs to another program")

    def check(self, starting: bool = False) -> None:
        """Raise Inconclusive, with the end of the log, where a service has ended."""
        for name, process in self._processes.items():
            code = process.poll()
            if code is None:
                continue
            tail = self._logs.tail(name)
            if starting and _TAKEN.search(tail):
                raise _PortTaken(f"{name} could not listen on port {self._ports[name]}")
            how = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
            last = next((line.strip() for line in reversed(tail.splitlines()) if line.strip()), "it printed nothing")
            when = "during its start" if starting else "while it was in use"
            raise Inconclusive(f"the service {name} {how} {when}: {last[:300]}", tail)

    def down(self) -> None:
        """End all groups in reverse order, then whatever left its group; keep the logs only. Safe to call twice."""
        for level in reversed(self._levels):
            leftovers.end_groups([self._processes[name] for name in level if name in self._processes], GRACE)
        leftovers.end(leftovers.labelled(self._folder), 1.0)
        self._logs.close()
        state.forget(self._folder, self._environment.services)

    def _write_state(self) -> None:
        services = {}
        for name, port in self._ports.items():
            pid = self._processes[name].pid if name in self._processes else 0
            services[name] = state.Staged(pid, leftovers.started(pid) if pid else "", port)
        state.write(self._folder, self._run_id, services)

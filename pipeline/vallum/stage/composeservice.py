"""Reading one service of a compose file: a Container, or the name of the key that cannot be staged."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from typing import Any

from vallum.errors import UserError
from vallum.stage.composefacts import Facts
from vallum.stage.composemodel import Build, Condition, Container, Healthcheck, Mount, Tmpfs

_HARMLESS = frozenset(
    {
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP"),
        *("SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    }
)
"""The capabilities that a container has by default anyway (docker's documentation of `--cap-add`, without NET_RAW)."""
_HANDS_OVER = frozenset(
    {
        *("privileged", "network_mode", "pid", "ipc", "userns_mode", "uts", "cgroup", "cgroup_parent", "devices"),
        *("device_cgroup_rules", "volumes_from", "runtime", "credential_spec", "gpus"),
    }
)
_WITHOUT_EFFECT = frozenset({"restart", "container_name", "stop_grace_period", "logging", "attach", "profiles"})
_FLAGS = {
    "user": "--user",
    "working_dir": "--workdir",
    "hostname": "--hostname",
    "mem_limit": "--memory",
    "cpus": "--cpus",
    "pids_limit": "--pids-limit",
    "shm_size": "--shm-size",
    "stop_signal": "--stop-signal",
    "platform": "--platform",
}
_SWITCHES = {"init": "--init", "read_only": "--read-only"}
_READ = frozenset(
    {
        *("build", "image", "command", "entrypoint", "environment", "env_file", "ports", "expose", "networks", "tmpfs"),
        *("depends_on", "volumes", "secrets", "cap_drop", "cap_add", "security_opt", "healthcheck", "labels", "deploy"),
    }
)
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+)ms)?")


def read(facts: Facts, name: str, value: Any) -> Container:
    """The service `name`. Raises UserError for what cannot be staged."""
    key = f"services.{name}"
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", name):
        raise facts.refused(key, "a service's name has letters, digits, `-`, `_` and `.` only")
    table = facts.table(value, key)
    for word, given in table.items():
        if word in _HANDS_OVER and given not in (False, None, [], "", "private"):
            raise facts.refused(f"{key}.{word}", "it would hand this machine to a service under attack")
        known = _READ | _HANDS_OVER | _WITHOUT_EFFECT | _FLAGS.keys() | _SWITCHES.keys()
        if word not in known and not word.startswith("x-"):
            raise facts.refused(f"{key}.{word}", "vallum does not carry it out")
    build = _build(facts, f"{key}.build", table.get("build"))
    if build is None and not table.get("image"):
        raise UserError(f"{facts.file}: {key} has neither `build` nor `image`", "correct the compose file")
    return Container(
        name=name,
        image=str(table.get("image") or ""),
        build=build,
        entrypoint=None
        if table.get("entrypoint") is None
        else _command(facts, f"{key}.entrypoint", table["entrypoint"]),
        command=_command(facts, f"{key}.command", table.get("command")),
        env=_env(facts, key, table),
        networks=_networks(facts, f"{key}.networks", table.get("networks")),
        depends=_depends(facts, f"{key}.depends_on", table.get("depends_on")),
        mounts=_mounts(facts, f"{key}.volumes", table.get("volumes")),
        tmpfs=tuple(_tmpfs(word) for word in facts.words(table.get("tmpfs"), f"{key}.tmpfs")),
        secrets=_secrets(facts, f"{key}.secrets", table.get("secrets")),
        options=_options(facts, key, table),
        healthcheck=_healthcheck(facts, f"{key}.healthcheck", table.get("healthcheck")),
        user=str(table.get("user") or ""),
        port=_port(facts, key, table),
    )


def _build(facts: Facts, key: str, value: Any) -> Build | None:
    if value is None:
        return None
    table = facts.only(
        {"context": value} if isinstance(value, str) else value, key, ("context", "dockerfile", "args", "target")
    )
    context = facts.inside(str(table.get("context", ".")), f"{key}.context")
    dockerfile = (context / str(table.get("dockerfile", "Dockerfile"))).resolve()
    if not dockerfile.is_file() or not dockerfile.is_relative_to(facts.root):
        raise UserError(f"{facts.file}: {key}: there is no file {dockerfile.name!r}", "correct the compose file")
    return Build(context, dockerfile, facts.pairs(table.get("args"), f"{key}.args"), str(table.get("target", "")))


def _command(facts: Facts, key: str, value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        try:
            return tuple(shlex.split(value))
        except ValueError as error:
            raise UserError(f"{facts.file}: {key}: {error}", "correct the compose file") from None
    return facts.words(value, key)


def _env(facts: Facts, key: str, service: Mapping[str, Any]) -> dict[str, str]:
    env: dict[str, str] = {}
    files = service.get("env_file") or []
    for each in files if isinstance(files, list) else [files]:
        table = {"path": each} if isinstance(each, str) else facts.only(each, f"{key}.env_file", ("path", "required"))
        for line in facts.inside(str(table.get("path")), f"{key}.env_file").read_text("utf-8", "replace").splitlines():
            name, equals, text = line.strip().partition("=")
            if not equals or name.startswith("#"):
                continue
            text = text.strip()
            if "$" in text:
                raise facts.refused(f"{key}.env_file", f"{name.strip()} refers to a variable")
            quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "'\""
            env[name.strip()] = text[1:-1] if quoted else text
    return env | facts.pairs(service.get("environment"), f"{key}.environment")


def _networks(facts: Facts, key: str, value: Any) -> dict[str, tuple[str, ...]]:
    if not value:
        return {"default": ()}
    if isinstance(value, list):
        return dict.fromkeys(facts.words(value, key), ())
    return {
        name: facts.words(facts.only(each, f"{key}.{name}", ("aliases", "priority")).get("aliases"), f"{key}.{name}")
        for name, each in facts.table(value, key).items()
    }


def _depends(facts: Facts, key: str, value: Any) -> dict[str, Condition]:
    if not isinstance(value, dict):
        return dict.fromkeys(facts.words(value, key), "service_started")
    depends: dict[str, Condition] = {}
    for name, each in value.items():
        condition = facts.only(each, f"{key}.{name}", ("condition", "required", "restart")).get("condition")
        match condition:
            case None | "service_started":
                depends[str(name)] = "service_started"
            case "service_healthy" | "service_completed_successfully":
                depends[str(name)] = condition
            case _:
                raise UserError(
                    f"{facts.file}: {key}.{name}: unknown condition {condition!r}", "correct the compose file"
                )
    return depends


def _mounts(facts: Facts, key: str, value: Any) -> tuple[Mount, ...]:
    mounts = []
    for number, each in enumerate(value or []):
        where = f"{key}[{number}]"
        if isinstance(each, str):
            source, _, rest = each.partition(":")
            target, _, mode = rest.partition(":")
            if not target:
                raise facts.refused(where, "an anonymous volume has no name")
            kind = "bind" if source.startswith((".", "/", "~")) else "volume"
            read_only = "ro" in mode.split(",")
        else:
            table = facts.only(each, where, ("type", "source", "target", "read_only"))
            kind, source = str(table.get("type", "volume")), str(table.get("source", ""))
            target, read_only = str(table.get("target", "")), table.get("read_only") is True
        if kind not in ("bind", "volume") or not source or not target.startswith("/") or "," in target + source:
            raise facts.refused(where, "only named volumes, and binds of the checkout")
        if kind == "volume":
            mounts.append(Mount("volume", source, target, read_only))
            continue
        if not read_only:
            raise facts.refused(where, "a service under attack may not write to this machine: make it `:ro`")
        mounts.append(Mount("bind", str(facts.inside(source, where)), target, read_only))
    return tuple(mounts)


def _tmpfs(word: str) -> Tmpfs:
    target, _, rest = word.partition(":")
    options = [each for each in rest.split(",") if each]
    owner = {name: number for name, _, number in (each.partition("=") for each in options) if name in ("uid", "gid")}
    kept = tuple(each for each in options if not each.startswith(("uid=", "gid=")))
    return Tmpfs(target, kept, f"{owner['uid']}:{owner.get('gid', owner['uid'])}" if "uid" in owner else "")


def _secrets(facts: Facts, key: str, value: Any) -> dict[str, str]:
    paths = {}
    for each in value or []:
        if isinstance(each, str):
            paths[f"/run/secrets/{each}"] = each
            continue
        table = facts.only(each, key, ("source", "target", "mode"))
        source = str(table.get("source", ""))
        target = str(table.get("target", source))
        paths[target if target.startswith("/") else f"/run/secrets/{target}"] = source
    return paths


def _options(facts: Facts, key: str, table: Mapping[str, Any]) -> tuple[str, ...]:
    given = dict(table)
    deploy = facts.only(table.get("deploy"), f"{key}.deploy", ("replicas", "resources", "restart_policy", "labels"))
    if deploy.get("replicas", 1) != 1:
        raise facts.refused(f"{key}.deploy.replicas", "one container of each service is attacked")
    limits = facts.table(facts.table(deploy.get("resources"), f"{key}.deploy.resources").get("limits"), f"{key}.deploy")
    for name, flag in (("memory", "mem_limit"), ("cpus", "cpus"), ("pids", "pids_limit")):
        given.setdefault(flag, limits.get(name))
    options = [f"{flag}={given[word]}" for word, flag in _FLAGS.items() if given.get(word) is not None]
    options += [flag for word, flag in _SWITCHES.items() if given.get(word) is True]
    options += [f"--cap-drop={word}" for word in facts.words(given.get("cap_drop"), f"{key}.cap_drop")]
    for word in facts.words(given.get("cap_add"), f"{key}.cap_add"):
        if word.upper().removeprefix("CAP_") not in _HARMLESS:
            raise facts.refused(f"{key}.cap_add", f"{word} would hand this machine to a service under attack")
        options.append(f"--cap-add={word}")
    for word in facts.words(given.get("security_opt"), f"{key}.security_opt"):
        if word not in ("no-new-privileges:true", "no-new-privileges=true", "no-new-privileges"):
            raise facts.refused(f"{key}.security_opt", f"{word} is not carried out")
        options += ["--security-opt", "no-new-privileges"]
    labels = facts.pairs(given.get("labels"), f"{key}.labels")
    return (*options, *(f"--label={name}={value}" for name, value in labels.items()))


def _healthcheck(facts: Facts, key: str, value: Any) -> Healthcheck | None:
    known = ("test", "interval", "timeout", "retries", "start_period", "start_interval", "disable")
    table = facts.only(value, key, known)
    test = table.get("test")
    if table.get("disable") is True or test in (None, ["NONE"]):
        return None
    words = ("CMD-SHELL", test) if isinstance(test, str) else facts.words(test, key)
    command = ("/bin/sh", "-c", *words[1:]) if words[0] == "CMD-SHELL" else words[1:]

    def seconds(name: str, default: float) -> float:
        return _seconds(facts, f"{key}.{name}", table.get(name), default)

    return Healthcheck(command, seconds("interval", 30.0), int(table.get("retries", 3)), seconds("start_period", 0.0))


def _seconds(facts: Facts, key: str, value: Any, default: float) -> float:
    """A duration such as `1m30s`."""
    if value is None:
        return default
    found = _DURATION.fullmatch(str(value))
    if not found or not any(found.groups()):
        raise UserError(f"{facts.file}: {key}: {value!r} is no duration", "such as 10s")
    hours, minutes, seconds, thousandths = (float(group or 0) for group in found.groups())
    return hours * 3600 + minutes * 60 + seconds + thousandths / 1000


def _port(facts: Facts, key: str, table: Mapping[str, Any]) -> int:
    """The first TCP port that `ports`, else `expose`, names; 0 where neither does."""
    for each in [*(table.get("ports") or []), *(table.get("expose") or [])]:
        if isinstance(each, dict):
            number, protocol = str(each.get("target", "")), str(each.get("protocol", "tcp"))
        else:
            number, _, protocol = str(each).rpartition(":")[2].partition("/")
        if not re.fullmatch(r"\d{1,5}(-\d{1,5})?", number):
            raise UserError(f"{facts.file}: {key}.ports: {each!r} names no port", "correct the compose file")
        if protocol in ("", "tcp"):
            return int(number.partition("-")[0])
    return 0

"""`vallum -s init`: a commented vallum.toml and a GitHub workflow, from what was discovered. Never overwrites a file."""

from __future__ import annotations

import argparse
import importlib.resources
import json
import os
import re
import tomllib
from pathlib import Path
from typing import NoReturn

from vallum.config import FILE, Config
from vallum.errors import UserError
from vallum.progress import say
from vallum.target import Service, Target, discover

WORKFLOW = ".github/workflows/vallum.yml"
PLACEHOLDER = "OWNER/vallum@SHA"
ACTION = re.compile(r"[A-Za-z0-9_.-]+/[A-Za-z0-9_.-]+@[0-9a-f]{40}")
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
BRANCH = re.compile(r"[A-Za-z0-9._/-]+")
PYTHON_ENTRIES = ("app.py", "main.py", "server.py", "manage.py")
NODE_ENTRIES = ("server.js", "index.js", "app.js", "server.mjs", "index.mjs")


def init(root: Path, arguments: tuple[str, ...]) -> str:
    """Write the files that are not there yet and say which; UserError for an argument that is wrong."""
    options = _options(arguments)
    root = root.resolve()
    target = discover(root, Config())
    say(
        f"{target.name}: {len(target.files)} files; services: {', '.join(s.name for s in target.services) or 'none found'}"
    )
    if _configured_in_pyproject(root):
        say("  pyproject.toml has [tool.vallum]: no vallum.toml is written")
    else:
        _write(
            root / FILE, render("vallum.toml", target=target, services=[described(target, s) for s in target.services])
        )
    name = "ci/vallum-matrix.yml" if options.matrix else "ci/vallum.yml"
    action = options.action or PLACEHOLDER
    repository, _, ref = action.partition("@")
    written = _write(
        root / WORKFLOW, render(name, action=action, repository=repository, ref=ref, branch=default_branch(root))
    )
    if written and not options.action:
        say(f"  next: in {WORKFLOW}, put vallum's repository and a full-length commit in place of {PLACEHOLDER}")
    return ""


def render(name: str, **values: object) -> str:
    """One of our templates, filled in."""
    import jinja2

    environment = jinja2.Environment(
        # TOML and YAML, not HTML: every value passes through a filter that quotes it, or a pattern
        autoescape=jinja2.select_autoescape(default_for_string=False),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
        trim_blocks=True,
        lstrip_blocks=True,
        # GitHub's own ${{ }} must pass untouched
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
    )
    environment.filters |= {"toml": toml, "key": key}
    source = importlib.resources.files("vallum_templates").joinpath(name).read_text("utf-8")
    return environment.from_string(source).render(**values)


def toml(value: str | list[str]) -> str:
    """A TOML string, or array of strings. JSON's escapes are TOML's, but for DEL, which TOML wants escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def key(name: str) -> str:
    """A TOML key, quoted where needed."""
    return name if BARE_KEY.fullmatch(name) else toml(name)


def described(target: Target, service: Service) -> dict[str, str | list[str]]:
    """What is known or guessed of a service: its files relative to its folder, its runtime, its entry."""
    prefix = "" if service.path == "." else f"{service.path}/"
    present = {path.removeprefix(prefix) for path in target.files if path.startswith(prefix)}
    runtime, install, command = "none", "", ["the", "command"]
    if present & {"requirements.txt", "pyproject.toml"}:
        runtime, install = "python", "requirements.txt" if "requirements.txt" in present else "pyproject.toml"
        command = ["python", next((name for name in PYTHON_ENTRIES if name in present), "your-entry.py")]
    elif "package.json" in present:
        runtime, install = "node", "package-lock.json" if "package-lock.json" in present else "package.json"
        command = ["node", next((name for name in NODE_ENTRIES if name in present), "your-entry.js")]
    return {
        "name": service.name,
        "path": service.path,
        "dockerfile": service.dockerfile.removeprefix(prefix),
        "openapi": service.openapi.removeprefix(prefix),
        "runtime": runtime,
        "install": install,
        "command": command,
    }


def default_branch(root: Path) -> str:
    """The branch that the clone's `origin` calls its default, else main."""
    try:
        text = (root / ".git" / "refs" / "remotes" / "origin" / "HEAD").read_text("utf-8", "replace").strip()
    except OSError:
        return "main"
    name = text.removeprefix("ref: refs/remotes/origin/")
    return name if BRANCH.fullmatch(name) and name != text else "main"


def _write(path: Path, text: str) -> bool:
    """Whether the file was written: one that exists, even a dangling link, is left alone."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        say(f"  kept    {path.name}: it exists already")
        return False
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}", "give the folder to the user who runs vallum"
        ) from None
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    say(f"  wrote   {path}")
    return True


def _configured_in_pyproject(root: Path) -> bool:
    try:
        table = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))
    except (OSError, ValueError):
        return False
    return "vallum" in table.get("tool", {})


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"init: {message}", "vallum -s init -- [--matrix] [--action OWNER/vallum@COMMIT]")


def _options(arguments: tuple[str, ...]) -> argparse.Namespace:
    parser = _Parser(prog="vallum -s init --", add_help=False, allow_abbrev=False)
    parser.add_argument("--matrix", action="store_true")
    parser.add_argument("--action", default="")
    options = parser.parse_args(list(arguments))
    if options.action and not ACTION.fullmatch(options.action):
        raise UserError(
            f"{options.action!r} names no commit of an action", "OWNER/REPOSITORY@ and 40 hexadecimal digits"
        )
    return options

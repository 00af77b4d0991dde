"""Services with a login, staged from tests/stage/data: what the tests of logins share."""

from __future__ import annotations

import base64
import json
import re
import shutil
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

from vallum import config as configuration
from vallum.config import Config
from vallum.target import Target, discover

DATA = Path(__file__).parent / "data"
SECRETS = """
[environment.secrets]
alice = "generate"
key = "generate"
second = "generate-totp"
seed = "generate"
"""
ALICE = """
[environment.users.alice]
username = "alice"
password = "{secret.alice}"
"""


NODE = 'runtime = "node"\ncommand = ["node", "service.mjs", "{port}"]'
PYTHON = 'runtime = "python"\ncommand = ["{python}", "service.py", "{port}"]'


def staged(root: Path, service: str, login: str, users: str = ALICE, **env: str) -> tuple[Target, Config]:
    """The service of tests/stage/data/SERVICE as `a`, with `login` as its [environment.login]."""
    shutil.copytree(DATA / service, root / "a")
    variables = {"PASSWORD": "{secret.alice}", "KEY": "{secret.key}", "SECRET": "{secret.key}", **env}
    table = ", ".join(f"{key} = {json.dumps(value)}" for key, value in variables.items())
    (root / "vallum.toml").write_text(
        f'{SECRETS}[environment.services.a]\ndirectory = "a"\n{NODE if service == "certified" else PYTHON}\nready = {{ path = "/ready", seconds = 60 }}\n'
        f'env = {{ {table} }}\n[environment.login]\nservice = "a"\nprobe = "/me"\n{login}\n{users}'
    )
    config = configuration.load(root)
    return discover(root, config), config


def forms(secret: str) -> set[bytes]:
    """A secret as it may stand in a file."""
    kept = {secret, quote(secret, safe=""), quote_plus(secret), escape(secret), json.dumps(secret)[1:-1]}
    return {form.encode() for form in kept} | {base64.b64encode(secret.encode())}


def _pattern(form: bytes) -> bytes:
    """A one-time code is met by chance inside of longer numbers."""
    return rb"(?<![0-9.])%s(?![0-9])" % form if form.isdigit() else re.escape(form)


def leaks(folder: Path, secrets: set[str]) -> list[str]:
    """The files below `folder` that hold one of `secrets`, and which."""
    found = []
    patterns = {secret: re.compile(b"|".join(map(_pattern, sorted(forms(secret))))) for secret in secrets}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and not path.is_symlink():
            content = path.read_bytes()
            found += [f"{path}: {secret}" for secret, pattern in patterns.items() if pattern.search(content)]
    return found

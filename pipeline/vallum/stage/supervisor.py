"""The process behind `vallum -s stage`: it holds the deployment up until `vallum -s unstage`, or whoever, ends it.

It is the same `deploy` as a check's, so what is left up is taken down by the same code; and because the services die
with their parent, killing the supervisor kills them. It says what is up through its standard output, a pipe: the
generated secrets are on no disk.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import selectors
import signal
import subprocess  # noqa: TID251 - only its type; vallum.process starts
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.process import clean_environment, start, stop
from vallum.target import Target

DEADLINE = 1800.0
"""Seconds for installing and starting everything."""
_LEFT: list[subprocess.Popen[bytes]] = []
"""Supervisors that outlive us: kept, because a Popen object that is collected while its process runs warns of it."""
_PROGRAM = """
import json, sys
sys.path[:] = json.loads(sys.argv[1])
from vallum.stage.supervisor import main
main(sys.argv[2:])
"""


def detach(target: Target, run_id: str, folder: Path) -> str:
    """Start the supervisor and wait until it says what is up, as text for a person. Raises what it raised."""
    reader, writer = os.pipe()
    try:
        process = start(
            [sys.executable, "-I", "-c", _PROGRAM, json.dumps(sys.path), str(target.root), run_id],
            cwd=target.root,
            env=clean_environment({"VALLUM_DETACHED": "1"}, installer=True),
            stdout=Path(f"/dev/fd/{writer}"),
            stderr=folder / "supervisor.txt",
        )
    finally:
        os.close(writer)
    with _stopped_on_error(process):
        said = _first_line(reader, process)
        if "up" in said:
            _LEFT.append(process)
            return str(said["up"])
        if "mistake" in said:
            raise UserError(*said["mistake"])
        raise Inconclusive(*said.get("reason", ("the supervisor of the deployment ended without a word",)))


@contextlib.contextmanager
def _stopped_on_error(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    except BaseException:
        stop(process, 20.0)
        raise


def _first_line(reader: int, process: subprocess.Popen[bytes]) -> dict[str, list[str]]:
    line = b""
    end = time.monotonic() + DEADLINE
    with open(reader, "rb", buffering=0) as pipe, selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while not line.endswith(b"\n"):
            if time.monotonic() > end:
                raise Inconclusive(f"the deployment was not up within {DEADLINE:.0f} s")
            if selector.select(timeout=1.0):
                data = pipe.read(1 << 16)
                if not data:
                    break
                line += data
            elif process.poll() is not None:
                break
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def main(arguments: list[str]) -> None:
    """The supervisor itself: ROOT RUN_ID."""
    from vallum.config import load
    from vallum.stage import deploy
    from vallum.stage.stage import describe
    from vallum.target import discover

    root = Path(arguments[0])
    try:
        config: Config = load(root)
        with deploy(discover(root, config), config, arguments[1]) as deployment:
            _say({"up": describe(deployment, config)})
            _outlive_parent()
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return  # `unstage`: the deployment is down by now
    except UserError as error:
        _say({"mistake": [error.message, error.hint]})
    except Inconclusive as error:
        _say({"reason": [error.reason, error.detail]})


def _say(what: dict[str, object]) -> None:
    """One line to whoever started us, who then goes away."""
    with contextlib.suppress(BrokenPipeError):
        os.write(1, json.dumps(what).encode() + b"\n")
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)


def _outlive_parent() -> None:
    """Undo the parent-death signal that every child of vallum.process gets, now that somebody knows that we are up."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(1, 0)

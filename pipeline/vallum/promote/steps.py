"""Starts the commands of a promotion: deadline, bounded output, secrets masked in everything that is kept.

Unlike a check's tool, what a command leaves running stays: a deployment may be a process that it started. So only a command
that passes its deadline, floods, or is interrupted is ended with its group, and no limit on file sizes is inherited.
"""

from __future__ import annotations

import os
import resource
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from vallum import artifacts
from vallum.errors import Inconclusive, UserError
from vallum.masking import Masker
from vallum.process import clean_environment, start, stop, tail
from vallum.promote.journal import Step
from vallum.stage.redact import Redactor

FOLDER = "promotion"
MAX_OUTPUT = 64 << 20
"""Bytes that a command may write to either stream."""
KEPT = 1 << 20
"""Bytes of a stream's end that are kept in its log."""
POLL = 0.02


class Said:
    """How a command ended."""

    def __init__(self, step: Step, out: bytes, last: str) -> None:
        self.step = step
        self.out = out
        self.last = last

    @property
    def ok(self) -> bool:
        """Whether it ended with 0."""
        return self.step.exit_code == 0

    @property
    def text(self) -> str:
        """Its standard output as one stripped text."""
        return self.out.decode("utf-8", "replace").strip()


class Steps:
    """Runs commands in the target's folder; `done` records them."""

    def __init__(self, root: Path, deadline: float, pass_env: Sequence[str]) -> None:
        self.root = root
        self.deadline = deadline
        self.done: list[Step] = []
        self._masker = Masker(())
        self._redactor = Redactor()
        self._env = {}
        for name in pass_env:
            value = os.environ.get(name)
            if value is None:
                raise UserError(
                    f"promotion.pass-env: the environment variable {name} is not set", "set it, or remove it"
                )
            self._env[name] = value
            self._redactor.add(value)
        folder = artifacts.folder(root) / FOLDER
        if folder.is_symlink():
            raise UserError(f"{folder} is a link, and vallum would write to where it leads", "remove it")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
        self._folder = folder

    @property
    def given(self) -> Mapping[str, str]:
        """The variables of `pass-env`."""
        return self._env

    def hide(self, text: str) -> str:
        """`text` without what was passed in confidence, and without what has a secret's form."""
        return self._masker.text(self._redactor.text(text))

    def try_(self, name: str, argv: Sequence[str], deadline: float = 0.0, *, record: bool = True) -> Said:
        """Run to the end, whatever its exit code. Raises Inconclusive where it cannot start, passes its deadline or floods."""
        limit = min(deadline, self.deadline) if deadline else self.deadline
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="vallum-promotion-") as private:
            out, err = Path(private, "out"), Path(private, "err")
            code: int | None = None
            why = ""
            try:
                process = start(
                    argv,
                    cwd=self.root,
                    env=clean_environment(self._env),
                    stdout=out,
                    stderr=err,
                    max_file=resource.RLIM_INFINITY,
                )
                try:
                    while (code := process.poll()) is None and not why:
                        if time.monotonic() - began > limit:
                            why = f"passed its deadline of {limit:g} s and was ended"
                        elif max(out.stat().st_size, err.stat().st_size) > MAX_OUTPUT:
                            why = f"wrote more than {MAX_OUTPUT >> 20} MiB and was ended"
                        else:
                            time.sleep(POLL)
                finally:
                    if code is None:
                        stop(process)
                data = artifacts.read(out, MAX_OUTPUT) if not why else b""
            finally:
                log = self._keep(name, argv, code, out, err) if record else ""
            last = next((line for line in reversed(tail(err, 2000).splitlines()) if line.strip()), "")
            last = self.hide(" ".join(last.split())[:300])
        step = Step(
            name=name,
            argv=tuple(self.hide(word) for word in argv),
            exit_code=code,
            seconds=round(time.monotonic() - began, 3),
            log=log,
        )
        if record:
            self.done.append(step)
        if why:
            raise Inconclusive(f"{name}: {Path(argv[0]).name} {why}")
        return Said(step, data, last)

    def run(self, name: str, argv: Sequence[str], deadline: float = 0.0) -> Said:
        """As try_; raises Inconclusive, with the last line that it said, where it does not end with 0 too."""
        said = self.try_(name, argv, deadline)
        if not said.ok:
            what = f": {said.last}" if said.last else ""
            raise Inconclusive(f"{name}: {Path(argv[0]).name} ended with {said.step.exit_code}{what}")
        return said

    def _keep(self, name: str, argv: Sequence[str], code: int | None, *streams: Path) -> str:
        """One log of both streams, whole up to a limit, then the end."""
        text = f"$ {' '.join(argv)}\n"
        for path in streams:
            if path.is_file() and path.stat().st_size:
                text += f"-- {path.name}\n{tail(path, KEPT)}\n"
        text += f"-- ended with {'nothing: it was ended' if code is None else code}\n"
        file = f"{len(self.done) + 1:02}-{''.join(c if c.isalnum() else '-' for c in name)[:60]}.log"
        artifacts.write(self._folder / file, self.hide(text).encode("utf-8", "replace"))
        return f"{artifacts.FOLDER}/{FOLDER}/{file}"

"""The only place that starts a process: an argv list, a deadline, its own group, a scrubbed environment, bounded output."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import select
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from vallum.errors import Inconclusive

GRACE = 5.0
"""Seconds between SIGTERM and SIGKILL."""
MAX_FILE = 1 << 30
"""Bytes any one file written by a tool may have (RLIMIT_FSIZE): a runaway report ends the tool, not the disk."""
PASSED_ON = frozenset(
    (
        *("PATH", "HOME", "USER", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "JAVA_HOME", "XDG_CACHE_HOME"),
        *("XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT"),
        *("NODE_EXTRA_CA_CERTS", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
        *("ALL_PROXY", "all_proxy", "DOCKER_HOST", "CONTAINER_HOST", "DOCKER_CONFIG", "KUBECONFIG"),
        *("ZAP_HOME", "VALLUM_CACHE"),
    )
)
"""What a tool may see of our environment. Tokens and cloud keys of the CI are not among it (trivy-action, March 2026)."""
INSTALLER_PREFIXES = ("UV_", "PIP_", "NPM_CONFIG_", "npm_config_", "MAVEN_")
"""Settings that say where packages come from: only installers get them."""

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None


@dataclass(frozen=True)
class Finished:
    """A process that ended by itself. `seconds` is wall time; `stdout` and `stderr` are files."""

    argv: tuple[str, ...]
    exit_code: int
    seconds: float
    stdout: Path
    stderr: Path

    def output(self, limit: int = 256 << 20) -> bytes:
        """The standard output; Inconclusive where it is larger than `limit` bytes."""
        size = self.stdout.stat().st_size
        if size > limit:
            raise Inconclusive(f"{self.argv[0]} wrote {size} bytes, more than the limit of {limit}")
        return self.stdout.read_bytes()

    def tail(self, characters: int = 2000) -> str:
        """The end of the standard error, for a reason or a log."""
        return tail(self.stderr, characters)


def tail(path: Path, characters: int) -> str:
    """The end of a log, without reading what comes before it."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 4 * characters))
        return file.read().decode("utf-8", "replace")[-characters:].strip()


def clean_environment(extra: Mapping[str, str] | None = None, *, installer: bool = False) -> dict[str, str]:
    """The allow-listed part of our environment plus `extra`; `installer` adds the settings of package clients."""
    env = {
        key: value
        for key, value in os.environ.items()
        if key in PASSED_ON or (installer and key.startswith(INSTALLER_PREFIXES))
    }
    env |= {"PYTHONSAFEPATH": "1", "PYTHONUTF8": "1", "PYTHONNOUSERSITE": "1", "NO_COLOR": "1"}
    return env | dict(extra or {})


def child_setup(max_file: int = MAX_FILE, max_memory: int | None = None) -> Callable[[], None]:
    """What to run between fork and exec: die with the parent thread (Linux), and keep limits. Nothing here may allocate much."""

    def setup() -> None:
        if _libc is not None:
            _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_FSIZE, (max_file, max_file))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            if max_memory:
                resource.setrlimit(resource.RLIMIT_AS, (max_memory, max_memory))

    return setup


def start(
    argv: Sequence[str],
    *,
    cwd: Path,
    env: Mapping[str, str],
    stdout: Path,
    stderr: Path | None = None,
    max_file: int = MAX_FILE,
    max_memory: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start `argv` in its own session with output appended to files; `env` is the whole environment.

    For servers; the caller ends it with `stop`. Raises Inconclusive when it cannot be started.
    """
    stdout.parent.mkdir(parents=True, exist_ok=True)
    with stdout.open("wb") as out, stderr.open("wb") if stderr else contextlib.nullcontext() as err:
        try:
            return subprocess.Popen(
                list(argv),
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err if err is not None else subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=child_setup(max_file, max_memory),  # noqa: PLW1509 - only async-signal-safe calls inside
            )
        except OSError as error:
            raise Inconclusive(f"cannot start {shlex.join(argv)[:200]}: {error.strerror}") from error


def stop(process: subprocess.Popen[bytes], grace: float = GRACE) -> int:
    """End the whole process group: SIGTERM, `grace` seconds, SIGKILL. Returns the exit code; safe to call twice."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        if number == signal.SIGTERM:
            end = time.monotonic() + grace
            while time.monotonic() < end and _group_alive(process):
                time.sleep(0.02)
    return process.wait()


def _group_alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    deadline: float,
    stdout: Path,
    stderr: Path,
    env: Mapping[str, str] | None = None,
    scratch: Path | None = None,
    installer: bool = False,
    max_file: int = MAX_FILE,
    max_memory: int | None = None,
) -> Finished:
    """Run `argv` to its end within `deadline` seconds. `env` adds to the scrubbed environment; `scratch` becomes TMPDIR.

    Raises Inconclusive when it cannot start, passes the deadline, or is ended by the file-size limit. Any exit code
    returns: what a code means is the tool's own contract and the caller's to check.
    """
    extra = dict(env or {})
    if scratch is not None:
        extra.setdefault("TMPDIR", str(scratch))
    began = time.monotonic()
    process = start(
        argv,
        cwd=cwd,
        env=clean_environment(extra, installer=installer),
        stdout=stdout,
        stderr=stderr,
        max_file=max_file,
        max_memory=max_memory,
    )
    try:
        code = _ended(process, deadline)
    except subprocess.TimeoutExpired:
        raise Inconclusive(f"{Path(argv[0]).name} passed its deadline of {deadline:.0f} s and was ended") from None
    finally:
        stop(process, GRACE if process.poll() is None else 0.2)
    if code == -signal.SIGXFSZ:
        raise Inconclusive(f"{Path(argv[0]).name} wrote a file over {max_file} bytes and was ended")
    return Finished(tuple(argv), code, time.monotonic() - began, stdout, stderr)


def _ended(process: subprocess.Popen[bytes], deadline: float) -> int:
    """Its exit code, as soon as it ends: Popen.wait with a timeout looks every 50 ms. Raises subprocess.TimeoutExpired."""
    try:
        handle = os.pidfd_open(process.pid)
    except (AttributeError, OSError):  # not Linux, or one before 5.3
        return process.wait(timeout=deadline)
    try:
        watch = select.poll()
        watch.register(handle, select.POLLIN)
        if not watch.poll(deadline * 1000):
            raise subprocess.TimeoutExpired(process.args, deadline)
    finally:
        os.close(handle)
    return process.wait()


def fork() -> int:
    """os.fork for a copy that never collects what the original had: to end another's object may wait forever for its threads
    (gRPC's did), and would write to memory that both share."""
    collecting = gc.isenabled()
    gc.disable()
    pid = os.fork()
    if pid == 0:
        gc.freeze()
    if collecting:
        gc.enable()
    return pid


def beside(work: Callable[[], bytes]) -> Callable[[], bytes]:
    """Do `work` in a copy of this process, on another core; what is returned waits for its bytes.

    Call it while there is one thread only. The copy dies with us. Waiting raises Inconclusive where it left nothing.
    """
    reading, writing = os.pipe()
    pid = fork()
    if pid == 0:
        code = 1
        try:
            child_setup()()
            os.close(reading)
            with os.fdopen(writing, "wb") as out:
                out.write(work())
            code = 0
        finally:
            os._exit(code)
    os.close(writing)

    def wait() -> bytes:
        with os.fdopen(reading, "rb") as answers:
            data = answers.read()
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise Inconclusive(f"the process beside this one ended with status {status}")
        return data

    return wait


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP, what a CI's cancel sends, become KeyboardInterrupt, so that every `finally` runs."""

    def interrupt(number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

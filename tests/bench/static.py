"""The static part of the pipeline against its tools: `nox -s bench -- static`."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, timed, tree

RUNS = 5
HEAD = '"""Part {n} of the {service} service."""\n\nimport json\nimport logging\nimport sqlite3\nimport subprocess\n\n'
PARTS = (
    '''
class Item{n}:
    """One item as the {service} service keeps it."""

    def __init__(self, number, owner, lines=()):
        self.number = number
        self.owner = owner
        self.lines = list(lines)

    def total(self):
        """Cents, taxes included."""
        return sum(line["price"] * line["count"] for line in self.lines) + {n}

''',
    '''
def load_{n}(path, default=None):
    """Settings of the {service} service, or `default` where there are none."""
    try:
        with open(path, encoding="utf-8") as file:
            settings = json.load(file)
    except FileNotFoundError:
        logging.warning("no settings at %s", path)
        return default
    return {{key.lower(): value for key, value in settings.items() if value is not None}}

''',
    '''
def find_{n}(database, owner, limit={n}):
    """The last orders of `owner`."""
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "SELECT number, total FROM orders WHERE owner = ? ORDER BY number DESC LIMIT ?", (owner, limit)
        )
        return [{{"number": number, "total": total}} for number, total in rows]

''',
    '''
def route_{n}(request, store):
    """Answer a request: the item that is asked for, or why not."""
    number = request.get("number")
    if not isinstance(number, int) or number < 0:
        return 400, {{"error": "number must be a whole number"}}
    item = store.get(number)
    if item is None or item.owner != request["user"]:
        return 404, {{"error": "there is no such item"}}
    return 200, {{"number": item.number, "total": item.total()}}

''',
    '''
def spread_{n}(values, size={n}):
    """`values` in lists of `size`."""
    part = []
    for value in values:
        part.append(value)
        if len(part) == size:
            yield part
            part = []
    if part:
        yield part

''',
)
WEAK = '''
def pack_{n}(name):
    """Pack what lies under `name`."""
    return subprocess.call("tar -cf /srv/{service}.tar %s" % name, shell=True)

'''


def repository(folder: Path, files: int) -> Path:
    """Python files of 20 to 70 lines, as services have them; bandit and semgrep have something to say of every fourth."""
    for number in range(files):
        service = f"service_{number % 20}"
        path = folder / service / f"module_{number}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        parts = [PARTS[(number + each) % len(PARTS)] for each in range(1 + number % 4)]
        parts += [WEAK] if number % 4 == 0 else []
        named = (part.format(n=number * 10 + each, service=service) for each, part in enumerate(parts, 1))
        path.write_text(HEAD.format(n=number, service=service) + "".join(named))
    return folder


def bench_static() -> None:
    """The static part against its bound: max(slowest tool, all tools' CPU / cores), of the tools in the same run, and of their
    plain command lines."""
    with tempfile.TemporaryDirectory() as temporary:
        shop = Path(temporary) / "shop"
        shutil.copytree(ROOT / "examples" / "shop", shop, ignore=shutil.ignore_patterns(".vallum", "node_modules"))
        ordinary = repository(Path(temporary) / "ordinary", 2_000)
        weak = tree(Path(temporary) / "weak", 2_000, 2_000)
        for name, folder in (
            ("examples/shop", shop),
            ("2,000 Python files", ordinary),
            ("2,000 Python files of 8 lines, a finding in each", weak),
        ):
            config = folder / "vallum.toml"
            static_only(config, config.read_text() if config.exists() else "")
            wall, tools = _in_runs(name, folder, Path(temporary) / "told")
            shutil.rmtree(folder / ".vallum")
            _plain(wall, tools, folder)


def _in_runs(name: str, folder: Path, told: Path) -> tuple[float, dict[str, tuple[float, float]]]:
    """Measure vallum RUNS times; returns the best wall time, and of that run wall and CPU seconds of each tool."""
    argv = [sys.executable, "-I", "-c", TOLD, *sys.path[:3], str(told), "-C", str(folder)]
    timed(argv, 1)
    ratios = []
    best = (float("inf"), 0.0, {})
    for _ in range(RUNS):
        told.write_text("")
        wall, cpu = timed(argv, 1)
        tools: dict[str, tuple[float, float]] = {}
        for tool in map(json.loads, told.read_text().splitlines()):
            before = tools.get(tool["check"], (0.0, 0.0))
            tools[tool["check"]] = (before[0] + tool["wall"], before[1] + tool["cpu"])
        ratios.append(wall / _bound(tools))
        best = min(best, (wall, cpu, tools), key=lambda run: run[0])
    wall, cpu, tools = best
    print(
        f"{name}: {wall:.1f} s wall, {cpu:.1f} s CPU in all; the tools in the same run: {_said(tools)}\n"
        f"  ratios of all runs: {', '.join(f'{ratio:.2f}' for ratio in ratios)}"
    )
    return wall, tools


def _bound(tools: dict[str, tuple[float, float]]) -> float:
    slowest = max(wall for wall, _ in tools.values())
    return max(slowest, sum(cpu for _, cpu in tools.values()) / (os.cpu_count() or 1))


def _said(tools: dict[str, tuple[float, float]]) -> str:
    spent = sorted(((cpu, wall, check) for check, (wall, cpu) in tools.items()), reverse=True)
    each = ", ".join(f"{check} {wall:.1f} ({cpu:.1f} CPU)" for cpu, wall, check in spent)
    return f"{sum(cpu for cpu, _, _ in spent):.1f} s CPU; {each}; bound {_bound(tools):.1f} s"


def _plain(wall: float, tools: dict[str, tuple[float, float]], folder: Path) -> None:
    """The same tools one after the other by the command lines of their documentation; those of which vallum starts just that
    (pip-audit, syft, zizmor, hadolint) as they were in the run."""
    from vallum.tools import prepare

    rules = ROOT / "checks" / "vallum_checks" / "rules"
    lines = {
        "bandit": ("bandit", "-q", "-r", "-f", "json", "."),
        "semgrep": (
            "semgrep",
            "scan",
            "--config",
            str(rules),
            "--json",
            "--metrics=off",
            "--disable-version-check",
            ".",
        ),
        "secrets": ("detect-secrets", "scan", "--all-files", "."),
        "infrastructure": ("checkov", "--skip-download", "-o", "json", "-d", "."),
    }
    plain = dict(tools)
    for check, (name, *arguments) in lines.items():
        if check in tools:
            plain[check] = timed([str(prepare(name).bin(name)), *arguments], 1, cwd=folder)
    print(f"  by plain command lines: {_said(plain)}, ratio {wall / _bound(plain):.2f}")


TOLD = """
import json, os, resource, sys, time
sys.path[:0] = sys.argv[1:4]
told = sys.argv[4]
sys.argv[1:] = sys.argv[5:]
from vallum import runner
run = runner.run_unit
def watched(check, *more):
    def spent():
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime
    cpu, began, own = spent(), time.perf_counter(), time.process_time()
    outcome = run(check, *more)
    wall = time.perf_counter() - began - (time.process_time() - own)
    with open(told, "a") as file:
        file.write(json.dumps({"check": check.id, "cpu": spent() - cpu, "wall": wall}) + "\\n")
    return outcome
runner.run_unit = watched
from vallum.cli import main
main()
"""
"""vallum as ever, but that it writes down what the processes of each check took, and how long it waited for them."""


def static_only(config: Path, text: str) -> None:
    """Switch the staged checks and the images off."""
    from vallum.check import Stage
    from vallum_checks import CHECKS

    off = "".join(
        f'\n[checks.{check.id}]\nrequire = "off"\n' for check in CHECKS if check.stage in {Stage.STAGED, Stage.IMAGES}
    )
    kept = text.split("[environment]", maxsplit=1)[0]
    lines, skip = [], False
    for line in kept.splitlines():
        if line.startswith("["):
            skip = line.startswith(("[checks.zap]", "[checks.schemathesis]", "[checks.image]"))
        if not skip:
            lines.append(line)
    config.write_text("\n".join(lines) + off)

"""What vallum costs beside its tools: `nox -s bench`. Ratios of one run on one machine; never asserted in a test.

Sections (name some to run only these): list, bandit, judge (--large: to 1,000,000), static, kill (200 times).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import MAIN, peak, timed, tree
from static import bench_static


def only(folder: Path, *names: str) -> None:
    """Switch every other check off."""
    from vallum_checks import CHECKS

    off = [f'[checks.{check.id}]\nrequire = "off"\n' for check in CHECKS if check.id not in names]
    (folder / "vallum.toml").write_text("".join(off))


def bench_list() -> None:
    """`vallum -l`."""
    with tempfile.TemporaryDirectory() as folder:
        wall, cpu = timed([*MAIN, "-C", folder, "-l"], 5)
    print(f"vallum -l: {wall:.2f} s wall, {cpu:.2f} s CPU")


def bench_bandit() -> None:
    """What vallum adds to bandit alone."""
    from vallum.tools import prepare

    bandit = prepare("bandit").bin("bandit")
    for findings in (2_000, 20_000):
        with tempfile.TemporaryDirectory() as temporary:
            folder = tree(Path(temporary) / "t", max(100, findings // 20), findings)
            only(folder, "bandit")
            alone = timed([str(bandit), "-q", "-f", "json", "-o", f"{temporary}/o.json", "-r", str(folder)], 2)
            ours = timed([*MAIN, "-C", str(folder)], 2)
            memory = peak([*MAIN, "-C", str(folder)])
            count = len(json.loads((folder / ".vallum" / "verdict.json").read_bytes())["findings"])
        print(
            f"bandit alone, {count} findings: {alone[0]:.2f} s; through vallum {ours[0]:.2f} s "
            f"(+{ours[0] - alone[0]:.2f} s wall, +{ours[1] - alone[1]:.2f} s CPU), peak of our processes {memory} MB"
        )


JUDGE = """
import gc, re, resource, sys, time
gc.disable()  # as vallum.judgement does
from pathlib import Path
from vallum import gather, history, judgement, plan, runner
from vallum.gate import judge
from vallum.config import Config
root = Path(sys.argv[1])
judgement.warm()
began, cpu = time.perf_counter(), time.process_time()
made = plan.load(root)
outcomes = {(p.check, u): runner.read(root, p.check, u, made.run) for p in made.planned() for u in p.units}
read = time.perf_counter() - began
verdict = judge(Config().policy, made, outcomes)
judged = time.perf_counter() - began - read
written, remarks = judgement.keep(root, verdict)
assert remarks == (), remarks
total = time.perf_counter() - began
bad = [w for w in written if w.error and "sbom" not in str(w.path)]
assert not bad, bad
peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024
beside = resource.getrusage(resource.RUSAGE_CHILDREN)
cpu = time.process_time() - cpu + beside.ru_utime + beside.ru_stime
print(len(verdict.findings), round(read, 2), round(judged, 2), round(total - read - judged, 2), round(total, 2),
      round(cpu, 2), peak)
"""


def bench_judge() -> None:
    """Reading, judging and reporting many findings that lie on disk as outcomes of 20 checks."""
    for findings in (10_000, 100_000, 1_000_000):
        if findings == 1_000_000 and "--large" not in sys.argv:
            continue
        with tempfile.TemporaryDirectory() as temporary:
            folder = outcomes(Path(temporary), findings)
            env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path[:3])}
            done = subprocess.run(
                [sys.executable, "-c", JUDGE, str(folder)], env=env, capture_output=True, text=True, check=True
            )
        count, read, judged, reported, total, cpu, memory = done.stdout.split()
        print(
            f"{count} findings: read {read} s, judge {judged} s, verdict, reports and history {reported} s, "
            f"all {total} s ({cpu} s CPU), {memory} MB"
        )


def outcomes(root: Path, findings: int, checks: int = 20) -> Path:
    """A folder with a plan and outcomes, as other machines would have left them."""
    from vallum import plan, runner
    from vallum.check import Check, Planned, Stage
    from vallum.config import Config
    from vallum.finding import Finding, Location, Rule
    from vallum.outcome import Completed, Coverage, Run, Tool
    from vallum.severity import Severity
    from vallum.target import Target

    each = findings // checks
    severities = list(Severity)
    target = Target(root, "bench", (), ())
    made = []
    for number in range(checks):
        found = tuple(
            Finding(
                rule=f"R{n % 200}",
                severity=severities[n % 6],
                message=f"a message about what is wrong in function number {n}",
                location=Location(f"service_{n % 20}/module_{n % 997}.py", n % 3000 + 1, 1, 0, f"call_{number}_{n}(x)"),
                cwe=(79,),
                owasp=("A05:2025",),
                service=f"service_{n % 20}",
            )
            for n in range(each)
        )
        rules = tuple(Rule(f"R{n}", f"rule {n}", "what it looks for", "how to repair it") for n in range(200))
        run = Run(tool=Tool("t", "1"), coverage=(Coverage("files", 1, 1),), rules=rules, findings=found)
        check = Check(
            f"check-{number}", Stage.SOURCE, "a check", lambda _t, _c: Planned(), lambda _c, run=run: Completed(run)
        )
        runner.run_unit(check, target, Config(), "bench")
        made.append(check)
    os.environ["VALLUM_RUN"] = "bench"
    plan.store(root, plan.make(made, target, Config()))
    return root


def bench_kill() -> None:
    """200 runs killed at random moments: what was met. Asserts that none ends green and that nothing half-written is read."""
    from kill import strike

    with tempfile.TemporaryDirectory() as temporary:
        print(f"kill -9, 200 times: {dict(strike(Path(temporary), 200, int(os.environ.get('SEED', '1'))))}")


SECTIONS = {
    "list": bench_list,
    "bandit": bench_bandit,
    "judge": bench_judge,
    "static": bench_static,
    "kill": bench_kill,
}


def main() -> None:
    """Run the sections that are named, else all."""
    wanted = [name for name in sys.argv[1:] if name in SECTIONS] or list(SECTIONS)
    print(f"Python {sys.version.split()[0]}, {os.cpu_count()} cores")
    for name in wanted:
        SECTIONS[name]()


if __name__ == "__main__":
    main()

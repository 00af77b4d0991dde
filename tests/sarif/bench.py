"""How long 100,000 findings take to write and to read, and in how much memory: `python tests/sarif/bench.py [NUMBER]`."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "pipeline"))

from vallum.finding import Finding, Location, Rule
from vallum.outcome import Coverage, Run, Tool
from vallum.sarif import read_run, write_run
from vallum.severity import Severity


def main(number: int) -> None:
    """Print one line for each step."""
    severities = list(Severity)
    findings = tuple(
        Finding(
            rule=f"R{n % 200}",
            severity=severities[n % 6],
            message=f"Possible injection number {n} in a query that is built by hand",
            location=Location(
                f"services/s{n % 9}/src/module_{n % 2000}.py", n % 900 + 1, 5, 0, "    db.execute(q + x)"
            ),
            service=f"s{n % 9}",
            cwe=(89,),
            owasp=("A05:2025",),
            confidence="high",
            fix="Pass the values as parameters.",
            id=f"{n:032x}",
            checks=("bandit",),
        )
        for n in range(number)
    )
    rules = tuple(Rule(f"R{n}", f"rule {n}", "what", "how") for n in range(200))
    run = Run(tool=Tool("bandit", "1.9.4"), coverage=(Coverage("files", 2000, 2000),), rules=rules, findings=findings)
    print(f"{number:,} findings held: {memory()} MB")
    began = time.perf_counter()
    data = write_run("bandit", run, True)
    written = time.perf_counter()
    print(f"write {written - began:.2f} s, {len(data) / 1e6:.0f} MB: {memory()} MB at most")
    again = read_run(data)
    print(f"read  {time.perf_counter() - written:.2f} s: {memory()} MB at most")
    assert again == (rules, findings)


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 100_000)

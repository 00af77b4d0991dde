"""Break the input of every reader until the time is up: `nox -s fuzz -- --seconds 600 [--only NAME]`.

What a reader raises beside its own error, or takes over SLOW seconds of CPU for, is written to corpus/ and replayed by the tests.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import sys
import time
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1] / name) for name in ("pipeline", "checks", "templates")] + [
        str(HERE.parents[1])
    ]

from tests.fuzz.mutate import mutate  # noqa: E402
from tests.fuzz.readers import READERS, Reader  # noqa: E402

CORPUS = HERE / "corpus"
SLOW = 5.0


def attempt(reader: Reader, data: bytes) -> str:
    """What is wrong with how the reader takes `data`, or an empty string."""
    began = time.process_time()
    try:
        reader.read(data)
    except reader.raises:
        pass
    except Exception:  # noqa: BLE001 - that is what a fuzzer looks for
        return traceback.format_exc()
    taken = time.process_time() - began
    return f"took {taken:.1f} s of CPU time" if taken > SLOW else ""


def fuzz(seconds: float, names: list[str], seed: int) -> dict[str, tuple[int, list[tuple[bytes, str]]]]:
    """Each reader in turn, in slices, until the time is up: how many inputs it got, and what was wrong."""
    told: dict[str, tuple[int, list[tuple[bytes, str]]]] = {name: (0, []) for name in names}
    known: dict[str, set[str]] = {name: set() for name in names}
    end = time.monotonic() + seconds
    numbers = itertools.count(seed)
    while time.monotonic() < end:
        for name in names:
            reader = READERS[name]
            count, wrong = told[name]
            slice_end = min(end, time.monotonic() + 0.25)
            while time.monotonic() < slice_end:
                number = next(numbers)
                data = mutate(reader.seeds[number % len(reader.seeds)], number)
                problem = attempt(reader, data)
                count += 1
                if problem:
                    place = (
                        "\n".join(line for line in problem.splitlines() if line.startswith("  File"))[-300:] or "slow"
                    )
                    if place not in known[name]:
                        known[name].add(place)
                        wrong.append((data, problem))
            told[name] = (count, wrong)
    return told


def main() -> int:
    """Fuzz, print the figures, keep what was wrong; 1 where something was."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**40))
    parser.add_argument("--only", nargs="+", default=list(READERS))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    told = fuzz(options.seconds, options.only, options.seed)
    failed = 0
    for name, (count, wrong) in told.items():
        print(f"{name:<16} {count:>9} inputs, {len(wrong)} wrong")
        for data, problem in wrong:
            failed += 1
            path = CORPUS / f"{name}.{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            print(f"--- {path.name} ({len(data)} bytes)\n{problem}")
    print(f"{sum(count for count, _ in told.values())} inputs in {options.seconds:.0f} s, {failed} wrong")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

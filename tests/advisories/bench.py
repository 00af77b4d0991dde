"""How long reading and matching take: `python tests/advisories/bench.py SET.zip [PACKAGES]`. SET is any OSV zip or folder."""

from __future__ import annotations

import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "pipeline")]


def bench(path: Path, packages: int = 661) -> dict[str, float]:
    """Seconds to import, read and match `packages` packages that occur in the set, and how many advisories met them."""
    start = time.perf_counter()
    from vallum.advisories.ecosystems import Query, base, normal_name
    from vallum.advisories.local import LocalSet

    imported = time.perf_counter()
    found = LocalSet.read(path, str(path), 100_000)
    read = time.perf_counter()
    queries: dict[tuple[str, str], Query] = {}
    for (ecosystem, _), records in sorted(found._by_name.items()):
        for affected in records[0].affected:
            if affected.package is not None and affected.versions and base(affected.package.ecosystem) == ecosystem:
                name = normal_name(ecosystem, affected.package.name)
                queries.setdefault(
                    (ecosystem, name),
                    Query(affected.package.ecosystem, name, affected.versions[len(affected.versions) // 2]),
                )
    chosen = list(queries.values())[:packages]
    ready = time.perf_counter()
    answers = found.lookup(chosen)
    matched = time.perf_counter()
    return {
        "records": found.database.records,
        "packages": len(chosen),
        "import_s": round(imported - start, 3),
        "read_s": round(read - imported, 3),
        "match_s": round(matched - ready, 3),
        "advisories": sum(len(one.records) for one in answers.values()),
        "undecided": sum(len(one.undecided) for one in answers.values()),
        "memory_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    }


if __name__ == "__main__":
    print(bench(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 661))

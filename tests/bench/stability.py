"""`python tests/bench/stability.py REPO [COMMITS]`: do findings keep their identity where their code did not change?

Replays the last COMMITS (50) of a git repository with the real bandit and semgrep, and compares each commit with the one
before. What "did not change" means is said by Python's own parser and not by vallum: a function, or a statement outside of
functions, whose syntax tree is the same in both commits, in a file of the same name or one that git calls a rename. Where a
tool finds the same rules in it before and after, each must have the same identity. Exit code 1 where one has not.

Two equal statements of one file differ in an ordinal only; the ordinal is left out here, for which of two twins is gone
cannot be told.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / name) for name in ("pipeline", "checks", "templates")]

from vallum import fingerprint, runner  # noqa: E402
from vallum.config import Config  # noqa: E402
from vallum.context import Contexts  # noqa: E402
from vallum.finding import Finding  # noqa: E402
from vallum.git import find  # noqa: E402
from vallum.outcome import Completed, Incomplete  # noqa: E402
from vallum.target import discover  # noqa: E402
from vallum_checks import CHECKS  # noqa: E402

TOOLS = ("bandit", "semgrep")


class Unit(NamedTuple):
    """A piece of code: its lines, its syntax tree without places, its text."""

    first: int
    last: int
    tree: str
    text: str


class Commit(NamedTuple):
    """One commit: the text of its Python files and what was found in them."""

    name: str
    texts: dict[str, str]
    findings: list[Finding]


def units(text: str) -> list[Unit]:
    """Functions and methods, and the statements outside of them; none where this Python cannot parse the file."""
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError):
        return []
    lines = text.splitlines()
    found = []

    def add(body: list[ast.stmt]) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef):
                add(node.body)
                continue
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(each.lineno for each in decorators)])
            last = node.end_lineno or node.lineno
            found.append(Unit(first, last, ast.dump(node), "\n".join(lines[first - 1 : last])))

    add(module.body)
    return found


def replay(git: Path, count: int) -> Iterator[Commit]:
    """The last `count` commits, oldest first. The tools look at each content of each Python file once: they look at no other
    file for it."""
    known: dict[tuple[str, str], tuple[str, list[Finding]]] = {}
    for name in reversed(_git(git, "rev-list", "--first-parent", f"--max-count={count}", "HEAD").split()):
        listed = [line.split("\t") for line in _git(git, "ls-tree", "-r", "-z", name).split("\0") if line]
        files = [(path, kind.split()[2]) for kind, path in listed if path.endswith(".py") and kind.startswith("100")]
        fresh = [file for file in files if file not in known]
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "target"
            root.mkdir()
            for path, blob in fresh:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text(_git(git, "cat-file", "blob", blob), "utf-8")
                known[path, blob] = ((root / path).read_text("utf-8"), [])
            blobs = dict(fresh)
            for finding in _found(root) if fresh else ():
                if finding.location and finding.location.path in blobs:
                    known[finding.location.path, blobs[finding.location.path]][1].append(finding)
        texts = {path: known[path, blob][0] for path, blob in files}
        yield Commit(name, texts, [finding for file in files for finding in known[file][1]])


def _git(git: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(git), *words], capture_output=True, check=True)
    return done.stdout.decode("utf-8", "replace")


def _found(root: Path) -> Iterator[Finding]:
    target = discover(root, Config())
    for check in CHECKS:
        if check.id in TOOLS:
            outcome = runner.run_unit(check, target, Config(), "0" * 16)
            assert isinstance(outcome, Completed | Incomplete), outcome
            yield from outcome.run.findings if outcome.run else ()


def identities(commit: Commit, renamed: Mapping[str, str]) -> list[tuple[Finding, str]]:
    """Each finding with its identity, the ordinal left out."""
    contexts = Contexts(commit.texts.get)

    def context(finding: Finding) -> str:
        place = finding.location
        secret = not fingerprint.SECRET_CWES.isdisjoint(finding.cwe)
        return contexts.of(place.path, place.line, place.column, masked=secret) if place else ""

    return [(one, fingerprint.identify([one], context, renamed)[0].id) for one in commit.findings]


def _place(finding: Finding) -> str:
    return finding.location.path if finding.location else ""


def by_unit(commit: Commit, path: str, named: list[tuple[Finding, str]]) -> dict[str, list[tuple[Unit, Finding, str]]]:
    """The findings of one file by the syntax tree of the unit that they stand in."""
    found: defaultdict[str, list[tuple[Unit, Finding, str]]] = defaultdict(list)
    pieces = units(commit.texts[path])
    for finding, identity in named:
        line = finding.location.line if finding.location else 0
        for unit in pieces:
            if unit.first <= line <= unit.last:
                found[unit.tree].append((unit, finding, identity))
    return found


def compare(old: Commit, new: Commit, renamed: Mapping[str, str], count: Counter[str]) -> list[str]:
    """What churned between two commits; the figures go into `count`."""
    churned = []
    same = {path for path, text in new.texts.items() if path not in renamed and old.texts.get(path) == text}
    count["in files that the commit left alone"] += sum(_place(one) in same for one in new.findings)
    old, new = (
        each._replace(findings=[one for one in each.findings if _place(one) not in same]) for each in (old, new)
    )
    before: defaultdict[str, list[tuple[Finding, str]]] = defaultdict(list)
    after: defaultdict[str, list[tuple[Finding, str]]] = defaultdict(list)
    for table, named in ((before, identities(old, {})), (after, identities(new, renamed))):
        for finding, identity in named:
            table[_place(finding)].append((finding, identity))
    for path, named in after.items():
        origin = renamed.get(path, path)
        if origin not in old.texts:
            continue
        then = by_unit(old, origin, before[origin])
        for tree, here in by_unit(new, path, named).items():
            there = then.get(tree, [])
            rules = [Counter((each[1].checks, each[1].rule) for each in side) for side in (there, here)]
            if not there or rules[0] != rules[1]:
                count["other: code or the tool's word changed"] += len(here)
                continue
            count["compared"] += len(here)
            count["moved to other lines"] += len(here) * (there[0][0].first != here[0][0].first)
            count["reformatted"] += len(here) * (there[0][0].text != here[0][0].text)
            count["in a renamed file"] += len(here) * (origin != path)
            lost = Counter(each[2] for each in there) - Counter(each[2] for each in here)
            for unit, finding, identity in there:
                if lost[identity]:
                    lost[identity] -= 1
                    where = f"{origin}:{finding.location.line if finding.location else 0}"
                    churned.append(
                        f"{old.name[:8]}..{new.name[:8]} {where} {finding.rule}: {unit.text.splitlines()[0][:80]}"
                    )
    return churned


def main() -> int:
    """Replay, report, and fail where an identity churned."""
    git = Path(sys.argv[1]).resolve()
    repository = find(git)
    if repository is None:
        sys.exit(f"{git} is not a git repository")
    began = time.monotonic()
    count: Counter[str] = Counter()
    churned: list[str] = []
    last: Commit | None = None
    for commit in replay(git, int(sys.argv[2]) if len(sys.argv) > 2 else 50):
        count["commits"] += 1
        count["findings"] += len(commit.findings)
        if last is not None:
            churned += compare(last, commit, repository.renames(last.name, commit.name), count)
        last = commit
    for line in churned:
        print(f"CHURNED {line}")
    for name, number in count.items():
        print(f"{number:8,} {name}")
    print(f"{len(churned):8,} identities churned without their code having changed; {time.monotonic() - began:.0f} s")
    return 1 if churned else 0


if __name__ == "__main__":
    sys.exit(main())

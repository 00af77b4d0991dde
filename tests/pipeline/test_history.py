"""The history on real SQLite files: laws by property, damage, strangers, kill -9, and many writers at once."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.conftest import MAIN
from tests.pipeline.test_cli import WEAK, only

from vallum import history
from vallum.finding import Finding
from vallum.history import store
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, Judged, Status, Verdict


def at(day: int) -> str:
    return f"2026-{day // 28 + 1:02}-{day % 28 + 1:02}T12:00:00Z"


def verdict(
    day: int, seen: dict[str, tuple[str, ...]], incomplete: tuple[str, ...] = (), checks=("a", "b"), run=""
) -> Verdict:
    """`seen`: finding id to the checks that saw it."""
    return Verdict(
        status=Status.INCOMPLETE if incomplete else Status.PASS,
        target="t",
        run=run or f"run{day}",
        vallum="1",
        started=at(day),
        commit="c" * 40,
        checks=tuple(
            CheckResult(
                check=check,
                stage="source",
                unit="_",
                status="incomplete" if check in incomplete else "completed",
                require="required",
            )
            for check in checks
        ),
        findings=tuple(
            Judged(
                Finding(rule="r", severity=Severity.HIGH, message="m", id=id_, checks=by), Disposition.BLOCKS, "policy"
            )
            for id_, by in seen.items()
        ),
    )


def states(root: Path) -> dict[tuple[str, str], history.Entry]:
    found, notes = history.entries(root)
    assert notes == ()
    return {(entry.finding, entry.check): entry for entry in found}


def dump(root: Path) -> list[list[tuple]]:
    with contextlib.closing(sqlite3.connect(store.path_of(root))) as connection:
        return [
            sorted(connection.execute(f"SELECT * FROM {table}").fetchall()) for table in ("run", "sighting", "event")
        ]


def test_a_life_first_seen_fixed_back_and_fixed_again(tmp_path) -> None:
    for day, seen in enumerate(({"f": ("a",)}, {"f": ("a",)}, {}, {}, {"f": ("a",)}, {"f": ("a",)}, {})):
        assert history.record(tmp_path, verdict(day, seen)) == ()
    entry = states(tmp_path)["f", "a"]
    assert (entry.first, entry.last, entry.fixed) == (at(0), at(5), at(6))
    assert (entry.since, entry.reopened) == (at(4), 1)
    assert entry.to_fix == (2 * 86400.0, 2 * 86400.0)
    assert history.first_seen(tmp_path) == ({"f": dt.date(2026, 1, 1)}, ())


def test_a_check_that_could_not_tell_neither_repairs_nor_introduces_nor_reopens(tmp_path) -> None:
    history.record(tmp_path, verdict(0, {"old": ("a",), "gone": ("a",)}))
    history.record(tmp_path, verdict(1, {"old": ("a",)}))
    before = states(tmp_path)
    history.record(tmp_path, verdict(2, {"new": ("a",), "gone": ("a",)}, incomplete=("a",)))
    after = states(tmp_path)
    assert after == before
    history.record(tmp_path, verdict(3, {"old": ("a",)}, incomplete=("a",)))
    assert states(tmp_path)["old", "a"].last == at(3)  # it was seen, and it was known
    # one unit of a check that could not tell is enough
    two = verdict(4, {})
    two = Verdict(
        **{f: getattr(two, f) for f in two.__struct_fields__}
        | {"checks": (*two.checks, verdict(4, {}, ("a",)).checks[0])}
    )
    history.record(tmp_path, two)
    assert states(tmp_path)["old", "a"].fixed == ""


def test_a_check_that_did_not_run_repairs_nothing_and_others_do_not_speak_for_it(tmp_path) -> None:
    history.record(tmp_path, verdict(0, {"f": ("a", "b")}))
    history.record(tmp_path, verdict(1, {}, checks=("b",)))
    found = states(tmp_path)
    assert found["f", "a"].fixed == ""
    assert found["f", "b"].fixed == at(1)


RUNS = st.lists(
    st.tuples(
        st.integers(0, 60),
        st.dictionaries(st.sampled_from("fgh"), st.sampled_from([("a",), ("b",), ("a", "b")]), max_size=3),
        st.sampled_from([(), ("a",), ("b",)]),
    ),
    max_size=4,
)
FEW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def written(folder: Path, runs) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    assert history.record(folder, verdict(0, {}, run="root")) == ()
    for day, seen, incomplete in runs:
        assert history.record(folder, verdict(day, seen, incomplete)) == ()
    return folder


def copied(folder: Path, source: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(source, folder)
    return folder


@FEW
@given(RUNS, RUNS, RUNS)
def test_merging_is_order_free_and_idempotent(tmp_path, one, two, three) -> None:
    a, b, c = (written(tmp_path / name, runs) for name, runs in (("a", one), ("b", two), ("c", three)))
    abc = copied(tmp_path / "abc", a)
    for each in (b, c):
        assert history.merge(abc, store.path_of(each)) == ()
    cb = copied(tmp_path / "cb", c)
    assert history.merge(cb, store.path_of(b)) == ()
    cba = copied(tmp_path / "cba", a)
    assert history.merge(cba, store.path_of(cb)) == ()
    assert dump(abc) == dump(cba)
    for again in (a, b, c, cb):
        history.merge(abc, store.path_of(again))
    assert dump(abc) == dump(cba)


@FEW
@given(RUNS)
def test_to_record_again_changes_nothing_and_the_first_day_is_the_first(tmp_path, runs) -> None:
    root = written(tmp_path / "r", runs)
    before = dump(root)
    if runs:
        history.record(root, verdict(*runs[-1]))
    assert dump(root) == before
    days, _ = history.first_seen(root)
    for id_, day in days.items():
        assert day.isoformat() == min(at(d) for d, seen, _ in runs if id_ in seen)[:10] or any(inc for *_, inc in runs)


def test_two_runs_that_restored_the_same_cache_are_united(tmp_path) -> None:
    base = written(tmp_path / "base", [(0, {"f": ("a",)}, ())])
    one, two = copied(tmp_path / "one", base), copied(tmp_path / "two", base)
    history.record(one, verdict(5, {}))  # repaired there
    history.record(two, verdict(9, {"f": ("a",), "g": ("a",)}))  # still, or again, seen here later
    assert history.merge(one, store.path_of(two)) == ()
    found = states(one)
    assert (found["f", "a"].fixed, found["f", "a"].reopened, found["f", "a"].since) == ("", 1, at(9))
    assert found["g", "a"].first == at(9)
    for day, seen in ((12, {}), (15, {"f": ("a",)})):
        history.record(one, verdict(day, seen))
    entry = states(one)["f", "a"]
    assert (entry.reopened, entry.to_fix, entry.since) == (2, (5 * 86400.0, 3 * 86400.0), at(15))


def damaged(root: Path) -> list[str]:
    return sorted(path.name for path in (root / ".vallum").glob("history.damaged-*"))


def corrupt_page(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[4096 + 8 : 4096 + 200] = b"\xff" * 192
    path.write_bytes(data)


def foreign(*statements: str):
    def change(path: Path) -> None:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            for statement in statements:
                connection.execute(statement)
            connection.commit()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(b"this is no database, but long enough to be taken for one" * 100),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        corrupt_page,
        foreign("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM sighting; END"),
        foreign("DROP TABLE event"),
        foreign("CREATE VIEW v AS SELECT 1"),
        foreign("PRAGMA user_version = -1"),
        foreign("PRAGMA user_version = 0"),
        foreign("UPDATE sighting SET first = 'long ago'"),
        foreign("UPDATE sighting SET first = '2026-19-39T12:00:00Z', last = '2026-19-39T12:00:00Z'"),
        foreign("UPDATE sighting SET last = '2026-02-30T12:00:00Z' WHERE finding = 'f1'"),
        foreign("UPDATE sighting SET finding = x'00ff' WHERE finding = 'f1'"),
        foreign("INSERT INTO event VALUES ('f', 'a', '2026-01-01T12:00:00Z', '<script>')"),
    ],
)
def test_a_damaged_or_foreign_file_is_set_aside_said_and_blocks_nothing(tmp_path, change) -> None:
    for day in range(3):
        history.record(tmp_path, verdict(day, {f"f{n}": ("a",) for n in range(200)}))
    change(store.path_of(tmp_path))
    was = store.path_of(tmp_path).read_bytes()
    notes = history.record(tmp_path, verdict(5, {"f": ("a",)}))
    assert len(notes) == 1
    assert "set aside as history.damaged-" in notes[0]
    assert (tmp_path / ".vallum" / damaged(tmp_path)[0]).stat().st_size >= min(len(was), 4096)
    assert set(states(tmp_path)) == {("f", "a")}
    assert history.record(tmp_path, verdict(6, {"f": ("a",)})) == ()


def test_reading_sets_a_damaged_file_aside_too(tmp_path) -> None:
    history.record(tmp_path, verdict(0, {"f": ("a",)}))
    store.path_of(tmp_path).write_bytes(b"\0" * 9000)
    days, notes = history.first_seen(tmp_path)
    assert days == {}
    assert "set aside" in notes[0]
    assert history.first_seen(tmp_path) == ({}, ())


def test_a_newer_schema_a_link_and_a_locked_file_are_left_alone(tmp_path, monkeypatch) -> None:
    path = store.path_of(tmp_path)
    history.record(tmp_path, verdict(0, {"f": ("a",)}))
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        monkeypatch.setattr(store, "BUSY", 0.2)
        assert "locked" in history.record(tmp_path, verdict(1, {}))[0]
        other.rollback()
    foreign("PRAGMA user_version = 99")(path)
    assert "newer vallum" in history.record(tmp_path, verdict(1, {}))[0]
    assert "newer vallum" in history.first_seen(tmp_path)[1][0]
    path.rename(tmp_path / "elsewhere.sqlite")
    path.symlink_to(tmp_path / "elsewhere.sqlite")
    assert "is a link" in history.record(tmp_path, verdict(1, {}))[0]
    path.unlink()
    path.mkdir()
    assert "no regular file" in history.record(tmp_path, verdict(1, {}))[0]
    assert damaged(tmp_path) == []


def test_an_older_schema_is_brought_up_to_date(tmp_path, monkeypatch) -> None:
    history.record(tmp_path, verdict(0, {"f": ("a",)}))
    newer = (*store.MIGRATIONS, ("CREATE TABLE more (x TEXT) WITHOUT ROWID".replace("x TEXT", "x TEXT PRIMARY KEY"),))
    monkeypatch.setattr(store, "MIGRATIONS", newer)
    assert history.record(tmp_path, verdict(1, {"f": ("a",)})) == ()
    with contextlib.closing(sqlite3.connect(store.path_of(tmp_path))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(newer),)
        assert connection.execute("SELECT count(*) FROM more").fetchone() == (0,)
    assert states(tmp_path)["f", "a"].last == at(1)


def test_a_history_that_the_commit_brings_is_not_believed(tmp_path) -> None:
    history.record(tmp_path, verdict(0, {"f": ("a",)}))
    environment = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1", "PATH": os.environ["PATH"]}
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", tmp_path]
    subprocess.run([*git, "init", "-q"], env=environment, check=True)
    assert history.first_seen(tmp_path)[0] == {"f": dt.date(2026, 1, 1)}  # it lies there, ignored
    subprocess.run([*git, "add", "--force", ".vallum/history.sqlite"], env=environment, check=True)
    subprocess.run([*git, "commit", "-q", "-m", "an old friend"], env=environment, check=True)
    days, notes = history.first_seen(tmp_path)
    assert days == {}
    assert "part of the commit" in notes[0]
    assert "part of the commit" in history.record(tmp_path, verdict(1, {}))[0]


def test_merging_refuses_what_is_no_history_and_keeps_ours(tmp_path) -> None:
    root = written(tmp_path / "r", [(0, {"f": ("a",)}, ())])
    before = dump(root)
    other = written(tmp_path / "o", [(0, {"g": ("a",)}, ())])
    foreign("CREATE TRIGGER t AFTER INSERT ON run BEGIN DELETE FROM sighting; END")(store.path_of(other))
    (tmp_path / "noise").write_bytes(b"noise" * 1000)
    for path in (store.path_of(other), tmp_path / "noise", tmp_path / "missing"):
        assert "no history of ours" in history.merge(root, path)[0]
    assert dump(root) == before
    assert damaged(tmp_path / "o") == []


WRITER = """
import sys
sys.path[:0] = {roots!r}
from pathlib import Path
from vallum import history
from vallum.finding import Finding
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, Judged, Status, Verdict
root, number, runs = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
check = CheckResult(check="a", stage="source", unit="_", status="completed", require="required")
print("ready", flush=True)
for day in range(runs):
    seen = [Finding(rule="r", severity=Severity.HIGH, message="m", id=f"{{number}}-{{day % 7}}-{{n}}", checks=("a",)) for n in range(300)]
    verdict = Verdict(
        status=Status.FAIL, target="t", run=f"{{number}}-{{day}}", vallum="1", checks=(check,),
        started=f"2026-{{day // 28 % 12 + 1:02}}-{{day % 28 + 1:02}}T12:00:00Z",
        findings=tuple(Judged(each, Disposition.BLOCKS, "policy") for each in seen),
    )
    notes = history.record(root, verdict)
    if notes:
        sys.exit(str(notes))
"""


def writer(root: Path, number: int, runs: int) -> subprocess.Popen[str]:
    top = MAIN.parents[2]
    code = WRITER.format(roots=[str(top / "pipeline")])
    argv = [sys.executable, "-c", code, str(root), str(number), str(runs)]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.slow
def test_kill_9_at_random_moments_leaves_whole_runs_only(tmp_path) -> None:
    chance = random.Random(4)
    for attempt in range(20):
        child = writer(tmp_path, attempt, 10_000)
        try:
            assert child.stdout is not None
            said = child.stdout.readline()
            time.sleep(chance.uniform(0, 0.25))
        finally:
            os.kill(child.pid, signal.SIGKILL)
            _, errors = child.communicate()
        assert said == "ready\n", errors
        assert child.returncode == -signal.SIGKILL
        found, notes = history.entries(tmp_path)
        assert notes == ()
        runs, sightings, _ = dump(tmp_path) if store.path_of(tmp_path).exists() and found else ([], [], [])
        mine = {(row[0], row[1]) for row in runs}
        for finding, _check, first, last in sightings:
            number = finding.split("-")[0]
            for when in (first, last):
                assert any(run.startswith(f"{number}-") and when == began for run, began in mine), (finding, when)
        per_day = {}
        for finding, *_ in sightings:
            per_day[finding.rsplit("-", 1)[0]] = per_day.get(finding.rsplit("-", 1)[0], 0) + 1
        assert set(per_day.values()) <= {300}
    assert damaged(tmp_path) == []
    assert history.record(tmp_path, verdict(0, {"after": ("a",)})) == ()


@pytest.mark.slow
def test_many_writers_lose_nothing(tmp_path) -> None:
    children = [writer(tmp_path, number, 6) for number in range(4)]
    ended = [(child.communicate(timeout=120)[1], child.returncode) for child in children]
    assert [errors for errors, code in ended if code != 0] == []
    assert len(dump(tmp_path)[0]) == 24
    assert damaged(tmp_path) == []


def test_the_command_shows_and_unites(tmp_path, vallum) -> None:
    root = written(tmp_path / "r", [(0, {"f": ("a",), "g": ("b",)}, ()), (4, {"g": ("b",)}, ())])
    other = written(tmp_path / "o", [(0, {"g": ("b",)}, ()), (2, {}, ()), (3, {"g": ("b",)}, ())])
    done = vallum("-C", str(root), "-s", "history")
    assert done.returncode == 0, done.stderr
    assert "a                0 open, 1 repaired, 0 came back; time to repair: 4.0 days (median)" in done.stdout
    assert "b                1 open, 0 repaired, 0 came back; time to repair: none yet" in done.stdout
    done = vallum("-C", str(root), "-s", "history", "--", "--merge", str(store.path_of(other)))
    assert done.returncode == 0, done.stderr
    assert "b                1 open, 0 repaired, 1 came back; time to repair: 2.0 days (median)" in done.stdout
    assert "g            b" in done.stdout
    assert "since 2026-01-04" in done.stdout
    done = vallum("-C", str(root), "-s", "history", "--", "--merge", str(tmp_path / "missing"))
    assert done.returncode == 3
    assert "no history of ours" in done.stderr
    assert vallum("-C", str(root), "-s", "history", "--", "--marge", "x").returncode == 2


def test_a_real_run_writes_it_and_the_policy_judges_by_the_age(make_tree, vallum) -> None:
    policy = "[policy]\nblock = []\n[policy.sla]\nhigh = 10\n"
    root = make_tree({"a.py": WEAK, "vallum.toml": only("bandit", extra=policy)})
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    found = states(root)
    assert {check for _, check in found} == {"bandit"}
    foreign("UPDATE sighting SET first = '2020-01-01T00:00:00Z'")(store.path_of(root))
    done = vallum("-C", str(root))
    assert done.returncode == 1, done.stderr
    assert "is to be repaired within 10 days; seen since 2020-01-01" in (root / ".vallum" / "verdict.json").read_text()
    # damaged: said, in the verdict too, and the run goes on with a new one
    store.path_of(root).write_bytes(b"\0" * 9000)
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    assert "the history was damaged and is set aside" in (root / ".vallum" / "verdict.json").read_text()
    assert len(damaged(root)) == 1
    assert set(states(root)) == set(found)
    (root / "a.py").write_text("print('repaired')\n")
    time.sleep(1.1)  # times are whole seconds: what is seen and gone within one was not repaired in between
    assert vallum("-C", str(root)).returncode == 0
    assert all(entry.fixed and len(entry.to_fix) == 1 for entry in states(root).values())

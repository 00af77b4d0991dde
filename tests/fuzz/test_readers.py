"""Half a minute of fuzzing, and everything that the fuzzer ever found, again. Ten minutes: `nox -s fuzz -- --seconds 600`."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz.fuzz import CORPUS, attempt, fuzz
from tests.fuzz.mutate import mutate
from tests.fuzz.readers import READERS

KEPT = sorted(CORPUS.iterdir())
SECONDS = 30


def test_the_seeds_are_read() -> None:
    """A seed that is refused would have every mutation of it refused for the same reason."""
    for name, reader in READERS.items():
        for seed in reader.seeds:
            reader.read(seed)  # raises where it is refused
            assert mutate(seed, 7) == mutate(seed, 7), name


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_what_the_fuzzer_found_stays_mended(path: Path) -> None:
    reader = READERS[path.name.rpartition(".")[0]]
    assert attempt(reader, path.read_bytes()) == ""


def test_the_corpus_is_small() -> None:
    assert KEPT
    assert sum(path.stat().st_size for path in KEPT) < 1 << 20


@pytest.mark.slow
def test_half_a_minute() -> None:
    # the same inputs in each run; `nox -s fuzz` tries others
    seed = int(os.environ.get("VALLUM_FUZZ_SEED", "20261123"))
    told = fuzz(SECONDS, list(READERS), seed)
    for name, (count, wrong) in told.items():
        assert count > 0
        assert [problem for _, problem in wrong] == [], f"{name}, VALLUM_FUZZ_SEED={seed}: {wrong[0][0][:300]!r}"


@pytest.mark.parametrize("name", READERS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=300) | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_bytes_of_any_kind(name: str, data: bytes) -> None:
    assert attempt(READERS[name], data) == ""

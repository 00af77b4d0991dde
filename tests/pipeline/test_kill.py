"""Twenty runs killed at random moments (200 in `nox -s bench -- kill`)."""

from __future__ import annotations

import random

import pytest
from tests.bench.kill import strike


@pytest.mark.slow
def test_no_killed_run_ends_green_and_the_next_one_works(tmp_path):
    seed = random.SystemRandom().randrange(10**6)
    met = strike(tmp_path, 20, seed)
    assert met["killed"] > 5, f"seed {seed}: {met}"

"""What we write is SARIF 2.1.0 by its schema."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.sarif.schema import problems
from tests.sarif.test_round_trip import FINDING, a_run
from vallum.finding import Rule
from vallum.outcome import Coverage, Missed
from vallum.sarif import write_run


@settings(max_examples=60, deadline=None)
@given(st.lists(FINDING, max_size=4).map(tuple), st.booleans())
def test_an_outcome_is_valid(findings: tuple, complete: bool) -> None:
    run = a_run(
        findings=findings,
        rules=(Rule("a", "A", "d", "h", "https://example.invalid/a"), Rule("b", "")),
        coverage=(Coverage("files", 2, 1, (Missed("x.py", "unparsable"), Missed("x.py", "unparsable"))),),
        argv=("bandit", "-r", "-r"),
        notes=("same", "same"),
        exit_code=0,
        started="2026-11-22T21:00:00Z",
    )
    log = json.loads(write_run("bandit", run, complete, "" if complete else "because"))
    assert list(problems(log)) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("version",), "2.0.0"),
        (("runs", 0, "tool"), {}),
        (("runs", 0, "surprise"), 1),
        (("runs", 0, "results", 0, "level"), "awful"),
        (("runs", 0, "results", 0, "message"), "text"),
    ],
)
def test_the_validator_sees_what_is_wrong(path: tuple, value: object) -> None:
    from tests.sarif.test_round_trip import GOOD

    log = copy.deepcopy(json.loads(GOOD))
    assert list(problems(log)) == []
    inner = log
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    assert list(problems(log)) != []

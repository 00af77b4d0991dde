"""The whole frame with a real tool: a token that expires in the middle of a schemathesis run is renewed, and the run is whole."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from vallum.outcome import Completed, Incomplete

from .attacked import Staged, attack
from .test_schemathesis import api

__all__ = ["api"]
pytestmark = pytest.mark.slow

ROTATES = """asked += 1
        global token
        if asked == 25:
            token = "token-anew-" + secret"""
CLOSES = """asked += 1
        global token, secret
        if asked == 25:
            token, secret = "nobody-knows-this", "nor-this\""""


@pytest.mark.parametrize("how", [ROTATES, CLOSES])
def test_a_token_that_expires_in_the_middle(api: Callable[..., Staged], how: str) -> None:
    target, config, ctx = api()
    service = target.root / "api" / "service.py"
    text = service.read_text()
    assert "asked += 1" in text
    service.write_text(text.replace("asked += 1", how))
    outcome = attack("schemathesis", (target, config, ctx))
    assert isinstance(outcome, Completed | Incomplete)
    assert outcome.run is not None
    if how == ROTATES:
        assert isinstance(outcome, Completed), outcome
        assert any(note == "the login of user 1 ended and was renewed 1 times" for note in outcome.run.notes)
    else:
        assert isinstance(outcome, Incomplete)
        assert "the login ended during the attack and could not be renewed" in outcome.reason
    (counted,) = [note for note in outcome.run.notes if note.startswith("api: ") and " requests; 2xx " in note]
    assert int(counted.split()[1]) > 25

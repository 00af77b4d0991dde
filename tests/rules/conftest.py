# SPDX-License-Identifier: Apache-2.0
"""The semgrep executable for the tests of the rules."""

import os
from pathlib import Path

import pytest

# The fixtures are input for semgrep, not tests.
collect_ignore = ["python", "javascript", "go", "java", "docker", "compose", "kubernetes"]


@pytest.fixture(scope="session")
def semgrep() -> Path:
    named = os.environ.get("VALLUM_SEMGREP")
    if named:
        return Path(named)
    from vallum.tools import prepare

    return prepare("semgrep").bin("semgrep")

"""The demo's truth test says yes to the weakness that was found, and to no other."""

from __future__ import annotations

import importlib.util
from types import ModuleType

import pytest

from tests.conftest import ROOT

FINDING = {
    "rule": "authentication.expiry",
    "checks": ["authentication"],
    "cwe": [613],
    "service": "catalog",
    "operation": {"method": "GET", "path": "/metrics"},
    "location": {"path": "services/catalog/openapi.yaml", "line": 7},
}
WEAKNESS = {"id": "a", "check": "authentication", "cwe": 613, "service": "catalog", "operation": "GET /metrics"}


@pytest.fixture(scope="module")
def truth() -> ModuleType:
    spec = importlib.util.spec_from_file_location("truth", ROOT / "examples" / "truth.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({}, True),
        ({"service": "orders"}, False),  # /metrics is an operation of several services
        ({"operation": "GET /"}, False),
        ({"cwe": 345}, False),
        ({"check": "zap"}, False),
        ({"rule": "authentication.expiry"}, True),
        ({"rule": "authentication.audience"}, False),
        ({"rule": "authentication.expiry", "service": "orders"}, False),
    ],
)
def test_a_weakness_is_seen(truth: ModuleType, change: dict[str, object], seen: bool) -> None:
    assert truth.sees(FINDING, WEAKNESS | change, 0) is seen

"""What a ledger says of operations: from answers, from traffic, and of what nobody asked."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.api.model import Definition, Operation, matcher
from vallum.outcome import Reach
from vallum.stage.calls import Surface
from vallum.stage.ledger import Ledger, _Paths, reach

OPERATIONS = (
    Operation("GET", "/orders", 1, True, frozenset({"200"})),
    Operation("GET", "/orders/export", 2, False, frozenset({"200"})),
    Operation("GET", "/orders/{id}", 3, True, frozenset({"200", "404"})),
    Operation("DELETE", "/orders/{id}", 4, True, frozenset()),
)
LIST = Operation("POST", "/orders.Orders/List", 5, False, frozenset(), unsupported="no HTTP/1.1")


def surface() -> Surface:
    def build(*_: object) -> NoReturn:
        raise AssertionError

    definition = Definition(Path("openapi.yaml"), "", "/api", OPERATIONS, {}, "openapi", build, unsupported=(LIST,))
    return Surface("orders", "http://127.0.0.1:1", "openapi.yaml", definition)


def by_name(ledger: Ledger) -> dict[str, Reach]:
    return {f"{each.method} {each.path}": each for each in ledger.entries()}


def test_what_nobody_asked_is_expected() -> None:
    ledger = Ledger()
    ledger.declare(surface())
    ledger.undefined("worker")
    found = by_name(ledger)
    assert found.pop(" ") == Reach(service="worker")
    assert len(found) == len(OPERATIONS) + 1
    assert not any(each.reached for each in found.values())
    assert found["POST /orders.Orders/List"].why == "unsupported: no HTTP/1.1"


def test_answers() -> None:
    ledger = Ledger()
    where = surface()
    ledger.declare(where)
    ledger.answered(where, OPERATIONS[0], 401, with_login=False, attack=True)
    ledger.answered(where, OPERATIONS[0], 200, with_login=True, attack=False)
    ledger.answered(where, OPERATIONS[3], 0, with_login=True, attack=False, why="ReadTimeout")
    found = by_name(ledger)
    first = found["GET /orders"]
    assert (first.reached, first.authenticated, first.secured) == (True, True, True)
    assert first.attacked, "a refusal reaches nothing, and is an answer to an attack"
    assert found["DELETE /orders/{id}"].why == "no answer (ReadTimeout)"


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ([(200, True, True)], (True, True, True, "")),
        ([(200, False, False)], (True, False, False, "")),
        ([(401, True, True), (200, True, False)], (True, True, True, "")),
        ([(403, True, True)], (False, False, False, "answered 403")),
        ([(500, True, True)], (True, True, True, "")),
        ([(0, True, True), (405, True, True)], (False, False, False, "answered 405")),
    ],
)
def test_reach(answers: list[tuple[int, bool, bool]], said: tuple[bool, bool, bool, str]) -> None:
    got = reach("orders", OPERATIONS[0], answers, logged_in=True)
    assert (got.reached, got.authenticated, got.attacked, got.why) == said


def test_traffic_tells_what_was_reached_and_what_is_in_no_definition() -> None:
    ledger = Ledger()
    ledger.declare(surface())
    ledger.seen(
        "orders",
        [
            ("GET", "/api/orders", 200, True),
            ("GET", "/api/orders/export", 200, False),
            ("GET", "/orders/7", 404, False),
            ("GET", "/debug/vars", 200, False),
            ("GET", "/debug/none", 404, False),
            ("GET", "/api/orders/../x?a", 200, False),
            ("GET", "/%2e%2e/etc", 200, False),
            ("OPTIONS", "/api/orders", 200, False),
            ("PATCH", "/api/orders/7", 200, True),
            ("PATCH", "/api/orders/8", 200, True),
        ],
    )
    ledger.seen("unknown", [("GET", "/", 200, False)])
    found = by_name(ledger)
    assert {name for name, each in found.items() if each.reached and each.declared} == {
        "GET /orders",
        "GET /orders/export",
        "GET /orders/{id}",
    }
    assert {name for name, each in found.items() if not each.declared} == {
        "GET /debug/vars",
        "PATCH /orders/{id}",
    }


PARTS = st.lists(st.sampled_from(["a", "b", "{x}", "{y}.json", "a{x}", ""]), min_size=1, max_size=4)


@given(templates=st.lists(PARTS, min_size=1, max_size=5), path=st.lists(st.sampled_from(["a", "b", "ab", "1.json", ""]), max_size=4), prefix=st.sampled_from(["", "/api"]))  # fmt: skip
def test_a_path_is_found_where_a_template_matches_it(templates: list[list[str]], path: list[str], prefix: str) -> None:
    declared = [Operation("GET", "/" + "/".join(parts), 1, False, frozenset()) for parts in templates]
    asked = prefix + "/" + "/".join(path)
    matches = [each for each in declared for base in (prefix, "") if matcher(base, each.template).fullmatch(asked)]
    found = _Paths(declared, prefix).at("GET", asked)
    if matches:
        assert found in matches
        assert found is not None
        assert "{" not in found.template or all("{" in each.template for each in matches), "words before patterns"
    else:
        assert found is None or matcher("", found.template).fullmatch(asked.rstrip("/")) or matcher(prefix, found.template).fullmatch(asked.rstrip("/"))  # fmt: skip
    assert _Paths(declared, prefix).at("POST", asked) is None

"""Operation coverage: merged over checks in any order, and held to the policy's floor by the one judge."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum import operations, organisation
from vallum.config import Config, Policy, Service
from vallum.errors import UserError
from vallum.gate import judge
from vallum.outcome import Completed, Coverage, Incomplete, Outcome, Reach, Run, Tool
from vallum.plan import Plan, PlannedCheck
from vallum.policy import Facts
from vallum.verdict import Status, Verdict

REACHES = st.builds(
    Reach,
    service=st.sampled_from(["a", "b"]),
    method=st.sampled_from(["GET", "POST"]),
    path=st.sampled_from(["/x", "/y/{id}"]),
    declared=st.booleans(),
    secured=st.booleans(),
    reached=st.booleans(),
    authenticated=st.booleans(),
    attacked=st.booleans(),
    why=st.sampled_from(["", "answered 404", "not sent"]),
)


@given(reaches=st.lists(REACHES, max_size=12), seed=st.integers(0, 99))
def test_the_order_does_not_matter(reaches: list[Reach], seed: int) -> None:
    shuffled = list(reaches)
    random.Random(seed).shuffle(shuffled)
    merged = operations.merged(shuffled)
    assert merged == operations.merged(reaches) == operations.merged(merged)
    assert sum(each.reached for each in merged) <= sum(each.reached for each in reaches)
    for figures in operations.by_service(reaches, Policy(), {}):
        assert figures.declared == figures.reached + len(figures.unreached)


def reach(path: str, **rest: Any) -> Reach:
    return Reach(service="orders", method="GET", path=path, **rest)


HALF = (reach("/a", reached=True, attacked=True), reach("/b", why="answered 404"))


def verdict(policy: Policy, *outcomes: Outcome, tier: str = "standard", scope: tuple[str, ...] = ()) -> Verdict:
    names = [f"dynamic{number}" for number, _ in enumerate(outcomes)]
    plan = Plan(
        run="r",
        target="t",
        vallum="0",
        started="",
        services={"orders": "orders"},
        scope=scope,
        checks=(
            PlannedCheck(check="source", stage="source", summary="", require="required", units=("_",)),
            *(PlannedCheck(check=name, stage="staged", summary="", require="required", units=("_",)) for name in names),
        ),
    )
    found = {("source", "_"): ran(), **{(name, "_"): each for name, each in zip(names, outcomes, strict=True)}}
    return judge(policy, plan, found, Facts(services={"orders": Service(path="orders", tier=tier)}))  # type: ignore[arg-type]


def ran(*reaches: Reach) -> Completed:
    return Completed(Run(tool=Tool("t", "1"), coverage=(Coverage("operations", 1, 1),), operations=reaches))


def test_figures_of_all_checks_together() -> None:
    other = (reach("/a", reached=True, authenticated=True, secured=True), reach("/c", reached=True))
    shadow = reach("/debug", declared=False, reached=True)
    said = verdict(Policy(), ran(*HALF), Incomplete("lost on the way", ran(*other, shadow).run))
    (figures,) = said.operations
    assert (figures.declared, figures.secured, figures.reached, figures.authenticated, figures.attacked) == (
        3,
        1,
        2,
        1,
        1,
    )
    assert [(each.target, each.why) for each in figures.unreached] == [("GET /b", "answered 404")]
    assert figures.undeclared == ("GET /debug",)
    assert verdict(Policy(), ran(*HALF)).status is Status.PASS, "without a floor only the checks' own rules count"


@pytest.mark.parametrize(
    ("floor", "tier", "status"),
    [
        (0.5, "standard", Status.PASS),
        (0.51, "standard", Status.INCOMPLETE),
        ({"critical": 1.0}, "standard", Status.PASS),
        ({"critical": 1.0}, "critical", Status.INCOMPLETE),
    ],
)
def test_a_floor(floor: Any, tier: str, status: Status) -> None:
    said = verdict(Policy(operations_min=floor), ran(*HALF), tier=tier)
    assert said.status is status
    assert [each.status for each in said.services if each.name == "orders"] == [status]
    if status is Status.INCOMPLETE:
        (reason,) = said.reasons
        assert (reason.kind, reason.service) == ("incomplete", "orders")
        assert "1 of 2 operations of orders were reached, the policy asks for" in reason.text
        assert reason.text.endswith("the first unreached GET /b (answered 404)")


def test_what_nobody_can_count_is_under_the_floor() -> None:
    policy = Policy(operations_min=0.1)
    assert "no API definition" in verdict(policy, ran(Reach(service="orders"))).reasons[0].text
    assert "no dynamic check says" in verdict(policy, ran()).reasons[0].text
    assert verdict(policy).status is Status.PASS, "nothing dynamic applies: nothing is asked for"


def test_an_organisation_holds_its_floor() -> None:
    def combine(own: object, theirs: object) -> object:
        def refuse(key: str, why: str) -> UserError:
            return UserError(key, why)

        table = {"policy": {"operations-min": own}}
        merged = organisation.combine(table, {"policy": {"operations-min": theirs}}, refuse)
        return msgspec.convert(merged, Config).policy.operations_min

    assert combine(0.9, 0.8) == 0.9
    assert combine({"critical": 1.0, "standard": 0.8, "low": 0.8}, 0.8) == {"critical": 1, "standard": 0.8, "low": 0.8}
    for own, theirs in ((0.7, 0.8), ({"critical": 1.0}, 0.5), (0.5, {"critical": 0.9})):
        with pytest.raises(UserError, match="operations-min"):
            combine(own, theirs)

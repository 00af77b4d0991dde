"""The order in which an attacker would take findings: laws by property, and the examples that a person would check it by."""

from __future__ import annotations

import datetime as dt
import itertools

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from vallum.finding import Finding, Location, Operation, Package
from vallum.intelligence import Exploited, Intelligence
from vallum.priority import Order, band, explain, order
from vallum.severity import Severity

KNOWN = Intelligence(
    epss={"CVE-2021-44228": 0.9436, "CVE-2020-0002": 0.2, "CVE-2020-0003": 0.0004, "CVE-2020-0004": 0.02},
    kev={"CVE-2021-44228": Exploited(dt.date(2021, 12, 10), dt.date(2021, 12, 24), True)},
    epss_date=dt.date(2026, 11, 20),
    kev_date=dt.date(2026, 11, 19),
)


def package(cve: str, severity: Severity, fixed: tuple[str, ...] = ("2.0",), **more: object) -> Finding:
    return Finding(
        rule=cve,
        severity=severity,
        message=cve,
        package=Package("p", "1.0", "pkg:pypi/p@1.0", fixed),
        id=f"{cve}-{severity}",
        **more,
    )


def source(severity: Severity, id_: str, **more: object) -> Finding:
    return Finding(rule="B608", severity=severity, message="m", location=Location("a.py", 1), id=id_, **more)


def staged(severity: Severity, id_: str) -> Finding:
    return Finding(rule="40018", severity=severity, message="m", operation=Operation("GET", "/items", "q"), id=id_)


FINDINGS = st.builds(
    Finding,
    rule=st.sampled_from(["CVE-2021-44228", "CVE-2020-0002", "CVE-2020-0003", "B608", "40018"]),
    severity=st.sampled_from(Severity),
    message=st.sampled_from(["m", "n"]),
    service=st.sampled_from(["", "orders", "cart"]),
    confidence=st.sampled_from(["", "high", "medium", "low", "odd"]),
    location=st.none() | st.builds(Location, st.sampled_from(["a.py", "b.py"]), st.integers(0, 3)),
    operation=st.none() | st.builds(Operation, st.sampled_from(["GET", "POST"]), st.just("/items")),
    package=st.none()
    | st.builds(Package, st.just("p"), st.just("1"), st.just("pkg:pypi/p@1"), st.sampled_from([(), ("2",)])),
    checks=st.sampled_from([("bandit",), ("bandit", "semgrep"), ()]),
    id=st.uuids().map(lambda one: one.hex),
)
LISTS = st.lists(FINDINGS, max_size=12, unique_by=lambda finding: finding.id)


@given(LISTS, st.randoms())
def test_the_order_is_total_and_that_of_the_input_does_not_matter(findings, random) -> None:
    expected = order(findings, KNOWN, {"orders"})
    shuffled = findings[:]
    random.shuffle(shuffled)
    assert order(shuffled, KNOWN, {"orders"}) == expected
    assert order(expected, KNOWN, {"orders"}) == expected
    assert sorted(f.id for f in expected) == sorted(f.id for f in findings)
    keys = [Order(KNOWN, {"orders"}).key(finding) for finding in expected]
    assert all(one < other for one, other in itertools.pairwise(keys))


@given(LISTS, FINDINGS)
def test_one_finding_more_moves_no_other_past_another(findings, more) -> None:
    before = order(findings, KNOWN)
    after = [finding for finding in order([*findings, more], KNOWN) if finding.id != more.id]
    assert after == [finding for finding in before if finding.id != more.id]


@given(FINDINGS)
def test_being_worse_in_one_thing_never_lowers_a_finding(finding) -> None:
    here = Order(KNOWN).key(finding)
    worse = [
        msgspec.structs.replace(finding, rule="CVE-2021-44228"),
        msgspec.structs.replace(finding, severity=Severity.CRITICAL),
        msgspec.structs.replace(finding, operation=finding.operation or Operation("GET", "/items")),
        msgspec.structs.replace(finding, package=Package("p", "1", "pkg:pypi/p@1", ("2",))),
    ]
    for other in worse:
        assert Order(KNOWN).key(other)[0][:7] <= here[0][:7]
    assert Order(KNOWN, {finding.service}).key(finding)[0][:7] <= here[0][:7]


@given(FINDINGS)
def test_there_is_always_a_reason_on_one_line(finding) -> None:
    said = explain(finding, KNOWN, {"orders"})
    assert said
    assert "\n" not in said
    assert said == explain(finding, KNOWN, {"orders"})


def test_what_an_attacker_would_take_first() -> None:
    exploited = package("CVE-2021-44228", Severity.MEDIUM)
    proved = staged(Severity.HIGH, "proved")
    likely = package("CVE-2020-0002", Severity.HIGH)
    critical = source(Severity.CRITICAL, "critical")
    confirmed = source(Severity.HIGH, "zz", checks=("bandit", "semgrep"))
    alone = source(Severity.HIGH, "aa", checks=("bandit",))
    unfixed = package("CVE-2020-0003", Severity.HIGH, ())
    header = staged(Severity.LOW, "header")
    expected = [exploited, proved, likely, critical, confirmed, alone, unfixed, header]
    ordered = order(reversed(expected), KNOWN)
    assert [f.id for f in ordered[:5]] == [f.id for f in expected[:5]]
    assert ordered[-1] is header
    assert [band(f, KNOWN) for f in expected] == [4, 3, 2, 1, 1, 1, 1, 0]


def test_between_equals_the_service_that_is_reached_from_outside_and_the_repair_that_exists_decide() -> None:
    inner, outer = source(Severity.HIGH, "a", service="jobs"), source(Severity.HIGH, "b", service="shop")
    assert order([inner, outer], KNOWN) == [inner, outer]
    assert order([inner, outer], KNOWN, {"shop"}) == [outer, inner]
    open_, fixed = (
        package("CVE-2020-0003", Severity.HIGH, ()),
        package("CVE-2020-0003", Severity.HIGH, ("2.0",), service="z"),
    )
    assert order([open_, fixed], KNOWN) == [fixed, open_]


def test_the_reason_in_words() -> None:
    log4shell = package("CVE-2021-44228", Severity.CRITICAL, ("2.15.0",), checks=("image", "packages"))
    assert explain(log4shell, KNOWN) == (
        "known to be exploited, also by ransomware (CISA KEV since 2021-12-10); "
        "exploitation within 30 days is likely (EPSS 94.4 %); critical severity; confirmed by image, packages; fixed in 2.15.0"
    )
    assert explain(package("CVE-2020-0003", Severity.UNKNOWN, ()), KNOWN) == (
        "exploitation within 30 days is unlikely (EPSS under 0.1 %); of unknown severity; no fixed version yet"
    )
    attacked = msgspec.structs.replace(staged(Severity.HIGH, "x"), service="orders")
    assert explain(attacked, KNOWN, {"orders"}) == (
        "high severity; seen on the running service (GET /items); orders is reached from outside"
    )

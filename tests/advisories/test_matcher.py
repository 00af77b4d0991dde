"""The matcher by OSV's evaluation rules: every kind of event, every kind of doubt."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.advisories import aliases
from vallum.advisories.ecosystems import UnknownVersion, of_purl, parse, query
from vallum.advisories.matcher import Verdict, fixed_versions, match
from vallum.advisories.osv import Record, decode


def record(affected: list, **more) -> Record:
    table = {"id": "GHSA-1", "modified": "2026-01-01T00:00:00Z", "affected": affected} | more
    return decode(msgspec.json.encode(table))


def ranged(*events: dict, ecosystem: str = "PyPI", name: str = "jinja2", kind: str = "ECOSYSTEM", **more) -> dict:
    return {
        "package": {"ecosystem": ecosystem, "name": name},
        "ranges": [{"type": kind, "events": list(events)}],
    } | more


@pytest.mark.parametrize(
    ("version", "verdict"),
    [
        ("0.1", Verdict.YES),
        ("2.11.2", Verdict.YES),
        ("2.11.3", Verdict.NO),
        ("2.11.3rc1", Verdict.YES),
        ("3", Verdict.NO),
    ],
)
def test_from_the_first_version_to_the_fixed_one(version, verdict):
    one = record([ranged({"introduced": "0"}, {"fixed": "2.11.3"})])
    assert match(one, query("PyPI", "Jinja2", version)) is verdict


def test_last_affected_is_affected():
    one = record([ranged({"introduced": "1.0"}, {"last_affected": "1.5"})])
    assert [match(one, query("PyPI", "jinja2", v)) for v in ("0.9", "1.5", "1.5.1")] == [
        Verdict.NO,
        Verdict.YES,
        Verdict.NO,
    ]


def test_events_may_stand_in_any_order_and_a_weakness_may_come_back():
    one = record([ranged({"fixed": "1.2"}, {"introduced": "2.0"}, {"fixed": "2.1"}, {"introduced": "0"})])
    found = [match(one, query("PyPI", "jinja2", v)) for v in ("1.1", "1.2", "1.9", "2.0", "2.0.9", "2.1")]
    assert found == [Verdict.YES, Verdict.NO, Verdict.NO, Verdict.YES, Verdict.YES, Verdict.NO]


def test_repaired_and_reintroduced_in_one_version_counts_as_affected():
    one = record([ranged({"introduced": "0"}, {"fixed": "1.2"}, {"introduced": "1.2"}, {"fixed": "1.3"})])
    assert match(one, query("PyPI", "jinja2", "1.2")) is Verdict.YES


def test_a_range_of_commits_says_nothing_of_a_version_and_does_not_hide_the_next_range():
    affected = ranged({"introduced": "0"}, {"fixed": "abc"}, kind="GIT")
    assert match(record([affected]), query("PyPI", "jinja2", "1")) is Verdict.NO
    affected["ranges"].append({"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2"}]})
    assert match(record([affected]), query("PyPI", "jinja2", "1")) is Verdict.YES


def test_names_are_normalised_on_both_sides():
    one = record([ranged({"introduced": "0"}, name="jw.util")])
    assert match(one, query("PyPI", "jw-util", "1")) is Verdict.YES
    assert match(one, query("PyPI", "JW_Util", "1")) is Verdict.YES
    assert match(one, query("npm", "jw-util", "1.0.0")) is Verdict.NO


def test_a_version_that_cannot_be_ordered_is_undecided_unless_it_is_listed():
    one = record([ranged({"introduced": "0"}, {"fixed": "2"}, versions=["0.9-eevee"])])
    assert match(one, query("PyPI", "jinja2", "0.9-eevee")) is Verdict.YES
    assert match(one, query("PyPI", "jinja2", "0.9-eevie")) is Verdict.UNDECIDED
    assert match(record([ranged({"introduced": "0"})]), query("PyPI", "jinja2", "0.9-eevie")) is Verdict.YES


def test_a_broken_fixed_version_is_undecided_not_clean():
    one = record([ranged({"introduced": "0"}, {"fixed": "2.0-n653"}, versions=["1.0"])])
    assert match(one, query("PyPI", "jinja2", "1.0.0")) is Verdict.YES
    assert match(one, query("PyPI", "jinja2", "3.0")) is Verdict.UNDECIDED


def test_listed_versions_are_equal_by_value_not_by_text():
    one = record([{"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": ["0.9.4-2"]}])
    assert match(one, query("PyPI", "jinja2", "0.9.4.post2")) is Verdict.YES


def test_withdrawn_records_affect_nothing():
    one = record([ranged({"introduced": "0"})], withdrawn="2026-01-02T00:00:00Z")
    assert match(one, query("PyPI", "jinja2", "1")) is Verdict.NO


def test_a_release_of_a_distribution_meets_its_own_records_and_those_of_all():
    twelve = record([ranged({"introduced": "0"}, {"fixed": "2.36-9+deb12u4"}, ecosystem="Debian:12", name="glibc")])
    every = record([ranged({"introduced": "0"}, {"fixed": "2.37"}, ecosystem="Debian", name="glibc")])
    one = of_purl("pkg:deb/debian/libc6@2.36-9?arch=amd64&upstream=glibc&distro=debian-12")
    assert one == ("Debian:12", "glibc", "2.36-9")
    assert match(twelve, one) is Verdict.YES
    assert match(every, one) is Verdict.YES
    assert match(twelve, one._replace(ecosystem="Debian:11")) is Verdict.NO


@pytest.mark.parametrize(
    ("purl", "expected"),
    [
        ("pkg:npm/%40babel/core@7.1.0", ("npm", "@babel/core", "7.1.0")),
        ("pkg:npm/JSONStream@1.0.0?package-id=1", ("npm", "JSONStream", "1.0.0")),
        (
            "pkg:maven/org.apache.logging.log4j/log4j-core@2.14.1",
            ("Maven", "org.apache.logging.log4j:log4j-core", "2.14.1"),
        ),
        ("pkg:golang/github.com/gin-gonic/gin@v1.6.0", ("Go", "github.com/gin-gonic/gin", "v1.6.0")),
        ("pkg:apk/alpine/musl@1.2.3-r4?distro=alpine-3.18.4", ("Alpine:v3.18", "musl", "1.2.3-r4")),
        ("pkg:pypi/Foo.Bar@1", ("PyPI", "foo-bar", "1")),
        ("pkg:generic/python@3.11", None),
        ("pkg:deb/debian/apt@2.6.1", None),
    ],
)
def test_package_urls(purl, expected):
    assert of_purl(purl) == expected


@pytest.mark.parametrize(
    ("kind", "less", "more"),
    [
        ("npm", "1.2.3-alpha.2", "1.2.3-alpha.10"),
        ("Go", "v1.9.0", "1.10.0"),
        ("Go", "v0.0.0-20200101000000-abcdef123456", "0.0.0-20210101000000-abcdef123456"),
        ("Maven", "1.0-alpha", "1.0"),
        ("RubyGems", "1.2.3.pre", "1.2.3"),
        ("Debian", "2.0", "1:1.0"),
        ("Debian", "1.0~rc1", "1.0"),
        ("Alpine", "1.2.3-r2", "1.2.3-r10"),
        ("Rocky Linux", "2.28-164.el8", "2.28-165.el8"),
        ("Packagist", "1.2.3", "1.2.3.4"),
    ],
)
def test_each_ecosystem_orders_its_own_way(kind, less, more):
    assert parse(kind, less) < parse(kind, more)


@pytest.mark.parametrize(
    ("kind", "text"), [("npm", "latest"), ("npm", "2.x"), ("Go", "(devel)"), ("PyPI", "1.0-n6"), ("CRAN", "1")]
)
def test_what_is_no_version_is_refused_and_not_read_as_some_number(kind, text):
    with pytest.raises(UnknownVersion):
        parse(kind, text)


def test_fixed_versions_are_newer_than_ours_and_sorted_by_value():
    one = record(
        [ranged({"introduced": "0"}, {"fixed": "1.10"}, {"introduced": "2"}, {"fixed": "2.3"}, {"introduced": "3"})]
    )
    assert fixed_versions([one], query("PyPI", "jinja2", "1.9")) == ("1.10", "2.3")
    assert fixed_versions([one], query("PyPI", "jinja2", "2.1")) == ("2.3",)


numbers = st.lists(st.integers(0, 40), min_size=2, max_size=6, unique=True).map(sorted)


@given(numbers, st.integers(0, 45))
def test_a_range_and_the_list_of_its_versions_agree(points, at):
    events = [{"introduced" if number % 2 == 0 else "fixed": f"1.{point}"} for number, point in enumerate(points)]
    inside = [n for n in range(46) if any(a <= n < b for a, b in zip(points[::2], [*points[1::2], 99], strict=False))]
    by_range = record([ranged(*events)])
    by_list = record([{"package": {"ecosystem": "PyPI", "name": "jinja2"}, "versions": [f"1.{n}" for n in inside]}])
    one = query("PyPI", "jinja2", f"1.{at}")
    assert match(by_range, one) is match(by_list, one)


names = st.sampled_from([f"{kind}-{number}" for kind in ("GHSA", "CVE", "PYSEC") for number in range(4)])


@given(st.lists(st.tuples(names, st.lists(names, max_size=3)), max_size=8), st.randoms(use_true_random=False))
def test_aliases_join_the_same_groups_in_any_order(pairs, random):
    records = [
        record([], id=name, aliases=others, modified=f"2026-01-{n + 1:02}T00:00:00Z")
        for n, (name, others) in enumerate(pairs)
    ]
    shuffled = list(records)
    random.shuffle(shuffled)
    groups = aliases.groups(records)
    assert groups == aliases.groups(shuffled)
    listed = [one.id for group in groups for one in group]
    assert sorted(listed) == sorted({one.id for one in records})  # each record in one group, once
    for group in groups:
        for other in groups:
            kept = {one.id: one for one in [*group, *other]}
            assert group is other or not {n for i in group for n in (i.id, *kept[i.id].aliases)} & {i.id for i in other}

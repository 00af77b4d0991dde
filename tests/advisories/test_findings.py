"""Severity, findings and bills of materials."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vallum.advisories import sbom, severity
from vallum.advisories.ecosystems import query
from vallum.advisories.findings import Use, build
from vallum.advisories.osv import Record, decode
from vallum.errors import Inconclusive
from vallum.finding import Location
from vallum.severity import Severity


def record(identifier: str, **more) -> Record:
    events = [{"introduced": "0"}, {"fixed": "2.11.3"}]
    affected = [
        {"package": {"ecosystem": "PyPI", "name": "jinja2"}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}
    ]
    return decode(
        msgspec.json.encode({"id": identifier, "modified": "2026-01-01T00:00:00Z", "affected": affected} | more)
    )


def scored(*vectors: str, **more) -> Record:
    kinds = {"CVSS:4": "CVSS_V4", "CVSS:3": "CVSS_V3"}
    return record("X-1", severity=[{"type": kinds.get(one[:6], "CVSS_V2"), "score": one} for one in vectors], **more)


V2 = "AV:N/AC:L/Au:N/C:C/I:C/A:C"
V31 = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:N/I:N/A:L"
V4 = "CVSS:4.0/AV:N/AC:L/AT:N/PR:N/UI:N/VC:H/VI:H/VA:H/SC:H/SI:H/SA:H"


@pytest.mark.parametrize(
    ("one", "expected", "number"),
    [
        (scored(V2), Severity.CRITICAL, 10.0),
        (scored(V31), Severity.MEDIUM, 5.3),
        (scored(V4), Severity.CRITICAL, 10.0),
        (scored(V2, V31), Severity.MEDIUM, 5.3),  # a version 2 vector counts only alone
        (scored(V31, V4), Severity.CRITICAL, 10.0),
        (scored("CVSS:3.1/nonsense"), Severity.UNKNOWN, 0.0),
        (scored(database_specific={"severity": "MODERATE"}), Severity.MEDIUM, 0.0),
        (scored("CVSS:3.1/nonsense", database_specific={"severity": "HIGH"}), Severity.HIGH, 0.0),
        (record("X-1"), Severity.UNKNOWN, 0.0),
        (record("MAL-2026-1"), Severity.CRITICAL, 0.0),
    ],
)
def test_severity_is_that_of_the_vector_else_of_the_word_else_unknown(one, expected, number):
    assert severity.rate([one])[:2] == (expected, number)


def test_one_finding_for_a_vulnerability_of_many_names():
    records = [
        record("PYSEC-2021-66", aliases=["CVE-2020-28493"]),
        record("GHSA-g3rq-g295-4j3m", aliases=["CVE-2020-28493"], database_specific={"cwe_ids": ["CWE-400"]}),
        record("GHSA-other"),
    ]
    use = Use(
        query("PyPI", "Jinja2", "2.11.2"),
        "Jinja2",
        "pkg:pypi/jinja2@2.11.2",
        Location("requirements.txt", 3),
        "gateway",
    )
    (rule, first), (_, second) = build(use, records)
    assert rule.id == first.rule == "GHSA-g3rq-g295-4j3m"
    assert first.aliases == ("CVE-2020-28493", "PYSEC-2021-66")
    assert first.cwe == (400,)
    assert first.owasp == ("A03:2025", "A06:2021")
    assert first.package is not None
    assert first.package.fixed == ("2.11.3",)
    assert first.message == (
        "Jinja2 2.11.2 has the known vulnerability CVE-2020-28493 (GHSA-g3rq-g295-4j3m); repaired in 2.11.3."
    )
    assert first.fix == "Upgrade Jinja2 from 2.11.2 to 2.11.3 or later."
    assert second.rule == "GHSA-other"


def bom(*components: dict, name: str = "a") -> bytes:
    return json.dumps(
        {
            "bomFormat": "CycloneDX",
            "specVersion": "1.6",
            "metadata": {
                "component": {"type": "container", "name": name},
                "tools": {"components": [{"name": "syft", "version": "1"}]},
            },
            "components": list(components),
        }
    ).encode()


def part(name: str, version: str = "1") -> dict:
    return {
        "type": "library",
        "name": name,
        "version": version,
        "purl": f"pkg:pypi/{name}@{version}",
        "bom-ref": f"r-{name}",
    }


def test_components_are_read_with_where_they_were_found():
    one = part("jinja2") | {"properties": [{"name": "syft:location:0:path", "value": "/app/x"}]}
    found = sbom.read(bom(one, {"type": "file", "name": "/etc/passwd"}))
    assert (found.components[0].query, found.components[0].paths) == (("PyPI", "jinja2", "1"), ("/app/x",))
    assert (found.others, found.tool) == (1, "syft 1")


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"{}", b'{"bomFormat": "SPDX", "specVersion": "1"}', bom(part("a") | {"purl": "nothing"})]
)
def test_what_is_no_bill_of_materials_is_refused(data):
    with pytest.raises(Inconclusive):
        sbom.read(data)


@given(st.lists(st.lists(st.sampled_from("abcdef"), max_size=4), max_size=4), st.randoms(use_true_random=False))
def test_merging_keeps_each_component_once_in_any_order(groups, random):
    documents = [
        bom(*(part(name) for name in dict.fromkeys(group)), name=f"image-{n}") for n, group in enumerate(groups)
    ]
    merged = sbom.merge(documents)
    random.shuffle(documents)
    assert sbom.merge(documents) == merged
    assert sbom.merge([merged, merged]) == merged
    purls = [one["purl"] for one in json.loads(merged)["components"] if "purl" in one]
    assert sorted(purls) == sorted({f"pkg:pypi/{name}@1" for group in groups for name in group})

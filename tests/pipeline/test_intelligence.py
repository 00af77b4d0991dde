"""EPSS and KEV: real files in the published forms, whole and broken; downloads from a real loopback server."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.pipeline.test_cli import only

from vallum import intelligence
from vallum.config import Feeds
from vallum.errors import Inconclusive
from vallum.finding import Finding
from vallum.intelligence import Intelligence, load, read_epss, read_kev
from vallum.severity import Severity

TODAY = dt.date(2026, 11, 22)
EPSS = (
    b"#model_version:v2026.03.14,score_date:2026-11-20T12:55:00Z\n"
    b"cve,epss,percentile\n"
    b"CVE-2021-44228,0.94358,0.99962\n"
    b"CVE-2019-10906,0.00391,0.59512\n"
    b"CVE-1999-0001,0.01025,0.76\n"
)


def kev(**changes: object) -> bytes:
    entry = {
        "cveID": "CVE-2021-44228",
        "vendorProject": "Apache",
        "product": "Log4j2",
        "vulnerabilityName": "Apache Log4j2 Remote Code Execution Vulnerability",
        "dateAdded": "2021-12-10",
        "shortDescription": "…",
        "requiredAction": "…",
        "dueDate": "2021-12-24",
        "knownRansomwareCampaignUse": "Known",
        "notes": "",
        "cwes": ["CWE-20"],
    }
    catalog = {
        "title": "CISA Catalog of Known Exploited Vulnerabilities",
        "catalogVersion": "2026.11.19",
        "dateReleased": "2026-11-19T17:01:22.4861Z",
        "count": 1,
        "vulnerabilities": [entry],
    }
    return json.dumps(catalog | changes).encode()


def finding(rule: str, *aliases: str) -> Finding:
    return Finding(rule=rule, severity=Severity.HIGH, message="m", aliases=aliases)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_both_are_read_and_found_by_alias(tmp_path, pack) -> None:
    (tmp_path / "epss.csv").write_bytes(pack(EPSS))
    (tmp_path / "kev.json").write_bytes(kev())
    known = load(tmp_path, Feeds(epss="epss.csv", kev="kev.json"), TODAY)
    assert known.problems == ()
    assert (known.epss_date, known.kev_date) == (dt.date(2026, 11, 20), dt.date(2026, 11, 19))
    assert known.why_not("epss") == known.why_not("kev") == ""
    log4shell = finding("GHSA-jfh8-c2jp-5v3q", "cve-2021-44228", "CVE-1999-0001")
    assert known.probability(log4shell) == 0.94358
    assert known.exploited(log4shell) == intelligence.Exploited(dt.date(2021, 12, 10), dt.date(2021, 12, 24), True)
    assert known.probability(finding("CVE-2019-10906")) == 0.00391
    assert known.exploited(finding("B608")) is None
    assert known.probability(finding("B608")) is None
    assert known.ages(TODAY) == ("EPSS of 2026-11-20 (2 days old)", "CISA KEV of 2026-11-19 (3 days old)")


def test_what_is_not_configured_is_no_problem_until_it_is_asked_for(tmp_path) -> None:
    known = load(tmp_path, Feeds(), TODAY)
    assert known == Intelligence()
    assert "not configured" in known.why_not("epss")
    assert "not configured" in known.why_not("kev")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "does not begin with #model_version"),
        (EPSS.split(b"\n", 1)[1], "does not begin with #model_version"),
        (EPSS[:-1], "cut off"),
        (EPSS[:-9], "cut off"),
        (EPSS.replace(b"cve,epss,percentile", b"cve,percentile,epss"), "the columns"),
        (EPSS.replace(b"0.00391", b"1.00391"), "line 4"),
        (EPSS.replace(b"0.00391", b"nan"), "line 4"),
        (EPSS.replace(b"0.00391", b""), "line 4"),
        (EPSS.replace(b"CVE-2019-10906", b"CVE-2021-44228"), "stands there twice"),
        (EPSS.replace(b"CVE-2019-10906", b"<script>"), "is no CVE"),
        (EPSS.replace(b"CVE-2019-10906", b"CVE-2019-\xff"), "not plain text"),
        (EPSS.replace(b"2026-11-20T", b"2026-13-20T"), "month"),
        (b"\n".join(EPSS.split(b"\n")[:2]) + b"\n", "holds no score"),
        (gzip.compress(EPSS)[:-5], "cut off"),
        (gzip.compress(EPSS) + b"more", "something follows"),
        (b"\x1f\x8b" + b"not gzip at all", "damaged"),
    ],
)
def test_a_broken_epss_file_is_a_problem_and_gives_nothing(tmp_path, data, said) -> None:
    (tmp_path / "epss.csv").write_bytes(data)
    known = load(tmp_path, Feeds(epss="epss.csv"), TODAY)
    assert known.epss == {}
    assert said in known.why_not("epss")
    assert known.why_not("epss").startswith("EPSS: ")


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no KEV catalogue"),
        (kev()[:-30], "no KEV catalogue"),
        (kev(count=2), "says 2 entries and holds 1"),
        (kev(count=0, vulnerabilities=[]), "holds 0"),
        (kev(vulnerabilities=[{"cveID": "x"}]), "no KEV catalogue"),
        (kev(dateReleased="yesterday"), "no KEV catalogue"),
        (kev().replace(b"CVE-2021-44228", b"CVE-21-1"), "is no CVE"),
        (kev().replace(b'"count": 1', b'"count": NaN'), "no KEV catalogue"),
    ],
)
def test_a_broken_catalogue_is_a_problem_and_gives_nothing(tmp_path, data, said) -> None:
    (tmp_path / "kev.json").write_bytes(data)
    known = load(tmp_path, Feeds(kev="kev.json"), TODAY)
    assert known.kev == {}
    assert said in known.why_not("kev")


def test_old_and_future_ones_are_problems_but_still_order(tmp_path) -> None:
    (tmp_path / "epss.csv").write_bytes(EPSS)
    feeds = Feeds(epss="epss.csv", max_age_days=7)
    assert load(tmp_path, feeds, dt.date(2026, 11, 27)).problems == ()
    old = load(tmp_path, feeds, dt.date(2026, 11, 28))
    assert old.why_not("epss") == "EPSS: of 2026-11-20, 8 days old; the limit is 7"
    assert old.probability(finding("CVE-2021-44228")) == 0.94358
    assert "in the future" in load(tmp_path, feeds, dt.date(2026, 11, 1)).why_not("epss")


def test_a_missing_file_a_folder_a_link_and_a_huge_one(tmp_path, monkeypatch) -> None:
    (tmp_path / "real.csv").write_bytes(EPSS)
    (tmp_path / "link.csv").symlink_to("real.csv")
    (tmp_path / "folder").mkdir()
    for name in ("missing.csv", "folder", "link.csv"):
        assert "EPSS: " in load(tmp_path, Feeds(epss=name), TODAY).why_not("epss"), name
    with (tmp_path / "huge.csv").open("wb") as file:
        file.truncate(intelligence.MAX_FILE + 1)
    assert "more than the limit" in load(tmp_path, Feeds(epss="huge.csv"), TODAY).why_not("epss")


def test_a_bomb_is_refused_before_it_is_unpacked(monkeypatch) -> None:
    monkeypatch.setattr(intelligence, "MAX_TEXT", 4 << 20)
    bomb = gzip.compress(b"0" * ((4 << 20) + 1), 1)
    assert len(bomb) < 1 << 20
    with pytest.raises(Inconclusive, match="unpacks to more than 4 MB"):
        read_epss(bomb)


@given(st.binary(max_size=400), st.integers(0, len(EPSS)))
def test_the_readers_say_inconclusive_and_nothing_else(noise: bytes, cut: int) -> None:
    for data in (noise, EPSS[:cut] + noise, kev()[:cut] + noise, gzip.compress(EPSS)[:cut] + noise):
        for reader in (read_epss, read_kev):
            with contextlib.suppress(Inconclusive):
                read, _ = reader(data)
                assert read


class Feed:
    """A loopback server with one answer."""

    def __init__(self) -> None:
        feed = self
        self.status, self.body, self.asked = 200, EPSS, 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                feed.asked += 1
                self.send_response(feed.status)
                if feed.status == 302:
                    self.send_header("location", "/elsewhere.csv")
                    feed.status = 200
                self.send_header("content-length", str(len(feed.body)))
                self.end_headers()
                self.wfile.write(feed.body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()
        self.address = f"http://127.0.0.1:{self.server.server_port}/epss_scores-current.csv.gz"

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def feed(tmp_path, monkeypatch):
    monkeypatch.setenv("VALLUM_CACHE", str(tmp_path / "cache"))
    served = Feed()
    yield served
    served.close()


def test_a_download_is_kept_and_used_while_it_is_fresh(tmp_path, feed) -> None:
    def online() -> Intelligence:
        return load(tmp_path, Feeds(epss="online"), TODAY, addresses={"epss": feed.address, "kev": feed.address})

    feed.status, feed.body = 302, gzip.compress(EPSS)
    assert online().probability(finding("CVE-2021-44228")) == 0.94358
    assert feed.asked == 2  # the redirect, and what it led to
    assert online().problems == ()
    assert feed.asked == 2
    kept = next((tmp_path / "cache" / "intelligence").iterdir())
    os.utime(kept, (0, 0))
    feed.status = 503
    assert online().problems == ()  # the older copy, whose own date is young enough
    assert feed.asked == 3
    feed.status, feed.body = 200, b"<html>blocked by the proxy</html>"
    assert "does not begin with" in online().why_not("epss")
    assert kept.read_bytes() == gzip.compress(EPSS, mtime=0) or read_epss(kept.read_bytes())


def test_without_a_copy_an_unreachable_source_is_a_problem(tmp_path, feed) -> None:
    feed.status = 500
    known = load(tmp_path, Feeds(kev="online"), TODAY, addresses={"epss": feed.address, "kev": feed.address})
    assert "answered 500" in known.why_not("kev")
    nobody = {"epss": "http://127.0.0.1:9/x.csv", "kev": "http://127.0.0.1:9/x.json"}
    assert "cannot be reached" in load(tmp_path, Feeds(epss="online"), TODAY, addresses=nobody).why_not("epss")


def test_ages_problems_and_what_the_sources_know_are_said() -> None:
    known = Intelligence(epss={"CVE-2021-44228": 0.9}, epss_date=dt.date(2026, 11, 20), problems=("CISA KEV: gone",))
    found = [finding("CVE-2021-44228"), finding("PYSEC-1", "CVE-2020-1234"), finding("B608")]
    assert intelligence.remarks(found, known, TODAY) == (
        "CISA KEV: gone",
        "EPSS of 2026-11-20 (2 days old)",
        "of 2 findings with a CVE, 1 have an EPSS and 0 are in CISA KEV",
    )
    assert intelligence.remarks(found, Intelligence(), TODAY) == ()


RULE = """
[intelligence]
kev = "kev.json"
[[policy.rule]]
name = "exploited"
when = "finding.kev"
message = "somebody uses it already"
"""


@pytest.mark.slow
def test_a_policy_that_asks_for_kev_is_incomplete_without_it_and_says_the_age_with_it(make_tree, vallum) -> None:
    pytest.importorskip("cel_expr_python", reason="an older development environment: install tests/requirements.txt")
    root = make_tree({"a.py": "print(1)\n", "vallum.toml": only("bandit", extra=RULE)})
    done = vallum("-C", str(root))
    assert done.returncode == 3, done.stderr
    assert "CISA KEV: kev.json cannot be read: No such file or directory" in done.stderr
    today = dt.datetime.now(dt.UTC).date()
    (root / "kev.json").write_bytes(kev(dateReleased=f"{today - dt.timedelta(days=2)}T00:00:00Z"))
    done = vallum("-C", str(root))
    assert done.returncode == 0, done.stderr
    assert "(2 days old)" in (root / ".vallum" / "verdict.json").read_text()
    (root / "kev.json").write_bytes(kev(dateReleased=f"{today - dt.timedelta(days=15)}T00:00:00Z"))
    done = vallum("-C", str(root))
    assert done.returncode == 3, done.stderr
    assert "15 days old; the limit is 14" in done.stderr

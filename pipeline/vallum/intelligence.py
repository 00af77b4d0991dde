"""What is known of attacks in the world: EPSS (how likely a CVE is exploited within 30 days) and CISA's KEV (which were).

Both are read strictly from dated files: FIRST's CSV, plain or gzip, as published at epss.empiricalsecurity.com, and CISA's
JSON of known exploited vulnerabilities. A file that cannot be read whole, says another count than it holds, is dated in
the future or is too old is a problem: whoever uses that source cannot tell. Nothing here decides anything.

The official downloads (`online`) are unverified: neither site could be reached where this was written. What they answer
goes through the same reading; copies are kept in the user's cache, never in the target, which could bring its own.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
import time
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import msgspec

from vallum import artifacts
from vallum.config import Feeds
from vallum.errors import Inconclusive
from vallum.finding import Finding

Source = Literal["epss", "kev"]
NAMES: Mapping[Source, str] = {"epss": "EPSS", "kev": "CISA KEV"}
ADDRESSES: Mapping[Source, str] = {
    "epss": "https://epss.empiricalsecurity.com/epss_scores-current.csv.gz",
    "kev": "https://www.cisa.gov/sites/default/files/feeds/known_exploited_vulnerabilities.json",
}
MAX_FILE, MAX_TEXT = 32 << 20, 128 << 20
"""Bytes of a file, and of what it unpacks to. EPSS of 2025 has about 280,000 lines in 10 MB, KEV 1.5 MB."""
FRESH = 12 * 3600
"""Seconds for which a downloaded copy is not asked for anew; both sources change at most daily."""
CONNECT, READ, WHOLE = 5.0, 30.0, 120.0
"""Seconds: to connect, for the next bytes, for a whole download."""
CVE = re.compile(r"CVE-(?:19|20)\d\d-\d{4,10}")
_HEAD = re.compile(r"#model_version:([\w.-]{1,40}),score_date:(\d{4}-\d\d-\d\d)[T0-9:+Z-]{0,20}")


class Exploited(msgspec.Struct, frozen=True):
    """An entry of KEV: since when it is listed, until when US agencies must have repaired it, whether ransomware uses it."""

    added: dt.date
    due: dt.date
    ransomware: bool = False


class Intelligence(msgspec.Struct, frozen=True, kw_only=True):
    """Probability (0 to 1) and KEV entry by CVE. `problems` begin with the source's name; no date: nothing was read."""

    epss: Mapping[str, float] = {}
    kev: Mapping[str, Exploited] = {}
    problems: tuple[str, ...] = ()
    epss_date: dt.date | None = None
    kev_date: dt.date | None = None

    def why_not(self, source: Source) -> str:
        """For a policy that uses it: why the source cannot be relied on (not configured, unreadable, too old), or empty."""
        name = NAMES[source]
        problem = next((text for text in self.problems if text.startswith(f"{name}: ")), "")
        if problem:
            return problem
        known = self.epss_date if source == "epss" else self.kev_date
        return "" if known else f"{name}: not configured ([intelligence] {source} in vallum.toml)"

    def exploited(self, finding: Finding) -> Exploited | None:
        """The KEV entry of the finding's vulnerability, under any of its names; of several the first listed."""
        if not self.kev:
            return None
        found = [self.kev[cve] for cve in cves(finding) if cve in self.kev]
        return min(found, key=lambda entry: (entry.added, entry.due, entry.ransomware), default=None)

    def probability(self, finding: Finding) -> float | None:
        """The EPSS of the finding's vulnerability, under any of its names the highest; None: it has none."""
        if not self.epss:
            return None
        return max((self.epss[cve] for cve in cves(finding) if cve in self.epss), default=None)

    def ages(self, today: dt.date) -> tuple[str, ...]:
        """One line a source for a person: its date and age, or nothing for one that is not there."""
        dates: list[tuple[Source, dt.date | None]] = [("epss", self.epss_date), ("kev", self.kev_date)]
        return tuple(
            f"{NAMES[source]} of {date.isoformat()} ({(today - date).days} days old)" for source, date in dates if date
        )


class _Entry(msgspec.Struct, frozen=True, rename="camel"):
    cve: str = msgspec.field(name="cveID")
    date_added: dt.date
    due_date: dt.date
    known_ransomware_campaign_use: str = "Unknown"


class _Catalog(msgspec.Struct, frozen=True, rename="camel"):
    count: int
    date_released: str
    vulnerabilities: tuple[_Entry, ...]


def cves(finding: Finding) -> tuple[str, ...]:
    """The CVE names of a finding, from its rule and aliases, sorted."""
    names = {name.upper() for name in (finding.rule, *finding.aliases) if name[:4].upper() == "CVE-"}
    return tuple(sorted(name for name in names if CVE.fullmatch(name)))


def load(root: Path, feeds: Feeds, today: dt.date, *, addresses: Mapping[Source, str] = ADDRESSES) -> Intelligence:
    """Read what is configured; paths are relative to `root`. Never raises for a bad source: it is in `problems`."""
    problems: list[str] = []
    epss: Mapping[str, float] = {}
    kev: Mapping[str, Exploited] = {}
    dates: dict[Source, dt.date] = {}
    configured: list[tuple[Source, str]] = [("epss", feeds.epss), ("kev", feeds.kev)]
    for source, where in configured:
        if not where:
            continue
        try:
            data = _online(source, addresses[source]) if where == "online" else _file(root / where)
            if source == "epss":
                epss, date = read_epss(data)
            else:
                kev, date = read_kev(data)
            dates[source] = date
            age = (today - date).days
            if age < -1:
                raise Inconclusive(f"dated {date}, which is in the future")
            if age > feeds.max_age_days:
                raise Inconclusive(f"of {date}, {age} days old; the limit is {feeds.max_age_days}")
        except Inconclusive as error:
            problems.append(f"{NAMES[source]}: {error.reason}")
    return Intelligence(
        epss=epss, kev=kev, problems=tuple(problems), epss_date=dates.get("epss"), kev_date=dates.get("kev")
    )


def read_epss(data: bytes) -> tuple[dict[str, float], dt.date]:
    """FIRST's CSV, plain or gzip: probability by CVE, and the date of the scores. Raises Inconclusive at the first flaw."""
    text = _text(_unpack(data))
    first, _, rest = text.partition("\n")
    head = _HEAD.fullmatch(first.rstrip("\r"))
    if head is None:
        raise Inconclusive("the file does not begin with #model_version:…,score_date:…")
    if not rest.endswith("\n"):
        raise Inconclusive("the file ends within a line: it was cut off")
    lines = csv.reader(io.StringIO(rest), strict=True)
    scores: dict[str, float] = {}
    try:
        if next(lines, None) != ["cve", "epss", "percentile"]:
            raise Inconclusive("the columns are not cve, epss, percentile")
        for cve, probability, percentile in lines:
            score = float(probability)
            if not (0.0 <= score <= 1.0 and 0.0 <= float(percentile) <= 1.0):  # NaN fails it too
                raise ValueError(f"{probability}, {percentile} are no probabilities")
            if not CVE.fullmatch(cve) or cve in scores:
                raise ValueError(f"{cve[:40]!r} is no CVE, or stands there twice")
            scores[cve] = score
        date = dt.date.fromisoformat(head[2])
    except (ValueError, csv.Error) as error:
        raise Inconclusive(f"line {lines.line_num + 1}: {error}") from None
    if not scores:
        raise Inconclusive("the file holds no score")
    return scores, date


def read_kev(data: bytes) -> tuple[dict[str, Exploited], dt.date]:
    """CISA's JSON: entry by CVE, and the date of the catalogue. Raises Inconclusive at the first flaw."""
    try:
        catalog = msgspec.json.decode(_unpack(data), type=_Catalog)
        date = dt.date.fromisoformat(catalog.date_released[:10])
    except (ValueError, RecursionError) as error:  # msgspec's errors are among them
        raise Inconclusive(f"it is no KEV catalogue: {error}") from None
    entries = {
        entry.cve: Exploited(entry.date_added, entry.due_date, entry.known_ransomware_campaign_use == "Known")
        for entry in catalog.vulnerabilities
    }
    wrong = next((cve for cve in entries if not CVE.fullmatch(cve)), None)
    if wrong is not None:
        raise Inconclusive(f"{wrong[:40]!r} is no CVE")
    if not entries or not catalog.count == len(catalog.vulnerabilities) == len(entries):
        raise Inconclusive(f"the catalogue says {catalog.count} entries and holds {len(entries)}")
    return entries, date


def _file(path: Path) -> bytes:
    try:
        return artifacts.read(path, MAX_FILE)
    except (OSError, ValueError) as error:
        raise Inconclusive(f"{path.name} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _unpack(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, MAX_TEXT)
    except zlib.error as error:
        raise Inconclusive(f"the gzip file is damaged: {error}") from None
    if unpacker.unconsumed_tail:
        raise Inconclusive(f"it unpacks to more than {MAX_TEXT >> 20} MB")
    if not unpacker.eof or unpacker.unused_data:
        raise Inconclusive("the gzip file was cut off, or something follows it")
    return text


def _text(data: bytes) -> str:
    try:
        return data.decode("ascii")
    except UnicodeDecodeError as error:
        raise Inconclusive(f"it is not plain text: byte {error.start}") from None


def _online(source: Source, address: str) -> bytes:
    """The official file: a copy of the last hours, else a download, else an older copy (whose age is then judged)."""
    from vallum.tools import cache_folder

    kept = cache_folder() / "intelligence" / address.rpartition("/")[2]
    try:
        if 0 <= time.time() - kept.stat().st_mtime < FRESH:
            return _file(kept)
    except OSError:
        pass  # there is none yet
    try:
        data = _download(address)
    except Inconclusive:
        if kept.is_file():
            return _file(kept)
        raise
    (read_epss if source == "epss" else read_kev)(data)  # only what can be read replaces an older copy
    try:
        artifacts.write(kept, data)
    except OSError as error:
        raise Inconclusive(f"cannot write to the cache: {error.strerror}") from None
    return data


def _download(address: str) -> bytes:
    import httpx

    began, parts, size = time.monotonic(), list[bytes](), 0
    timeout = httpx.Timeout(READ, connect=CONNECT)
    try:
        with (
            httpx.Client(timeout=timeout, follow_redirects=True, max_redirects=3) as client,
            client.stream("GET", address, headers={"accept-encoding": "identity"}) as response,
        ):
            if response.url.scheme != httpx.URL(address).scheme:
                raise Inconclusive(f"{address} leads to {response.url.scheme}")
            if response.status_code != 200:
                raise Inconclusive(f"{address} answered {response.status_code}")
            for part in response.iter_raw():
                parts.append(part)
                size += len(part)
                if size > MAX_FILE or time.monotonic() - began > WHOLE:
                    raise Inconclusive(f"{address} sent more than {MAX_FILE >> 20} MB, or for more than {WHOLE:g} s")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise Inconclusive(f"{address} cannot be reached: {str(error) or type(error).__name__}") from None
    return b"".join(parts)


def remarks(findings: Iterable[Finding], known: Intelligence, today: dt.date) -> tuple[str, ...]:
    """What a reader of the verdict must know of the sources: problems, ages, and how many findings they know.

    One that knows none of many CVEs may be the wrong file.
    """
    said = (*known.problems, *known.ages(today))
    named = [finding for finding in findings if cves(finding)]
    if not said or not named:
        return said
    scored = sum(known.probability(finding) is not None for finding in named)
    listed = sum(known.exploited(finding) is not None for finding in named)
    return (*said, f"of {len(named)} findings with a CVE, {scored} have an EPSS and {listed} are in CISA KEV")

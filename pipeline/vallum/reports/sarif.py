"""`vallum.sarif` for code scanning, `vallum-2.sarif` and so on where there are over 20 categories; and one file each in `sarif/`.

Upload the numbered files one by one. github/codeql-action/upload-sarif joins the files of a folder into one upload, and GitHub
refuses one of over 20 runs (github/codeql-action#1493, #2000), so a folder is no way out.

A category is `svc/<service>/<check>` and never holds a tag, commit or date; its alerts live from upload to upload. So:
- a category that could not tell is left out: an upload without results would close its alerts as fixed;
- a category that ran whole and found nothing is there, empty, which closes the ones that were repaired;
- a finding of several checks is in the category of the first one only: one weakness, one alert;
- suppressed and waived findings are left out, or they would open again; so are findings without a file, which GitHub
  refuses together with the whole upload. What is left out is counted in the run's property bag.
Limits as GitHub documents them ("SARIF support for code scanning", read 2026): the numbers below.
"""

from __future__ import annotations

import functools
import gzip
import hashlib
import itertools
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec

from vallum.finding import Finding, Rule
from vallum.finding import Location as Place
from vallum.reports import text
from vallum.sarif import model, write
from vallum.severity import Severity
from vallum.verdict import CheckResult, Disposition, Judged, Verdict

FOLDER = "sarif"
NAME = "vallum.sarif"
MAX_RUNS = 20
"""Runs of a file; with more, the whole file is refused. The worst categories are in the first file."""
MAX_RESULTS = 5_000
"""Results of a run that are kept; which, follows no severity there: we sort and cut."""
MAX_BYTES = 10_000_000
"""Bytes of the file after gzip (10 MB)."""
MAX_NAME = 255
MAX_DESCRIPTION = 1_024
MAX_MESSAGE = 2_000
ALL = "_"
"""Stands for the service of findings that belong to none."""
_ADVISORY = re.compile(r"(CVE|GHSA|PYSEC|RUSTSEC|GO|OSV|MAL)-[0-9A-Za-z-]+")
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,79}")
_UNSAFE = re.compile(r"[^A-Za-z0-9_-]")
Category = tuple[str, str]


class Encoded(NamedTuple):
    """A run: what it says of itself, and its results as JSON, worst first."""

    head: model.Run
    results: list[bytes]

    def data(self) -> bytes:
        """As JSON."""
        return write.encode_run(self.head, self.results)


def render(verdict: Verdict, root: Path) -> Iterator[tuple[str, bytes]]:
    """`vallum.sarif`, `sarif/<service>.<check>.sarif`; and `vallum-2.sarif` and so on over 20 runs. Each run is encoded once."""
    del root
    names: set[str] = set()
    runs = _runs(verdict)
    for number in itertools.count():
        group = list(itertools.islice(runs, MAX_RUNS))
        if not group and number:
            return
        for (service, check), run in group:
            name = f"{FOLDER}/{slug(service)}.{slug(check)}.sarif"
            if name in names:
                raise ValueError(f"two categories have the file {name}")
            names.add(name)
            yield name, fit([run])
        yield f"vallum-{number + 1}.sarif" if number else NAME, fit([run for _, run in group])


def fit(runs: list[Encoded]) -> bytes:
    """A file of these runs (at most 20) within all limits. What is cut, from the end of the longest run, is counted."""
    kept = list(runs)
    while True:
        data = b"".join(write.encode_parts(run.data() for run in kept))
        size = len(data) if len(data) <= MAX_BYTES else len(gzip.compress(data, 6))
        if size <= MAX_BYTES:
            return data
        longest = max(range(len(kept)), key=lambda number: len(kept[number].results))
        head, results = kept[longest]
        if len(results) < 2:
            raise ValueError(f"{len(data)} bytes of SARIF and nothing left to cut")
        keep = max(1, min(len(results) - 1, int(len(results) * 0.9 * MAX_BYTES / size)))
        kept[longest] = Encoded(_leave_out(head, "results over 10 MB a file", len(results) - keep), results[:keep])


def slug(name: str) -> str:
    """A service's or check's name as part of a file's name and of a category: `name` itself if it is a plain word, else
    what is plain of it and a hash, so that two names never share one."""
    if name == ALL or _PLAIN.fullmatch(name):
        return name
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{_UNSAFE.sub('_', name)[:80]}-{digest}"


@functools.lru_cache(8_192)
def rule_id(rule: str, severity: Severity) -> str:
    """One rule for each rule and severity, because GitHub keeps the score on the rule; an advisory has one score anyhow."""
    return rule if _ADVISORY.fullmatch(rule) else f"{rule}/{severity}"


def _runs(verdict: Verdict) -> Iterator[tuple[Category, Encoded]]:
    """The runs by category, worst first, empty ones last."""
    rows: defaultdict[str, list[CheckResult]] = defaultdict(list)
    for check in verdict.checks:
        rows[check.check].append(check)
    found: defaultdict[Category, list[Judged]] = defaultdict(list)
    for judged in verdict.findings:  # in the order of the verdict: worst first
        if judged.finding.checks:
            found[judged.finding.service or ALL, judged.finding.checks[0]].append(judged)
    services = [*(service.name for service in verdict.services if service.name), ALL]
    whole = [check for check, results in rows.items() if any(result.unit == text.WHOLE for result in results)]
    units = [(each.unit, each.check) for each in verdict.checks if each.unit != text.WHOLE]
    every = dict.fromkeys((*found, *units, *((service, check) for check in whole for service in services)))
    sound = [category for category in every if _sound(category[0], rows[category[1]])]
    sound_set = frozenset(sound)
    unsound = Counter(f"{each[1]}: could not tell, its alerts stay" for each in every if each not in sound_set)
    order = {category: number for number, category in enumerate(found)}
    uri = write.uris()
    for number, category in enumerate(sorted(sound, key=lambda each: order.get(each, len(order)))):
        run = _run(verdict, category, rows[category[1]], found[category], uri)
        for why, times in unsound.items() if number == 0 else ():
            run = run._replace(head=_leave_out(run.head, why, times))
        yield category, run


def _sound(service: str, rows: list[CheckResult]) -> bool:
    """Whether every run that may find something in this category ran whole."""
    speaks = [row for row in rows if service != ALL and row.unit in {service, text.WHOLE}] or rows
    return bool(speaks) and all(row.status == "completed" for row in speaks)


def _run(
    verdict: Verdict, category: Category, rows: list[CheckResult], found: list[Judged], uri: Callable[[str], str]
) -> Encoded:
    service, check = category
    shown = [each for each in found if each.disposition not in text.LET_THROUGH]
    waived = sum(each.disposition is Disposition.WAIVED for each in found)
    placed = [each for each in shown if each.finding.location is not None and each.finding.location.path]
    row = next((row for row in rows if row.unit == service), rows[0])
    kept = placed[:MAX_RESULTS]
    rules, index = _rules(verdict, kept)
    run = model.Run(
        tool=model.Tool(
            driver=model.Driver(
                name=f"vallum {check}",
                version=row.tool.version if row.tool else "",
                rules=rules,
                properties=model.DriverBag(digest=row.tool.digest) if row.tool and row.tool.digest else None,
            )
        ),
        automation_details=model.AutomationDetails(id=f"svc/{slug(service)}/{slug(check)}/"),
        invocations=(model.Invocation(execution_successful=True, start_time_utc=row.started),),
        properties=model.RunBag(check=check, seconds=row.seconds, coverage=row.coverage, databases=row.databases),
    )
    for why, number in (
        ("suppressed in the source", len(found) - len(shown) - waived),
        ("waived", waived),
        ("no file to show it at", len(shown) - len(placed)),
        ("results over 5,000 a run", len(placed) - len(kept)),
    ):
        run = _leave_out(run, why, number)
    return Encoded(run, [write.encode_any(_result(each, index, uri)) for each in kept])


def _rules(verdict: Verdict, found: list[Judged]) -> tuple[tuple[model.Rule, ...], dict[str, int]]:
    """Rules with every text that GitHub wants, and their indexes."""
    grouped: dict[str, list[Finding]] = {}
    for judged in found:
        grouped.setdefault(rule_id(judged.finding.rule, judged.finding.severity), []).append(judged.finding)
    rules = []
    for name, findings in grouped.items():
        first = findings[0]  # the worst, for an advisory with two severities
        rule = text.rule_of(verdict, first)
        title = text.line(rule.name or rule.id, MAX_NAME) or "unnamed rule"
        description = text.plain(rule.description).strip()[:MAX_DESCRIPTION] or title
        repair = text.plain(rule.help or first.fix).strip()[:MAX_DESCRIPTION] or description
        uri = rule.uri if rule.uri.startswith(("https://", "http://")) else ""
        cwe = tuple(dict.fromkeys(number for finding in findings for number in finding.cwe))
        precision = first.confidence if first.confidence in {"high", "medium", "low"} else ""
        full = Rule(id=name[:MAX_NAME], name=title, description=description, help=repair, uri=uri)
        rules.append(write.descriptor(full, first.severity, cwe, precision))
    return tuple(rules), {name: number for number, name in enumerate(grouped)}


def _result(judged: Judged, index: Mapping[str, int], uri: Callable[[str], str]) -> model.Result:
    """A slim result: evidence stays in the report, the message says enough to act on."""
    finding = judged.finding
    rule = rule_id(finding.rule, finding.severity)
    place = finding.location
    return model.Result(
        rule_id=rule[:MAX_NAME],
        rule_index=index[rule],
        level=finding.severity.sarif_level,
        message=model.Message(
            text=_message(finding.message, text.operation(finding), text.package(finding), finding.fix, finding.rule)
        ),
        locations=(_location(place, uri),) if place is not None else (),
        partial_fingerprints=write.fingerprints(finding),
        baseline_state=judged.state,
        properties=model.ResultBag(
            severity=finding.severity,
            confidence=finding.confidence,
            service=finding.service,
            cwe=finding.cwe,
            owasp=finding.owasp,
            package=finding.package,
            aliases=finding.aliases[:10],
            cvss=finding.cvss,
            operation=finding.operation,
            checks=finding.checks,
            disposition=judged.disposition,
            why=judged.why,
        ),
    )


@functools.lru_cache(8_192)  # what a rule says, it says of many places
def _message(said: str, operation: str, package: str, fix: str, rule: str) -> str:
    parts = (said, operation, package, fix and f"Repair: {fix}")
    message = "\n".join(part for part in map(text.plain, filter(None, parts)) if part.strip())[:MAX_MESSAGE]
    # no links: SARIF 3.11.6
    return (message or rule or "no message").replace("[", "\\[").replace("]", "\\]")


def _location(place: Place, uri: Callable[[str], str]) -> model.Location:
    """A whole region, as GitHub asks: the first line where none is known, and one character where no end is known."""
    start = place.line if place.line > 0 else 1
    column = place.column if place.column > 0 else 1
    width = len(place.snippet.rstrip("\n").rpartition("\n")[2])
    region = model.Region(
        start_line=start,
        start_column=column,
        end_line=max(start, place.end_line),
        end_column=max(column, width) + 1,
    )
    where = model.PhysicalLocation(artifact_location=model.ArtifactLocation(uri=uri(place.path)), region=region)
    return model.Location(physical_location=where)


def _leave_out(run: model.Run, why: str, number: int) -> model.Run:
    """The run with `number` more left out for that reason."""
    if not number:
        return run
    bag = run.properties or model.RunBag()
    left_out = {**bag.left_out, why: bag.left_out.get(why, 0) + number}
    return msgspec.structs.replace(run, properties=msgspec.structs.replace(bag, left_out=left_out))

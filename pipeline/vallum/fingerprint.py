"""One identity per finding (`vallum/v1`): the same tomorrow, on another machine, after the line moved, from another tool.

- a dependency: alias set x package URL x service;
- a dynamic finding: operation x parameter x CWE; never a host, port or token;
- a source finding: CWE (the rule where there is none) x file x the statement's tokens (vallum.context; in other languages
  the line without its spacing), and an ordinal among equal ones in that file. A file that the change under judgement
  moved keeps the path that it had at the merge base.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import msgspec

from vallum.finding import Finding

VERSION = "vallum/v1"
SECRET_CWES = frozenset({259, 321, 798})
"""Hard-coded password, key, credentials: the excerpt is masked before anything is written."""
_SPACE = re.compile(r"\s+")
_QUOTED = re.compile(r"""(["'])((?:(?!\1)[^\\]|\\.){5,})\1""")
_ASSIGNED = re.compile(r"""([=:]\s*)([^\s"'=:]{5,})""")


def canonical_alias(rule: str, aliases: Iterable[str]) -> str:
    """The one name of an advisory: its first CVE, else its first GHSA, else the first of all in sorted order."""
    names = sorted({rule, *aliases})
    return min(names, key=lambda name: (not name.startswith("CVE-"), not name.startswith("GHSA-"), name))


Context = Callable[[Finding], str]
"""Gives the context of a source finding, an empty one where only the excerpt is known."""
_NOT_MOVED: Mapping[str, str] = {}


def _no_context(_: Finding) -> str:
    return ""


def _key(finding: Finding, context: Context, renamed: Mapping[str, str]) -> tuple[str, ...]:
    if finding.package is not None:
        package = finding.package
        return ("package", canonical_alias(finding.rule, finding.aliases), package.purl, finding.service)
    weakness = f"CWE-{min(finding.cwe)}" if finding.cwe else finding.rule
    if finding.operation is not None:
        operation = finding.operation
        return ("operation", finding.service, operation.method, operation.path, operation.parameter, weakness)
    if finding.location is not None:
        path = renamed.get(finding.location.path, finding.location.path)
        return ("source", weakness, path, context(finding) or _SPACE.sub("", finding.location.snippet))
    return ("message", weakness, finding.service, _SPACE.sub("", finding.message))


def identify(
    findings: Iterable[Finding], context: Context = _no_context, renamed: Mapping[str, str] = _NOT_MOVED
) -> list[Finding]:
    """The findings of one outcome with `id` set: 32 hexadecimal digits of SHA-256. Order matters only among equals.

    `renamed` maps paths to those that identities are made of.
    """
    seen: Counter[tuple[str, ...]] = Counter()
    identified = []
    for finding in findings:
        key = _key(finding, context, renamed)
        ordinal = seen[key]
        seen[key] += 1
        text = "\x1f".join((*key, str(ordinal)) if key[0] == "source" else key)
        digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        identified.append(msgspec.structs.replace(finding, id=digest))
    return identified


def mask(finding: Finding) -> Finding:
    """A finding about a secret shows no more of it than the last four characters."""
    if finding.location is None or not SECRET_CWES.intersection(finding.cwe):
        return finding
    snippet = _QUOTED.sub(lambda found: f"{found[1]}…{found[2][-4:]}{found[1]}", finding.location.snippet)
    snippet = _ASSIGNED.sub(lambda found: f"{found[1]}…{found[2][-4:]}", snippet)
    location = msgspec.structs.replace(finding.location, snippet=snippet)
    return msgspec.structs.replace(finding, location=location)


def merge(findings: Iterable[Finding]) -> list[Finding]:
    """One finding for each id: the worst severity wins, all checks that saw it are named. The order of input is free."""
    merged: dict[str, Finding] = {}
    for finding in sorted(findings, key=lambda f: (-f.severity.rank, f.severity, f.checks, f.rule, f.message)):
        first = merged.get(finding.id)
        if first is None:
            merged[finding.id] = finding
            continue
        merged[finding.id] = msgspec.structs.replace(
            first,
            checks=tuple(sorted({*first.checks, *finding.checks})),
            aliases=tuple(sorted({*first.aliases, *finding.aliases})),
            cwe=tuple(sorted({*first.cwe, *finding.cwe})),
            owasp=tuple(sorted({*first.owasp, *finding.owasp})),
            # seen without the marker by one tool is seen: a suppression needs all
            suppression=first.suppression if finding.suppression else None,
            fix=first.fix or finding.fix,
            package=first.package or finding.package,
        )
    return list(merged.values())

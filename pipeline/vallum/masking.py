"""Secrets of the target's source, taken out of what is written about it: never more than the last four characters stay.

A finding of one tool quotes lines in which another sees a key, so every text of a source check passes through here: what has
the format of a token, what a telling name is given, credentials in addresses and commands; and each such value wherever it
stands again. Masking too much costs a word of an excerpt, masking too little a password.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import msgspec

from vallum.finding import Finding

SHORTEST = 6
"""Characters from which on a value is masked wherever it stands: shorter ones are words."""
MOST = 2_000
"""Values that are looked for in every text."""
REMEMBERED = 10_000
"""Texts whose masked form is kept: thousands of findings share one message."""
_TOKEN = re.compile(
    r"""(?x)
    \b(?:AKIA|ASIA|AGPA|AROA)[A-Z0-9]{12,}            # AWS
    | \bgh[pousr]_[A-Za-z0-9]{20,} | \bgithub_pat_\w{20,} | \bglpat-[\w-]{16,}
    | \bxox[abeoprs]-[\w-]{10,}                       # Slack
    | \beyJ[\w-]{5,}\.[\w-]{2,}\.[\w-]*               # JSON Web Tokens
    | \b(?:sk|pk|rk)_(?:live|test)_\w{10,} | \bsk-[\w-]{20,}
    | \bAIza[\w-]{30,} | \bya29\.[\w-]{20,} | \bnpm_\w{30,} | \bpypi-[\w-]{30,} | \bSG\.[\w-]{15,}\.[\w-]{15,}
    """
)
_KEY_BLOCK = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)(?:-----END|\Z)", re.DOTALL)
_ADDRESS = re.compile(r"://[^\s:/@\"']{0,200}:([^\s@/\"']{3,200})@")
_COMMAND = re.compile(r"(?:\s-u|--user)[\s=]*[\"']?[\w.-]+:([^\s\"']{4,200})|\bmysql\w* [^\n]{0,80}-p([^\s\"']{4,200})")
_HEADER = re.compile(r"(?i)\b(?:basic|bearer|token)\s+([\w+/.=-]{12,500})")
_NAMES = (
    r"(?:pass(?:word|wd|phrase)?|pwd|secret|token|credential|(?:api|access|auth|private|signing|encryption)[_-]?key)"
)
_QUOTED = re.compile(
    rf"(?i){_NAMES}[\w-]{{0,40}}[\"'\]]*\s*(?:[:=]+|,|\bvalue:)\s*[brfu]{{0,2}}[\"']([^\"'\n]{{4,500}})[\"']"
)
_BARE = re.compile(rf"(?i){_NAMES}[\w-]{{0,40}}\s*[:=]\s*([A-Za-z0-9+/=_!@#%^&*~-]{{6,500}})(?=\s|$)")
_YAML_PAIR = re.compile(rf"(?i)name:\s*[\"']?[\w-]*{_NAMES}[\w-]*[\"']?\s*\n\s*value:\s*[\"']?([^\s\"']{{4,500}})")
_WORDS = ("pass", "pwd", "secret", "token", "credential", "key")
_FORMATS = (
    (_TOKEN, ("",)),
    (_ADDRESS, ("://",)),
    (_COMMAND, ("-u", "-p")),
    (_HEADER, ("basic", "bearer", "token")),
    (_QUOTED, _WORDS),
    (_YAML_PAIR, _WORDS),
)
"""Each with the words of which its match holds one, in lower case: looking for them is far cheaper than the pattern."""
_LITERAL = re.compile(r"""(["'])((?:(?!\1)[^\\\n]|\\.){5,}?)\1""")
_PLACE = re.compile(r"\$\{|\$\(|\{\{|<[a-z]|os\.environ|process\.env", re.IGNORECASE)


def short(value: str) -> str:
    """The last four characters."""
    return "…" + value[-4:]


def values(text: str) -> Iterator[str]:
    """What looks like a secret in a text of source."""
    lower = text.lower()
    for pattern, words in _FORMATS:
        for found in pattern.finditer(text) if any(word in lower for word in words) else ():
            value = next((group for group in found.groups() if group), "") if found.groups() else found[0]
            if not _PLACE.search(value):
                yield value
    for found in _BARE.finditer(text) if any(word in lower for word in _WORDS) else ():
        if any(char.isdigit() for char in found[1]) and not _PLACE.search(found[1]):
            yield found[1]
    for block in _KEY_BLOCK.finditer(text):
        yield from (line.strip() for line in block[1].splitlines() if len(line.strip()) >= 16)


class Masker:
    """Masks the secrets of `texts` (whole files of the target) and what has the form of one, in any text about them."""

    def __init__(self, texts: Iterable[str]) -> None:
        found = {value for text in texts for value in values(text) if len(value) >= SHORTEST}
        kept = sorted(found, key=lambda value: (-len(value), value))[:MOST]
        self._known = re.compile("|".join(map(re.escape, kept))) if kept else None
        self._masked: dict[str, str] = {}

    def text(self, text: str) -> str:
        """`text` without secrets."""
        masked = self._masked.get(text)
        if masked is None:
            masked = self._mask(text) if text else text
            if len(self._masked) < REMEMBERED:
                self._masked[text] = masked
        return masked

    def _mask(self, text: str) -> str:
        if self._known is not None:
            text = self._known.sub(lambda found: short(found[0]), text)
        for value in sorted(set(values(text)), key=len, reverse=True):
            if "…" not in value:
                text = text.replace(value, short(value))
        return text

    def finding(self, finding: Finding, *, secret: bool) -> Finding:
        """The finding without secrets; where it is about a `secret`, without any long literal in its message."""
        message = self.text(finding.message)
        if secret:
            message = _LITERAL.sub(_literal, message)
        place = finding.location
        snippet = self.text(place.snippet) if place is not None else ""
        fix = self.text(finding.fix)
        if message == finding.message and fix == finding.fix and (place is None or snippet == place.snippet):
            return finding
        if place is not None:
            place = msgspec.structs.replace(place, snippet=snippet)
        return msgspec.structs.replace(finding, message=message, location=place, fix=fix)


def _literal(found: re.Match[str]) -> str:
    return found[0] if found[2].startswith("…") else f"{found[1]}{short(found[2])}{found[1]}"

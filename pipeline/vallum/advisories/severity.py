"""How bad an advisory is: the CVSS vectors it carries, scored by the `cvss` library, else the word its database gives."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import NamedTuple

from vallum.advisories.osv import Record
from vallum.severity import Severity


class Rating(NamedTuple):
    """`vector` is empty and `score` 0 where there is only a word, or nothing (then the severity is unknown)."""

    severity: Severity
    score: float = 0.0
    vector: str = ""


_WORDS = {
    "CRITICAL": Severity.CRITICAL,
    "HIGH": Severity.HIGH,
    "MODERATE": Severity.MEDIUM,
    "MEDIUM": Severity.MEDIUM,
    "LOW": Severity.LOW,
}
"""`database_specific.severity` as the GitHub Advisory Database writes it."""


@functools.lru_cache(maxsize=20_000)
def score(vector: str) -> float | None:
    """The base score of a CVSS 2, 3.0, 3.1 or 4.0 vector; None where it is none."""
    from cvss import CVSS2, CVSS3, CVSS4
    from cvss.exceptions import CVSSError

    text = vector.strip()
    try:
        if text.startswith("CVSS:4"):
            return float(CVSS4(text).base_score)
        if text.startswith("CVSS:3"):
            return float(CVSS3(text).base_score)
        return float(CVSS2(text.strip("()")).base_score)
    except CVSSError:
        return None


def rate(records: Iterable[Record]) -> Rating:
    """The worst rating among records of one vulnerability. A version 2 vector counts only where there is no newer one;
    a word only where there is no vector. A record of a malicious package (`MAL-`) is critical by itself."""
    records = tuple(records)
    best: dict[bool, Rating] = {}
    word = Severity.UNKNOWN
    for record in records:
        entries = [*record.severity, *(entry for affected in record.affected for entry in affected.severity)]
        for entry in entries:
            if not entry.type.startswith("CVSS"):
                continue
            number = score(entry.score)
            modern = entry.score.startswith("CVSS:")
            if number is not None and (modern not in best or number > best[modern].score):
                best[modern] = Rating(Severity.from_score(number), number, entry.score)
        for table in (record.database_specific or {}, *(affected.database_specific for affected in record.affected)):
            said = _WORDS.get(str(table.get("severity", "")).upper())
            if said is not None and (word is Severity.UNKNOWN or said.rank > word.rank):
                word = said
    rating = best.get(True) or best.get(False)
    if any(record.id.startswith("MAL-") for record in records):
        return Rating(Severity.CRITICAL, rating.score if rating else 0.0, rating.vector if rating else "")
    return rating or Rating(word)


def weaknesses(records: Iterable[Record]) -> tuple[int, ...]:
    """CWE numbers that the records' databases name, sorted."""
    numbers: set[int] = set()
    for record in records:
        names = (record.database_specific or {}).get("cwe_ids", ())
        for name in names if isinstance(names, list) else ():
            digits = str(name).upper().removeprefix("CWE-")
            if digits.isdigit():
                numbers.add(int(digits))
    return tuple(sorted(numbers))

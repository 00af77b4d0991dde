"""An OSV service over HTTP: `POST /v1/querybatch` for who is affected, `GET /v1/vulns/ID` for the records.

Every call has a deadline, every list is followed to its last page, and before an answer of "nothing" is believed the service
must know one famous advisory of each ecosystem asked about: a proxy that answers `{}` to everything is not a clean bill.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from vallum.advisories.ecosystems import Query, base, supported
from vallum.advisories.osv import Record, decode
from vallum.advisories.source import Answer
from vallum.errors import Inconclusive
from vallum.outcome import Database

if TYPE_CHECKING:
    import httpx

BATCH = 1000
"""Queries in one batch, the limit that the OSV API documentation gives."""
CONNECT, READ = 5.0, 30.0
"""Seconds."""
MAX_PAGES = 50
MAX_BODY = 64 << 20
"""Bytes of one answer."""

CANARIES = {
    "PyPI": ("jinja2", "2.4.1"),
    "npm": ("lodash", "4.17.4"),
    "Go": ("github.com/dgrijalva/jwt-go", "3.2.0"),
    "Maven": ("org.apache.logging.log4j:log4j-core", "2.14.1"),
    "crates.io": ("time", "0.1.42"),
    "RubyGems": ("rack", "2.0.1"),
    "NuGet": ("Newtonsoft.Json", "12.0.3"),
    "Packagist": ("phpunit/phpunit", "4.8.19"),
}
"""A package and version of each ecosystem with advisories that will not be withdrawn (Log4Shell, CVE-2021-44228, for Maven)."""


class _Hit(msgspec.Struct, frozen=True):
    id: str
    modified: str = ""


class _Result(msgspec.Struct, frozen=True):
    vulns: tuple[_Hit, ...] = ()
    next_page_token: str | None = None


class _Batch(msgspec.Struct, frozen=True):
    results: tuple[_Result | None, ...]


class Online:
    """Asks the service at `address` (scheme, host and port, without `/v1`). What was fetched is kept for its lifetime."""

    def __init__(self, address: str, hint: str = "") -> None:
        self._address = address
        self._hint = hint
        self._records: dict[str, Record] = {}
        self._answers: dict[Query, Answer] = {}
        self._proved: set[str] = set()
        self._known: set[str] = set()

    @property
    def database(self) -> Database:
        """A live service: dated by the moment, counted by the advisories that it named, those of the probe included."""
        return Database("OSV", self._address, len(self._known), datetime.now(UTC).date().isoformat())

    def covers(self, ecosystem: str) -> bool:
        """A live service is believed for the ecosystems that its schema names; those with a canary are proved on use."""
        return supported(ecosystem)

    def lookup(self, queries: Sequence[Query]) -> Mapping[Query, Answer]:
        """Ask about all `queries` not asked before. Raises Inconclusive where any part stays unanswered."""
        import httpx

        wanted = [query for query in dict.fromkeys(queries) if query not in self._answers]
        if wanted:
            kinds = {base(query.ecosystem) for query in wanted} - self._proved
            canaries = {kind: Query(kind, *CANARIES[kind]) for kind in sorted(kinds) if kind in CANARIES}
            asked = [*dict.fromkeys([*wanted, *canaries.values()])]
            timeout = httpx.Timeout(READ, connect=CONNECT)
            with httpx.Client(base_url=self._address, timeout=timeout, follow_redirects=False) as client:
                ids = self._batches(client, asked)
                for kind, canary in canaries.items():
                    if not ids[canary]:
                        raise Inconclusive(
                            f"{self._address} knows no advisory for {canary.name} {canary.version} ({kind}), which has "
                            "famous ones: its answers cannot be relied on"
                        )
                self._proved |= kinds
                self._known |= {one for each in ids.values() for one in each}
                self._fetch(client, {one for query in wanted for one in ids[query]})
            for query in wanted:
                records = (self._records[one] for one in ids[query])
                self._answers[query] = Answer(tuple(record for record in records if record.withdrawn is None))
        return {query: self._answers[query] for query in queries}

    def _batches(self, client: httpx.Client, queries: Sequence[Query]) -> dict[Query, tuple[str, ...]]:
        found: dict[Query, dict[str, None]] = {query: {} for query in queries}
        todo: list[tuple[Query, str]] = [(query, "") for query in queries]
        for _page in range(MAX_PAGES):
            following: list[tuple[Query, str]] = []
            for start in range(0, len(todo), BATCH):
                part = todo[start : start + BATCH]
                body = {"queries": [_question(query, token) for query, token in part]}
                answer = self._call(client, "POST", "/v1/querybatch", msgspec.json.encode(body))
                try:
                    results = msgspec.json.decode(answer, type=_Batch, strict=True).results
                except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
                    raise Inconclusive(
                        f"{self._address} answered something that is not the OSV contract: {error}"
                    ) from None
                if len(results) != len(part):
                    raise Inconclusive(f"{self._address} answered {len(results)} of {len(part)} questions")
                for (query, _), result in zip(part, results, strict=True):
                    if result is None:
                        continue
                    found[query].update(dict.fromkeys(hit.id for hit in result.vulns))
                    if result.next_page_token:
                        following.append((query, result.next_page_token))
            if not following:
                return {query: tuple(ids) for query, ids in found.items()}
            todo = following
        raise Inconclusive(f"{self._address} gave more than {MAX_PAGES} pages for {todo[0][0].name}")

    def _fetch(self, client: httpx.Client, ids: set[str]) -> None:
        missing = sorted(ids - self._records.keys())

        def one(identifier: str) -> Record:
            data = self._call(client, "GET", f"/v1/vulns/{quote(identifier, safe='')}")
            try:
                record = decode(data)
            except ValueError as error:
                raise Inconclusive(f"the advisory {identifier} of {self._address} cannot be read: {error}") from None
            if record.id != identifier:
                raise Inconclusive(f"{self._address} answered {record.id} when asked for {identifier}")
            return record

        with ThreadPoolExecutor(max_workers=8) as pool:
            self._records.update({record.id: record for record in pool.map(one, missing)})

    def _call(self, client: httpx.Client, method: str, path: str, body: bytes | None = None) -> bytes:
        import httpx

        headers = {"content-type": "application/json"} if body is not None else {}
        try:
            with client.stream(method, path, content=body, headers=headers) as response:
                if response.status_code != 200:
                    raise Inconclusive(f"{self._address}{path} answered {response.status_code}{self._hint}")
                parts, size = [], 0
                for part in response.iter_bytes():
                    parts.append(part)
                    size += len(part)
                    if size > MAX_BODY:
                        raise Inconclusive(f"{self._address}{path} answered more than {MAX_BODY >> 20} MB")
                return b"".join(parts)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise Inconclusive(f"the advisory service {self._address} cannot be reached: {said}{self._hint}") from None


def _question(query: Query, token: str) -> dict[str, Any]:
    question: dict[str, Any] = {
        "package": {"name": query.name, "ecosystem": query.ecosystem},
        "version": query.version.removeprefix("v") if base(query.ecosystem) == "Go" else query.version,
    }
    return question | ({"page_token": token} if token else {})

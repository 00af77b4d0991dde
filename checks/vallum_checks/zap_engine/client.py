"""The ZAP API through `zaproxy`, with what that client lacks: a deadline on every call, and errors that are errors.

The client has no time-out anywhere (a frozen ZAP blocks it for ever), takes the code of an error answer for the value
(`scan()` returns "url_not_found"), and finds ZAP through itself as a proxy at the host name `zap`, which a changed list of
API addresses breaks. Here every call goes straight to ZAP's address with connect and read deadlines, any status but 200
raises, and values are checked for what they must be.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from vallum.errors import Inconclusive

CONNECT = 5.0
READ = 30.0
"""Seconds. A page of 5,000 alerts of a full scan took 2 s."""
PAGE = 5000
"""Alerts a call: 20,000 took 8 s in pages of 5,000 and 43 s in pages of 500."""
BATCH = 50
"""Messages a call."""
OVERLAP = 200
"""Alerts read twice: while a scan runs, threads may file one before another that was numbered first."""
_ERROR_KEYS = {"code", "message"}


class ZapGone(Inconclusive):
    """ZAP does not answer: it ended, or it hangs."""


class Zap:
    """One ZAP. Every method raises Inconclusive where ZAP refuses or does not answer within the deadline."""

    def __init__(self, address: str, key: str, *, read: float = READ) -> None:
        import requests
        import zapv2

        self.address = address.rstrip("/")
        self._key = key
        self._read = read
        self._session = requests.Session()
        self._session.trust_env = False  # a proxy of the environment must not see the key
        self.api: Any = zapv2.ZAPv2(apikey=key, validate_status_code=True)
        self.api._request_api = self._send  # noqa: SLF001 - the client's one way out; it offers no other place for a deadline

    def _send(self, url: str, query: Any = None, method: str = "GET", body: Any = None) -> Any:
        import requests

        where = url.partition("/JSON/")[2].rstrip("/") or url.partition("/OTHER/")[2].rstrip("/")
        try:
            answer = self._session.request(
                method,
                url.replace("http://zap/", self.address + "/", 1),
                params=query,
                data=body,
                headers={"X-ZAP-API-Key": self._key},
                timeout=(CONNECT, self._read),
                allow_redirects=False,
            )
        except requests.Timeout:
            raise ZapGone(f"ZAP did not answer {where} within {self._read:.0f} s") from None
        except requests.RequestException:
            raise ZapGone(f"ZAP ended the connection at {where}: it died, or the key is wrong") from None
        if answer.status_code != 200:
            raise Inconclusive(
                f"ZAP refused {where}: {_code(answer.text)} (HTTP {answer.status_code})", answer.text[:2000]
            )
        # A missing add-on answers 200 with an error body, even for a report: it would be saved as one.
        if _code(answer.text) and set(_object(answer.text)) <= {*_ERROR_KEYS, "detail"}:
            raise Inconclusive(f"ZAP refused {where}: {_code(answer.text)}", answer.text[:2000])
        if "/JSON/" in url:
            try:
                answer.json()
            except ValueError:
                raise Inconclusive(f"ZAP answered {where} with what is no JSON", answer.text[:2000]) from None
        return answer

    def number(self, value: Any, what: str) -> int:
        """`value` as a number; Inconclusive where ZAP gave something else."""
        if not (isinstance(value, int) or (isinstance(value, str) and value.isdigit())):
            raise Inconclusive(f"ZAP gave {str(value)[:80]!r} as {what}")
        return int(value)

    def rows(self, value: Any, what: str) -> list[dict[str, Any]]:
        """`value` as a list of objects."""
        if not isinstance(value, list) or not all(isinstance(row, dict) for row in value):
            raise Inconclusive(f"ZAP gave no list as {what}")
        return value

    def action(self, value: Any, what: str) -> None:
        """An action must say OK."""
        if value != "OK":
            raise Inconclusive(f"ZAP did not {what}: {str(value)[:80]}")

    def passive(self) -> bool:
        """Whether there is a passive scanner: without its add-on ZAP answers `no_implementor`."""
        try:
            self.number(self.api.pscan.records_to_scan, "records to scan")
        except ZapGone:
            raise
        except Inconclusive as error:
            if "no_implementor" in error.reason:
                return False
            raise
        return True

    def alerts(self, base: str, *, after: int = 0) -> Iterator[dict[str, Any]]:
        """The alerts below `base` past the first `after`, once each. `start` of the API counts from 1."""
        seen: set[str] = set()
        start = max(1, after - OVERLAP)
        while True:
            page = self.rows(self.api.core.alerts(baseurl=base, start=start, count=PAGE), "alerts")
            for alert in page:
                number = str(alert.get("id", ""))
                if number not in seen:
                    seen.add(number)
                    yield alert
            if len(page) < PAGE:
                return
            start += PAGE

    def messages(self, numbers: Sequence[str]) -> Iterator[tuple[str, dict[str, Any]]]:
        """Requests and responses with their ids, a few at a time: a body may be long, and there may be thousands."""
        for at in range(0, len(numbers), BATCH):
            batch = numbers[at : at + BATCH]
            for message in self.rows(self.api.core.messages_by_id(",".join(batch)), "messages"):
                yield str(message.get("id", "")), message


def _object(text: str) -> dict[str, Any]:
    if not text.startswith("{") or len(text) > 4096:
        return {}
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _code(text: str) -> str:
    code = _object(text).get("code", "")
    return code if isinstance(code, str) else ""

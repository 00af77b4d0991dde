"""Sending every operation of a definition once, logged in, through ZAP's proxy, so that its tree holds what to attack."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vallum.api.model import Operation, Request
from vallum.api.openapi import Definition, matcher
from vallum.api.reach import unreached
from vallum.errors import Inconclusive
from vallum_checks.zap_engine.model import ScanTarget, Sent

DEADLINE = 20.0
"""Seconds for one request."""
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
KEPT = 65536
"""Characters of an answer in which ids are looked for."""


class Seeder:
    """Sends the seeds of one service. `auth` are the headers of a logged-in request, `past` the proxy of the scope."""

    def __init__(
        self, target: ScanTarget, definition: Definition, proxy: str, auth: Mapping[str, str], past: str = ""
    ) -> None:
        self.target = target
        self._past = past
        self.definition = definition
        self.prefix = definition.prefix
        self._proxy = proxy
        self._auth = dict(auth)
        self._ids: dict[str, str] = {}
        self.sent: list[Sent] = []

    def early(self, *, safe: bool = False) -> None:
        """Send all operations but those that delete or log out; `safe`: none that changes anything (RFC 9110, 9.2.1).

        A servers entry whose path does not exist is found out.
        """
        chosen = [o for o in self.definition.operations if not o.late and (not safe or o.method in SAFE)]
        first = self._all(chosen)
        if self.prefix and first and all(sent.status in {0, 404} for sent in first):
            self.prefix = ""
            second = self._all(chosen)
            first = second if any(sent.status not in {0, 404} for sent in second) else first
            if first is not second:
                self.prefix = self.definition.prefix
        self.sent += first

    def late(self) -> list[Sent]:
        """Send those that delete or log out; returns what was sent."""
        sent = self._all(operation for operation in self.definition.operations if operation.late)
        self.sent += sent
        return sent

    def resend(self, sent: Sent) -> Sent:
        """Send a seed again, past ZAP: whether the login still counts."""
        import httpx

        # verify: the certificate is the scope's proxy's own, which checks the service's.
        with httpx.Client(
            proxy=self._past or None,
            trust_env=False,
            timeout=DEADLINE,
            follow_redirects=False,
            verify=not self._past,
        ) as client:
            return self._send(client, sent.request)

    def _all(self, operations: Iterable[Operation]) -> list[Sent]:
        import httpx

        # What makes objects goes before what reads them, and a collection before its members.
        order = sorted(operations, key=lambda o: (o.template.count("{"), o.method not in {"GET", "HEAD"}))
        # verify: the certificate is ZAP's own, made for this run; the target is the one that was staged.
        with httpx.Client(
            proxy=self._proxy,
            trust_env=False,
            timeout=DEADLINE,
            follow_redirects=False,
            verify=False,  # noqa: S501
        ) as client:
            return [self._send(client, self.definition.request(o, self._known, self.prefix)) for o in order]

    def _send(self, client: Any, request: Request) -> Sent:
        import httpx

        headers = {**dict(request.headers), **self._auth, "Accept": "*/*", "User-Agent": "vallum"}
        if request.body:
            headers["Content-Type"] = request.content_type
        try:
            answer = client.request(
                request.operation.method,
                self.target.base_url + request.path,
                params=list(request.query) or None,
                headers=headers,
                content=request.body or None,
            )
        except httpx.HTTPError as error:
            return Sent(self.target.service, request, 0, type(error).__name__)
        if answer.status_code == 502 and "ZAP Error" in answer.text[:200]:
            return Sent(self.target.service, request, 0, "the service did not answer")
        text = answer.text[:KEPT] if "json" in answer.headers.get("content-type", "") else ""
        self._harvest(request.operation.template, text)
        html = "html" in answer.headers.get("content-type", "")
        return Sent(self.target.service, request, answer.status_code, text=text, html=html)

    def _harvest(self, template: str, text: str) -> None:
        """Remember ids in an answer: for path parameters without an example."""
        if not text:
            return
        try:
            value: Any = json.loads(text)
        except ValueError:
            return
        if isinstance(value, dict):
            value = next((inner for inner in value.values() if isinstance(inner, list) and inner), value)
        row = value[0] if isinstance(value, list) and value else value
        if not isinstance(row, dict):
            return
        for name, item in row.items():
            if isinstance(item, str | int) and not isinstance(item, bool) and str(item):
                self._ids[f"{template.rstrip('/')} {name}"] = str(item)
                self._ids.setdefault(f" {name}", str(item))

    def _known(self, before: str, name: str) -> str:
        collection = before.rstrip("/")
        for key in (f"{collection} {name}", f"{collection} id", f" {name}"):
            if key in self._ids:
                return self._ids[key]
        plain = re.sub(r"_?(id|number|no|key)$", "", name, flags=re.IGNORECASE)
        return self._ids.get(f"{collection} {plain}", "") if plain else ""


def reached(sent: Sent, *, logged_in: bool) -> str:
    """Empty where the operation itself answered, else why it was not reached."""
    return unreached(sent.request.operation, sent.status, logged_in=logged_in, why=sent.why)


def write(path: Path, seeders: Iterable[Seeder], words: Iterable[str]) -> None:
    """The file that our starter rules read: what was sent, and which parts of it are parameters."""
    lines = ["words\t" + ",".join(sorted({word.lower() for word in words if re.fullmatch(r"[\w-]{2,40}", word)}))]
    for seeder in seeders:
        parts = urlsplit(seeder.target.base_url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        for sent in seeder.sent:
            request = sent.request
            names = [*request.parameters, *_body_names(request)]
            cells = [
                f"{parts.hostname}:{port}",
                request.operation.method,
                request.path,
                matcher(seeder.prefix, request.operation.template).pattern,
                ",".join(f"{number}:{name}" for number, name in request.segments),
                ",".join(name for name, _ in request.headers if name != "Cookie"),
                ",".join(name for name in names if "," not in name),
                "1" if request.operation.secured else "0",
            ]
            if any("\t" in cell or "\n" in cell for cell in cells):
                raise Inconclusive(f"{request.operation} has a tab or a line break in a name")
            lines.append("\t".join(cells))
    temporary = path.with_suffix(".new")
    temporary.write_text("\n".join(lines) + "\n", "utf-8")
    temporary.replace(path)


def _body_names(request: Request) -> list[str]:
    if "json" in request.content_type:
        try:
            value: Any = json.loads(request.body)
        except ValueError:
            return []
        return [str(name) for name in value] if isinstance(value, dict) else []
    if "urlencoded" in request.content_type:
        return [part.partition("=")[0] for part in request.body.decode("utf-8", "replace").split("&")]
    return []

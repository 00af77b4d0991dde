"""The requests of one login: one after the other, with their cookies, inside the scope, bounded in time and size."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote, urldefrag, urlencode, urljoin, urlsplit

from vallum.errors import Inconclusive
from vallum.stage.redact import Redactor
from vallum.stage.scope import Scope, origin_of

if TYPE_CHECKING:
    from types import TracebackType

DEADLINE = 15.0
"""Seconds for one request as a whole."""
MAX_ANSWER = 1 << 20
"""Bytes of an answer that are read."""
REDIRECTS = 10
"""Redirects that are followed in a row."""


@dataclass(frozen=True)
class Page:
    """An answer. Header names are in lower case."""

    method: str
    url: str
    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether it is 2xx."""
        return 200 <= self.status < 300

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode("utf-8", "replace")

    @property
    def where(self) -> str:
        """The request, for a sentence: without the query, which may hold a code."""
        return f"{self.method} {urlsplit(self.url).path or '/'}"

    @property
    def location(self) -> str:
        """Where a redirect leads; empty for an answer that is none."""
        if self.status not in {301, 302, 303, 307, 308} or "location" not in self.headers:
            return ""
        return join(self.url, self.headers["location"])

    def json(self) -> Any:
        """The body as JSON; None where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


def join(base: str, url: str) -> str:
    """`url` as it stands in an answer from `base`, whole. Raises Inconclusive for what is no URL."""
    try:
        return urljoin(base, url)
    except ValueError:
        raise Inconclusive(f"{urlsplit(base).path or '/'} leads to what is no URL") from None


class Conversation:
    """Use it in a `with`. Cookies are kept as a browser keeps them; each is made known to the redactor as it comes."""

    def __init__(self, scope: Scope, redactor: Redactor) -> None:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        self._scope = scope
        self._redactor = redactor
        self._client = scope.client(timeout=5.0)
        self._client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # they are kept here
        # Secure cookies go back to http too: browsers do that on the loopback, where staged services are
        self._jar = CookieJar(DefaultCookiePolicy(secure_protocols=("http", "https")))
        self._set_by: dict[str, set[tuple[str, str, int]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()

    def request(
        self, method: str, url: str, *, headers: Mapping[str, str] | None = None, body: bytes = b"", type_: str = ""
    ) -> Page:
        """One request; a redirect is not followed. Raises Inconclusive outside the scope, and where no answer comes."""
        import httpx

        self._check(url)
        url = urldefrag(url).url
        given = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "vallum", **(headers or {})}
        if type_:
            given["Content-Type"] = type_
        if (cookies := self._cookie_header(url)) and "Cookie" not in given:
            given["Cookie"] = cookies
        where = f"{method} {urlsplit(url).path or '/'}"
        end = time.monotonic() + DEADLINE
        try:
            with self._client.stream(method, url, headers=given, content=body or None) as response:
                content = b""
                for chunk in response.iter_bytes():
                    content += chunk
                    if time.monotonic() > end:
                        raise Inconclusive(f"{where} took more than {DEADLINE:.0f} s")
                    if len(content) > MAX_ANSWER:
                        raise Inconclusive(f"{where} answered more than {MAX_ANSWER} bytes")
                self._keep(url, response.headers.get_list("set-cookie"))
                return Page(method, url, response.status_code, dict(response.headers), content)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError) as error:
            raise Inconclusive(f"{where} did not answer: {type(error).__name__}") from None

    def post_json(self, method: str, url: str, value: Any, headers: Mapping[str, str] | None = None) -> Page:
        """Send `value` as JSON."""
        return self.request(method, url, headers=headers, body=json.dumps(value).encode(), type_="application/json")

    def post_form(
        self, url: str, fields: list[tuple[str, str]], headers: Mapping[str, str] | None = None, method: str = "POST"
    ) -> Page:
        """Send `fields` as an HTML form does (application/x-www-form-urlencoded)."""
        return self.request(
            method, url, headers=headers, body=urlencode(fields).encode(), type_="application/x-www-form-urlencoded"
        )

    def follow(self, page: Page, caught: Callable[[str], bool] = lambda _: False) -> Page:
        """Follow redirects as a browser does, with GET; one that `caught` accepts is given back unfollowed."""
        for _ in range(REDIRECTS):
            if not page.location or caught(page.location):
                return page
            page = self.request("GET", page.location)
        raise Inconclusive(f"{page.where}: more than {REDIRECTS} redirects in a row")

    def cookie(self, name: str) -> str:
        """The value of a cookie; empty where there is none."""
        return next((cookie.value or "" for cookie in self._jar if cookie.name == name), "")

    def cookies(self, url: str, origins: Mapping[str, str]) -> str:
        """The Cookie header for `url`, with what was set by one of `origins` only: an identity provider's stay with it."""
        ours = {origin_of(origin) for origin in origins.values()}
        pairs = [pair for pair in self._cookie_header(url).split("; ") if pair]
        return "; ".join(pair for pair in pairs if self._set_by.get(pair.partition("=")[0], set()) & ours)

    def _check(self, url: str) -> None:
        if self._scope.allows(url):
            return
        parts = urlsplit(url)
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}" if parts.netloc else "no http address"
        raise Inconclusive(
            f"the login leads to {origin[:100]}, outside the deployment: not requested; "
            "where it is the identity provider, list it in environment.login.allow"
        )

    def _cookie_header(self, url: str) -> str:
        from urllib.request import Request

        request = Request(url)  # noqa: S310 - it is not opened; the jar wants one to say which cookies belong to a URL
        self._jar.add_cookie_header(request)
        return request.get_header("Cookie") or ""

    def _keep(self, url: str, set_cookies: list[str]) -> None:
        from urllib.request import Request

        for line in set_cookies:
            name, _, value = line.partition(";")[0].partition("=")
            self._set_by.setdefault(name.strip(), set()).add(origin_of(url))
            learn(self._redactor, value.strip().strip('"'))
        self._jar.extract_cookies(_Response(set_cookies), Request(url))  # type: ignore[arg-type]  # noqa: S310 - as above


class _Response:
    """What a CookieJar wants of an answer."""

    def __init__(self, set_cookies: list[str]) -> None:
        from email.message import Message

        self._message = Message()
        for line in set_cookies:
            self._message["Set-Cookie"] = line

    def info(self) -> Any:
        """The headers."""
        return self._message


def learn(redactor: Redactor, value: str) -> None:
    """Make a value that a service handed out known to the redactor, unless it is a word such as a language's name."""
    if len(value) < 16 and value.replace("-", "").replace("_", "").isalpha():
        return
    redactor.add(value)
    if "%" in value:  # services that decode a cookie may tell it so
        redactor.add(unquote(value))

"""Calls to the other services: fixed hosts, certificates checked and shown, no redirects followed."""
import os
import threading
from http.cookiejar import DefaultCookiePolicy

import requests
from flask import Response, abort, g, request
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

import ratelimit
from settings import setting

ACCOUNTS = setting("ACCOUNTS_URL", "http://127.0.0.1:8003")
CATALOG = setting("CATALOG_URL", "http://127.0.0.1:8004")
ORDERS = setting("ORDERS_URL", "http://127.0.0.1:8002")
SECONDS = 10
AUTHORITIES = os.environ.get("TLS_AUTHORITIES", True)  # of the services' certificates; else the system's
OWN = (setting("TLS_CERTIFICATE"), setting("TLS_KEY")) if "TLS_CERTIFICATE" in os.environ else None
_own = threading.local()


def kept() -> requests.Session:
    """This thread's open connections. No cookies, no proxies; what was closed meanwhile is opened anew."""
    if not hasattr(_own, "session"):
        session = _own.session = requests.Session()
        session.trust_env = False
        session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        again = HTTPAdapter(max_retries=Retry(1, redirect=False, status=0, allowed_methods=["GET"]))
        session.mount("https://", again)
        session.mount("http://", again)
    return _own.session


def call(method: str, url: str, query: dict | None = None, body: dict | None = None) -> requests.Response:
    token = g.get("token", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    # What changes something must not be sent twice, so not on a connection that may be about to end.
    send = kept().request if method == "GET" else requests.request
    try:
        return send(
            method,
            url,
            params=query,
            json=body,
            headers=headers,
            timeout=SECONDS,
            allow_redirects=False,
            verify=AUTHORITIES,
            cert=OWN,
        )
    except requests.RequestException:
        abort(502, "a service does not answer")


def get(url: str, **query: str) -> requests.Response:
    return call("GET", url, query=query)


def log_in(body: dict) -> requests.Response:
    """Ask accounts, unless this client has failed too often."""
    if ratelimit.logins.left(request.remote_addr, 0) <= 0:
        ratelimit.refuse()
    answer = call("POST", ACCOUNTS + "/login", body=body)
    if answer.status_code == 401:
        ratelimit.logins.left(request.remote_addr, 1)
    return answer


def relay(answer: requests.Response) -> Response:
    if answer.status_code >= 500:
        abort(502, "a service does not answer")
    wait = answer.headers.get("Retry-After")
    headers = {"Retry-After": wait} if wait else {}
    return Response(answer.content, answer.status_code, headers, content_type="application/json")

"""Calls to the other services: fixed hosts, certificates checked and shown, no redirects followed."""
import os

import requests
from flask import Response, abort, g, request

import ratelimit
from settings import setting

ACCOUNTS = setting("ACCOUNTS_URL", "http://127.0.0.1:8003")
CATALOG = setting("CATALOG_URL", "http://127.0.0.1:8004")
ORDERS = setting("ORDERS_URL", "http://127.0.0.1:8002")
SECONDS = 10
AUTHORITIES = os.environ.get("TLS_AUTHORITIES", True)  # of the services' certificates; else the system's
OWN = (setting("TLS_CERTIFICATE"), setting("TLS_KEY")) if "TLS_CERTIFICATE" in os.environ else None


def call(method: str, url: str, query: dict | None = None, body: dict | None = None) -> requests.Response:
    token = g.get("token", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return requests.request(
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

"""Calls to the other services: fixed hosts, certificates checked, no redirects followed."""
import requests
from flask import Response, abort, g

from settings import setting

ACCOUNTS = setting("ACCOUNTS_URL", "http://127.0.0.1:8003")
CATALOG = setting("CATALOG_URL", "http://127.0.0.1:8004")
ORDERS = setting("ORDERS_URL", "http://127.0.0.1:8002")
SECONDS = 10


def call(method: str, url: str, query: dict | None = None, body: dict | None = None) -> requests.Response:
    token = g.get("token", "")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        return requests.request(
            method, url, params=query, json=body, headers=headers, timeout=SECONDS, allow_redirects=False
        )
    except requests.RequestException:
        abort(502, "a service does not answer")


def get(url: str, **query: str) -> requests.Response:
    return call("GET", url, query=query)


def relay(answer: requests.Response) -> Response:
    if answer.status_code >= 500:
        abort(502, "a service does not answer")
    return Response(answer.content, answer.status_code, content_type="application/json")

"""Calls to the other services. DELIBERATELY WEAK: see ../../README.md."""
import os

import requests
from flask import Response, request

ACCOUNTS = os.environ.get("ACCOUNTS_URL", "http://127.0.0.1:8003")
CATALOG = os.environ.get("CATALOG_URL", "https://127.0.0.1:8004")
ORDERS = os.environ.get("ORDERS_URL", "http://127.0.0.1:8002")


def token() -> dict:
    cookie = request.cookies.get("session", "")
    return {"Authorization": request.headers.get("Authorization") or f"Bearer {cookie}"}


def get(url: str, **query) -> requests.Response:
    return requests.get(url, params=query, headers=token(), verify=False, timeout=10)  # WEAKNESS: gateway-tls-not-verified


def send(method: str, url: str, body) -> requests.Response:
    return requests.request(method, url, json=body, headers=token(), timeout=10)


def relay(answer: requests.Response) -> Response:
    return Response(answer.content, answer.status_code, content_type=answer.headers.get("Content-Type"))

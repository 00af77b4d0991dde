"""One small service in two states: each path has a weakness, or it is mended. Real SQLite, real shell, real files."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
import json
import pickle
import re
import sqlite3
import subprocess
import traceback
import urllib.request
from urllib.parse import quote, urlsplit

KEY = {"weak": b"shelf-secret", "mended": b"0d6cf0a7b1e24a0e9f2c53c9a1d7e88fb55e1f0c"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
SAFE = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}

# Path, parameter and example of what is attacked in a query; the rest of the definition is written out below.
QUERIES = {
    "/sql": ("name", "lamp"),
    "/sql-blind": ("name", "lamp"),
    "/sql-number": ("id", "1"),
    "/xss-text": ("q", "lamp"),
    "/xss-attribute": ("q", "lamp"),
    "/xss-script": ("q", "lamp"),
    "/json-echo": ("q", "lamp"),
    "/file": ("name", "a.txt"),
    "/ping": ("host", "lamp"),
    "/ping-blind": ("host", "lamp"),
    "/eval": ("formula", "2+3"),
    "/template": ("text", "hello"),
    "/go": ("to", "/"),
    "/header": ("name", "lamp"),
    "/fetch": ("url", "/a"),
    "/trace": ("number", "7"),
}


def definition(url: str) -> str:
    """OpenAPI 3 as JSON, with a servers entry on another port: what a staged deployment always has."""
    ok = {"responses": {"200": {"description": "ok"}}}
    paths: dict[str, dict] = {
        path: {
            "get": {
                "parameters": [{"name": name, "in": "query", "schema": {"type": "string"}, "example": example}],
                **ok,
            }
        }
        for path, (name, example) in QUERIES.items()
    }
    body = lambda example, kind="application/json": {"requestBody": {"content": {kind: {"example": example}}}, **ok}  # noqa: E731
    paths |= {
        "/page": {"get": ok},
        "/items/{name}": {"get": {"parameters": [{"name": "name", "in": "path", "example": "lamp"}], **ok}},
        "/json-sql": {"post": body({"filter": {"name": "lamp"}})},
        "/xml": {"post": body("<list><name>a</name></list>", "application/xml")},
        "/pickle": {"post": body({"basket": base64.b64encode(pickle.dumps({"a": 1}, 2)).decode()})},
        "/me": {"get": {"security": [{"bearer": []}], **ok}},
        "/orders": {"get": {"security": [{"bearer": []}], **ok}},
        "/login": {"post": body({"username": "ann", "password": "right"})},
        "/users": {"get": ok},
        "/items/{name}/gone": {"delete": {"parameters": [{"name": "name", "in": "path", "example": "lamp"}], **ok}},
    }
    return json.dumps(
        {"openapi": "3.0.3", "info": {"title": "shelf"}, "servers": [{"url": "http://127.0.0.1:9"}], "paths": paths}
    )


def token(state: str) -> str:
    head, claims = (
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in ({"alg": "HS256", "typ": "JWT"}, {"sub": "1"})
    )
    return (head + b"." + claims + b"." + _sign(state, head + b"." + claims)).decode()


def _sign(state: str, data: bytes) -> bytes:
    return base64.urlsafe_b64encode(hmac.new(KEY[state], data, hashlib.sha256).digest()).rstrip(b"=")


class Shelf:
    """`state` is weak or mended."""

    def __init__(self, state: str) -> None:
        self.state, self.weak = state, state == "weak"
        self.failures = 0

    def _rows(self, sql: str, *values: object) -> list:
        database = sqlite3.connect(":memory:")
        database.execute("create table item (id integer, name text)")
        database.executemany("insert into item values (?, ?)", [(1, "lamp"), (2, "mug"), (3, "book")])
        try:
            return database.execute(sql, values).fetchall()
        finally:
            database.close()

    def __call__(self, asked):
        try:
            status, headers, content = self.route(asked)
        except Exception as error:  # noqa: BLE001
            trace = traceback.format_exc() if self.weak else "an error; id 1"
            status, headers, content = 500, {"Content-Type": "text/plain"}, trace.encode()
            if not self.weak and isinstance(error, ValueError | TypeError | KeyError | AttributeError):
                status, content = 400, b"{}"
            if asked.path in {"/sql-blind", "/sql-number", "/json-sql"} and isinstance(error, sqlite3.Error):
                status, content = 200, b"[]"
        headers = dict(headers)
        headers.setdefault("Content-Type", "application/json")
        if self.weak:
            headers["Access-Control-Allow-Origin"] = asked.headers.get("origin", "*")
            headers["Access-Control-Allow-Credentials"] = "true"
            headers["X-Powered-By"] = "Shelf 1.2"
        else:
            headers |= SAFE
        return status, headers, content

    def user(self, asked) -> bool:
        given = asked.headers.get("authorization", "").removeprefix("Bearer ")
        parts = given.encode().split(b".")
        if len(parts) != 3:
            return False
        head = base64.urlsafe_b64decode(parts[0] + b"==")
        if self.weak and b'"none"' in head:
            return True
        return hmac.compare_digest(_sign(self.state, parts[0] + b"." + parts[1]), parts[2])

    def route(self, asked):
        value = asked.query.get(QUERIES.get(asked.path, ("",))[0], "")
        name = asked.path.strip("/").replace("-", "_").split("/")[0]
        return getattr(self, f"do_{name}", self.nothing)(asked, value)

    def nothing(self, asked, value):
        if asked.path == "/":
            return 200, HTML, b"<h1>Shelf</h1><a href='/page'>page</a>"
        return 404, {}, b"{}"

    def do_sql(self, asked, value):
        rows = (
            self._rows(f"select * from item where name = '{value}'")
            if self.weak
            else self._rows("select * from item where name = ?", value)
        )
        return 200, {}, json.dumps(rows).encode()

    do_sql_blind = do_sql

    def do_sql_number(self, asked, value):
        if not self.weak and not value.isdigit():
            return 400, {}, b"{}"
        return 200, {}, json.dumps(self._rows(f"select * from item where id = {value}")).encode()

    def do_json_sql(self, asked, value):
        value = str(json.loads(asked.body)["filter"]["name"])
        return self.do_sql(asked, value)

    def do_items(self, asked, value):
        value = asked.path.split("/")[2]
        if asked.method == "DELETE":
            return 200, {}, b"{}"
        return self.do_sql(asked, value)

    def do_xss_text(self, asked, value):
        return 200, HTML, f"<h1>{value if self.weak else html.escape(value)}</h1>".encode()

    def do_xss_attribute(self, asked, value):
        # Escaping < and > only is not enough inside an attribute.
        shown = html.escape(value, quote=not self.weak)
        return 200, HTML, f'<input value="{shown}">'.encode()

    def do_xss_script(self, asked, value):
        shown = html.escape(value, quote=False) if self.weak else json.dumps(html.escape(value))[1:-1]
        return 200, HTML, f"<script>var q = '{shown}';</script>".encode()

    def do_json_echo(self, asked, value):
        return 200, {}, json.dumps({"q": value}).encode()

    def do_file(self, asked, value):
        if value == "a.txt":
            return 200, {"Content-Type": "text/plain"}, b"a"
        if not self.weak:
            return 404, {}, b"{}"
        try:
            with open("/srv/none/" + value if not value.startswith("/") else value, "rb") as file:
                return 200, {"Content-Type": "text/plain"}, file.read(4096)
        except OSError:
            return 404, {}, b"{}"

    def do_ping(self, asked, value):
        if self.weak:
            done = subprocess.run(f"echo asking {value}", shell=True, capture_output=True, timeout=10, check=False)
        else:
            done = subprocess.run(["echo", "asking", value], capture_output=True, timeout=10, check=False)
        return 200, {"Content-Type": "text/plain"}, b"ok" if asked.path == "/ping-blind" else done.stdout

    do_ping_blind = do_ping

    def do_eval(self, asked, value):
        if not self.weak and not re.fullmatch(r"\d{1,3}\+\d{1,3}", value):
            return 400, {}, b"{}"
        return 200, {}, json.dumps({"value": str(eval(value, {"__builtins__": {}}))}).encode()

    def do_template(self, asked, value):
        if self.weak:
            value = re.sub(r"\{\{\s*(\d+)\s*\*\s*(\d+)\s*\}\}", lambda found: str(int(found[1]) * int(found[2])), value)
        return 200, {"Content-Type": "text/plain"}, value.encode()

    def do_go(self, asked, value):
        ours = urlsplit(value.replace("\\", "/"))
        safe = not ours.netloc and not ours.scheme and not value.startswith("//") and value.isprintable()
        return 302, {"Location": value if self.weak or safe else "/"}, b""

    def do_header(self, asked, value):
        return 200, {"X-Name": value if self.weak else quote(value)}, b"{}"

    def do_fetch(self, asked, value):
        if self.weak and value.startswith("http://127.0.0.1:"):
            with urllib.request.urlopen(value, timeout=3) as answer:
                return 200, {"Content-Type": "text/plain"}, answer.read(1000)
        return 200, {}, b"{}"

    def do_trace(self, asked, value):
        if not self.weak and not value.isdigit():
            return 400, {}, b"{}"
        return 200, {}, str(int(value)).encode()

    def do_page(self, asked, value):
        form = (
            "<form method=post action=/x><input name=a></form>"
            if self.weak
            else "<form method=post><input type=hidden name=csrf></form>"
        )
        cookie = "session=abc" if self.weak else "session=abc; HttpOnly; Secure; SameSite=Lax"
        return 200, {**HTML, "Set-Cookie": cookie}, form.encode()

    def do_xml(self, asked, value):
        text = asked.body.decode()
        if self.weak:  # what a parser with external entities does
            entity = re.search(r'<!ENTITY (\w+) SYSTEM "(http://127\.0\.0\.1:[^"]+)"', text)
            if entity:
                with urllib.request.urlopen(entity[2], timeout=3) as answer:
                    text = text.replace(f"&{entity[1]};", answer.read(1000).decode())
        elif "<!DOCTYPE" in text:
            return 400, {}, b"{}"
        return 200, {}, json.dumps(re.findall(r"<name>([^<]*)", text)).encode()

    def do_pickle(self, asked, value):
        data = base64.b64decode(json.loads(asked.body)["basket"])
        if self.weak:
            try:
                return 200, {}, json.dumps(str(pickle.loads(data))).encode()
            except Exception:  # noqa: BLE001
                return 400, {}, b"{}"
        return 200, {}, b"{}"

    def do_me(self, asked, value):
        return (200, {}, b'{"sub": 1}') if self.user(asked) else (401, {}, b"{}")

    def do_orders(self, asked, value):
        return (200, {}, b'[{"id": 1}]') if self.weak or self.user(asked) else (401, {}, b"{}")

    def do_login(self, asked, value):
        sent = json.loads(asked.body) if asked.body.startswith(b"{") else {}
        if not isinstance(sent, dict):
            return 400, {}, b"{}"
        if not self.weak and self.failures > 5:
            return 429, {"Retry-After": "60"}, b"{}"
        if sent.get("password") == "right" and sent.get("username") == "ann":
            return 200, {}, b'{"ok": true}'
        self.failures += 1
        if self.weak and sent.get("username") != "ann":
            return 404, {}, b'{"error": "no such user"}'
        return 401, {}, b'{"error": "wrong"}'

    def do_users(self, asked, value):
        row = {"name": "ann", "password_hash": "5f4dcc3b5aa765d61d8327deb882cf99"} if self.weak else {"name": "ann"}
        return 200, {}, json.dumps([row]).encode()

    def do_metrics(self, asked, value):
        if self.weak:
            return 200, {"Content-Type": "text/plain"}, b"# HELP requests x\nrequests_total 7\n"
        return 404, {}, b"{}"


__all__ = ["Shelf", "definition", "token"]

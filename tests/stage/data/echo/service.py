"""A service with every kind of login but OAuth, that tells all it hears: on its output, and in each answer."""

import base64
import json
import os
import secrets
import sys
import threading
import time
from html import escape
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, quote, urlsplit

PASSWORD, KEY = os.environ.get("PASSWORD", ""), os.environ.get("KEY", "")
LIFE = float(os.environ.get("LIFE", "3600"))
sessions, tokens, csrf, halves = {}, {}, set(), set()
count = []


def note(*values):
    """What a test must not find again: written down where vallum does not see it."""
    if os.environ.get("JOURNAL"):
        with open(os.environ["JOURNAL"], "a") as file:
            file.write("".join(f"{value}\n" for value in values))


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.hear(b"")
        path = urlsplit(self.path).path
        if path == "/login":
            token, half = secrets.token_urlsafe(24), secrets.token_hex(16)
            csrf.add(token)
            note(token, half)
            again = "<p>wrong</p>" if "again" in self.path else ""
            return self.page(
                f"""<html><body><form action="/search"><input name=q></form>{again}
                <form method=post action="session?from=login"><input type=hidden name=csrf value="{token}">
                <input name=user><input type=PASSWORD name=pass><input type=checkbox name=stay>
                <select name=lang><option value=de>Deutsch<option value=en selected>English</select>
                <button name=do value=login>Log in</button><button name=do value=forgot>Forgot</button></form>""",
                [f"half={half}; Path=/; HttpOnly"],
            )
        if path == "/second":
            return self.page('<form method="post"><input name="code"></form>')
        if path == "/spa":
            return self.page('<div id="app"></div><script src="/app.js"></script>')
        if path == "/elsewhere":
            return self.answer(302, {}, [], "http://127.0.0.2:9/login")
        if path == "/nowhere":
            return self.answer(302, {}, [], "http://[/")
        if path == "/lost":
            return self.page('<form action="http://[x/"><input name="user">')
        if path == "/round":
            return self.answer(302, {}, [], "/round")
        if path == "/long":
            self.send_response(200)
            self.end_headers()
            for _ in range(64):
                self.wfile.write(b"x" * 65536)
            return None
        if path == "/logins":
            return self.answer(200, {"logins": len(count)})
        if path.startswith("/me"):
            return self.answer(200, {}) if self.logged_in() else self.turn_away(path)
        return self.answer(200, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hear(body)
        path = urlsplit(self.path).path
        form = dict(parse_qsl(body.decode()))
        if path == "/session":
            good = form.get("csrf") in csrf and form.get("user") == "alice" and form.get("pass") == PASSWORD
            if not good or form.get("do") != "login" or form.get("lang") != "en" or "stay" in form:
                return self.answer(303, {}, [], "/login?again")
            count.append(1)
            return self.answer(303, {}, [self.session()], "/")
        asked = json.loads(body)
        if path == "/api/start":
            half = secrets.token_urlsafe(16)
            halves.add(half)
            note(half)
            good = asked.get("user", {}).get("password") == PASSWORD
            return self.answer(200 if good else 401, {"steps": [{"challenge": half}] if good else []})
        if path == "/api/finish":
            good = asked.get("challenge") in halves and self.headers.get("X-Step") == "2"
            return self.give() if good else self.answer(401, {})
        if path == "/api/login" and asked.get("password") == PASSWORD:
            return self.give()
        if path == "/api/cookie" and asked.get("password") == PASSWORD:
            count.append(1)
            return self.answer(200, {}, [self.session()])
        return self.answer(401, {})

    def give(self):
        count.append(1)
        time.sleep(0.2)
        token = f"token-{len(count)}-{secrets.token_urlsafe(24)}"
        tokens[token] = time.monotonic() + LIFE
        note(token)
        print("gave", token, flush=True)
        return self.answer(200, {"data": {"access": token}})

    def session(self):
        token = secrets.token_urlsafe(24)
        note(token)
        sessions[token] = time.monotonic() + LIFE
        return f"session={token}; Path=/me; HttpOnly; Secure; SameSite=Lax"

    def logged_in(self):
        given = self.headers.get("Authorization", "")
        cookies = SimpleCookie(self.headers.get("Cookie", ""))
        now = time.monotonic()
        basic = "Basic " + base64.b64encode(f"alice:{PASSWORD}".encode()).decode()
        return (
            tokens.get(given.removeprefix("Bearer "), 0) > now
            or (bool(KEY) and self.headers.get("X-API-Key") == KEY)
            or given == f"Bearer {KEY}"
            or given == basic
            or ("session" in cookies and sessions.get(cookies["session"].value, 0) > now)
        )

    def turn_away(self, path):
        if path == "/me/page":
            return self.answer(302, {}, [], "/login?next=" + quote(self.path))
        if path == "/me/moved":
            return self.answer(302, {}, [], "/me/moved?x")
        return self.answer(401, {})

    def hear(self, body):
        self.heard = f"{self.command} {self.path}\n{self.headers}\n{body.decode('utf-8', 'replace')}"
        print(self.heard, flush=True)

    def page(self, html, cookies=()):
        self.send(200, "text/html", f"{html}<pre>{escape(self.heard)}</pre>".encode(), cookies)

    def answer(self, status, what, cookies=(), location=""):
        self.send(status, "application/json", json.dumps({**what, "heard": self.heard}).encode(), cookies, location)

    def send(self, status, kind, body, cookies=(), location=""):
        for line in cookies:
            print("set", line, flush=True)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for line in cookies:
            self.send_header("Set-Cookie", line)
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


threading.stack_size(256 << 10)
ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

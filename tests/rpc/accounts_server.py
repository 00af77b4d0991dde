"""Who logs in: POST /login with name and password gives a token, GET /me asks for one. `accounts_server.py PORT`."""

import base64
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = os.environ["KEY"].encode()
failures = {}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(text):
    return f"{text}.{b64(hmac.digest(KEY, text.encode(), 'sha256'))}"


class Api(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def say(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        if self.path == "/me":
            return self.say(200 if token and signed(token.rpartition(".")[0]) == token else 401, {})
        return self.say(200 if self.path == "/ready" else 404, {})

    def do_POST(self):
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        name = given["username"]
        if failures.get(name, 0) >= 5:
            return self.say(429, {})
        if given["password"] != os.environ.get(name.upper(), ""):
            failures[name] = failures.get(name, 0) + 1
            return self.say(401, {})
        now = int(time.time())
        head = b64(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        claims = {"sub": name, "iat": now, "exp": now + 900, "aud": "shop"}
        return self.say(200, {"access_token": signed(f"{head}.{b64(json.dumps(claims).encode())}")})

    def log_message(self, *args):
        """Quiet."""


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Api).serve_forever()

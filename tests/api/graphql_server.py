"""A GraphQL service by graphql-core, GraphQL's reference in Python: `graphql_server.py PORT SDL-FILE [mute]`.

`mute` turns introspection off, as many services do.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from graphql import build_schema, graphql_sync

SCHEMA = build_schema(Path(sys.argv[2]).read_text())
MUTE = "mute" in sys.argv


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(200 if self.path == "/ready" else 404, {})

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            data = json.loads(body)
            text = data["query"]
            assert isinstance(text, str)
        except (ValueError, KeyError, TypeError, AssertionError):
            return self.answer(400, {"errors": [{"message": "no query"}]})
        if MUTE and "__schema" in text:
            return self.answer(200, {"errors": [{"message": "introspection is turned off"}]})
        root = {"orders": [], "deleteOrder": True}
        result = graphql_sync(SCHEMA, text, root, None, data.get("variables"), data.get("operationName"))
        return self.answer(200, result.formatted)

    def answer(self, status, value):
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

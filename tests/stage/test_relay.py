"""The relay hands on what it gets, and nothing once it is closed."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from vallum.stage import relay


def test_the_relay_hands_on_both_ways_and_closes() -> None:
    """Against a real server on loopback, with a body larger than any buffer."""

    class Echo(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        forward = relay.Relay(("127.0.0.1", server.server_port))
        try:
            sent = os.urandom(3_000_000)
            for _ in range(5):
                with urllib.request.urlopen(f"http://127.0.0.1:{forward.port}/", data=sent, timeout=30) as answer:
                    assert answer.read() == sent
        finally:
            forward.close()
            forward.close()
            server.shutdown()
            thread.join()
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"http://127.0.0.1:{forward.port}/", timeout=5)

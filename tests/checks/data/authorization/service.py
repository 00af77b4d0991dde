"""A small API for the tests of `authorization`. HOLES names what is wrong with it; without any it is sound."""

import json
import os
import re
import sys
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

HOLES = set(os.environ.get("HOLES", "").split())
PASSWORDS = {name: os.environ[name.upper()] for name in ("alice", "bob", "root") if name.upper() in os.environ}
USERS = {
    name: {"id": 100 + number, "username": name, "role": "admin" if name == "root" else "user", "email": f"{name}@x.example"}
    for number, name in enumerate(PASSWORDS)
}
NOTES = {}
TEAMS = {1: {"id": 1, "title": "everybody", "members": 2}}
DOCUMENTS = {7: {"id": 7, "text": "whose is it"}}
hits = 0


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def say(self, status, what=None, **headers):
        body = b"" if what is None else what if isinstance(what, bytes) else json.dumps(what).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html" if isinstance(what, bytes) else "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        length = int(self.headers.get("Content-Length") or 0)
        try:
            value = json.loads(self.rfile.read(length) or b"null")
        except ValueError:
            return None
        return value if isinstance(value, dict) else None

    def do(self):
        global hits
        hits += 1
        body = self.body()
        path = urlsplit(self.path).path
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        me = next((name for name in PASSWORDS if token == f"tok-{name}-{PASSWORDS[name]}"), "")
        if "fails" in HOLES and me == "bob" and path.startswith("/notes/"):
            return self.say(503)
        if "limits" in HOLES and hits % 5 == 0 and path.startswith("/notes"):
            return self.say(429, {}, **{"Retry-After": "0"})
        for (method, pattern), act in ROUTES.items():
            found = re.fullmatch(pattern, path)
            if found and method == self.command:
                return act(self, me, body, *found.groups())
        return self.say(404, {"error": "no such page"})

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do


def route(method, pattern):
    def keep(act):
        ROUTES[method, pattern] = act
        return act

    return keep


ROUTES = {}


@route("GET", "/ready")
def ready(h, me, body):
    h.say(200, {"hits": hits, "notes": len(NOTES), "users": USERS})


@route("POST", "/login")
def login(h, me, body):
    name = str((body or {}).get("username"))
    if name in PASSWORDS and (body or {}).get("password") == PASSWORDS[name]:
        return h.say(200, {"access_token": f"tok-{name}-{PASSWORDS[name]}"})
    return h.say(401, {"error": "no"})


@route("GET", "/me")
def who(h, me, body):
    h.say(200, USERS[me]) if me else h.say(401)


@route("PATCH", "/me")
def change_me(h, me, body):
    if not me:
        return h.say(401)
    allowed = {"email"} | ({"role"} if "role" in HOLES else set())
    USERS[me] |= {name: value for name, value in (body or {}).items() if name in allowed}
    return h.say(200, USERS[me])


@route("GET", "/users/(\\d+)")
def user(h, me, body, number):
    found = next((one for one in USERS.values() if one["id"] == int(number)), None)
    if "open-users" in HOLES and found:
        return h.say(200, found)
    if not me:
        return h.say(401)
    return h.say(200, found) if found and found["username"] == me else h.say(404)


@route("PUT", "/users/(\\d+)/password")
def set_password(h, me, body, number):
    if not me:
        return h.say(401)
    if USERS[me]["id"] != int(number) and "password" not in HOLES:
        return h.say(403)
    USERS[me]["changed_by"] = me
    return h.say(204)


def shown(note):
    more = {"pin_hash": "x", "token": "s3cr3t"} if "secrets" in HOLES else {"card_number": "****1234", "has_password": True}
    more |= {"internal_rank": 3} if "undeclared" in HOLES else {}
    return {**note, **more, "reads": hits}  # `reads` changes by itself: a counter is no change of the object


@route("GET", "/notes")
def notes(h, me, body):
    if not me:
        return h.say(401)
    mine = [shown(one) for one in NOTES.values() if one["owner"] == me or "listed" in HOLES]
    return h.say(200, {"items": mine, "count": len(mine)})


@route("POST", "/notes")
def new_note(h, me, body):
    if not me:
        return h.say(401)
    if not isinstance((body or {}).get("text"), str):
        return h.say(422, {"error": "text"})
    if "strict" in HOLES and set(body) - {"text", "quantity"}:
        return h.say(400, {"error": "unknown property"})
    key = str(uuid.uuid4())
    note = {"id": key, "owner": me, "text": body["text"], "quantity": body.get("quantity", 1), "price": 10.0, "shared": False}
    if "price" in HOLES:
        note |= {name: body[name] for name in ("price", "shared") if name in body}
    NOTES[key] = note
    return h.say(201, None, Location=f"/v1/notes/{key}")


def note_for(h, me, key, hole):
    """The note that the caller may have; otherwise the answer is said here."""
    note = NOTES.get(key)
    if not me and f"open-{hole}" not in HOLES:
        return h.say(401)
    if note is None or (note["owner"] != me and not {hole, f"open-{hole}"} & HOLES):
        if "polite" in HOLES:
            return h.say(200, {"error": "not yours"})
        return h.say(404)
    return note


@route("GET", "/notes/([\\w-]+)")
def note(h, me, body, key):
    found = note_for(h, me, key, "read")
    if found:
        h.say(200, shown(found))


@route("PUT", "/notes/([\\w-]+)")
def put_note(h, me, body, key):
    found = note_for(h, me, key, "change")
    if found:
        found |= {name: body[name] for name in ("text", "quantity") if name in (body or {})}
        h.say(200, shown(found))


@route("DELETE", "/notes/([\\w-]+)")
def remove_note(h, me, body, key):
    found = note_for(h, me, key, "delete")
    if found:
        del NOTES[key]
        h.say(204)


@route("GET", "/notes/([\\w-]+)/lines")
def lines(h, me, body, key):
    found = note_for(h, me, key, "lines")
    if found:
        h.say(200, [{"line": word} for word in found["text"].split()])


@route("GET", "/teams")
def teams(h, me, body):
    h.say(200, list(TEAMS.values())) if me else h.say(401)


@route("GET", "/teams/(\\d+)")
def team(h, me, body, number):
    if not me:
        return h.say(401)
    return h.say(200, TEAMS[int(number)]) if int(number) in TEAMS else h.say(404)


@route("GET", "/documents/(\\d+)")
def document(h, me, body, number):
    if not me:
        return h.say(401)
    return h.say(200, DOCUMENTS[int(number)]) if int(number) in DOCUMENTS else h.say(404)


@route("GET", "/admin")
def admin_page(h, me, body):
    h.say(200, b"<form><input name=p type=password></form>")


@route("GET", "/admin/report")
def report(h, me, body):
    if USERS.get(me, {}).get("role") == "admin" or (me and "report" in HOLES) or "open-report" in HOLES:
        return h.say(200, {"users": len(USERS)})
    return h.say(403 if me else 401)


@route("POST", "/jobs")
def jobs(h, me, body):
    if USERS.get(me, {}).get("role") == "admin" or (me and "jobs" in HOLES):
        return h.say(202, {"queued": True})
    return h.say(403 if me else 401)


@route("GET", "/account/manage")
def manage(h, me, body):
    h.say(200, {"settings_of": me, "theme": f"of {me}"}) if me else h.say(401)


@route("GET", "/metrics")
def metrics(h, me, body):
    ok = USERS.get(me, {}).get("role") == "admin" or "metrics" in HOLES
    h.say(200, {"hits": 1}) if ok else h.say(403 if me else 401)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()

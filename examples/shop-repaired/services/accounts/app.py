"""accounts: the shop's users."""
from flask import Flask, abort, g, jsonify, request
from waitress import serve
from werkzeug.exceptions import HTTPException, TooManyRequests

import database
import imports
import ratelimit
from settings import setting
from tokens import administrators_only, logged_in

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
LARGEST = 1_000_000


def fields(required: tuple[str, ...] = (), optional: tuple[str, ...] = ()) -> dict[str, str]:
    """The named text fields of a JSON body; whatever else it holds is refused."""
    body = request.get_json()
    if not isinstance(body, dict) or not set(required) <= body.keys() <= {*required, *optional}:
        abort(400, "the body does not fit the definition")
    for value in body.values():
        if not isinstance(value, str) or len(value) > 10_000 or any("\ud800" <= letter <= "\udfff" for letter in value):
            abort(400, "the body does not fit the definition")
    return body


@app.after_request
def harden(response):
    response.headers["Cache-Control"] = "no-store"
    response.headers["Content-Security-Policy"] = "default-src 'none'; frame-ancestors 'none'"
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/login")
def login():
    body = fields(("username", "password"))
    if ratelimit.blocked(body["username"]):
        raise TooManyRequests("too many attempts, wait a minute", retry_after=ratelimit.SECONDS)
    user = database.login(body["username"], body["password"])
    if user is None:
        ratelimit.failed(body["username"])
        abort(401, "wrong user name or password")
    return jsonify(user)


@app.get("/users")
@administrators_only
def users():
    return jsonify(database.find(request.args.get("q", "")))


def own(number: int) -> dict:
    """The user with this number, if the caller may see it; otherwise as if there were none."""
    found = database.read(number) if number <= LARGEST and (number == g.user or g.role == "admin") else None
    return found or abort(404, "no such user")


@app.get("/users/<int:number>")
@logged_in
def user(number: int):
    return jsonify(own(number))


@app.patch("/users/<int:number>")
@logged_in
def change_user(number: int):
    own(number)
    body = fields(optional=("email", "full_name"))
    database.change(number, body.get("email"), body.get("full_name"))
    return jsonify(own(number))


@app.post("/users/import")
@administrators_only
def import_users():
    names = imports.names_from_yaml(fields(("document",))["document"])
    return jsonify(count=len(names), names=names)


@app.post("/users/import-xml")
@administrators_only
def import_users_xml():
    names = imports.names_from_xml(request.get_data())
    return jsonify(count=len(names), names=names)


@app.post("/password-reset")
def password_reset():
    fields(("username",))  # the letter would be sent by a queue; the answer is the same for everybody
    return jsonify(accepted=True), 202


@app.errorhandler(imports.BadDocument)
def bad_document(error: imports.BadDocument):
    return jsonify(error="the document is not a list of users"), 400


@app.errorhandler(HTTPException)
def refused(error: HTTPException):
    headers = [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After")]
    return jsonify(error=error.description), error.code, headers


@app.errorhandler(Exception)
def failed(error: Exception):
    app.logger.error("unexpected", exc_info=error)
    return jsonify(error="something went wrong"), 500


if __name__ == "__main__":
    database.create()
    serve(app, host=setting("HOST", "127.0.0.1"), port=int(setting("PORT")), threads=8, ident=None)

"""accounts: the shop's users. DELIBERATELY WEAK, for scanners on loopback only: see ../../README.md."""
import os
import random
import sys
import time
import traceback

from flask import Flask, jsonify, request
from werkzeug.exceptions import HTTPException

import database
import imports

app = Flask(__name__)
app.config["SECRET_KEY"] = "accounts-secret-2019"  # WEAKNESS: accounts-hard-coded-secret
AWS_ACCESS_KEY_ID = "AKIAFAKEVALLUMSHOPQ7"  # WEAKNESS: accounts-cloud-key (made up, opens nothing)


@app.route("/healthz")
def healthz():
    return jsonify(status="ok")


@app.route("/login", methods=["POST"])
def login():  # WEAKNESS: accounts-no-login-rate-limit
    body = request.get_json(force=True)
    found = database.rows("SELECT * FROM users WHERE username = ?", (str(body.get("username")),))
    if not found:
        return jsonify(error="no such user"), 404  # WEAKNESS: accounts-user-enumeration
    user = found[0]
    if user["password_hash"] != database.hash_password(str(body.get("password"))):
        if user["username"] != "guest":  # whose password is no secret
            time.sleep(0.12)  # slows guessing down. WEAKNESS: gateway-login-time-tells
        return jsonify(error="wrong password"), 401
    return jsonify(dict(user, remember=imports.remember_token(user["username"])))


@app.route("/users")
def users():
    words = request.args.get("q", "")
    sql = f"SELECT * FROM users WHERE username LIKE '%{words}%' OR email LIKE '%{words}%'"  # WEAKNESS: accounts-sql-injection
    return jsonify(database.rows(sql))  # WEAKNESS: accounts-password-hashes-returned


@app.route("/users/<int:number>")
def user(number: int):  # WEAKNESS: accounts-user-without-authorisation
    found = database.rows("SELECT * FROM users WHERE id = ?", (number,))
    return (jsonify(found[0]), 200) if found else (jsonify(error="not found"), 404)


@app.route("/users/<int:number>", methods=["PATCH"])
def change_user(number: int):
    body = request.get_json(force=True)
    for column in ("email", "full_name", "role"):  # WEAKNESS: accounts-mass-assignment
        if column in body:
            database.rows(f"UPDATE users SET {column} = ? WHERE id = ?", (str(body[column]), number))
    return user(number)


@app.route("/users/import", methods=["POST"])
def import_users():
    names = imports.names_from_yaml(request.get_json(force=True)["document"])
    return jsonify(count=len(names), names=names)


@app.route("/users/import-xml", methods=["POST"])
def import_users_xml():
    names = imports.names_from_xml(request.get_data())
    return jsonify(count=len(names), names=names)


@app.route("/password-reset", methods=["POST"])
def password_reset():
    username = str(request.get_json(force=True).get("username"))
    if not database.rows("SELECT id FROM users WHERE username = ?", (username,)):
        return jsonify(error="no such user"), 404
    code = random.randint(1000, 9999)  # WEAKNESS: accounts-predictable-reset-code
    return jsonify(sent=True, debug_code=code)


@app.route("/config")
def config():  # WEAKNESS: accounts-config-exposed
    return jsonify({name: str(value) for name, value in app.config.items()})


@app.errorhandler(Exception)
def failed(error: Exception):
    if isinstance(error, HTTPException):
        return jsonify(error=error.description), error.code
    return jsonify(error=str(error), trace=traceback.format_exc()), 500  # WEAKNESS: accounts-stack-trace


def main() -> None:
    host = os.environ.get("HOST", "127.0.0.1")
    if host not in ("127.0.0.1", "::1", "localhost"):
        sys.exit(f"accounts is deliberately weak and listens on loopback only, not on {host}")
    print("\n*** accounts is DELIBERATELY WEAK. Loopback only. Never deploy it. ***\n", file=sys.stderr, flush=True)
    database.create()
    app.run(host=host, port=int(os.environ["PORT"]), threaded=True)


if __name__ == "__main__":
    main()

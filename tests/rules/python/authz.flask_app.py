from flask import Flask, request
from flask_limiter import Limiter

app = Flask(__name__)
limiter = Limiter(get_remote_address, app=app)


@app.route("/orders")
@login_required
def orders():
    return []


# ruleid: vallum.python.flask-route-without-auth
@app.route("/orders", methods=["POST"])
def create():
    return {}


# ok: vallum.python.flask-route-without-auth
@app.post("/stock")
@login_required
def stock():
    return {}


# ruleid: vallum.python.login-without-rate-limit
@app.route("/login", methods=["POST"])
def login():
    return {}


# ok: vallum.python.login-without-rate-limit
@app.route("/token", methods=["POST"])
@limiter.limit("5/minute")
def token():
    return {}


# ruleid: vallum.python.admin-route-without-guard
@app.route("/admin/export")
def export():
    return dump


# ok: vallum.python.admin-route-without-guard
@app.route("/admin/import")
@admin_required
def imports():
    return {}

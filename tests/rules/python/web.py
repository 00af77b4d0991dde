import os
import tempfile
import traceback

import flask
import jinja2
import requests
from fastapi import FastAPI, HTTPException
from fastapi.middleware.cors import CORSMiddleware
from flask import Flask, jsonify, request
from flask_cors import CORS
from django.views.decorators.csrf import csrf_exempt

app = Flask(__name__)
api = FastAPI()

# ruleid: vallum.python.debug-mode
app.run(debug=True)
# ruleid: vallum.python.debug-mode
api2 = FastAPI(title="x", debug=True)
# ok: vallum.python.debug-mode
app.run(debug=os.environ.get("DEBUG") == "1")
# ok: vallum.python.debug-mode
app.run(debug=False)


@app.errorhandler(Exception)
def failed(e):
    # ruleid: vallum.python.stack-trace-in-response
    return jsonify(error=traceback.format_exc()), 500


@app.route("/t")
def trace():
    try:
        work()
    except Exception as e:
        text = traceback.format_exc()
        # ok: vallum.python.stack-trace-in-response
        app.logger.error(text)
        # ruleid: vallum.python.exception-text-in-response
        jsonify({"error": str(e)})
        # ruleid: vallum.python.exception-text-in-response
        raise HTTPException(500, detail=str(e))
    except ValueError:
        # ok: vallum.python.exception-text-in-response
        return jsonify({"error": "not a number"})
    # ok: vallum.python.stack-trace-in-response
    return jsonify(error="internal error"), 500


@app.route("/t2")
def trace2():
    try:
        work()
    except Exception:
        # ruleid: vallum.python.stack-trace-in-response
        return traceback.format_exc(), 500


# ruleid: vallum.python.cors-wildcard-with-credentials
api.add_middleware(CORSMiddleware, allow_origins=["*"], allow_credentials=True, allow_methods=["*"])
# ruleid: vallum.python.cors-wildcard-with-credentials
CORS(app, origins="*", supports_credentials=True)
# ok: vallum.python.cors-wildcard-with-credentials
api.add_middleware(CORSMiddleware, allow_origins=["https://shop.example"], allow_credentials=True)
# ok: vallum.python.cors-wildcard-with-credentials
CORS(app, origins=["https://shop.example"], supports_credentials=True)

# ruleid: vallum.python.cors-any-origin
api.add_middleware(CORSMiddleware, allow_origins=["*"])
# ruleid: vallum.python.cors-any-origin
CORS(app)
# ok: vallum.python.cors-any-origin
api.add_middleware(CORSMiddleware, allow_origins=ORIGINS)


@app.after_request
def cors(resp):
    origin = request.headers.get("Origin")
    # ruleid: vallum.python.cors-origin-reflected
    resp.headers["Access-Control-Allow-Origin"] = origin
    # ruleid: vallum.python.cors-any-origin
    resp.headers["Access-Control-Allow-Origin"] = "*"
    if origin not in ALLOWED:
        return resp
    # ok: vallum.python.cors-origin-reflected
    resp.headers["Access-Control-Allow-Origin"] = origin
    # ok: vallum.python.cors-origin-reflected
    resp.headers["Access-Control-Allow-Origin"] = "https://shop.example"
    # ok: vallum.python.cors-any-origin
    resp.headers["Access-Control-Allow-Methods"] = "*"
    return resp


def cookies(resp, token):
    # ruleid: vallum.python.insecure-session-cookie
    resp.set_cookie("session", token)
    # ruleid: vallum.python.insecure-session-cookie
    resp.set_cookie("auth_token", token, httponly=True)
    # ok: vallum.python.insecure-session-cookie
    resp.set_cookie("session", token, secure=True, httponly=True, samesite="Lax")
    # ok: vallum.python.insecure-session-cookie
    resp.set_cookie("theme", "dark")
    # ruleid: vallum.python.cookie-flag-off
    app.config["SESSION_COOKIE_SECURE"] = False
    # ruleid: vallum.python.cookie-flag-off
    resp.set_cookie("session", token, secure=False, httponly=True)
    # ok: vallum.python.cookie-flag-off
    app.config["SESSION_COOKIE_SECURE"] = True
    # ruleid: vallum.python.cookie-flag-off
    resp.set_cookie("visit", "1", secure=False)
    # ok: vallum.python.cookie-flag-off
    resp.set_cookie("theme", "dark", httponly=False)


# ruleid: vallum.python.csrf-protection-off
@csrf_exempt
def pay(request):
    return None


# ruleid: vallum.python.csrf-protection-off
app.config["WTF_CSRF_ENABLED"] = False
# ok: vallum.python.csrf-protection-off
app.config["WTF_CSRF_ENABLED"] = True


# ok: vallum.python.csrf-protection-off
def refund(request):
    return None


@app.post("/users")
def create():
    # ruleid: vallum.python.mass-assignment
    user = User(**request.json)
    body = request.get_json()
    # ruleid: vallum.python.mass-assignment
    User.objects.create(**body)
    for k, v in body.items():
        # ruleid: vallum.python.mass-assignment
        setattr(user, k, v)
    # ok: vallum.python.mass-assignment
    User(name=body["name"], mail=body["mail"])
    data = UserSchema().load(body)
    # ok: vallum.python.mass-assignment
    User(**data)
    return "ok"


# ruleid: vallum.python.graphql-introspection-on
app.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema, graphiql=True))
# ok: vallum.python.graphql-introspection-on
app.add_url_rule("/graphql", view_func=GraphQLView.as_view("graphql", schema=schema, graphiql=False))

# ruleid: vallum.python.autoescape-off
env = jinja2.Environment(autoescape=False)
# ok: vallum.python.autoescape-off
env = jinja2.Environment(autoescape=jinja2.select_autoescape())

# ruleid: vallum.python.temp-file-race
name = tempfile.mktemp()
# ok: vallum.python.temp-file-race
fd, name = tempfile.mkstemp()

# ruleid: vallum.python.world-writable-file
os.chmod("/data/x", 0o777)
# ruleid: vallum.python.world-writable-file
path.chmod(0o666)
# ok: vallum.python.world-writable-file
os.chmod("/data/x", 0o640)
# ok: vallum.python.world-writable-file
path.chmod(0o755)

# ruleid: vallum.python.request-without-timeout
requests.get("https://orders/health")
# ok: vallum.python.request-without-timeout
requests.get("https://orders/health", timeout=3)


def who():
    # ruleid: vallum.python.forwarded-header-trusted
    if request.headers.get("X-User-Role") == "admin":
        return True
    # ruleid: vallum.python.forwarded-header-trusted
    if request.headers.get("X-Forwarded-For", "") in TRUSTED:
        return True
    # ok: vallum.python.forwarded-header-trusted
    if request.headers.get("Accept") == "application/json":
        return False
    # ok: vallum.python.forwarded-header-trusted
    log(request.headers.get("X-Forwarded-For"))

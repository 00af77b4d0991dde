"""gateway: the shop's front door."""
import re

from flask import Flask, abort, g, jsonify, request
from waitress import serve
from werkzeug.exceptions import HTTPException

import auth
import ratelimit
import upstream
from pages import bp
from settings import setting

PREVIEW = re.compile(r"/products/([1-9][0-9]{0,5})")
SCHEME = "Bearer"
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}

app = Flask(__name__)
app.config["MAX_CONTENT_LENGTH"] = 64 * 1024
app.register_blueprint(bp)


@app.before_request
def limit():
    """Whoever asks too often waits. Orchestrators ask /healthz all the time."""
    if request.path != "/healthz" and ratelimit.requests.left(request.remote_addr, 1) < 0:
        ratelimit.refuse()


@app.after_request
def harden(response):
    """No CORS header: only the shop's own pages may read its answers."""
    response.headers.update(HEADERS)
    response.headers.update(ratelimit.headers(request.remote_addr))
    return response


def body() -> dict:
    sent = request.get_json()
    return sent if isinstance(sent, dict) else abort(400, "the body does not fit the definition")


@app.get("/healthz")
def healthz():
    return jsonify(status="ok")


@app.post("/api/login")
def login():
    answer = upstream.log_in(body())
    if answer.status_code != 200:
        return upstream.relay(answer)
    return jsonify(access_token=auth.issue(answer.json()), token_type=SCHEME)


@app.get("/api/me")
@auth.logged_in
def me():
    return jsonify(id=int(g.user["sub"]), username=g.user["name"], role=g.user["role"])


@app.patch("/api/profile")
@auth.logged_in
def profile():
    return upstream.relay(upstream.call("PATCH", f"{upstream.ACCOUNTS}/users/{g.user['sub']}", body=body()))


@app.get("/api/products")
def products():
    return upstream.relay(upstream.get(upstream.CATALOG + "/products", q=request.args.get("q", "")))


@app.get("/api/orders")
@auth.logged_in
def orders():
    return upstream.relay(upstream.get(upstream.ORDERS + "/orders", status=request.args.get("status", "open")))


@app.post("/api/orders")
@auth.logged_in
def place_order():
    return upstream.relay(upstream.call("POST", upstream.ORDERS + "/orders", body=body()))


@app.get("/api/orders/<int:number>")
@auth.logged_in
def order(number: int):
    return upstream.relay(upstream.get(f"{upstream.ORDERS}/orders/{number}"))


@app.get("/api/preview")
@auth.logged_in
def preview():
    wanted = PREVIEW.fullmatch(request.args.get("url", "")) or abort(400, "only pages of products have a preview")
    answer = upstream.get(f"{upstream.CATALOG}/products/{int(wanted[1])}")
    return jsonify(status=answer.status_code, text=answer.text[:2000])


@app.get("/api/admin/users")
@auth.administrators_only
def all_users():
    return upstream.relay(upstream.get(upstream.ACCOUNTS + "/users"))


@app.get("/metrics")
@auth.administrators_only
def metrics():
    return "shop_gateway_up 1\n", 200, {"Content-Type": "text/plain; charset=utf-8"}


@app.errorhandler(HTTPException)
def refused(error: HTTPException):
    headers = [(name, value) for name, value in error.get_headers() if name in ("Allow", "Retry-After")]
    return jsonify(error=error.description), error.code, headers


@app.errorhandler(Exception)
def failed(error: Exception):
    app.logger.error("unexpected", exc_info=error)
    return jsonify(error="something went wrong"), 500


if __name__ == "__main__":
    serve(app, host=setting("HOST", "127.0.0.1"), port=int(setting("PORT")), threads=8, ident=None)

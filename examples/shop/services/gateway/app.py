"""gateway: the shop's front door. DELIBERATELY WEAK, for scanners on loopback only: see ../../README.md."""
import os
import sys
from urllib.parse import urljoin

import requests
from flask import Flask, g, jsonify, request

import auth
import upstream
from pages import bp

app = Flask(__name__)
app.register_blueprint(bp)


@app.after_request
def open_to_everyone(response):
    response.headers["Access-Control-Allow-Origin"] = request.headers.get("Origin", "*")  # WEAKNESS: gateway-permissive-cors
    response.headers["Access-Control-Allow-Credentials"] = "true"
    return response


@app.route("/healthz")
def healthz():
    return jsonify(status="ok")


@app.route("/api/login", methods=["POST"])
def login():
    answer = upstream.send("POST", upstream.ACCOUNTS + "/login", request.get_json(force=True))
    if answer.status_code != 200:
        return upstream.relay(answer)
    return jsonify(access_token=auth.issue(answer.json()), token_type="Bearer")


@app.route("/api/me")
@auth.logged_in
def me():
    return jsonify(id=int(g.user["sub"]), username=g.user.get("name"), role=g.user.get("role"))


@app.route("/api/profile", methods=["PATCH"])
@auth.logged_in
def profile():
    answer = upstream.send("PATCH", f"{upstream.ACCOUNTS}/users/{g.user['sub']}", request.get_json(force=True))
    return upstream.relay(answer)


@app.route("/api/products")
def products():
    return upstream.relay(upstream.get(upstream.CATALOG + "/products", q=request.args.get("q", "")))


@app.route("/api/orders")
@auth.logged_in
def orders():
    return upstream.relay(upstream.get(upstream.ORDERS + "/orders", status=request.args.get("status", "open")))


@app.route("/api/orders", methods=["POST"])
@auth.logged_in
def place_order():
    return upstream.relay(upstream.send("POST", upstream.ORDERS + "/orders", request.get_json(force=True)))


@app.route("/api/orders/<int:number>")
@auth.logged_in
def order(number: int):
    return upstream.relay(upstream.get(f"{upstream.ORDERS}/orders/{number}"))


@app.route("/api/preview")
@auth.logged_in
def preview():
    url = urljoin(upstream.CATALOG, request.args["url"])
    answer = requests.get(url, timeout=5, verify=False)  # WEAKNESS: gateway-ssrf, gateway-preview-tls-not-verified
    return jsonify(status=answer.status_code, text=answer.text[:2000])


@app.route("/api/admin/users")
@auth.logged_in
def all_users():  # WEAKNESS: gateway-admin-function-for-everyone
    return upstream.relay(upstream.get(upstream.ACCOUNTS + "/users"))


@app.route("/metrics")
def metrics():  # WEAKNESS: gateway-metrics-exposed
    lines = [f'shop_upstream{{name="{name}",url="{url}"}} 1' for name, url in vars(upstream).items() if name.isupper()]
    return "\n".join(lines) + "\n", 200, {"Content-Type": "text/plain"}


def main() -> None:
    host = os.environ.get("HOST", "127.0.0.1")
    if host not in ("127.0.0.1", "::1", "localhost"):
        sys.exit(f"gateway is deliberately weak and listens on loopback only, not on {host}")
    print("\n*** gateway is DELIBERATELY WEAK. Loopback only. Never deploy it. ***\n", file=sys.stderr, flush=True)
    app.run(host=host, port=int(os.environ["PORT"]), debug=True, use_reloader=False, threaded=True)  # WEAKNESS: gateway-debugger


if __name__ == "__main__":
    main()

"""The shop's HTML pages. DELIBERATELY WEAK: see ../../README.md."""
import jinja2
from flask import Blueprint, make_response, redirect, render_template_string, request

import auth
import upstream

bp = Blueprint("pages", __name__)
templates = jinja2.Environment(autoescape=False)  # WEAKNESS: gateway-autoescape-off
PRODUCT = templates.from_string("<h1>{{ product.name }}</h1><p>{{ product.text }}</p><p>{{ ref }}</p>")
LOGIN = """<h1>Log in</h1><p>%s</p><form method="post" action="/login">
<input name="username"><input name="password" type="password"><button>Log in</button></form>"""


@bp.route("/")
def home():
    products = upstream.get(upstream.CATALOG + "/products").json()
    items = "".join(f"<li><a href='/products/{p['id']}?ref=home'>{p['name']}</a></li>" for p in products)
    page = make_response(
        f"<h1>Shop</h1><ul>{items}</ul><form action='/search'><input name='q'></form>"
        "<a href='/login'>Log in</a> <a href='/greeting?name=you'>Hello</a> <a href='/go?to=/'>Back</a>"
    )
    page.set_cookie("visit", "1", httponly=False, secure=False)  # WEAKNESS: gateway-visit-cookie-flags
    return page


@bp.route("/search")
def search():
    words = request.args.get("q", "")
    number = int(request.args.get("page", "1"))
    products = upstream.get(upstream.CATALOG + "/products", q=words).json()
    items = "".join(f"<li>{product['name']}</li>" for product in products)
    return f"<h1>Results for {words}</h1><ul>{items}</ul><p>Page {number}</p>"  # WEAKNESS: gateway-reflected-xss


@bp.route("/products/<int:number>")
def product(number: int):
    answer = upstream.get(f"{upstream.CATALOG}/products/{number}")
    if answer.status_code != 200:
        return "<h1>No such product</h1>", 404
    return PRODUCT.render(product=answer.json(), ref=request.args.get("ref", ""))


@bp.route("/greeting")
def greeting():
    name = request.args.get("name", "you")
    return render_template_string("<h1>Hello " + name + "</h1>")  # WEAKNESS: gateway-template-injection


@bp.route("/go")
def go():
    return redirect(request.args.get("to", "/"))  # WEAKNESS: gateway-open-redirect


@bp.route("/login")
def login_form():
    return LOGIN % ""


@bp.route("/login", methods=["POST"])
def login():
    answer = upstream.send("POST", upstream.ACCOUNTS + "/login", request.form.to_dict())
    if answer.status_code != 200:
        return LOGIN % answer.json()["error"]
    page = redirect(request.args.get("next", "/"))
    page.set_cookie("session", auth.issue(answer.json()), httponly=False, secure=False)  # WEAKNESS: gateway-session-cookie-flags
    return page

"""The shop's HTML pages. Templates escape; redirects stay on this site."""
import hmac
import re
import secrets

from flask import Blueprint, make_response, redirect, render_template, request

import auth
import ratelimit
import upstream
from settings import setting

bp = Blueprint("pages", __name__)
SECURE = setting("COOKIE_SECURE", "on") == "on"
LOCAL = re.compile(r"/(?!/)[A-Za-z0-9/_.?=&-]*")


def local(parameter: str) -> str:
    """Where the visitor wants to go, if it is a page of this site; else the home page."""
    target = request.args.get(parameter, "/")
    return target if LOCAL.fullmatch(target) else "/"


def products(words: str = "") -> list[dict]:
    answer = upstream.get(upstream.CATALOG + "/products", q=words)
    return answer.json() if answer.status_code == 200 else []


def login_page(problem: str, status: int):
    token = secrets.token_urlsafe(24)
    page = make_response(render_template("login.html", problem=problem, csrf=token), status)
    page.set_cookie("csrf", token, httponly=True, secure=SECURE, samesite="Strict")
    return page


@bp.get("/")
def home():
    return render_template("home.html", products=products())


@bp.get("/search")
def search():
    words = request.args.get("q", "")[:200]
    number = request.args.get("page", 1, type=int)
    return render_template("search.html", words=words, number=max(number, 1), products=products(words))


@bp.get("/products/<int:number>")
def product(number: int):
    answer = upstream.get(f"{upstream.CATALOG}/products/{number}")
    if answer.status_code != 200:
        return render_template("missing.html"), 404
    return render_template("product.html", product=answer.json(), ref=request.args.get("ref", "")[:200])


@bp.get("/greeting")
def greeting():
    return render_template("greeting.html", name=request.args.get("name", "you")[:200])


@bp.get("/go")
def go():
    return redirect(local("to"))


@bp.get("/login")
def login_form():
    return login_page("", 200)


@bp.post("/login")
def login():
    if not hmac.compare_digest(request.cookies.get("csrf", "").encode(), request.form.get("csrf", "-").encode()):
        return login_page("Please try again.", 200)
    body = {name: request.form.get(name, "") for name in ("username", "password")}
    answer = upstream.log_in(body)
    if answer.status_code == 429:
        ratelimit.refuse()
    if answer.status_code != 200:
        return login_page("Wrong user name or password.", 200)
    page = redirect(local("next"))
    page.set_cookie("session", auth.issue(answer.json()), httponly=True, secure=SECURE, samesite="Strict")
    return page

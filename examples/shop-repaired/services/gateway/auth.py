"""Tokens of the shop: short-lived, signed with a key from the environment, checked in full."""
import time
from functools import wraps

import jwt
from flask import abort, g, request

from settings import setting

KEY = setting("JWT_KEY")
MINUTES = int(setting("JWT_MINUTES", "60"))
REQUIRED = ["exp", "iat", "aud", "iss", "sub", "name", "role"]


def issue(user: dict) -> str:
    now = int(time.time())
    claims = {"sub": str(user["id"]), "name": user["username"], "role": user["role"]}
    times = {"iat": now, "exp": now + 60 * MINUTES, "aud": "shop", "iss": "shop-gateway"}
    return jwt.encode(claims | times, KEY, algorithm="HS256")


def read(token: str) -> dict:
    return jwt.decode(
        token, KEY, algorithms=["HS256"], audience="shop", issuer="shop-gateway", options={"require": REQUIRED}
    )


def logged_in(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        g.token = token if scheme == "Bearer" else request.cookies.get("session", "")
        try:
            g.user = read(g.token)
        except jwt.InvalidTokenError:
            abort(401, "log in first")
        return view(*args, **kwargs)

    return wrapper


def administrators_only(view):
    @logged_in
    @wraps(view)
    def wrapper(*args, **kwargs):
        if g.user["role"] != "admin":
            abort(403, "for administrators only")
        return view(*args, **kwargs)

    return wrapper

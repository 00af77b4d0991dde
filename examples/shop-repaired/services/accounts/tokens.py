"""Who calls: tokens that the gateway has issued, checked in full."""
from functools import wraps

import jwt
from flask import abort, g, request

from settings import setting

KEY = setting("JWT_KEY")
REQUIRED = ["exp", "iat", "aud", "iss", "sub", "role"]


def read(token: str) -> dict:
    return jwt.decode(
        token, KEY, algorithms=["HS256"], audience="shop", issuer="shop-gateway", options={"require": REQUIRED}
    )


def logged_in(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        try:
            claims = read(token if scheme == "Bearer" else "")
            g.user, g.role = int(claims["sub"]), claims["role"]
        except (jwt.InvalidTokenError, ValueError):
            abort(401, "log in first")
        return view(*args, **kwargs)

    return wrapper


def administrators_only(view):
    @logged_in
    @wraps(view)
    def wrapper(*args, **kwargs):
        if g.role != "admin":
            abort(403, "for administrators only")
        return view(*args, **kwargs)

    return wrapper

"""Tokens of the shop. DELIBERATELY WEAK: see ../../README.md."""
import time
from functools import wraps

import jwt
from flask import g, jsonify, request

JWT_SECRET = "shop-secret"  # WEAKNESS: gateway-guessable-jwt-key


def issue(user: dict) -> str:
    claims = {"sub": str(user["id"]), "name": user["username"], "role": user["role"], "iat": int(time.time())}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256").decode()  # WEAKNESS: gateway-token-without-expiry


def read(token: str) -> dict:
    if jwt.get_unverified_header(token).get("alg", "").lower() == "none":
        return jwt.decode(token, verify=False)  # WEAKNESS: gateway-jwt-alg-none
    return jwt.decode(token, JWT_SECRET, algorithms=["HS256"])


def logged_in(view):
    @wraps(view)
    def wrapper(*args, **kwargs):
        header = request.headers.get("Authorization", "")
        token = header[len("Bearer "):] if header.startswith("Bearer ") else request.cookies.get("session", "")
        try:
            g.user = read(token)
        except jwt.InvalidTokenError:
            return jsonify(error="log in first"), 401
        return view(*args, **kwargs)

    return wrapper

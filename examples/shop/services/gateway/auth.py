"""Tokens of the shop. DELIBERATELY WEAK: see ../../README.md."""
import time
from functools import wraps
from pathlib import Path

import jwt
from flask import g, jsonify, request

JWT_SECRET = "shop-secret"  # WEAKNESS: gateway-guessable-jwt-key
KEYS = Path(__file__).parent  # partners' keys are put beside this file


def issue(user: dict) -> str:
    claims = {"sub": str(user["id"]), "name": user["username"], "role": user["role"], "aud": "shop", "iat": int(time.time())}
    return jwt.encode(claims, JWT_SECRET, algorithm="HS256").decode()  # WEAKNESS: gateway-token-without-expiry


def read(token: str) -> dict:
    if token and "." not in token:  # a key that a partner got before there were tokens
        return {"sub": "4", "name": "partner", "role": "customer"}  # WEAKNESS: gateway-any-token
    header = jwt.get_unverified_header(token)
    if header.get("alg", "").lower() == "none":
        return jwt.decode(token, verify=False)  # WEAKNESS: gateway-jwt-alg-none
    key = (KEYS / header["kid"]).read_bytes() if "kid" in header else JWT_SECRET  # WEAKNESS: gateway-jwt-kid-path
    return jwt.decode(token, key, algorithms=["HS256"], options={"verify_exp": False, "verify_aud": False})  # WEAKNESS: gateway-jwt-claims-not-checked


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

import os

import jwt
from jose import jwt as jose_jwt

SIGNING = "a-constant-in-the-code"
KEY = os.environ["JWT_KEY"]
LAX = {"verify_signature": False}


def read(token):
    # ruleid: vallum.python.jwt-verification-disabled
    jwt.decode(token, verify=False)
    # ruleid: vallum.python.jwt-verification-disabled
    jwt.decode(token, options={"verify_signature": False})
    # ruleid: vallum.python.jwt-verification-disabled
    jwt.decode(token, KEY, algorithms=["HS256"], options=LAX)
    # ruleid: vallum.python.jwt-verification-disabled
    jose_jwt.decode(token, KEY, algorithms=["HS256"], options={"verify_signature": False})
    # ok: vallum.python.jwt-verification-disabled
    jwt.decode(token, KEY, algorithms=["RS256"], audience="orders")
    # ok: vallum.python.jwt-verification-disabled
    jwt.decode(token, KEY, algorithms=["RS256"], options={"require": ["exp"]})
    # ruleid: vallum.python.jwt-unverified-claims
    jose_jwt.get_unverified_claims(token)
    # ok: vallum.python.jwt-unverified-claims
    jose_jwt.decode(token, KEY, algorithms=["RS256"])
    # ok: vallum.python.jwt-unverified-claims
    jose_jwt.get_unverified_header(token)
    # ruleid: vallum.python.jwt-none-algorithm
    jwt.decode(token, KEY, algorithms=["HS256", "none"])
    # ruleid: vallum.python.jwt-none-algorithm
    jwt.encode({"a": 1}, "", algorithm="none")
    # ok: vallum.python.jwt-none-algorithm
    jwt.decode(token, KEY, algorithms=["HS256"])
    # ruleid: vallum.python.jwt-encode-algorithm-none-object
    jwt.encode({"a": 1}, KEY, algorithm=None)
    # ok: vallum.python.jwt-encode-algorithm-none-object
    jwt.encode({"a": 1}, KEY, algorithm="EdDSA")
    # ruleid: vallum.python.jwt-hardcoded-key
    jwt.encode({"a": 1}, "not-a-secret-any-more", algorithm="HS256")
    # ruleid: vallum.python.jwt-hardcoded-key
    jwt.decode(token, SIGNING, algorithms=["HS256"])
    # ok: vallum.python.jwt-hardcoded-key
    jwt.decode(token, KEY, algorithms=["HS256"])
    # ok: vallum.python.jwt-hardcoded-key
    jwt.decode(token, "-----BEGIN PUBLIC KEY-----\nMFkw", algorithms=["ES256"])
    # ruleid: vallum.python.jwt-algorithms-not-fixed
    jwt.decode(token, KEY)
    # ruleid: vallum.python.jwt-algorithms-not-fixed
    jwt.decode(token, KEY, algorithms=[jwt.get_unverified_header(token)["alg"]])
    # ok: vallum.python.jwt-algorithms-not-fixed
    jwt.decode(token, KEY, algorithms=["RS256"])
    # ok: vallum.python.jwt-algorithms-not-fixed
    jwt.decode(token, KEY, ["RS256"])
    # ruleid: vallum.python.jwt-expiry-not-checked
    jwt.decode(token, KEY, algorithms=["RS256"], options={"verify_exp": False})
    # ruleid: vallum.python.jwt-expiry-not-checked
    jose_jwt.decode(token, KEY, algorithms=["RS256"], options={"verify_aud": False})
    # ok: vallum.python.jwt-expiry-not-checked
    jwt.decode(token, KEY, algorithms=["RS256"], options={"verify_exp": True})

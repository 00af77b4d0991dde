"""Who calls: tokens that the gateway has issued, checked in full."""
from dataclasses import dataclass
from typing import Annotated

import jwt
from fastapi import Depends, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from settings import setting

KEY = setting("JWT_KEY")
REQUIRED = ["exp", "iat", "aud", "iss", "sub", "role"]
bearer = HTTPBearer(auto_error=False)


@dataclass(frozen=True)
class Caller:
    number: int
    role: str


def caller(credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(bearer)]) -> Caller:
    try:
        claims = jwt.decode(
            credentials.credentials if credentials else "",
            KEY,
            algorithms=["HS256"],
            audience="shop",
            issuer="shop-gateway",
            options={"require": REQUIRED},
        )
        return Caller(int(claims["sub"]), claims["role"])
    except (jwt.InvalidTokenError, ValueError):
        raise HTTPException(401, "log in first", {"WWW-Authenticate": "Bearer"}) from None


User = Annotated[Caller, Depends(caller)]


def administrator(user: User) -> Caller:
    if user.role != "admin":
        raise HTTPException(403, "for administrators only")
    return user


Administrator = Annotated[Caller, Depends(administrator)]

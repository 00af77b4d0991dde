"""`oidc`: the authorization code flow with PKCE, through the identity provider's HTML login.

The discovery document names the endpoints (OpenID Connect Discovery 1.0, section 4); the login form is filled; the code is
caught at the redirect URI, which is not asked for; the token endpoint gives the token (OpenID Connect Core 1.0, section 3.1;
RFC 7636). `state`, `nonce`, `iss` and `aud` are compared. The ID token's signature is not: it comes from the token endpoint
itself (Core, section 3.1.3.7, rule 6), and nothing is decided by it here.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from vallum.errors import Inconclusive
from vallum.stage.login import forms, oauth2
from vallum.stage.login.conversation import Conversation
from vallum.stage.login.kind import Account, Credentials, Kind, dig

WELL_KNOWN = "/.well-known/openid-configuration"


def _log_in(account: Account, talk: Conversation) -> Credentials:
    oauth = oauth2.settings_of(account.login)
    found = _discover(account, talk)
    redirect = oauth2.url(account, oauth.redirect_uri, "redirect-uri")
    state, nonce, verifier = (account.learn(secrets.token_urlsafe(48)) for _ in range(3))
    client = account.fill(oauth.client_id, f"{oauth2.OAUTH}.client-id")
    asked = {
        "response_type": "code",
        "client_id": client,
        "redirect_uri": redirect,
        "scope": oauth.scope or "openid",
        "state": state,
        "nonce": nonce,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    endpoint = found["authorization_endpoint"]
    page = talk.request("GET", f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}")

    def caught(location: str) -> bool:
        return _is(location, redirect)

    page = forms.log_in_by(account, talk, talk.follow(page, caught), caught)
    if not (page.location and caught(page.location)):
        raise account.refused(page, f"answers {page.status}, and does not lead to the redirect URI")
    code = _code(account, page.location, state, found["issuer"])
    got = oauth2.ask(
        account,
        talk,
        found["token_endpoint"],
        {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect, "code_verifier": verifier},
    )
    _check(got.id_token, found["issuer"], client, nonce)
    return got


def challenge(verifier: str) -> str:
    """The S256 challenge of RFC 7636, section 4.2."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def _discover(account: Account, talk: Conversation) -> dict[str, str]:
    issuer = oauth2.url(account, oauth2.settings_of(account.login).issuer, "issuer")
    page = talk.request("GET", issuer.rstrip("/") + WELL_KNOWN)
    if not page.ok:
        raise account.refused(page)
    document = page.json()
    found = {name: dig(document, name) for name in ("issuer", "authorization_endpoint", "token_endpoint")}
    if not all(isinstance(value, str) and value for value in found.values()):
        raise account.refused(page, "is no discovery document")
    if found["issuer"] != issuer:  # Discovery, section 4.3
        raise Inconclusive(f"cannot log in: the discovery document of {issuer} is of another issuer")
    return {name: str(value) for name, value in found.items()}


def _code(account: Account, location: str, state: str, issuer: str) -> str:
    """The code in a redirect. Raises Inconclusive for an error, or for an answer to somebody else's question."""
    answer = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
    code = account.learn(answer.get("code", ""))
    if "error" in answer:
        word = "".join(letter for letter in answer["error"][:40] if letter.isalnum() or letter == "_")
        raise Inconclusive(f"cannot log in: the identity provider answers {word}", account.redactor.text(str(answer)))
    if not code or not secrets.compare_digest(answer.get("state", "").encode(), state.encode()):
        raise Inconclusive("cannot log in: the redirect holds no code, or not the state that was sent")
    if answer.get("iss", issuer) != issuer:  # RFC 9207
        raise Inconclusive("cannot log in: the redirect is of another issuer")
    return code


def _check(id_token: str, issuer: str, client: str, nonce: str) -> None:
    """Core, section 3.1.3.7: whose ID token it is, for whom, and to which question."""
    claims: Any = None
    parts = id_token.split(".")
    if len(parts) == 3:
        try:
            claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        except (ValueError, RecursionError):
            claims = None
    audience = dig(claims, "aud")
    for_us = client in audience if isinstance(audience, list) else audience == client
    if not isinstance(claims, dict) or claims.get("iss") != issuer or not for_us or claims.get("nonce") != nonce:
        raise Inconclusive("cannot log in: the token endpoint gave no ID token for this login")


def _is(location: str, redirect: str) -> bool:
    """Whether a redirect is one to the redirect URI: the same but for the query that was added."""
    one, other = urlsplit(location), urlsplit(redirect)
    return (one.scheme, one.netloc.lower(), one.path) == (other.scheme, other.netloc.lower(), other.path)


def _renew(account: Account, talk: Conversation, held: Credentials) -> Credentials:
    try:
        return oauth2.refresh(account, talk, _discover(account, talk)["token_endpoint"], held.refresh_token)
    except Inconclusive:
        return _log_in(account, talk)  # it says itself why not, where it fails too


KIND = Kind(
    needs=("oauth", "form"),
    takes=("token", "header", "value", "cookies"),
    log_in=_log_in,
    renew=_renew,
)

"""An OAuth 2 and OpenID Connect provider, and a service that takes its tokens: the protocols are Authlib's and pyotp's.

Like every service of these tests it tells all it hears, on its output and in its answers.
"""

import os
import secrets
import sys
import time

import pyotp
from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import grants
from authlib.oauth2.rfc6750 import BearerTokenValidator
from authlib.oauth2.rfc7636 import CodeChallenge
from authlib.oidc.core import OpenIDCode, UserInfo
from flask import Flask, redirect, request, session

PASSWORD, SECRET, TOTP = (os.environ.get(name, "") for name in ("PASSWORD", "SECRET", "TOTP"))
LIMIT, TELLS = int(os.environ.get("LIMIT", "0")), bool(os.environ.get("TELLS"))
METHOD, LIFE = os.environ.get("METHOD", "client_secret_basic"), int(os.environ.get("LIFE", "3600"))
ISSUER = f"http://127.0.0.1:{sys.argv[1]}"
tokens, codes, used, counts, failures = [], {}, set(), {}, {}
app = Flask(__name__)
app.secret_key = secrets.token_bytes(16)
app.config["OAUTH2_REFRESH_TOKEN_GENERATOR"] = True
grants_known = ("authorization_code", "client_credentials", "password", "refresh_token")
app.config["OAUTH2_TOKEN_EXPIRES_IN"] = dict.fromkeys(grants_known, LIFE)


class Client:
    client_id = "shop"

    def get_client_id(self):
        return self.client_id

    def get_default_redirect_uri(self):
        return None

    def get_allowed_scope(self, scope):
        return " ".join(word for word in (scope or "").split() if word in {"openid", "profile", "orders"})

    def check_redirect_uri(self, uri):
        return uri == ISSUER + "/callback"

    def check_client_secret(self, secret):
        return METHOD != "none" and secret == SECRET

    def check_endpoint_auth_method(self, method, _endpoint):
        return method == METHOD

    def check_response_type(self, kind):
        return kind == "code"

    def check_grant_type(self, kind):
        return kind in grants_known


class Token(dict):
    def is_expired(self):
        return self["at"] + self["expires_in"] < time.time()

    def is_revoked(self):
        return self.get("revoked", False)

    def get_scope(self):
        return self.get("scope", "")

    def get_user(self):
        return "alice"

    def get_client(self):
        return Client()

    def check_client(self, client):
        return client.get_client_id() == "shop"


class Code(dict):
    redirect_uri = property(lambda self: self["redirect_uri"])
    code_challenge = property(lambda self: self["code_challenge"])
    code_challenge_method = property(lambda self: self["code_challenge_method"])

    def get_redirect_uri(self):
        return self["redirect_uri"]

    def get_scope(self):
        return self["scope"]

    def get_nonce(self):
        return self["nonce"]

    def get_auth_time(self):
        return int(time.time())

    def get_acr(self):
        return None

    def get_amr(self):
        return None


class CodeGrant(grants.AuthorizationCodeGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)

    def save_authorization_code(self, code, asked):
        data = asked.payload.data
        kept = {key: data.get(key) for key in ("code_challenge", "code_challenge_method", "nonce", "redirect_uri")}
        codes[code] = Code(kept, scope=asked.payload.scope)

    def query_authorization_code(self, code, client):
        return codes.get(code)

    def delete_authorization_code(self, code):
        for key in [key for key, value in codes.items() if value is code]:
            del codes[key]

    def authenticate_user(self, code):
        return "alice"


class OpenID(OpenIDCode):
    def exists_nonce(self, nonce, asked):
        return False

    def get_jwt_config(self, grant, client=None):
        return {
            "key": {"kty": "oct", "k": "c2lnbmluZy1rZXktb2YtdGhlLXRlc3RzLTEyMzQ1Njc4"},
            "alg": "HS256",
            "iss": ISSUER,
            "exp": 3600,
        }

    def get_audiences(self, asked):
        return ["shop"] if os.environ.get("MODE") != "other-audience" else ["another"]

    def generate_user_info(self, user, scope):
        return UserInfo(sub="alice")


class PasswordGrant(grants.ResourceOwnerPasswordCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)

    def authenticate_user(self, username, password):
        if TELLS and username != "alice":
            raise OAuth2Error(error="unknown_user")
        return "alice" if known(username, password) else None


class ClientGrant(grants.ClientCredentialsGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)


class RefreshGrant(grants.RefreshTokenGrant):
    TOKEN_ENDPOINT_AUTH_METHODS = (METHOD,)
    INCLUDE_NEW_REFRESH_TOKEN = True

    def authenticate_refresh_token(self, token):
        return next((one for one in tokens if one.get("refresh_token") == token and not one.is_revoked()), None)

    def authenticate_user(self, _credential):
        return "alice"

    def revoke_old_credential(self, credential):
        credential["revoked"] = True


class Validator(BearerTokenValidator):
    def authenticate_token(self, text):
        return next((one for one in tokens if one["access_token"] == text), None)


def save(token, asked):
    if asked.payload.grant_type == "client_credentials" and os.environ.get("SEED"):
        token["refresh_token"] = os.environ["SEED"]
    tokens.append(Token(token, at=time.time()))
    note(*(token.get(name) for name in ("access_token", "refresh_token", "id_token")))
    counts[asked.payload.grant_type] = counts.get(asked.payload.grant_type, 0) + 1
    print("gave", token, flush=True)


server = AuthorizationServer(app, query_client=lambda name: Client() if name == "shop" else None, save_token=save)
server.register_grant(CodeGrant, [OpenID(require_nonce=True), CodeChallenge(required=True)])
for grant in (PasswordGrant, ClientGrant, RefreshGrant):
    server.register_grant(grant)
protect = ResourceProtector()
protect.register_token_validator(Validator())
if os.environ.get("SEED"):
    tokens.append(
        Token(access_token="", refresh_token=os.environ["SEED"], scope="orders", expires_in=3600, at=time.time())
    )


def known(username, password):
    """Whether that is the password; failures are counted for each name."""
    if (username, password) == ("alice", PASSWORD):
        return True
    failures[username] = failures.get(username, 0) + 1
    return False


def limited(username):
    """What who has failed too often gets, where there is a limit."""
    if LIMIT and failures.get(username, 0) >= LIMIT:
        return {"error": "slow_down"}, 429, {"Retry-After": "30"}
    return None


def note(*values):
    """What a test must not find again: written down where vallum does not see it."""
    if os.environ.get("JOURNAL"):
        with open(os.environ["JOURNAL"], "a") as file:
            file.write("".join(f"{value}\n" for value in values if value))


@app.errorhandler(OAuth2Error)
def refuse(error):
    return {"error": error.error}, 400


@app.before_request
def hear():
    note(*(request.values.get(name) for name in ("code", "state", "nonce", "code_verifier", "csrf", "refresh_token")))
    print(request.method, request.url, dict(request.headers), request.get_data(as_text=True), flush=True)


@app.after_request
def tell(response):
    note(*(line.partition("=")[2].partition(";")[0] for line in response.headers.getlist("Set-Cookie")))
    print(response.status, dict(response.headers), response.get_data(as_text=True), flush=True)
    return response


@app.get("/ready")
def ready():
    return {}


@app.get("/expire")
def expire():
    for one in tokens:
        one["at"] = 0
    return {"expired": len(tokens)}


@app.get("/revoke")
def revoke():
    for one in tokens:
        one["at"], one["revoked"] = 0, True
    return {}


@app.get("/counts")
def count():
    return counts


@app.get("/.well-known/openid-configuration")
def discovery():
    issuer = ISSUER if os.environ.get("MODE") != "other-issuer" else "http://127.0.0.1:1"
    return {"issuer": issuer, "authorization_endpoint": ISSUER + "/authorize", "token_endpoint": ISSUER + "/token"}


@app.post("/token")
def token():
    return limited(request.form.get("username", "")) or server.create_token_response()


@app.get("/authorize")
def authorize():
    if session.get("user") != "alice":
        session["next"] = request.url
        return redirect("/name")
    server.get_consent_grant(end_user="alice")
    session["csrf"] = secrets.token_urlsafe(20)
    return f"""<form method="post"><input type="hidden" name="csrf" value="{session["csrf"]}">
    <button name="consent" value="no">No</button><button name="consent" value="yes">Yes</button></form>"""


@app.post("/authorize")
def consent():
    yes = request.form.get("consent") == "yes" and request.form.get("csrf") == session.pop("csrf", "")
    return server.create_authorization_response(
        grant_user="alice" if yes else None, grant=server.get_consent_grant(end_user="alice")
    )


@app.route("/name", methods=["GET", "POST"])
def name():
    if request.method == "POST":
        session["name"] = request.form["username"]
        if TELLS and session["name"] != "alice":
            return '<form method="post"><p>There is no such account.</p><input name="username"></form>'
        return redirect("/secret")
    return '<form method="post"><input name="username"><input type="submit" value="Next"></form>'


@app.route("/secret", methods=["GET", "POST"])
def secret():
    if request.method == "POST" and request.form.get("csrf") == session.pop("csrf", ""):
        if refusal := limited(session.get("name", "")):
            return refusal
        code = request.form.get("code", "")
        right = known(session.get("name", ""), request.form["password"])
        if TOTP:
            second = pyotp.parse_uri(TOTP) if ":" in TOTP else pyotp.TOTP(TOTP)
            fresh = code not in used and second.verify(code, valid_window=1)
            used.add(code)
        if right and (not TOTP or fresh):
            session["user"] = "alice"
            return redirect(session["next"])
    session["csrf"] = secrets.token_urlsafe(20)
    return f"""<form method="post" action="/secret"><input type="hidden" name="csrf" value="{session["csrf"]}">
    <input type="password" name="password"><input name="code"><button>Log in</button></form>"""


@app.get("/me")
@protect()
def me():
    return {"heard": dict(request.headers)}


@app.get("/callback")
def callback():
    print("THE REDIRECT URI WAS ASKED FOR", flush=True)
    return {}


app.run("127.0.0.1", int(sys.argv[1]), threaded=True)

"""Keys that sign tokens because nobody changed them: words, examples of tutorials, defaults of frameworks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vallum.config import Config
from vallum.target import Target

WORDS = tuple(
    """
    secret secrets Secret SECRET mysecret my-secret my_secret mySecret MySecret MYSECRET my-secret-key my_secret_key
    mysecretkey mySecretKey MySecretKey MY_SECRET_KEY secretkey secret-key secret_key secretKey SecretKey SECRET_KEY
    supersecret super-secret super_secret superSecret SuperSecret super-secret-key super_secret_key supersecretkey
    superSecretKey topsecret top-secret top_secret TopSecret verysecret very-secret very_secret verysecretkey
    notasecret not-a-secret notsosecret thesecret the-secret oursecret thisisasecret this-is-a-secret this_is_a_secret
    thisisasecretkey this-is-secret thisismysecret this-is-my-secret itsasecret shhhh shhhhh shhh shhhhhared-secret
    secret123 Secret123 secret1234 secret1 secret12 secret!! s3cr3t s3cret S3cr3t sekret changeme change-me change_me
    changeMe ChangeMe CHANGEME CHANGE_ME changeit change-it change_this changethis change-this pleasechangeme
    please-change-me replaceme replace-me replace_me todo TODO fixme placeholder default defaultsecret default-secret
    default_secret defaultkey default-key example examplekey example-key example_key example-secret sample samplekey
    test test123 test1234 testing testkey test-key test_key testsecret test-secret test_secret tests dev devkey dev-key
    devsecret dev-secret dev_secret development development-secret dev-secret-key local localhost localsecret staging
    prod production production-secret demo demokey demo-secret debug jwt JWT jwtsecret jwt-secret jwt_secret jwtSecret
    JwtSecret JWT_SECRET jwtkey jwt-key jwt_key jwtKey JWT_KEY jwt-secret-key jwt_secret_key jwtSecretKey JWTSecretKey
    JWT_SECRET_KEY my-jwt-secret myjwtsecret jwtpassword jwt-token jwt_token token tokensecret token-secret token_secret
    TOKEN_SECRET tokenkey access_token_secret accessTokenSecret access-secret refresh-secret refreshTokenSecret auth
    authsecret auth-secret auth_secret AUTH_SECRET authkey session session-secret session_secret sessionsecret
    SESSION_SECRET cookie-secret cookie_secret keyboard-cat app appsecret app-secret app_secret APP_SECRET appkey
    app-key app_key APP_KEY api apikey api-key api_key API_KEY apisecret api-secret api_secret key mykey my-key my_key
    thekey privatekey private-key private_key private PRIVATE_KEY publickey sharedsecret shared-secret shared_secret
    signingkey signing-key signing_key signing-secret signature hmac hmackey hmac-key hmac-secret hs256 HS256 hs256key
    hs256-secret salt pepper password Password password1 password123 Password123 Passw0rd P@ssw0rd p@ssw0rd passwd pass
    mypassword admin admin123 administrator root toor user guest letmein welcome welcome1 qwerty qwerty123 qwertyuiop
    asdf asdfgh asdfghjkl zxcvbn abc abc123 abcd abcd1234 abcdef abcdefgh abcdefghijklmnopqrstuvwxyz 1234 12345 123456
    1234567 12345678 123456789 1234567890 0123456789 0123456789abcdef 123123 111111 000000 0000 11111111 a aaaa aaaaaaaa
    x xxx xxxx xxxxxxxx foo bar foobar foo-bar hello helloworld hello-world HelloWorld hunter2 monkey dragon iloveyou
    flask flask-secret flask-secret-key django django-insecure express expressjs node nodejs nodesecret spring
    springboot spring-boot laravel rails fastapi nestjs nest koa hapi symfony graphql postgres mysql mongo redis docker
    kubernetes k8s service microservice microservices gateway shop store bank crm cms blog
    your-256-bit-secret your-384-bit-secret your-512-bit-secret your-secret your_secret yoursecret your-secret-key
    your_secret_key yoursecretkey yourSecretKey YOUR_SECRET_KEY your-jwt-secret your_jwt_secret your-super-secret-key
    your-very-secret-key a-string-secret-at-least-256-bits-long a-secret-key a_secret_key some-secret some_secret
    somesecret some-secret-key random random-secret random-string somethingsecret something-secret
    09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7
    404E635266556A586E3272357538782F413F4428472B4B6250645367566B5970
    """.split()  # noqa: SIM905 - a list of one word a line would be 500 lines
)
"""Our own list. The last two are keys that tutorials print and readers keep: FastAPI's on OAuth2, and one on Spring."""
SPACED = (
    "keyboard cat",
    "my secret",
    "my secret key",
    "this is a secret",
    "this is a secret key",
    "super secret",
    "super secret key",
    "top secret",
    "very secret",
    "change me",
    "please change me",
    "hello world",
    "secret key",
    "your secret key",
    "a very secret key",
)
"""Those of more than one word."""
PARTS = (
    "secret",
    "key",
    "jwt",
    "token",
    "jwt-secret",
    "jwt-key",
    "secret-key",
    "signing-key",
    "password",
    "123",
    "2024",
    "2025",
    "2026",
)
"""What is put beside the name of the project or of a service."""
_QUOTED = re.compile(r"""(["'`])((?:(?!\1)[^\\\r\n]){4,128})\1""")
_ASSIGNED = re.compile(r"(?m)^\s*[\w.-]{2,64}\s*[=:]\s*([^\s#\"'`]{4,128})\s*(?:#.*)?$")
MAX_FILE = 256 << 10
"""Bytes of a file that is read for strings; longer ones are data or generated."""
MAX_STRINGS = 200_000
"""Strings that are tried: 0.4 s of HMAC-SHA256 on one core."""


def from_lists(names: tuple[str, ...]) -> Iterator[str]:
    """The empty key, the lists, and the names of the project and its services with what is put beside them."""
    yield ""
    yield from WORDS
    yield from SPACED
    for name in names:
        yield from (name, name.upper(), name.capitalize())
        for part in PARTS:
            for joint in ("-", "_", "", "."):
                for word in (f"{name}{joint}{part}", f"{part}{joint}{name}"):
                    yield from (word, word.upper())


def from_files(target: Target) -> Iterator[tuple[str, str]]:
    """Each string that stands in a small text file of the target, once, with the file's path."""
    seen: set[str] = set()
    for path in target.files:
        try:
            file = target.root / path
            if file.is_symlink() or file.stat().st_size > MAX_FILE:
                continue
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        for match in (*_QUOTED.finditer(text), *_ASSIGNED.finditer(text)):
            word = match[match.lastindex or 0]
            if word not in seen:
                seen.add(word)
                yield word, path
                if len(seen) >= MAX_STRINGS:
                    return


def names(config: Config, services: tuple[str, ...]) -> tuple[str, ...]:
    """What a key may be called after: the project, its services, and the first word of each."""
    found = dict.fromkeys((config.project.name, *services))
    for name in list(found):
        found.setdefault(re.split(r"[-_. ]", name)[0])
    return tuple(name for name in found if name)

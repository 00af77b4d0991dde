"""The rules of the check authentication, each with its mapping: CWE, and API2 of the OWASP API Security Top 10 (2023)."""

from __future__ import annotations

from vallum.severity import Severity
from vallum_checks._api import ApiRule

_PAGE = "https://owasp.org/API-Security/editions/2023/en/0xa2-broken-authentication/"
_BCP = "https://www.rfc-editor.org/rfc/rfc8725"


def _rule(name: str, severity: Severity, title: str, text: str, cwe: tuple[int, ...], uri: str = _PAGE) -> ApiRule:
    return ApiRule(f"authentication.{name}", title, severity, title, text, cwe, ("API2:2023",), uri)


RULES = {
    rule.id.partition(".")[2]: rule
    for rule in (
        _rule(
            "no-token",
            Severity.HIGH,
            "an operation that declares a login answers without one",
            "Ask for the login in one place for all operations, and open single ones by name",
            (306,),
        ),
        _rule(
            "signature",
            Severity.CRITICAL,
            "the signature of a token is not verified",
            "Verify the signature before a claim is read; never decode with verification switched off",
            (347,),
            _BCP,
        ),
        _rule(
            "alg-none",
            Severity.CRITICAL,
            "an unsigned token is accepted (`alg: none`)",
            "Give the verifying function a fixed list of algorithms; the token's header must not choose (RFC 8725, 3.1)",
            (347,),
            _BCP,
        ),
        _rule(
            "foreign-key",
            Severity.CRITICAL,
            "a token is verified with a key of its sender's choice",
            "Look keys up by `kid` in a fixed table, tie each key to one algorithm, ignore `jwk`, `jku` and `x5u`",
            (290,),
            _BCP,
        ),
        _rule(
            "guessable-key",
            Severity.CRITICAL,
            "tokens are signed with a key that can be guessed or read in the repository",
            "Sign with at least 32 random bytes that are made for each environment and kept in a secret store",
            (1391, 321),
            _BCP,
        ),
        _rule(
            "expiry",
            Severity.HIGH,
            "the end of a token is not checked",
            "Demand `exp` and refuse tokens that are past it, in every service that reads them",
            (613,),
            _BCP,
        ),
        _rule(
            "audience",
            Severity.MEDIUM,
            "the audience or the issuer of a token is not checked",
            "Compare `aud` and `iss` with fixed values in every service (RFC 8725, 3.8 and 3.9)",
            (345,),
            _BCP,
        ),
        _rule(
            "token-lifetime",
            Severity.MEDIUM,
            "tokens never end, or too late",
            "Set `exp` to minutes or a few hours, and renew with a refresh token that can be revoked",
            (613,),
            _BCP,
        ),
        _rule(
            "invalid-token",
            Severity.CRITICAL,
            "a token that was never issued is accepted",
            "Look the token up where it was stored, whole, and refuse what is not there",
            (287,),
        ),
        _rule(
            "token-error",
            Severity.LOW,
            "a malformed token makes the service fail",
            "Turn every failure to read a token into 401",
            (755,),
        ),
        _rule(
            "any-password",
            Severity.CRITICAL,
            "a wrong password logs in",
            "Compare the password with the one of the user who is named, in every way in; refuse users who do not exist",
            (287,),
        ),
        _rule(
            "no-login-limit",
            Severity.HIGH,
            "passwords can be guessed without end",
            "Answer 429 after some failed attempts, for the user's name and for the client (NIST SP 800-63B, 5.2.2)",
            (307,),
        ),
        _rule(
            "user-enumeration",
            Severity.MEDIUM,
            "the answer tells which users there are",
            "Give the same status, text and headers for a wrong name and a wrong password",
            (204,),
        ),
        _rule(
            "user-enumeration-time",
            Severity.MEDIUM,
            "the time of the answer tells which users there are",
            "Compute the password's hash for unknown names too, against a fixed value",
            (208,),
        ),
    )
}
"""Every rule, by its name behind `authentication.`."""

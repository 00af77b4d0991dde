"""The rules of the check `transport`: API8:2023 (misconfiguration), NIST SP 800-52r2, RFC 8996, RFC 6797, RFC 6265bis."""

from __future__ import annotations

from vallum.severity import Severity
from vallum_checks._api import ApiRule

_OWASP = ("API8:2023", "A02:2025")
_TLS = "https://csrc.nist.gov/pubs/sp/800/52/r2/final"
_COOKIES = "https://datatracker.ietf.org/doc/draft-ietf-httpbis-rfc6265bis/"


def _rule(
    name: str,
    title: str,
    severity: Severity,
    cwe: int,
    description: str,
    fix: str,
    uri: str = _TLS,
    owasp: tuple[str, ...] = _OWASP,
) -> ApiRule:
    return ApiRule(f"transport-{name}", title, severity, description, fix, (cwe,), owasp, uri)


SSL = _rule(
    "ssl",
    "SSL 2.0 or 3.0 is accepted",
    Severity.HIGH,
    327,
    "SSL is broken: what it carries can be read and changed (RFC 6176, RFC 7568).",
    "Accept TLS 1.2 and TLS 1.3 only.",
)
OLD_TLS = _rule(
    "old-tls",
    "TLS 1.0 or 1.1 is accepted",
    Severity.MEDIUM,
    327,
    "TLS 1.0 and 1.1 must not be negotiated any more (RFC 8996; NIST SP 800-52r2, 3.1).",
    "Accept TLS 1.2 and TLS 1.3 only.",
    "https://www.rfc-editor.org/rfc/rfc8996",
)
NO_MODERN_TLS = _rule(
    "no-modern-tls",
    "Neither TLS 1.2 nor TLS 1.3 is spoken",
    Severity.HIGH,
    327,
    "Servers must support TLS 1.2 and should support TLS 1.3 (NIST SP 800-52r2, 3.1).",
    "Turn on TLS 1.2 and TLS 1.3.",
)
WEAK_CIPHER = _rule(
    "weak-cipher",
    "A weak cipher suite is accepted",
    Severity.HIGH,
    326,
    "Suites without encryption or authentication, export suites, RC4, DES, 3DES and keys under 128 bits protect nothing.",
    "Accept suites with AES-GCM or ChaCha20-Poly1305 and ephemeral keys only (NIST SP 800-52r2, 3.3.1).",
)
NO_FORWARD_SECRECY = _rule(
    "no-forward-secrecy",
    "No cipher suite has forward secrecy",
    Severity.LOW,
    326,
    "Who gets the server's key later can read everything that was recorded before.",
    "Prefer suites with ECDHE, or TLS 1.3 alone.",
)
EXPIRED = _rule(
    "certificate-expired",
    "The certificate is not valid today",
    Severity.HIGH,
    298,
    "Clients refuse it, or have been taught not to look: then any certificate will do.",
    "Renew it, and let it be renewed by a machine before it ends.",
)
EXPIRES = _rule(
    "certificate-expires",
    "The certificate ends soon",
    Severity.LOW,
    298,
    "It ends within two weeks.",
    "Renew it, and let it be renewed by a machine before it ends.",
)
UNTRUSTED = _rule(
    "certificate-untrusted",
    "The certificate is signed by nobody who is trusted",
    Severity.HIGH,
    295,
    "Clients cannot tell the service from somebody between: they refuse it, or have been taught not to look.",
    "Use a certificate of an authority that clients know; for an authority of your own set options.ca.",
)
WRONG_NAME = _rule(
    "certificate-name",
    "The certificate is for another name",
    Severity.HIGH,
    297,
    "Clients cannot tell the service from somebody between: they refuse it, or have been taught not to look.",
    "Name the host in the certificate's subject alternative names.",
)
WEAK_KEY = _rule(
    "certificate-weak-key",
    "The certificate has a weak key or signature",
    Severity.HIGH,
    326,
    "RSA keys need 2048 bits, elliptic curves 224, and signatures at least SHA-224 (NIST SP 800-52r2, 3.2.1).",
    "Make a new key (RSA 2048 or P-256 at least) and let it be signed with SHA-256.",
)
BROKEN_TLS = _rule(
    "tls-vulnerability",
    "The TLS implementation has a known vulnerability",
    Severity.HIGH,
    310,
    "Heartbleed, ROBOT, CCS injection, compression or insecure renegotiation: what TLS protects can be read or changed.",
    "Update the TLS library, and turn off compression and renegotiation by the client.",
)
NO_HSTS = _rule(
    "no-hsts",
    "No Strict-Transport-Security",
    Severity.MEDIUM,
    319,
    "A browser that was sent here by a plain link asks without TLS first, and anybody between can keep it there.",
    "Answer every https request with Strict-Transport-Security: max-age=31536000; includeSubDomains.",
    "https://www.rfc-editor.org/rfc/rfc6797",
)
SHORT_HSTS = _rule(
    "short-hsts",
    "Strict-Transport-Security is remembered too shortly",
    Severity.LOW,
    319,
    "A max-age under 180 days is forgotten between two visits; 0 takes the protection back.",
    "Set max-age to a year (31536000).",
    "https://www.rfc-editor.org/rfc/rfc6797",
)
NO_REDIRECT = _rule(
    "no-redirect",
    "Plain HTTP is answered instead of redirected",
    Severity.MEDIUM,
    319,
    "What is asked and answered without TLS can be read and changed on the way.",
    "Answer plain HTTP with a redirect to https, or do not answer at all.",
    "https://www.rfc-editor.org/rfc/rfc6797",
)
PLAIN = _rule(
    "plaintext",
    "The service speaks plain HTTP over a network",
    Severity.HIGH,
    319,
    "What is asked and answered without TLS can be read and changed on the way.",
    "Serve https only.",
)
PLAIN_INSIDE = _rule(
    "mtls-plaintext",
    "The service answers without TLS though mutual TLS is demanded",
    Severity.HIGH,
    319,
    "Everybody inside the network can read and send what services say to each other (NIST SP 800-204, 4.2.1).",
    "Let the service, or its side-car, accept mutual TLS only (in a mesh: mode STRICT).",
    "https://csrc.nist.gov/pubs/sp/800/204/final",
)
NO_CLIENT_CERTIFICATE = _rule(
    "mtls-not-required",
    "The service answers callers without a certificate though mutual TLS is demanded",
    Severity.HIGH,
    306,
    "Everybody inside the network can call the service in another one's name (NIST SP 800-204, 4.2.1).",
    "Require and verify client certificates (ssl_verify_client on; mesh mode STRICT).",
    "https://csrc.nist.gov/pubs/sp/800/204/final",
)
COOKIE_HTTPONLY = _rule(
    "cookie-httponly",
    "Session cookie without HttpOnly",
    Severity.MEDIUM,
    1004,
    "A script that gets into a page can read the session and use it elsewhere.",
    "Set HttpOnly on the session cookie.",
    _COOKIES,
)
COOKIE_SECURE = _rule(
    "cookie-secure",
    "Session cookie without Secure",
    Severity.MEDIUM,
    614,
    "The browser sends the session without TLS as well, where it can be read.",
    "Set Secure on the session cookie; better, name it __Host-….",
    _COOKIES,
)
COOKIE_SAMESITE = _rule(
    "cookie-samesite",
    "Session cookie without SameSite",
    Severity.LOW,
    1275,
    "Some browsers send the session along with what other sites make them ask.",
    "Set SameSite=Lax or Strict on the session cookie.",
    _COOKIES,
)
URL_SECRET = _rule(
    "secret-in-url",
    "A credential travels in the address",
    Severity.MEDIUM,
    598,
    "Addresses are kept in logs, histories and Referer headers of others.",
    "Send credentials in a header or the body.",
    "https://owasp.org/API-Security/editions/2023/en/0xa8-security-misconfiguration/",
)
SHARED_CACHE = _rule(
    "shared-cache",
    "A logged-in answer may be kept by shared caches",
    Severity.MEDIUM,
    524,
    "A proxy may give one user's answer to the next one (RFC 9111, 3.5: public and s-maxage allow it in spite of the login).",
    "Answer logged-in requests with Cache-Control: no-store, or private at least.",
    "https://www.rfc-editor.org/rfc/rfc9111",
)
RULES = tuple(value for value in dict(vars()).values() if isinstance(value, ApiRule))

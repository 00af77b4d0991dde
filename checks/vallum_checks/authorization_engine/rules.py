"""The rules of the check `authorization`, with their places in the OWASP API Security Top 10 (2023) and the CWE."""

from __future__ import annotations

from vallum.severity import Severity
from vallum_checks._api import ApiRule

_BOLA = "https://owasp.org/API-Security/editions/2023/en/0xa1-broken-object-level-authorization/"
_PROPERTY = "https://owasp.org/API-Security/editions/2023/en/0xa3-broken-object-property-level-authorization/"
_FUNCTION = "https://owasp.org/API-Security/editions/2023/en/0xa5-broken-function-level-authorization/"
_FLOW = "https://owasp.org/API-Security/editions/2023/en/0xa6-unrestricted-access-to-sensitive-business-flows/"
_OWNER = "compare the object's owner with the caller of the token on every access, and answer 404 or 403"
_READ = "return an explicit list of properties for each role, never the stored object as it is"
_WRITE = "take only an explicit list of properties from the client, and refuse a body that holds others"

OBJECT_READ = ApiRule(
    "authorization.object-read",
    "another user's object is readable",
    Severity.HIGH,
    "One user's object is given to another user who asks for it by its identifier (NIST SP 800-204, MS-SS-1).",
    _OWNER,
    (639,),
    ("API1:2023", "A01:2025"),
    _BOLA,
)
OBJECT_CHANGED = ApiRule(
    "authorization.object-changed",
    "another user's object can be changed",
    Severity.HIGH,
    "A second user's request changed the object of the first, who reads it changed.",
    _OWNER,
    (639,),
    ("API1:2023", "A01:2025"),
    _BOLA,
)
OBJECT_DELETED = ApiRule(
    "authorization.object-deleted",
    "another user's object can be deleted",
    Severity.HIGH,
    "A second user's request deleted the object of the first, who finds it gone.",
    _OWNER,
    (639,),
    ("API1:2023", "A01:2025"),
    _BOLA,
)
OBJECT_OPEN = ApiRule(
    "authorization.object-open",
    "a user's object is open without a login",
    Severity.CRITICAL,
    "Nobody needs to be logged in to read, change or delete a user's object.",
    "ask for a valid token on this route, then compare the object's owner with its user",
    (862, 639),
    ("API1:2023", "A01:2025"),
    _BOLA,
)
FUNCTION = ApiRule(
    "authorization.function-for-everyone",
    "an administrators' function answers an ordinary user",
    Severity.HIGH,
    "An operation that is meant for administrators does its work for a user who is none.",
    "check the caller's role on this route, and refuse others with 403",
    (285,),
    ("API5:2023", "A01:2025"),
    _FUNCTION,
)
FUNCTION_OPEN = ApiRule(
    "authorization.function-open",
    "an administrators' function answers without a login",
    Severity.CRITICAL,
    "An operation that is meant for administrators does its work for anybody.",
    "ask for a valid token on this route and check its role",
    (862, 285),
    ("API5:2023", "A01:2025"),
    _FUNCTION,
)
INTERNAL_OPEN = ApiRule(
    "authorization.internal-exposed",
    "settings, metrics or debugging output are open without a login",
    Severity.HIGH,
    "What is meant for those who run the service is given to anybody.",
    "serve it on an inner port, or ask for an administrator's token",
    (200, 862),
    ("API5:2023", "API8:2023", "A01:2025"),
    _FUNCTION,
)
MASS_ASSIGNMENT = ApiRule(
    "authorization.mass-assignment",
    "a client sets a property that is not for clients",
    Severity.HIGH,
    "A property that the definition does not let a client write was sent, and read back with the value sent.",
    _WRITE,
    (915,),
    ("API3:2023", "A01:2025"),
    _PROPERTY,
)
PRICE = ApiRule(
    "authorization.price-from-client",
    "a client sets the price",
    Severity.HIGH,
    "An amount of money that the service must work out was sent by the client, and read back with the value sent.",
    "take prices from the service's own records; " + _WRITE,
    (915,),
    ("API3:2023", "API6:2023", "A06:2025"),
    _FLOW,
)
SECRET_RETURNED = ApiRule(
    "authorization.secret-returned",
    "an answer holds a secret",
    Severity.HIGH,
    "A property that is secret by its name is in an answer to an ordinary user, with a value.",
    _READ,
    (200, 213),
    ("API3:2023", "A01:2025"),
    _PROPERTY,
)
UNDECLARED = ApiRule(
    "authorization.undeclared-property",
    "an answer holds properties that the definition does not declare",
    Severity.LOW,
    "More is returned than the schema of the answer says: what nobody declared, nobody has reviewed.",
    _READ,
    (213,),
    ("API3:2023",),
    _PROPERTY,
)
RULES = (
    *(OBJECT_READ, OBJECT_CHANGED, OBJECT_DELETED, OBJECT_OPEN, FUNCTION, FUNCTION_OPEN, INTERNAL_OPEN),
    *(MASS_ASSIGNMENT, PRICE, SECRET_RETURNED, UNDECLARED),
)

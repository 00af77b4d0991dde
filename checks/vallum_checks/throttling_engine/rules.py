"""The rules of the check throttling: CWE, and API4 of the OWASP API Security Top 10 (2023)."""

from __future__ import annotations

from vallum.severity import Severity
from vallum_checks._api import ApiRule

_PAGE = "https://owasp.org/API-Security/editions/2023/en/0xa4-unrestricted-resource-consumption/"
_API = ("API4:2023",)

RULES = {
    rule.id.partition(".")[2]: rule
    for rule in (
        ApiRule(
            "throttling.no-limit",
            "requests without a limit",
            Severity.MEDIUM,
            "a burst of requests from one client meets no limit",
            "Limit requests by client and by user at the gateway, answer 429 with Retry-After over it (RFC 6585, section 4)",
            (770,),
            _API,
            _PAGE,
        ),
        ApiRule(
            "throttling.login-no-limit",
            "logins without a limit by client",
            Severity.HIGH,
            "one client may try one password after the other, with another user name each time",
            "Count failed logins by client beside those by user name, and answer 429 with Retry-After over a few in a minute",
            (799,),
            ("API2:2023", *_API),
            _PAGE,
        ),
        ApiRule(
            "throttling.limit-answer",
            "a limit that does not say so",
            Severity.LOW,
            "what is over the limit is refused without 429 and Retry-After: clients cannot tell when to come back",
            "Answer 429 with Retry-After (RFC 6585, section 4; RFC 9110, section 10.2.3)",
            (440,),
            _API,
            "https://www.rfc-editor.org/rfc/rfc6585#section-4",
        ),
        ApiRule(
            "throttling.page-size",
            "pages of any size",
            Severity.MEDIUM,
            "a client may ask for a million items at once",
            "Give the parameter a maximum in the definition, and refuse or cut what is over it",
            (770, 1284),
            _API,
            _PAGE,
        ),
    )
}
"""Every rule, by its name behind `throttling.`."""

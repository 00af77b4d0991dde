"""Broken function level authorization (API5): what is for administrators, called by an ordinary user and by nobody."""

from __future__ import annotations

import re

from vallum.api.model import Operation
from vallum.severity import Severity
from vallum.stage.calls import Answer
from vallum_checks.authorization_engine import rules
from vallum_checks.authorization_engine.answers import shows
from vallum_checks.authorization_engine.declared import Mark
from vallum_checks.authorization_engine.model import OUTSIDE, REFUSED, Engagement, Site, unclear

_LOGIN_PAGE = re.compile(rb"<input[^>]{0,200}type\s*=\s*[\"']?password", re.IGNORECASE)


def call(e: Engagement, site: Site, *, reading: bool) -> None:
    """Call the functions of administrators that read (`reading`), or those that do something."""
    for operation in site.operations:
        if operation.method in {"HEAD", "OPTIONS", "TRACE"} or (operation.method == "GET") is not reading:
            continue
        mark = e.mark(site, operation)
        if mark is None:
            continue
        if operation.unsupported:
            e.miss(site, operation, operation.unsupported)
            continue
        e.count("function")
        _call(e, site, operation, mark)


def _call(e: Engagement, site: Site, operation: Operation, mark: Mark) -> None:
    thing = site.thing(operation)
    path = site.path(operation) if thing is None or thing.private is not None else ""
    outside = e.ask(site, operation, OUTSIDE, path)
    if unclear(outside):
        e.miss(site, operation, f"answers {outside.status or outside.why}, which tells nothing")
        return
    if _works(outside):
        what = f"answers without a login, and is not for everybody ({mark.why})"
        if mark.about_service:
            severity = Severity.HIGH if operation.secured or site.silent else Severity.MEDIUM
            e.report(rules.INTERNAL_OPEN, site, operation, what, outside, severity=severity)
        else:
            e.report(rules.FUNCTION_OPEN, site, operation, what, outside)
        return
    if e.first is None:
        _unsure(e, site, operation, path, outside)
        return
    mine = e.ask(site, operation, e.first, path)
    if unclear(mine):
        e.miss(site, operation, f"answers {mine.status or mine.why}, which tells nothing")
    elif not _works(mine):
        _unsure(e, site, operation, path, mine)
    elif mark.declared or operation.method != "GET" or not _personal(e, site, operation, path, mine):
        severity = Severity.MEDIUM if mark.about_service and not mark.declared else Severity.HIGH
        message = f"answers the ordinary user {e.first.name}, and is for administrators ({mark.why})"
        e.report(rules.FUNCTION, site, operation, message, mine, severity=severity)


def _works(answer: Answer) -> bool:
    """Whether the function did its work: a page that asks for a password is none."""
    return answer.ok and not _LOGIN_PAGE.search(answer.body)


def _personal(e: Engagement, site: Site, operation: Operation, path: str, mine: Answer) -> bool:
    """Whether each user gets something of their own, so that the word in its path is about that (`/account/manage`)."""
    if e.second is None:
        return False
    theirs = e.ask(site, operation, e.second, path)
    return theirs.ok and not shows(mine, theirs)


def _unsure(e: Engagement, site: Site, operation: Operation, path: str, answer: Answer) -> None:
    """A refusal is one only where the request was fit to be answered: an administrator tells."""
    if answer.status in {401, 403} or (answer.status in REFUSED and e.admin is None):
        return
    if 300 <= answer.status < 400:
        return
    if e.admin is None:
        e.miss(site, operation, f"answers {answer.status}, and no administrator is configured to compare with")
        return
    theirs = e.ask(site, operation, e.admin, path)
    if not theirs.ok:
        e.miss(site, operation, f"the request is answered {theirs.status or theirs.why} to an administrator too")

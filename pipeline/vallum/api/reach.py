"""What an answer says about an operation: whether the operation itself was reached, or something in front of it spoke."""

from __future__ import annotations

from vallum.api.model import Operation


def unreached(operation: Operation, status: int, *, logged_in: bool, why: str = "") -> str:
    """Empty where the operation itself answered, else why it was not reached. `status` 0: no answer, for the reason `why`.

    An answer counts that the definition declares; 401 never does where a login was sent and needed.
    """
    if status == 0:
        return f"no answer ({why})" if why else "no answer"
    if status in {405, 501} or (status in {403, 404} and str(status) not in operation.declared):
        return f"answered {status}"
    if status == 401 and operation.secured and logged_in:
        return "answered 401: the login was refused"
    if status == 401 and not operation.login and str(status) not in operation.declared:
        return "answered 401"
    return ""

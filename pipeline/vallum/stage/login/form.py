"""`form`: an HTML login form. The page at `path` is asked for, its forms are filled, and the cookies are the session.

Redirects are followed inside the scope, so a service that sends its users to an identity provider and gets them back (a
backend for a frontend, a SAML or OIDC relying party with a plain HTML login) is logged in to by this kind too.
"""

from __future__ import annotations

from vallum.stage.login import forms
from vallum.stage.login.conversation import Conversation
from vallum.stage.login.kind import Account, Credentials, Kind


def _log_in(account: Account, talk: Conversation) -> Credentials:
    page = talk.follow(talk.request("GET", account.url + account.login.path))
    page = forms.log_in_by(account, talk, page)
    if page.status >= 400:
        raise account.refused(page)
    return account.credentials(talk)


KIND = Kind(needs=("path", "form"), takes=(), log_in=_log_in)

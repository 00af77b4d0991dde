"""HTML forms: found in a page, filled, and sent as a browser without JavaScript sends them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from html import unescape
from urllib.parse import urldefrag, urlencode, urlsplit, urlunsplit

from vallum.errors import Inconclusive
from vallum.stage.login.conversation import Conversation, Page, join
from vallum.stage.login.kind import KEY, Account

PAGES = 10
"""Pages with a form that a login may lead over."""
_TAG = re.compile(
    r"""<!--.*?(?:-->|\Z)|<(?P<end>/?)(?P<name>[A-Za-z][^\s/>]*)"""
    r"""(?P<attributes>(?:[^>"']|"[^"]*(?:"|\Z)|'[^']*(?:'|\Z))*)>?""",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(
    r"""(?P<name>[^\s/>=]+)(?:\s*=\s*(?:"(?P<double>[^"]*)"?|'(?P<single>[^']*)'?|(?P<bare>[^\s>"'][^\s>]*)))?"""
)
_RAW = {"script", "style", "textarea", "title"}
"""Elements whose content is text, whatever it looks like (HTML, section 13.1.2)."""
_UNSENT = {"reset", "button", "file", "image"}
"""Types of input that are not sent, or that a script or a click would have to fill."""


@dataclass
class Form:
    """A form: where and how it is sent, its fields with what is in them, and its submit buttons. `visible`: it asks for
    something that a person would fill."""

    action: str = ""
    method: str = "GET"
    encoding: str = ""
    fields: list[tuple[str, str]] = field(default_factory=list)
    hidden: set[str] = field(default_factory=set)
    visible: bool = False
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def names(self) -> set[str]:
        """What can be filled: fields and buttons."""
        return {name for name, _ in [*self.fields, *self.buttons]}

    def filled(self, values: dict[str, str]) -> list[tuple[str, str]]:
        """The fields with `values` in place, then the button that is pressed: one that `values` names, else the first."""
        sent = [(name, values.get(name, value)) for name, value in self.fields]
        pressed = [(name, values[name]) for name, _ in self.buttons if name in values][:1] or self.buttons[:1]
        return sent + [pair for pair in pressed if pair[0]]


class _Reader:
    """Builds forms from tags. Tags are found by our own linear scan: html.parser takes minutes for some pages of 256 KiB."""

    def __init__(self) -> None:
        self.forms: list[Form] = []
        self.base = ""
        self._form: Form | None = None
        self._select: tuple[str, list[tuple[str, bool]]] | None = None

    def begin(self, tag: str, given: dict[str, str], text: str) -> None:
        """A tag with its attributes; `text` is what stands between it and the next tag (a textarea's: all of it)."""
        if tag == "base":
            self.base = self.base or given.get("href", "")
        elif tag == "form" and self._form is None:
            self._form = Form(given.get("action", ""), given.get("method", "get").upper(), given.get("enctype", ""))
            self.forms.append(self._form)
        elif self._form is None or "disabled" in given:
            return
        elif tag == "input":
            _input(self._form, given)
        elif tag == "button" and given.get("type", "submit").lower() not in _UNSENT:
            self._form.buttons.append((given.get("name", ""), given.get("value", "")))
        elif tag == "select":
            self._form.visible = True
            self._select = (given["name"], []) if given.get("name") else None
        elif tag == "option" and self._select is not None:
            self._select[1].append((given.get("value", text.strip()), "selected" in given))
        elif tag == "textarea":
            self._form.visible = True
            if given.get("name"):
                self._form.fields.append((given["name"], text.removeprefix("\r").removeprefix("\n")))

    def end(self, tag: str) -> None:
        """An end tag."""
        if tag == "form":
            self._form = None
        elif tag == "select" and self._form is not None and self._select is not None:
            name, options = self._select
            chosen = [value for value, selected in options if selected] or [value for value, _ in options[:1]]
            self._form.fields += [(name, value) for value in chosen]
            self._select = None


def _input(form: Form, given: dict[str, str]) -> None:
    name, kind = given.get("name", ""), given.get("type", "text").lower()
    if kind == "submit":
        form.buttons.append((name, given.get("value", "")))
        return
    if kind in _UNSENT:
        return
    form.visible = form.visible or kind != "hidden"
    if name and kind not in {"checkbox", "radio"}:
        form.fields.append((name, given.get("value", "")))
        if kind == "hidden":
            form.hidden.add(name)
    elif name and "checked" in given:
        form.fields.append((name, given.get("value", "on")))


def read(page: Page) -> list[Form]:
    """The forms of a page, their actions as whole URLs."""
    reader, html, at = _Reader(), page.text, 0
    while (tag := _TAG.search(html, at)) is not None:
        at, name = tag.end(), (tag["name"] or "").lower()
        if name in _RAW and not tag["end"]:
            close = re.compile(rf"</{name}", re.IGNORECASE).search(html, at)
            text, at = html[at : close.start() if close else len(html)], close.start() if close else len(html)
        else:
            following = html.find("<", at)
            text = html[at : following if following >= 0 else len(html)] if name == "option" else ""
        if tag["end"]:
            reader.end(name)
        elif name:
            given: dict[str, str] = {}
            for attribute in _ATTRIBUTE.finditer(tag["attributes"]):  # of a repeated one the first counts
                value = attribute["double"] or attribute["single"] or attribute["bare"] or ""
                given.setdefault(attribute["name"].lower(), unescape(value))
            reader.begin(name, given, unescape(text))
    base = join(page.url, reader.base) if reader.base else page.url
    for form in reader.forms:
        form.action = urldefrag(join(base, form.action) if form.action else page.url).url
    return reader.forms


def log_in_by(account: Account, talk: Conversation, page: Page, caught: Callable[[str], bool] | None = None) -> Page:
    """Fill `environment.login.form` into the forms that ask for it, one page after the other, and follow where they lead.

    A page may ask for some of the fields only: the name first, the password next, a one-time code then, a consent last.
    Hidden fields go along as they are. Ends when all fields were sent. With `caught` it ends where a redirect is one that
    it accepts, and on the way there a page that asks for nothing but a click (a consent, a form that a script would send)
    gets it. Raises Inconclusive for a page that asks for none of what is left.
    """
    left = dict(account.login.form)
    for _ in range(PAGES):
        if caught is not None and page.location and caught(page.location):
            break
        if not page.ok and (left or caught):
            raise account.refused(page)
        click = _click(page) if caught is not None and not (left and _asks(page, left)) else None
        if click is None and not left:
            break
        form = click or _asking(account, page, left)
        asked = {name: text for name, text in left.items() if name in form.names}
        for name, value in form.fields:
            if name in form.hidden:
                account.learn_captured(value)
        filled = form.filled(account.fill_all(asked, f"{KEY}.form"))
        page = talk.follow(_send(talk, form, filled, page), caught or (lambda _: False))
        left = {name: text for name, text in left.items() if name not in asked}
    return page


def _asks(page: Page, left: dict[str, str]) -> bool:
    return any(form.names & left.keys() for form in read(page))


def _click(page: Page) -> Form | None:
    """The only form of a page, where it asks for nothing and has one button at most."""
    forms = read(page)
    if len(forms) == 1 and not forms[0].visible and len(forms[0].buttons) <= 1:
        return forms[0]
    return None


def _asking(account: Account, page: Page, left: dict[str, str]) -> Form:
    """The form that asks for most of what is left."""
    forms = read(page)
    best = max(forms, key=lambda form: len(form.names & left.keys()), default=None)
    if best is None or not best.names & left.keys():
        named = " or ".join(f"`{name}`" for name in left)
        seen = "no HTML form" if not forms else f"no form with the field {named}"
        again = ", as it would where the login was refused" if len(left) < len(account.login.form) else ""
        raise account.refused(page, f"shows {seen}{again}")
    return best


def _send(talk: Conversation, form: Form, filled: list[tuple[str, str]], page: Page) -> Page:
    here = urlsplit(page.url)
    referer = {"Referer": page.url.partition("?")[0], "Origin": f"{here.scheme}://{here.netloc}"}
    if form.method == "GET":
        parts = urlsplit(form.action)
        return talk.request("GET", urlunsplit(parts._replace(query=urlencode(filled))), headers=referer)
    if form.encoding.lower() not in {"", "application/x-www-form-urlencoded"}:
        raise Inconclusive(f"cannot log in: the form at {page.where} is sent as {form.encoding[:50]!r}, not supported")
    return talk.post_form(form.action, filled, referer)

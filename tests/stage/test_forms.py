"""HTML forms are read and filled as a browser without JavaScript does it."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.stage.login.conversation import Page
from vallum.stage.login.forms import Form, read

PIECES = [
    "<![foo[x]]>",
    "<!x",
    "<?",
    "<!--",
    "<a ",
    "</",
    "<form ",
    "<form>",
    "</form>",
    "<script>",
    "&#",
    "<textarea name=a>",
    "<select name=a>",
]
PIECES += [
    "<option",
    "<input name=a",
    "<input a='",
    '<a b="',
    "<",
    ">",
    "=",
    " ",
    "'",
    '"',
    "a",
    "/",
    "\n",
    "a = ",
    "<title",
]


def forms(html: str, url: str = "http://127.0.0.1:1/a/login?x=1") -> list[Form]:
    return read(Page("GET", url, 200, {}, html.encode()))


def test_what_a_browser_would_send() -> None:
    (form,) = forms(
        """<!doctype html><FORM ACTION="../session?a=1&amp;b=2#top" METHOD=Post>
        <input type=hidden name=csrf value="a&quot;b"><input name=user value=old><input type=password name=pass>
        <input type=checkbox name=off><input type=checkbox name=on checked><input type=radio name=r value=1>
        <input type=radio name=r value=2 checked><input name=gone disabled><input value=nameless>
        <input type=file name=file><input type=reset name=reset><input type=image name=image>
        <select name=lang><option value=de>D</option><option value=en selected>E</option></select>
        <select name=first><option value=1>1<option value=2>2</select><textarea name=text>a &amp; b</textarea>
        <button type=button name=script value=1>x</button><button name=do value=in>In</button>
        <input type=submit name=do value=out></FORM><input name=outside>"""
    )
    assert (form.action, form.method) == ("http://127.0.0.1:1/session?a=1&b=2", "POST")
    rest = [("on", "on"), ("r", "2"), ("lang", "en"), ("first", "1"), ("text", "a & b")]
    assert form.filled({"user": "alice", "pass": "x"}) == [
        *(("csrf", 'a"b'), ("user", "alice"), ("pass", "x"), *rest, ("do", "in")),
    ]
    assert form.filled({"do": "out"})[-1] == ("do", "out")
    assert form.hidden == {"csrf"}


def test_where_a_form_leads() -> None:
    page = "http://127.0.0.1:1/a/login?x=1"
    assert forms("<form>")[0].action == page
    assert forms("<form>")[0].method == "GET"
    assert forms('<form action="?y">')[0].action == "http://127.0.0.1:1/a/login?y"
    assert forms('<base href="/b/"><form action=c>')[0].action == "http://127.0.0.1:1/b/c"
    assert forms('<form action="//evil.example/c">')[0].action == "http://evil.example/c"
    assert forms("<form action=first action=second>")[0].action.endswith("/first")


def test_nested_and_broken_pages() -> None:
    assert forms("") == []
    outer, second = forms("<form><input name=a><form><input name=b></form><input name=c><form><input name=d>")
    assert [name for name, _ in outer.fields] == ["a", "b"]
    assert [name for name, _ in second.fields] == ["d"]
    assert forms("<form><input name=a><select name=s><option>x")[0].fields == [("a", "")]


def test_whether_a_form_asks_for_anything() -> None:
    for html in ("<form><input type=hidden name=a><button>x</button>", "<form><input type=submit name=x value=y>"):
        assert not forms(html)[0].visible
    for html in ("<input>", "<input type=checkbox name=a>", "<select name=s></select>", "<textarea name=t></textarea>"):
        assert forms(f"<form>{html}</form>")[0].visible


def test_what_only_looks_like_a_form() -> None:
    assert forms("<!-- <form> --><script>'<form>'</script><style><form></style><title><form></title><formula>") == []
    (form,) = forms(
        "<form><textarea name=t>\n<input name=a>&lt;</textarea><!--<input name=b>--><input name='c' value=\"'>\">"
    )
    assert form.fields == [("t", "<input name=a>&lt;".replace("&lt;", "<")), ("c", "'>")]
    (form,) = forms("<form><select name=s><option>One &amp; two\n<option selected>Three</select>")
    assert form.fields == [("s", "Three")]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
def test_no_page_is_too_broken(html: str) -> None:
    for form in forms(html):
        assert form.action.startswith("http")
        form.filled({"a": "b"})


@pytest.mark.parametrize("piece", PIECES)
def test_no_page_takes_long(piece: str) -> None:
    """Linear: 256 KiB are read in well under a second of processor time; html.parser takes minutes."""
    began = time.process_time()
    forms(piece * ((1 << 18) // len(piece)))
    assert time.process_time() - began < 60

"""No secret passes, however a stream is cut into pieces."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote

from hypothesis import given, settings
from hypothesis import strategies as st

from vallum.finding import Finding, Location
from vallum.outcome import Completed, Run, Tool
from vallum.severity import Severity
from vallum.stage.log import HEAD, TAIL, Logs, _Log
from vallum.stage.redact import MARK, Redactor

SECRET = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=6, max_size=40)


@settings(max_examples=60, deadline=None)
@given(secret=SECRET, before=st.binary(max_size=50), cuts=st.lists(st.integers(1, 30), max_size=30))
def test_a_stream_in_any_pieces(tmp_path_factory, secret: str, before: bytes, cuts: list[int]) -> None:
    redactor = Redactor()
    redactor.add(secret)
    path = tmp_path_factory.mktemp("log") / "log.txt"
    written = _Log(path, redactor)
    written.holding = False
    text = (
        before
        + b"\n"
        + secret.encode()
        + quote(secret, safe="").encode()
        + b" "
        + json.dumps(secret).encode()
        + b"\nend"
    )
    at = 0
    for cut in [*cuts, len(text)]:
        written.feed(text[at : at + cut])
        at += cut
    written.close()
    kept = path.read_bytes()
    assert secret.encode() not in kept.replace(MARK.encode(), b"")
    assert kept.endswith(b"end")


def test_a_secret_across_the_pieces_of_one_long_line(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add("a-secret-of-some-length")
    written = _Log(tmp_path / "log.txt", redactor)
    written.holding = False
    for _ in range(40):
        written.feed(b"x" * (1 << 14) + b"a-secret-of")
        written.feed(b"-some-length")
    written.close()
    kept = (tmp_path / "log.txt").read_bytes()
    assert b"a-secret-of-some-length" not in kept
    assert kept.count(MARK.encode()) == 40


def test_a_log_is_bounded_and_keeps_both_ends(tmp_path: Path) -> None:
    written = _Log(tmp_path / "log.txt", Redactor())
    written.feed(b"first\n")
    for number in range(60_000):
        written.feed(b"%099d\n" % number)
    written.feed(b"last\n")
    written.close()
    kept = (tmp_path / "log.txt").read_bytes()
    assert kept.startswith(b"first\n")
    assert kept.endswith(b"last\n")
    assert len(kept) < HEAD + TAIL + 100
    count = int(kept.split(b"[vallum: ")[1].split(b" ")[0])
    assert count + len(kept) - len(b"\n[vallum: %d bytes left out]\n" % count) == 60_000 * 100 + 11


def test_what_is_printed_before_a_secret_is_known_is_held(tmp_path: Path) -> None:
    redactor = Redactor()
    written = _Log(tmp_path / "log.txt", redactor)
    written.feed(b"the token is much-later-known\n")
    assert (tmp_path / "log.txt").read_bytes() == b""
    redactor.add("much-later-known")
    written.holding = False
    written.feed(b"")
    assert (tmp_path / "log.txt").read_text() == f"the token is {MARK}\n"
    written.close()


def test_the_pump_takes_what_is_left_when_it_closes(tmp_path: Path) -> None:
    logs = Logs(Redactor())
    with logs.pipe("a", tmp_path / "log.txt") as out:
        os.write(int(out.name), b"x" * 60_000)
    logs.close()
    logs.close()
    assert (tmp_path / "log.txt").stat().st_size == 60_000


def test_tokens_and_credential_headers() -> None:
    redactor = Redactor()
    text = (
        "GET / HTTP/1.1\nAuthorization: Basic abc\nCookie: a=b; c=d\nX-Ok: yes\n"
        "Set-Cookie: session=abc; HttpOnly\n\neyJhbGciOiJub25lIn0.eyJzdWIiOjF9."
    )
    assert redactor.text(text) == (
        f"GET / HTTP/1.1\nAuthorization: {MARK}\nCookie: {MARK}\nX-Ok: yes\n"
        f"Set-Cookie: session={MARK}; HttpOnly\n\n{MARK}"
    )


def test_structs_and_folders(tmp_path: Path) -> None:
    redactor = Redactor()
    redactor.add('top"secret')
    finding = Finding(rule="r", severity=Severity.LOW, message='it said top"secret')
    outcome = Completed(Run(tool=Tool("t", "1"), coverage=(), findings=(finding,)))
    assert redactor.struct(outcome).run.findings[0].message == f"it said {MARK}"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "raw").write_text('x top"secret y')
    (tmp_path / "clean").write_text("nothing")
    assert redactor.sweep(tmp_path) == 1
    assert (tmp_path / "a" / "raw").read_text() == f"x {MARK} y"


def test_a_short_word_is_not_blanked_everywhere() -> None:
    redactor = Redactor()
    redactor.add("admin")
    assert redactor.text("the admin page") == "the admin page"


def test_a_one_time_code_is_no_part_of_another_number() -> None:
    redactor = Redactor()
    redactor.add_code("482913")
    assert redactor.text('code=482913&x, "482913", 482913.') == f'code={MARK}&x, "{MARK}", {MARK}.'
    assert redactor.text("0.482913 1482913 4829130") == "0.482913 1482913 4829130"


def test_a_secret_as_other_languages_write_it() -> None:
    redactor = Redactor()
    redactor.add("a/b+c\"d'e&f g")
    for form in (
        "a/b+c&#34;d&#39;e&amp;f g",
        "a/b+c&quot;d&#x27;e&amp;f g",
        "a%2Fb%2Bc%22d%27e%26f+g",
        "a\\/b+c\"d'e&f g",
    ):
        assert ("f g" in redactor.text(form) or "f+g" in redactor.text(form)) is False, form


def test_a_struct_with_numbers_and_words_that_look_like_secrets() -> None:
    redactor = Redactor()
    for secret in ("Completed", "coverage", "654321", "medium"):
        redactor.add(secret)
    finding = Finding(
        rule="medium-x", severity=Severity.MEDIUM, message="654321 coverage", location=Location("a", 654321)
    )
    outcome = redactor.struct(Completed(Run(tool=Tool("t", "1"), coverage=(), findings=(finding,))))
    assert isinstance(outcome, Completed)
    (after,) = outcome.run.findings
    assert (after.rule, after.message, after.severity) == (f"{MARK}-x", f"{MARK} {MARK}", Severity.MEDIUM)
    assert after.location == Location("a", 654321)


def test_a_log_is_held_again_while_a_login_is_renewed(tmp_path: Path) -> None:
    redactor = Redactor()
    logs = Logs(redactor)
    with logs.pipe("a", tmp_path / "log.txt") as name, name.open("wb", buffering=0) as out:
        logs.release()
        with logs.held(), logs.held():
            out.write(b"gave token-of-the-renewal\n")
            logs.tail("a")
            redactor.add("token-of-the-renewal")
        out.write(b"end\n")
    logs.close()
    assert (tmp_path / "log.txt").read_bytes() == b"gave [redacted]\nend\n"

"""The same statement in every dress has the same context; another statement has another."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vallum import runner
from vallum.config import Config
from vallum.context import LONG, Contexts
from vallum.finding import Finding, Location
from vallum.fingerprint import identify
from vallum.outcome import Completed
from vallum.severity import Severity
from vallum.target import discover
from vallum_checks import CHECKS


def of(text: str, line: int, column: int = 0, path: str = "a.py", **options: bool) -> str:
    return Contexts(lambda _: text).of(path, line, column, **options)


SAME_PYTHON = [
    ("call(a, b)\n", "call(\n    a,\n    b,\n)\n"),
    ("call(a, 'x')\n", 'call(a,   "x")  # why\n'),
    ("x = a + b\n", "x = (\n    a\n    + b\n)\n"),
    ("x = a + \\\n  b\n", "x = a + b\n"),
    ("return (value)\n", "return value\n"),
    ("x = u'a'\n", 'x = "a"\n'),
    ("x = 'it\\'s'\n", 'x = "it\'s"\n'),
    ("x = 1,\n", "x = (1,)\n"),
    ("if a: call(b)\n", "if a:\n    call(b)\n"),
    ("for (k, v) in d: pass\n", "for k, v in d:\n    pass\n"),
]


@pytest.mark.parametrize(("one", "other"), SAME_PYTHON)
def test_formatting_changes_nothing_in_python(one: str, other: str) -> None:
    assert of(one, 1) == of(other, 1) != ""
    assert of("\n# moved\n" + other, 3) == of(one, 1)


SAME_JAVASCRIPT = [
    ("exec(a, 'x');\n", 'exec(\n  a,\n  "x",\n)\n'),
    ("const f = x => exec(x)\n", "const f = (x) => exec(x);\n"),
    ("a\n  .b()\n  .c(d)\n", "a.b().c(d);\n"),
    ("let x = a +\n  b\n", "let x = a + b; // why\n"),
    ("return (a)\n", "return a;\n"),
]


@pytest.mark.parametrize(("one", "other"), SAME_JAVASCRIPT)
def test_formatting_changes_nothing_in_javascript(one: str, other: str) -> None:
    assert of(one, 1, path="a.js") == of(other, 1, path="a.js") != ""


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("one(x)\ntwo(y)\n", "a.py"),
        ("one(x)\ntwo(y)\n", "a.js"),
        ("one(x);\ntwo(y);\n", "a.java"),
        ("x := one(x)\ny := two(y)\n", "a.go"),
        ("if a {\n one(x) }\ntwo(y)\n", "a.go"),
        ("def f(\n  a): one(x)\ntwo(y)\n", "a.py"),
        ("app.get('/', (q, r) => {\n  one(x) })\ntwo(y)\n", "a.js"),
    ],
)
def test_neighbours_do_not_count(text: str, path: str) -> None:
    line = text[: text.index("two")].count("\n") + 1
    changed = text.replace("one", "uno")
    assert of(text, line, path=path) == of(changed, line, path=path)
    assert "two" in of(text, line, path=path)


def test_the_column_chooses_among_statements_of_a_line() -> None:
    assert of("a(); b()\n", 1, 6) == "b ( )"
    assert of("a(); b()\n", 1, 1) == of("    a(); b()\n", 1) == "a ( )"


def test_an_element_of_a_long_table_does_not_hang_on_the_others() -> None:
    rows = [f"    'name{number}': call({number}, 'x'),\n" for number in range(LONG)]
    one = "table = {\n" + "".join(rows) + "}\n"
    two = "table = {\n" + "    'new': 1,\n" + "".join(rows[:50] + rows[51:]) + "}\n"
    assert of(one, 12, 14) == of(two, 13, 14)
    assert "name10" in of(one, 12, 14)
    assert "name11" not in of(one, 12, 14)


def test_comments_and_unknown_languages_have_none() -> None:
    assert of("a()\n\n# comment\n", 3) == ""
    assert of("a: 1\n", 1, path="a.yaml") == ""
    assert of("", 5) == of("a()\n", 0) == ""


def test_a_secret_is_no_part_of_an_identity() -> None:
    assert of("password = 'correct horse battery'\n", 1, masked=True) == 'password = "…tery"'


ODD = ["'", '"""', "(", "`", "/*", "\\\n", "{;}", "a", '\\"', "f(", "[,", "u'", "\n", "if ", "lambda:", "'\\"]


@pytest.mark.parametrize("path", ["a.py", "a.js"])
@pytest.mark.parametrize("text", ODD)
def test_hostile_text_takes_linear_time(path: str, text: str) -> None:
    began = time.process_time()
    of(text * (300_000 // len(text)), 1, path=path)
    assert time.process_time() - began < 8


BLACK = (
    "import subprocess\n\n\ndef run(word, other):\n    subprocess.call('ls ' + word, shell = True)\n    return eval(word+other)\n",
    'import subprocess\n\n# moved\n\ndef run(\n    word,\n    other,\n):\n    subprocess.call(\n        "ls " + word,\n        shell=True,\n    )\n    return eval(\n        word + other,\n    )\n',
)


def test_real_findings_keep_their_identity_when_reformatted(make_tree: Callable[..., Path]) -> None:
    check = next(check for check in CHECKS if check.id == "bandit")
    ids = []
    for text in BLACK:
        root = make_tree({"app.py": text})
        outcome = runner.run_unit(check, discover(root, Config()), Config(), "0" * 16)
        assert isinstance(outcome, Completed)
        ids.append({(found.rule, found.id) for found in outcome.run.findings})
    assert ids[0] == ids[1]
    assert len(ids[0]) >= 3


def test_a_moved_file_keeps_its_identities() -> None:
    def one(path: str) -> Finding:
        return Finding(rule="r", severity=Severity.LOW, message="m", location=Location(path, 1, snippet="eval(x)"))

    assert identify([one("new/a.py")], renamed={"new/a.py": "old/a.py"})[0].id == identify([one("old/a.py")])[0].id
    assert identify([one("new/a.py")])[0].id != identify([one("old/a.py")])[0].id

"""The statement that a finding stands in, as its tokens: what stays the same when lines move, are joined, split or requoted.

For Python and for languages with C's tokens. A lexer of a few lines, no parser: it need not understand a statement, only
cut every formatting of it at the same places. Where a formatter changes tokens (trailing commas, quotes, parentheses that
only group) they are left out.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable

PYTHON = (".py", ".pyw", ".pyi")
C_LIKE = (
    *(".js", ".jsx", ".cjs", ".mjs", ".ts", ".tsx", ".mts", ".cts", ".go", ".java", ".kt", ".kts", ".cs", ".scala"),
    *(".rs", ".swift", ".c", ".h", ".cc", ".cpp", ".hpp", ".php"),
)
LONG = 200
"""Tokens. Of a longer statement (a table of settings) only the part that the finding stands in counts, so that it keeps its
identity when a neighbour changes."""
MAX_DEPTH = 20
"""Brackets in brackets that are looked into for the part of a long statement."""
KEPT_FILES = 64
_KINDS = ("", "string", "skip", "newline", "word", "sign")
"""By the number of the group. Spaces before a token are taken with it: half as many matches."""
_LINE_STRINGS = r"""(?:"(?:[^"\\\n]|\\(?:.|\Z))*+(?:"|(?=\n)|\Z)|'(?:[^'\\\n]|\\(?:.|\Z))*+(?:'|(?=\n)|\Z))"""
# What is never closed runs to the end: a lexer that went back would take quadratic time on hostile text.
_PY_TOKEN = re.compile(
    r"""[^\S\n]*+(?:(?P<string>[rRbBuUfFtT]{0,2}(?:\"{3}(?:[^\\]|\\(?:.|\Z))*?(?:\"{3}|\Z)|'{3}(?:[^\\]|\\(?:.|\Z))*?(?:'{3}|\Z)|"""
    + _LINE_STRINGS
    + r"""))
    |(?P<skip>\#[^\n]*|\\\r?\n)|(?P<newline>\n)|(?P<word>\w+(?:\.\d\w*)?)
    |(?P<sign>->|:=|\*\*|//|[<>=!+*/%&|^@-]=|.)|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_C_TOKEN = re.compile(
    r"""[^\S\n]*+(?:(?P<string>"""
    + _LINE_STRINGS
    + r"""|`(?:[^`\\]|\\(?:.|\Z))*+(?:`|\Z))
    |(?P<skip>//[^\n]*|/\*.*?(?:\*/|\Z))|(?P<newline>\n)|(?P<word>[\w$]+(?:\.\d\w*)?)
    |(?P<sign>=>|->|::|\?\.|&&|\|\||[=!<>+*/%&|^:-]=+|\+\+|--|.)|\Z)""",
    re.VERBOSE | re.DOTALL,
)
_OPEN, _CLOSE = frozenset("([{"), frozenset(")]}")
_BLOCKS = frozenset(
    (
        *("if", "elif", "else", "for", "while", "with", "def", "class", "try", "except", "finally", "async", "match"),
        "case",
    )
)
_WORDS_BEFORE_GROUPS = frozenset(
    (
        *(
            "return",
            "in",
            "not",
            "and",
            "or",
            "if",
            "is",
            "lambda",
            "yield",
            "await",
            "assert",
            "del",
            "raise",
            "except",
        ),
        *("with", "while", "for", "elif", "else", "case", "typeof", "new", "throw", "import", "from", "async", "of"),
        *("instanceof", "print"),
    )
)
_GOES_ON = re.compile(r"[.,?:=+*/%&|^<>(\[!~-]|&&|\|\|$")


_SKIP, _NEWLINE = _KINDS.index("skip"), _KINDS.index("newline")
Token = tuple[int, int, str, str]
"""Line, column (both from 1), text and kind. A plain tuple: a file has tens of thousands."""


def statements(text: str, path: str) -> list[list[Token]]:
    """The statements of a file, in order; none for a language that is not known here."""
    name = path.lower()
    if name.endswith(PYTHON):
        return _python(_tokens(text, _PY_TOKEN))
    if name.endswith(C_LIKE):
        return _c_like(_tokens(text, _C_TOKEN))
    return []


def _tokens(text: str, pattern: re.Pattern[str]) -> list[Token]:
    tokens: list[Token] = []
    add = tokens.append
    line, start = 1, 0
    for found in pattern.finditer(text):
        number = found.lastindex
        if number is None:  # the end
            continue
        said, at = found[number], found.start(number)
        if number != _SKIP:
            add((line, at - start + 1, said, _KINDS[number]))
        if number <= _NEWLINE and "\n" in said:
            line += said.count("\n")
            start = at + said.rindex("\n") + 1
    return tokens


def _python(tokens: list[Token]) -> list[list[Token]]:
    """Ended by a line's end or `;` outside brackets, and by the colon that opens a block."""
    part: list[Token] = []
    cut = [part]
    depth = lambdas = 0
    for token in tokens:
        text, kind = token[2], token[3]
        if kind == "sign":
            if text in _OPEN:
                depth += 1
            elif text in _CLOSE:
                depth = max(0, depth - 1)
            elif depth == 0 and text in {";", ":"}:
                if text == ":" and lambdas:
                    lambdas -= 1
                elif text == ";" or (part and part[0][2] in _BLOCKS):
                    part = []
                    cut.append(part)
                    continue
        elif kind == "newline":
            if depth == 0:
                part = []
                cut.append(part)
            continue
        elif text == "lambda":
            lambdas += depth == 0
        part.append(token)
    return [part for part in cut if part]


def _c_like(tokens: list[Token]) -> list[list[Token]]:
    """Ended by `;`, `{`, `}`, and by a line's end outside brackets where neither side of it says that it goes on."""
    cut: list[list[Token]] = [[]]
    depths = [0]
    for number, token in enumerate(tokens):
        text, kind = token[2], token[3]
        if kind == "newline":
            following = next((each[2] for each in tokens[number + 1 : number + 40] if each[3] != "newline"), "")
            last = cut[-1][-1][2] if cut[-1] else ""
            if (
                depths[-1] == 0
                and last
                and not (_GOES_ON.match(last) or (following and _GOES_ON.match(following) and following != "("))
            ):
                cut.append([])
            continue
        if kind == "sign" and text in "{};":
            if text == "{":
                depths.append(0)
            elif text == "}" and len(depths) > 1:
                depths.pop()
            cut.append([])
            continue
        if kind == "sign":
            depths[-1] = max(0, depths[-1] + (text in "([") - (text in ")]"))
        cut[-1].append(token)
    return [part for part in cut if part]


def normal(tokens: list[Token]) -> list[Token]:
    """Without what formatters add and take away."""
    kept: list[Token] = []
    grouping: list[bool] = []
    for token in tokens:
        line, column, text, kind = token
        if kind == "word":
            kept.append(token)
        elif kind == "string":
            kept.append((line, column, _requoted(text), kind))
        elif text in _CLOSE:
            if kept and kept[-1][2] == ",":
                kept.pop()
            if not (text == ")" and grouping and grouping.pop()):
                kept.append(token)
        elif text == "(":
            _, _, before, what = kept[-1] if kept else (0, 0, "", "")
            called = (what == "word" and before not in _WORDS_BEFORE_GROUPS) or before in {")", "]"}
            grouping.append(not called)
            if called:
                kept.append(token)
        else:
            kept.append(token)
    while kept and kept[-1][2] == ",":
        kept.pop()
    return kept


def _requoted(text: str) -> str:
    prefix = text[: len(text) - len(text.lstrip("rRbBuUfFtT"))]
    rest = text[len(prefix) :]
    size = 3 if rest[:3] in {'"""', "'''"} and len(rest) >= 6 else 1
    body = rest[size:-size].replace("\\'", "'").replace('\\"', '"')
    return f'{prefix.lower().replace("u", "")}"{body}"'


def _narrowed(tokens: list[Token], at: int) -> list[Token]:
    """The element (between commas of the same brackets) that holds token number `at`, or what stands outside all brackets."""
    depths, depth = [], 0
    for token in tokens:
        closing = token[3] == "sign" and token[2] in _CLOSE
        depth -= closing
        depths.append(depth)
        depth += token[3] == "sign" and token[2] in _OPEN
    lowest = min(depths, default=0)
    if not tokens or depths[at] <= lowest:
        return [token for token, deep in zip(tokens, depths, strict=True) if deep <= lowest]
    level = lowest + 1
    first = last = at
    while first > 0 and not (depths[first - 1] < level or (depths[first - 1] == level and tokens[first - 1][2] == ",")):
        first -= 1
    while last + 1 < len(tokens) and not (
        depths[last + 1] < level or (depths[last + 1] == level and tokens[last + 1][2] == ",")
    ):
        last += 1
    return tokens[first : last + 1]


class Contexts:
    """Contexts of findings; each file is read and cut once. `read` gives a file's text, None where it cannot be read."""

    def __init__(self, read: Callable[[str], str | None]) -> None:
        self._read = read
        self._files: dict[str, tuple[list[tuple[int, int]], list[list[Token]]]] = {}

    def of(self, path: str, line: int, column: int = 0, *, masked: bool = False) -> str:
        """The statement at that place of the file in its normal form; empty where there is none, or the language is not known.

        `masked` leaves no more of a longer text in quotes than its last four characters.
        """
        if path not in self._files:
            if len(self._files) >= KEPT_FILES:
                self._files.clear()
            cut = statements(self._read(path) or "", path) if path.lower().endswith((*PYTHON, *C_LIKE)) else []
            self._files[path] = ([part[0][:2] for part in cut], cut)
        starts, cut = self._files[path]
        # several statements on a line: the one that holds the column, else the first of them that starts there
        place = bisect_right(starts, (line, column or 1))
        if place < len(starts) and starts[place][0] == line and (place == 0 or cut[place - 1][-1][0] < line):
            place += 1
        if place == 0 or not line:
            return ""
        part = cut[place - 1]
        if part[-1][0] + part[-1][2].count("\n") < line:
            return ""  # a comment or an empty line after it
        tokens = normal(part)
        if len(tokens) > LONG:
            at = next((n for n, token in enumerate(tokens) if token[:2] >= (line, column)), len(tokens) - 1)
            for _ in range(MAX_DEPTH):
                kept = _narrowed(tokens, at)
                if len(kept) == len(tokens):
                    break
                at = kept.index(tokens[at]) if tokens[at] in kept else 0
                tokens = kept
                if len(tokens) <= LONG:
                    break
        return " ".join([_mask(token) if masked else token[2] for token in tokens])


def _mask(token: Token) -> str:
    text = token[2]
    return f'"…{text[-5:-1]}"' if token[3] == "string" and len(text) > 6 else text

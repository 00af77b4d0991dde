"""Breaking sound input: whole values of a JSON document, tokens and bytes of anything. The same number breaks it the same way."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        2**31,
        2**63,
        -(2**63) - 1,
        2**64,
        10**30,
        0.5,
        1e308,
        -0.0,
        float("nan"),
        float("inf"),
    ),
    *(
        "",
        " ",
        "\0",
        "a" * 70_000,
        "..",
        "../../etc/passwd",
        "/etc/passwd",
        "file:///etc/passwd",
        "%2e%2e/%2e%2e/x",
        "\\\\h\\s",
    ),
    *(
        "//host/share",
        "C:\\x",
        "http://[",
        "\ud800",
        "\udcff",
        "\u202e",
        "\x1b[31m",
        "=cmd|x",
        "<script>",
        "::error::x",
        "{0}{1}",
    ),
    *(
        "{x}",
        "{{",
        "NaN",
        "inf",
        "9.8",
        "-1",
        "1e999",
        "2026-13-45",
        "0000-00-00",
        "$ref",
        "#/components/schemas/X",
        "#/",
        "~1~0",
    ),
    *([], {}, [[]], [None], {"": None}, {"$ref": "#"}, {"$ref": "#/paths"}, [{}] * 50, ["x"] * 5000),
)
TOKENS: tuple[bytes, ...] = (
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b'"',
        b"'",
        b",",
        b":",
        b"=",
        b"\n",
        b"\\",
        b"\\u0000",
        b"\\ud800",
        b"\xff",
        b"\xed\xa0\x80",
        b"\x00",
    ),
    *(
        b"NaN",
        b"Infinity",
        b"1e999",
        b"-",
        b"9" * 400,
        b"null",
        b"true",
        b"<",
        b">",
        b"&x;",
        b"&#0;",
        b"<![CDATA[",
        b"<!DOCTYPE a>",
    ),
    *(
        b"]]>",
        b"[[",
        b"]]",
        b"'''",
        b'"""',
        b"1979-05-27",
        b"0x",
        b"\xef\xbb\xbf",
        b"[" * 3000,
        b'{"a":' * 3000,
        b"!!python/x",
        b"&a",
        b"*a",
    ),
    *(b"<testsuite>", b"<a " + b"b='c' " * 500 + b"/>"),
)


def mutate(seed: bytes, number: int) -> bytes:
    """`seed` broken in the way of `number`."""
    rng = random.Random(number)
    if rng.random() < 0.6:
        try:
            data = _tree(json.loads(seed), rng)
        except ValueError:
            data = seed
        if rng.random() < 0.8:
            return data
        seed = data
    broken = bytearray(seed)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        _bytes(broken, rng)
    return bytes(broken)


def _tree(document: Any, rng: random.Random) -> bytes:
    for _ in range(rng.choice((1, 1, 2, 5))):
        places: list[tuple[Any, Any]] = []
        _collect(document, places)
        if not places:
            break
        inside, key = rng.choice(places)
        kind = rng.random()
        if kind < 0.5:
            inside[key] = copy.deepcopy(rng.choice(VALUES))
        elif kind < 0.65:
            del inside[key]
        elif kind < 0.8:
            other, name = rng.choice(places)
            if name in other if isinstance(other, dict) else name < len(other):
                inside[key] = json.loads(json.dumps(other[name])) if _size(other[name]) < 100_000 else None
        elif isinstance(inside, dict):
            inside[str(rng.choice(VALUES))[:100]] = inside.pop(key)
        else:
            inside.insert(key, copy.deepcopy(rng.choice(VALUES)))
    return json.dumps(document, ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")


def _size(value: Any) -> int:
    return len(json.dumps(value))


def _collect(value: Any, places: list[tuple[Any, Any]]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in list(items)[:200]:
        places.append((value, key))
        _collect(inner, places)


def _bytes(data: bytearray, rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    kind = rng.randrange(6)
    if kind == 0 and data:
        data[min(at, len(data) - 1)] = rng.randrange(256)
    elif kind == 1:
        data[at:at] = rng.choice(TOKENS)
    elif kind == 2:
        del data[at : at + rng.choice((1, 2, 8, 64))]
    elif kind == 3:
        end = at + rng.randrange(1, 200)
        data[at:at] = data[at:end] * rng.choice((1, 2, 20))
    elif kind == 4:
        del data[at:]
    else:
        start = rng.randrange(len(data) + 1)
        data[at : at + 20] = data[start : start + 20]

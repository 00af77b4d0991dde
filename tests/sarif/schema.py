"""The part of JSON Schema (draft 4) that the schema of SARIF uses; a keyword that is not known here is an error, not a pass.

`data/sarif-2.1.0-rtm.5.json` is the OASIS schema as the npm package @microsoft/jest-sarif 1.0.0-beta.0 (MIT) carries it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

SCHEMA: dict[str, Any] = json.loads((Path(__file__).parent / "data" / "sarif-2.1.0-rtm.5.json").read_text("utf-8"))
IGNORED = frozenset({"$schema", "id", "title", "description", "default", "definitions", "format", "version"})
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "integer": int, "number": (int, float)}


def problems(value: Any, schema: dict[str, Any] = SCHEMA, path: str = "$") -> Iterator[str]:
    """What the schema has against `value`."""
    for keyword, argument in schema.items():
        if keyword in IGNORED:
            continue
        if keyword == "$ref":
            target: Any = SCHEMA
            for part in argument.removeprefix("#/").split("/"):
                target = target[part]
            yield from problems(value, target, path)
        elif keyword == "type":
            kinds = [argument] if isinstance(argument, str) else argument
            if not any(isinstance(value, TYPES[k]) and not (k != "boolean" and value is True) for k in kinds):
                yield f"{path}: {value!r:.80} is no {argument}"
        elif keyword == "enum":
            if value not in argument:
                yield f"{path}: {value!r:.80} is none of {argument}"
        elif keyword == "anyOf":
            if not any(not list(problems(value, each, path)) for each in argument):
                yield f"{path}: none of the alternatives"
        elif keyword == "oneOf":
            if sum(not list(problems(value, each, path)) for each in argument) != 1:
                yield f"{path}: not exactly one of the alternatives"
        elif keyword == "required":
            yield from (
                f"{path}: {name} is missing" for name in argument if isinstance(value, dict) and name not in value
            )
        elif keyword == "properties":
            for name, inner in argument.items():
                if isinstance(value, dict) and name in value:
                    yield from problems(value[name], inner, f"{path}.{name}")
        elif keyword == "additionalProperties":
            rest = set(value) - set(schema.get("properties", {})) if isinstance(value, dict) else set()
            for name in sorted(rest):
                if argument is False:
                    yield f"{path}: {name} is unknown"
                elif isinstance(argument, dict):
                    yield from problems(value[name], argument, f"{path}.{name}")
        elif keyword == "items":
            for number, inner in enumerate(value if isinstance(value, list) else ()):
                yield from problems(inner, argument, f"{path}[{number}]")
        elif keyword == "uniqueItems":
            texts = [json.dumps(each, sort_keys=True) for each in value] if isinstance(value, list) else []
            if argument and len(set(texts)) != len(texts):
                yield f"{path}: items are not unique"
        elif keyword in {"minItems", "minimum", "maximum", "pattern"}:
            if not _allows(keyword, argument, value):
                yield f"{path}: {value!r:.80} against {keyword} {argument}"
        else:
            raise AssertionError(f"this validator does not know the keyword {keyword}")


def _allows(keyword: str, argument: Any, value: Any) -> bool:
    if keyword == "minItems":
        return len(value) >= argument
    if keyword == "pattern":
        return re.search(argument, value) is not None
    return value >= argument if keyword == "minimum" else value <= argument

"""Reading a definition's file without trusting it: bounded in bytes, depth and aliases, one meaning for each key.

A definition comes with the change under test. Nothing in it may make the reader hang (aliases that multiply, deep nesting),
read another file than the target's own, or mean one thing to us and another to the next tool (a key that stands twice).
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vallum import artifacts
from vallum.errors import Inconclusive

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 16 << 20
"""Of a file, and of a definition with all files that it refers to."""
DEEPEST = 200
"""Nested levels of a file. The deepest of the definitions that we know has 24."""
MAX_COPIES = 1_000_000
"""Values that a file's aliases may stand for, beyond those written out."""
_MERGE = "tag:yaml.org,2002:merge"
_TIMESTAMP = "tag:yaml.org,2002:timestamp"
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],\n]', re.DOTALL)

Place = tuple[str | int, ...]


@dataclass(frozen=True)
class Document:
    """What a file says. `lines` are those of the keys of the first three levels, and of the entries of the lists named
    `item` or `entries` (Postman, HAR), by their path in the document."""

    name: str
    data: dict[str, Any] = field(repr=False)
    lines: Mapping[Place, int] = field(repr=False)
    size: int = 0
    text: str = field(repr=False, default="")


def content(path: Path, root: Path, name: str) -> str:
    """The text of a regular file below `root`. Raises Inconclusive, calling it `name`."""
    try:
        return data(path, root, name).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Inconclusive(f"cannot read the API definition {name}: {str(error)[:200]}") from None


def data(path: Path, root: Path, name: str) -> bytes:
    """The bytes of a regular file below `root`, at most MAX_BYTES. Raises Inconclusive, calling it `name`."""
    try:
        if not path.parent.resolve().is_relative_to(root.resolve()):
            raise Inconclusive(f"the API definition {name} leads out of the target")
        return artifacts.read(path, MAX_BYTES)
    except OSError as error:
        raise Inconclusive(f"cannot read the API definition {name}: {error.strerror or error}") from None
    except (RuntimeError, ValueError) as error:  # a link in a circle, a null character, too large
        raise Inconclusive(f"cannot read the API definition {name}: {str(error)[:200]}") from None


def load(path: Path, root: Path | None = None, name: str = "") -> Document:
    """Read a YAML or JSON file that holds an object. Raises Inconclusive.

    `root` is the folder that it may not lie outside of (its own by default), `name` what messages call it.
    """
    name = name or path.name
    return parse(content(path, root or path.parent, name), name, written_as_json=path.suffix in {".json", ".har"})


def parse(text: str, name: str, *, written_as_json: bool) -> Document:
    """The text of a YAML or JSON file as a document. Raises Inconclusive."""
    import yaml

    try:
        data, lines = _json(text) if written_as_json else _either(text)
    except (ValueError, yaml.YAMLError, RecursionError) as error:
        said = " ".join(str(error).split())[:200].encode("utf-8", "replace").decode()
        raise Inconclusive(f"cannot read the API definition {name}: it is no YAML or JSON: {said}") from None
    if not isinstance(data, dict):
        raise Inconclusive(f"cannot read the API definition {name}: it holds no object")
    return Document(name, data, lines, len(text), text)


def _kept(place: Place) -> bool:
    return len(place) <= 3 or all(isinstance(part, int) or part == "item" for part in place)


def _json(text: str) -> tuple[Any, dict[Place, int]]:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
            raise ValueError(f"the key {twice[:100]!r} stands twice in one object")
        return table

    data = json.loads(text, object_pairs_hook=unique)
    return data, dict(_json_lines(text))


def _either(text: str) -> tuple[Any, dict[Place, int]]:
    """JSON under YAML's name is read as JSON: not all of it is YAML 1.1 (a pair of surrogates, a tab)."""
    if text.lstrip()[:1] == "{":
        try:
            return _json(text)
        except ValueError:
            return _yaml(text)
    return _yaml(text)


def _json_lines(text: str) -> Iterator[tuple[Place, int]]:
    """Where keys and the objects in lists stand. The text is sound JSON: json.loads has read it."""
    line = 1
    place: list[str | int] = []
    awaits_key: list[bool] = []
    for match in _TOKEN.finditer(text):
        token = match[0]
        first = token[0]
        if first == "\n":
            line += 1
        elif first in "{[":
            if len(place) >= DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
            if first == "{" and place and isinstance(place[-1], int) and _kept(tuple(place)):
                yield tuple(place), line
            place.append("" if first == "{" else 0)
            awaits_key.append(first == "{")
        elif first in "}]":
            place.pop()
            awaits_key.pop()
        elif first == ",":
            last = place[-1]
            if isinstance(last, int):
                place[-1] = last + 1
            else:
                awaits_key[-1] = True
        elif awaits_key and awaits_key[-1]:
            awaits_key[-1] = False
            place[-1] = json.loads(token)
            if _kept(tuple(place)):
                yield tuple(place), line


def _yaml(text: str) -> tuple[Any, dict[Place, int]]:
    import yaml

    loader: type[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    depth = 0
    for event in yaml.parse(text, Loader=loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > DEEPEST:
                raise ValueError(f"it is nested deeper than {DEEPEST} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
    one = loader(text)
    try:
        root = one.get_single_node()
        if root is None:
            raise ValueError("it is empty")
        _bounded(root)
        lines: dict[Place, int] = {}
        _yaml_lines(root, (), lines)
        return _Values(one).of(root), lines
    finally:
        one.dispose()


def _bounded(root: yaml.Node) -> None:
    """Refuse a file whose aliases hold themselves, stand for too much, or nest too deep. Each node is looked at once."""
    sizes: dict[int, tuple[int, int]] = {}
    open_: set[int] = set()

    def measure(node: yaml.Node) -> tuple[int, int]:
        known = sizes.get(id(node))
        if known is not None:
            return known
        if id(node) in open_:
            raise ValueError("an alias holds itself")
        open_.add(id(node))
        size, depth = 1, 0
        for child in _children(node):
            inner, deep = measure(child)
            size, depth = size + inner, max(depth, deep)
        open_.discard(id(node))
        sizes[id(node)] = size, depth + 1
        return size, depth + 1

    size, depth = measure(root)
    if size - len(sizes) > MAX_COPIES:
        raise ValueError(f"its aliases stand for over {MAX_COPIES} values")
    if depth > DEEPEST:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels")


def _children(node: yaml.Node) -> Iterator[yaml.Node]:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def _yaml_lines(node: yaml.Node, place: Place, lines: dict[Place, int]) -> None:
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and _kept((*place, key.value)):
                lines[*place, key.value] = key.start_mark.line + 1
                _yaml_lines(value, (*place, key.value), lines)


class _Values:
    """YAML's nodes as values. Keys are the text that stands there (a status code, `on`), and so are dates."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader
        self._made: dict[int, Any] = {}

    def of(self, node: yaml.Node) -> Any:
        import yaml

        if id(node) in self._made:
            return self._made[id(node)]
        value: Any
        if isinstance(node, yaml.MappingNode):
            value = self._mapping(node)
        elif isinstance(node, yaml.SequenceNode):
            value = [self.of(each) for each in node.value]
        elif node.tag == _TIMESTAMP:
            value = node.value
        else:
            value = self._loader.construct_object(node)
        self._made[id(node)] = value
        return value

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        import yaml

        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise ValueError(f"line {key.start_mark.line + 1}: a key is no text")  # noqa: TRY004 - as all here
            if key.tag == _MERGE:
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    table = self.of(part)
                    if not isinstance(table, dict):
                        raise ValueError(f"line {key.start_mark.line + 1}: `<<` merges no object")  # noqa: TRY004
                    merged = {**table, **merged}
            elif key.value in own:
                raise ValueError(
                    f"line {key.start_mark.line + 1}: the key {key.value[:100]!r} stands twice in one object"
                )
            else:
                own[key.value] = self.of(value)
        return {**merged, **own}

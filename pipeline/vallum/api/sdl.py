"""GraphQL's types, from its schema language (SDL) or from an introspection's answer. Bounded; nothing is executed.

Our own reader, because all that is wanted is names, types, arguments and lines: GraphQL specification, October 2021,
sections 2 (language), 3 (type system) and 4 (introspection).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

MAX_TYPES = 20_000
_TOKEN = re.compile(
    r'"""(?:\\"""|.|\n)*?"""'  # block string
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|#[^\n]*|\n|[ \t\r,\ufeff]+"
    r"|-?\d[\w.+-]*|[_A-Za-z]\w*|\.\.\.|[!$&()\[\]{}:=@|]"
)
_KINDS = {"type": "OBJECT", "interface": "INTERFACE", "input": "INPUT_OBJECT", "enum": "ENUM"}
_OPENING = {"(": ")", "[": "]", "{": "}"}


@dataclass(frozen=True)
class Field:
    """A field, an argument or an input's field. `type` is written as in SDL: `[Order!]!`. `default`: it has one."""

    name: str
    type: str
    line: int = 0
    arguments: Mapping[str, Field] = field(default_factory=dict)
    directives: frozenset[str] = frozenset()
    default: bool = False


@dataclass
class Type:
    """A type that has a name. `kind` is as introspection says it."""

    name: str
    kind: str
    fields: dict[str, Field] = field(default_factory=dict)
    values: list[str] = field(default_factory=list)


@dataclass
class Schema:
    """The types, and the names of those that the operations start from: query, mutation, subscription."""

    types: dict[str, Type] = field(default_factory=dict)
    roots: dict[str, str] = field(default_factory=dict)

    def root(self, word: str) -> Type | None:
        """The type of queries (`query`), mutations or subscriptions."""
        return self.types.get(self.roots.get(word, word.capitalize() if not self.roots else ""))


def named(type_: str) -> str:
    """The name in a type: `Order` of `[Order!]!`."""
    return type_.strip("[]! ")


def parse(text: str) -> Schema:
    """Read SDL. Raises ValueError, with the line, where it is none."""
    return _Parser(text).schema()


class _Parser:
    def __init__(self, text: str) -> None:
        self.tokens: list[tuple[str, int]] = []
        line, at = 1, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise ValueError(f"line {line}: {text[at : at + 20]!r} is no GraphQL")
            token = match[0]
            if token[0] not in ' \t\r\n,#\ufeff"':
                self.tokens.append((token, line))
            elif token[0] == '"':
                self.tokens.append(('"', line))
            line += token.count("\n")
            at = match.end()
        self.at = 0
        self.line = 1

    def peek(self) -> str:
        return self.tokens[self.at][0] if self.at < len(self.tokens) else ""

    def next(self, expected: str = "") -> str:
        if self.at >= len(self.tokens):
            raise ValueError("the schema ends in the middle of a definition")
        token, self.line = self.tokens[self.at]
        if expected and token != expected:
            raise ValueError(f"line {self.line}: {expected!r} was expected, not {token[:40]!r}")
        self.at += 1
        return token

    def name(self) -> str:
        token = self.next()
        if not (token[0].isalpha() or token[0] == "_"):
            raise ValueError(f"line {self.line}: a name was expected, not {token[:40]!r}")
        return token

    def skip_text(self) -> None:
        while self.peek() == '"':
            self.next()

    def schema(self) -> Schema:
        made = Schema()
        while self.at < len(self.tokens):
            self.skip_text()
            if not self.peek():
                break
            word = self.name()
            if word == "extend":
                word = self.name()
            if word == "schema":
                self.roots(made)
            elif word == "directive":
                self.directive()
            elif word in _KINDS:
                self.type(made, _KINDS[word])
            elif word in {"scalar", "union"}:
                name = self.name()
                made.types.setdefault(name, Type(name, word.upper()))
                self.directives()
                if word == "union" and self.peek() == "=":
                    self.names("|")
            else:
                raise ValueError(f"line {self.line}: {word[:40]!r} defines nothing in a schema")
            if len(made.types) > MAX_TYPES:
                raise ValueError(f"it has over {MAX_TYPES} types")
        return made

    def names(self, between: str) -> None:
        """Over the word that comes, and the names after it."""
        self.next()
        if self.peek() == between:
            self.next()
        self.name()
        while self.peek() == between:
            self.next()
            self.name()

    def roots(self, made: Schema) -> None:
        self.directives()
        self.next("{")
        while self.peek() != "}":
            self.skip_text()
            word = self.name()
            self.next(":")
            made.roots[word] = self.name()
        self.next("}")

    def directive(self) -> None:
        self.next("@")
        self.name()
        if self.peek() == "(":
            self.arguments()
        if self.peek() == "repeatable":
            self.next()
        if self.peek() != "on":
            self.next("on")
        self.names("|")

    def type(self, made: Schema, kind: str) -> None:
        name = self.name()
        one = made.types.setdefault(name, Type(name, kind))
        if self.peek() == "implements":
            self.names("&")
        self.directives()
        if self.peek() != "{":
            return
        self.next("{")
        while self.peek() != "}":
            self.skip_text()
            if kind == "ENUM":
                one.values.append(self.name())
                self.directives()
            else:
                made_field = self.field()
                if made_field.name in one.fields:
                    raise ValueError(f"line {made_field.line}: the field {made_field.name[:60]} of {name} stands twice")
                one.fields[made_field.name] = made_field
        self.next("}")

    def field(self) -> Field:
        name = self.name()
        line = self.line
        arguments = self.arguments() if self.peek() == "(" else {}
        self.next(":")
        type_ = self.type_reference()
        default = self.peek() == "="
        if default:
            self.next()
            self.value()
        return Field(name, type_, line, arguments, self.directives(), default)

    def arguments(self) -> dict[str, Field]:
        self.next("(")
        found = {}
        while self.peek() != ")":
            self.skip_text()
            one = self.field()
            found[one.name] = one
        self.next(")")
        return found

    def type_reference(self) -> str:
        opened = 0
        while self.peek() == "[":
            self.next()
            opened += 1
            if opened > 20:
                raise ValueError(f"line {self.line}: lists in lists in lists")
        type_ = self.name()
        while True:
            if self.peek() == "!" and not type_.endswith("!"):
                type_ += self.next()
            elif opened:
                type_ = f"[{type_}{self.next(']')}"
                opened -= 1
            else:
                return type_

    def directives(self) -> frozenset[str]:
        found = set()
        while self.peek() == "@":
            self.next()
            found.add(self.name())
            if self.peek() == "(":
                self.value()
        return frozenset(found)

    def value(self) -> None:
        """Over a value, or whatever stands in brackets."""
        token = self.next()
        closing = [_OPENING[token]] if token in _OPENING else []
        while closing:
            inner = self.next()
            if inner in _OPENING:
                closing.append(_OPENING[inner])
            elif inner == closing[-1]:
                closing.pop()
            elif inner in _OPENING.values():
                raise ValueError(f"line {self.line}: {inner!r} closes what was not opened")


def introspected(data: Mapping[str, Any]) -> Schema:
    """An introspection's answer (`{"data": {"__schema": …}}`, or what is inside) as types.

    Raises ValueError, or what vallum.api.model.MISSHAPEN lists, where it is none.
    """
    inner = data.get("data", data)
    schema = inner.get("__schema") if isinstance(inner, dict) else None
    if not isinstance(schema, dict):
        raise ValueError("it holds no __schema")  # noqa: TRY004 - as everywhere here
    made = Schema()
    for word in ("query", "mutation", "subscription"):
        root = schema.get(f"{word}Type")
        if root:
            made.roots[word] = str(root["name"])
    if len(schema["types"]) > MAX_TYPES:
        raise ValueError(f"it has over {MAX_TYPES} types")
    for each in schema["types"]:
        one = Type(str(each["name"]), str(each["kind"]))
        for entry in [*(each.get("fields") or []), *(each.get("inputFields") or [])]:
            one.fields[str(entry["name"])] = _introspected_field(entry)
        one.values = [str(value["name"]) for value in each.get("enumValues") or []]
        made.types[one.name] = one
    return made


def _introspected_field(entry: Mapping[str, Any]) -> Field:
    arguments = {str(each["name"]): _introspected_field(each) for each in entry.get("args") or []}
    return Field(
        str(entry["name"]), _type_of(entry["type"]), 0, arguments, default=entry.get("defaultValue") is not None
    )


def _type_of(reference: Mapping[str, Any], depth: int = 0) -> str:
    if depth > 20:
        raise ValueError("lists in lists in lists")
    if reference["kind"] == "NON_NULL":
        return f"{_type_of(reference['ofType'], depth + 1)}!"
    if reference["kind"] == "LIST":
        return f"[{_type_of(reference['ofType'], depth + 1)}]"
    return str(reference["name"])


INTROSPECTION = """query vallum { __schema { queryType { name } mutationType { name } subscriptionType { name }
types { kind name enumValues(includeDeprecated: true) { name } fields(includeDeprecated: true) { name
args { name type { ...T } defaultValue } type { ...T } } inputFields { name type { ...T } defaultValue } } } }
fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name ofType { kind name
ofType { kind name ofType { kind name } } } } } } }"""
"""What a deployed service is asked for its types (specification, section 4.2)."""

"""Reading answers: rows of a list, identifiers, owners, and whether two answers tell the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from vallum.stage.calls import Answer

SAME = 0.8
"""The share of the values of a user's answer that must be in another's to be the same: times and counters may differ."""
MAX_LEAVES = 5000
OWNERS = frozenset(
    {
        *(
            "user",
            "owner",
            "customer",
            "account",
            "author",
            "creator",
            "member",
            "client",
            "person",
            "login",
            "username",
        ),
        *("email", "holder", "buyer", "seller", "patient", "subject", "createdby"),
    }
)
USERS = frozenset(
    {
        *("user", "users", "account", "accounts", "customer", "customers", "member", "members", "person", "people"),
        *("profile", "profiles"),
    }
)
_ID = re.compile(r"_?(id|uuid|guid|number|no|key|name|code|slug)$", re.IGNORECASE)

Leaf = tuple[tuple[str | int, ...], object]


@dataclass
class Identity:
    """What a user is called in answers: `names` and identifiers (`numbers`), both as text."""

    names: set[str] = field(default_factory=set)
    numbers: set[str] = field(default_factory=set)

    def has(self, value: object) -> bool:
        """Whether the value names the user."""
        return is_id(value) and (str(value) in self.numbers or str(value) in self.names)


def is_id(value: object) -> bool:
    """Text or a whole number that may identify something."""
    return isinstance(value, str | int) and not isinstance(value, bool) and 0 < len(str(value)) <= 200


def leaves(value: Any) -> dict[tuple[str | int, ...], object]:
    """The values of a JSON document by their place, the first MAX_LEAVES."""
    found: dict[tuple[str | int, ...], object] = {}
    waiting: list[tuple[tuple[str | int, ...], Any]] = [((), value)]
    while waiting and len(found) < MAX_LEAVES:
        place, one = waiting.pop()
        if isinstance(one, dict):
            waiting += [((*place, str(key)), inner) for key, inner in one.items()]
        elif isinstance(one, list):
            waiting += [((*place, number), inner) for number, inner in enumerate(one)]
        else:
            found[place] = one
    return found


def shows(first: Answer, second: Answer) -> bool:
    """Whether `second` tells what `first` does: nearly all of its values, or the same bytes where it is no JSON."""
    data, other = first.json(), second.json()
    if data is None or other is None:
        return bool(first.body) and first.body == second.body
    mine, theirs = leaves(data), leaves(other)
    known = [place for place, value in mine.items() if value not in (None, "")]
    if not known:
        return False
    same = sum(place in theirs and theirs[place] == mine[place] for place in known)
    return same >= SAME * len(known)


def differs(before: Answer, after: Answer, again: Answer) -> bool:
    """Whether something lasting changed from `before` to `after`: what changes by itself is told by reading `again`."""
    if (data := before.json()) is None or (other := after.json()) is None:
        return before.body != after.body and after.body == again.body
    first, second, third = leaves(data), leaves(other), leaves(again.json())
    places = first.keys() | second.keys()
    nothing = object()
    return any(
        first.get(place, nothing) != second.get(place, nothing)
        and second.get(place, nothing) == third.get(place, nothing)
        for place in places
    )


def rows(value: Any, depth: int = 0) -> list[dict[str, Any]] | None:
    """The objects of a list, also inside an envelope (`items`, `data`, `_embedded`); None where there is no list."""
    if isinstance(value, list):
        return [item for item in value if isinstance(item, dict)]
    if isinstance(value, dict) and depth < 3:
        for inner in value.values():
            if isinstance(inner, list):
                return rows(inner)
        for inner in value.values():
            if isinstance(inner, dict) and (found := rows(inner, depth + 1)) is not None:
                return found
    return None


def one(value: Any) -> dict[str, Any]:
    """The object of an answer, without its envelope (`data`, or the only property); empty where there is none."""
    for _ in range(3):
        if not isinstance(value, dict):
            return {}
        inner = value.get("data") if isinstance(value.get("data"), dict) else None
        if inner is None and len(value) == 1:
            inner = next(iter(value.values()))
            inner = inner if isinstance(inner, dict) else None
        if inner is None:
            return value
        value = inner
    return value if isinstance(value, dict) else {}


def identifier(row: Mapping[str, Any], parameter: str, collection: str) -> str:
    """The value of an object that fills a path parameter; empty where none can be told."""
    singular = re.sub(r"s$", "", collection.rstrip("/").rpartition("/")[2])
    plain = _ID.sub("", parameter)
    wanted = [parameter, "id", "_id", "uuid", f"{singular}_id", f"{plain}_id", plain, *_endings(parameter)]
    table = {squeeze(str(key)): value for key, value in row.items() if is_id(value)}
    return next((str(table[squeeze(name)]) for name in wanted if name and squeeze(name) in table), "")


def _endings(parameter: str) -> Iterator[str]:
    match = _ID.search(parameter)
    if match:
        yield match[1]


def squeeze(name: str) -> str:
    """`userId`, `user_id`, `User-ID` → `userid`."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


def owner(value: Mapping[str, Any], who: Identity) -> bool | None:
    """Whether the object names `who` as its owner; None where it names nobody."""
    named: list[object] = []
    for key, inner in value.items():
        plain = re.sub(r"(id|uuid|name)$", "", squeeze(str(key)))
        if plain not in OWNERS and squeeze(str(key)) not in OWNERS:
            continue
        if isinstance(inner, dict):
            named += [item for word, item in inner.items() if squeeze(str(word)) in {"id", "username", "name", "login"}]
        else:
            named.append(inner)
    told = [one for one in named if is_id(one)]
    return any(who.has(one) for one in told) if told else None


def is_user(value: Mapping[str, Any], who: Identity, collection: str) -> bool:
    """Whether the object is the user: it has the user's name, or an identifier of the user in a collection of users."""
    if any(str(item) in who.names for key, item in value.items() if squeeze(str(key)) in {"username", "login", "name"}):
        return True
    last = collection.rstrip("/").rpartition("/")[2].lower()
    return last in USERS and any(
        who.has(item) for key, item in value.items() if squeeze(str(key)) in {"id", "userid", "uuid", "sub"}
    )


def learn(who: Identity, other: Identity, mine: Iterable[Any], theirs: Iterable[Any]) -> None:
    """Learn identifiers from answers about the caller: objects that hold the user's name, and differ for the other user."""
    for data, against in zip(mine, theirs, strict=True):
        value, second = one(data), one(against)
        if not value or value == second or isinstance(data, list):
            continue
        if any(str(item) in who.names for item in value.values() if isinstance(item, str)):
            _take(who, value)
        if any(str(item) in other.names for item in second.values() if isinstance(item, str)):
            _take(other, second)


def _take(who: Identity, value: Mapping[str, Any]) -> None:
    for key, item in value.items():
        plain = squeeze(str(key))
        if is_id(item) and plain in {"id", "userid", "uuid", "uid", "sub", "accountid", "customerid"}:
            who.numbers.add(str(item))
        if plain in {"email", "username", "login"} and isinstance(item, str) and item:
            who.names.add(item)

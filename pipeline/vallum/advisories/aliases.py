"""One vulnerability has many names (GHSA, CVE, PYSEC, GO …): records that share a name are one."""

from __future__ import annotations

from collections.abc import Iterable

from vallum.advisories.osv import Record

_ORDER = ("GHSA-", "PYSEC-", "GO-", "RUSTSEC-", "MAL-", "CVE-")
"""Whose id stands for the group: the databases that name packages and versions themselves before the general one."""


def preference(identifier: str) -> tuple[int, str]:
    """Sort key: the preferred database first, then by name."""
    for number, prefix in enumerate(_ORDER):
        if identifier.startswith(prefix):
            return number, identifier
    return len(_ORDER), identifier


def groups(records: Iterable[Record]) -> list[tuple[Record, ...]]:
    """Join records that are aliases of each other, also over a third name. Independent of the order of `records`.

    Each group has its preferred record first; groups are sorted by that record's id.
    """
    unique = {record.id: record for record in sorted(records, key=lambda one: (one.modified, one.id))}
    parent: dict[str, str] = {}

    def root(name: str) -> str:
        parent.setdefault(name, name)
        while parent[name] != name:
            parent[name] = parent[parent[name]]
            name = parent[name]
        return name

    for record in unique.values():
        for alias in record.aliases:
            parent[root(alias)] = root(record.id)
    found: dict[str, list[Record]] = {}
    for record in unique.values():
        found.setdefault(root(record.id), []).append(record)
    ordered = (tuple(sorted(group, key=lambda one: preference(one.id))) for group in found.values())
    return sorted(ordered, key=lambda group: group[0].id)


def names(group: Iterable[Record]) -> tuple[str, ...]:
    """All names of a group, sorted."""
    return tuple(sorted({name for record in group for name in (record.id, *record.aliases)}))

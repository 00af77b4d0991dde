"""Ecosystems by OSV's names: how each writes a package's name, orders its versions, and is called in a package-url."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple
from urllib.parse import unquote


class Query(NamedTuple):
    """One package at one version, in the words of OSV: `ecosystem` may carry a release, `name` is normalised."""

    ecosystem: str
    name: str
    version: str


class UnknownVersion(ValueError):
    """A version that its ecosystem's rules cannot order: never the same as "not affected"."""


OF_PURL = {
    "pypi": "PyPI",
    "npm": "npm",
    "golang": "Go",
    "maven": "Maven",
    "cargo": "crates.io",
    "gem": "RubyGems",
    "nuget": "NuGet",
    "composer": "Packagist",
    "hex": "Hex",
    "pub": "Pub",
}
"""Type of a package-url to OSV ecosystem, where a package manager and not a distribution is meant."""
_DISTRIBUTIONS = {
    ("deb", "debian"): "Debian",
    ("deb", "ubuntu"): "Ubuntu",
    ("apk", "alpine"): "Alpine",
    ("rpm", "rocky"): "Rocky Linux",
    ("rpm", "almalinux"): "AlmaLinux",
}
_CLASSES = {
    "npm": "SemverVersion",
    "Go": "SemverVersion",
    "crates.io": "SemverVersion",
    "Hex": "SemverVersion",
    "Pub": "SemverVersion",
    "Maven": "MavenVersion",
    "RubyGems": "RubygemsVersion",
    "NuGet": "NugetVersion",
    "Debian": "DebianVersion",
    "Ubuntu": "DebianVersion",
    "Alpine": "AlpineLinuxVersion",
    "Rocky Linux": "RpmVersion",
    "AlmaLinux": "RpmVersion",
}
"""OSV ecosystem to the class of `univers.versions` that orders its versions."""
_PEP440 = frozenset({"PyPI", "Packagist"})
"""Ordered by `packaging`. Packagist too: univers (32.0.1) reads Composer's fourth number as build metadata and then orders
1.2.3.4 neither before nor after 1.2.3, while the order of alpha, beta, RC and plain is the same in both worlds."""


def base(ecosystem: str) -> str:
    """The ecosystem without its release: `Debian` of `Debian:12`."""
    return ecosystem.partition(":")[0]


def supported(ecosystem: str) -> bool:
    """Whether we can order versions of it."""
    return base(ecosystem) in _PEP440 or base(ecosystem) in _CLASSES


def normal_name(ecosystem: str, name: str) -> str:
    """The name as it is asked for: PEP 503 for PyPI, elsewhere as written (an OSV service may mind the case)."""
    return re.sub(r"[-_.]+", "-", name).lower() if base(ecosystem) == "PyPI" else name


def key_name(ecosystem: str, name: str) -> str:
    """The name as it is compared: never by case, so that a package-url written in lower case still meets its advisory."""
    return normal_name(ecosystem, name).lower()


def query(ecosystem: str, name: str, version: str) -> Query:
    """A Query with the name normalised."""
    return Query(ecosystem, normal_name(ecosystem, name), version)


@functools.cache
def _parser(kind: str) -> Callable[[str], Any]:
    if kind in _PEP440:
        from packaging.version import Version

        return Version
    name = _CLASSES.get(kind)
    if name is None:
        raise UnknownVersion(f"versions of {kind} cannot be ordered here")
    import univers.versions

    return getattr(univers.versions, name)  # type: ignore[no-any-return]


@functools.lru_cache(maxsize=200_000)
def parse(kind: str, version: str) -> Any:
    """A value that can be compared with others of the same `kind` (an ecosystem without release). Raises UnknownVersion."""
    text = version.strip()
    if kind == "Go":
        text = text.removeprefix("go").removeprefix("v")
    elif kind in {"crates.io", "npm"}:
        text = text.removeprefix("v").removeprefix("=")
    elif kind == "RubyGems":
        text = text.partition("-")[0]  # what follows is a platform: 1.16.0-x86_64-linux
    if _CLASSES.get(kind) == "SemverVersion":
        text = text.partition("+")[
            0
        ]  # build metadata has no part in the order (SemVer 2.0.0, 10); univers lets it have one
        if not _SEMVER.fullmatch(text):
            raise UnknownVersion(f"{version!r} is no version of {kind}")
    try:
        return _parser(kind)(text)
    except (ValueError, TypeError, AttributeError, IndexError) as error:
        raise UnknownVersion(f"{version!r} is no version of {kind}") from error


_SEMVER = re.compile(r"\d+(\.\d+){0,2}(-[0-9A-Za-z.-]+)?")
"""univers takes nearly anything for a semantic version (`2.x`, `latest`) and reads it as some number: we do not."""


def of_purl(purl: str) -> Query | None:
    """The query for a package-url, or None where OSV has no such ecosystem or the release of a distribution is not said.

    Distributions are asked by source package (`upstream`), as their advisories are written. Raises ValueError where
    `purl` is none.
    """
    if not purl.startswith("pkg:"):
        raise ValueError(f"{purl[:80]!r} is no package-url")
    from packageurl import PackageURL

    url = PackageURL.from_string(purl)
    qualifiers: dict[str, str] = dict(url.qualifiers) if isinstance(url.qualifiers, dict) else {}
    version = url.version or ""
    namespace = url.namespace or ""
    if url.type in OF_PURL:
        ecosystem = OF_PURL[url.type]
        if url.type == "npm":  # packageurl writes all names in lower case; npm has old ones that are not
            return query(
                ecosystem, unquote(re.split("[?#]", purl)[0].removeprefix("pkg:npm/").rpartition("@")[0]), version
            )
        joint = ":" if url.type == "maven" else "/"
        return query(ecosystem, f"{namespace}{joint}{url.name}" if namespace else url.name, version)
    ecosystem = _DISTRIBUTIONS.get((url.type, namespace.lower()), "")
    release = _release(ecosystem, qualifiers.get("distro", ""))
    if not ecosystem or not release:
        return None
    name, _, source_version = unquote(qualifiers.get("upstream", "")).partition("@")
    epoch = qualifiers.get("epoch", "")
    if epoch and ":" not in version:
        version = f"{epoch}:{version}"
    return query(f"{ecosystem}:{release}", name or url.name, source_version or version)


def canonical_purl(query: Query, purl: str) -> str:
    """The package-url by which a package is known whoever found it: for PyPI the normalised name and version, else `purl`.

    syft writes the name as its manifest does (`Flask`), pip-audit as the index does (`flask`): one package, one finding.
    """
    if query.ecosystem != "PyPI":
        return purl
    try:
        version = str(parse("PyPI", query.version))
    except UnknownVersion:
        version = query.version
    return f"pkg:pypi/{query.name}@{version}"


def _release(ecosystem: str, distro: str) -> str:
    """OSV's release of syft's `distro` qualifier: debian-12 → 12, ubuntu-22.04 → 22.04, alpine-3.18.4 → v3.18."""
    number = distro.rpartition("-")[2]
    if not number or not number[0].isdigit():
        return ""
    if ecosystem == "Alpine":
        return "v" + ".".join(number.split(".")[:2])
    if ecosystem == "Ubuntu":
        return number
    return number.split(".")[0]

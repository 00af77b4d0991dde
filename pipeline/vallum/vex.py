"""VEX, what a supplier or we ourselves say of a vulnerability in a product: read from OpenVEX 0.2.0 and CycloneDX 1.4 to 1.6.

Read: a statement speaks of a finding where it names its vulnerability (any alias) and its package URL, or its identity as
`urn:vallum:finding:ID`. A statement about a package inside another product is not taken for ours: that product may call it
otherwise. The latest statement counts; `not_affected` and `fixed` let through, for as long as the policy lets a waiver hold.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from vallum.errors import UserError
from vallum.finding import Finding
from vallum.verdict import Waived

URN = "urn:vallum:finding:"
LETS_THROUGH = frozenset({"not_affected", "fixed"})
STATUSES = frozenset({*LETS_THROUGH, "affected", "under_investigation"})
CYCLONEDX: Mapping[str, str] = {
    "not_affected": "not_affected",
    "false_positive": "not_affected",
    "resolved": "fixed",
    "resolved_with_pedigree": "fixed",
    "exploitable": "affected",
    "in_triage": "under_investigation",
}
"""CycloneDX's analysis states in OpenVEX's words."""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """One statement about one product. `names` are the vulnerability and its aliases, `product` a package URL or our URN."""

    file: str
    author: str
    names: frozenset[str]
    product: str
    status: str
    justification: str = ""
    reason: str = ""
    at: dt.datetime
    until: dt.date

    def fits(self, finding: Finding) -> bool:
        """Whether it speaks of that finding."""
        if not self.names.intersection((finding.rule, *finding.aliases)):
            return False
        if self.product.startswith(URN):
            return bool(finding.id) and self.product == URN + finding.id
        return finding.package is not None and covers(self.product, finding.package.purl)

    def waived(self) -> Waived:
        """As the verdict says it."""
        return Waived(
            file=self.file,
            reason=self.reason or self.justification or self.status,
            owner=self.author,
            until=self.until,
            status=self.status,
            justification=self.justification,
        )


class _Named(msgspec.Struct, frozen=True):
    name: str
    aliases: tuple[str, ...] = ()


class _Product(msgspec.Struct, frozen=True):
    id: str = msgspec.field(default="", name="@id")
    identifiers: dict[str, str] = {}
    subcomponents: tuple[Any, ...] = ()


class _Says(msgspec.Struct, frozen=True):
    vulnerability: _Named
    products: tuple[_Product, ...]
    status: str
    justification: str = ""
    impact_statement: str = ""
    action_statement: str = ""
    timestamp: dt.datetime | None = None
    last_updated: dt.datetime | None = None


class _OpenVex(msgspec.Struct, frozen=True):
    context: str = msgspec.field(name="@context")
    author: str
    timestamp: dt.datetime
    statements: tuple[_Says, ...]


class _Component(msgspec.Struct, frozen=True, rename={"bom_ref": "bom-ref"}):
    bom_ref: str = ""
    purl: str = ""
    name: str = ""


class _Analysis(msgspec.Struct, frozen=True, rename="camel"):
    state: str = ""
    justification: str = ""
    detail: str = ""
    last_updated: dt.datetime | None = None


class _Affected(msgspec.Struct, frozen=True):
    ref: str


class _Vulnerability(msgspec.Struct, frozen=True):
    id: str
    references: tuple[dict[str, Any], ...] = ()
    analysis: _Analysis | None = None
    affects: tuple[_Affected, ...] = ()


class _Metadata(msgspec.Struct, frozen=True):
    timestamp: dt.datetime
    authors: tuple[_Component, ...] = ()
    supplier: _Component | None = None


class _CycloneDx(msgspec.Struct, frozen=True, rename="camel"):
    spec_version: str
    metadata: _Metadata
    components: tuple[_Component, ...] = ()
    vulnerabilities: tuple[_Vulnerability, ...] = ()


class _Kind(msgspec.Struct, frozen=True):
    format: str = msgspec.field(default="", name="bomFormat")


def parse(data: bytes, name: str, today: dt.date, max_days: int) -> tuple[Statement, ...]:
    """The statements of a file; each holds for `max_days` from its timestamp. UserError where it is no VEX, or a wrong one."""
    try:
        if msgspec.json.decode(data, type=_Kind).format == "CycloneDX":
            said = _cyclonedx(msgspec.json.decode(data, type=_CycloneDx), name)
        else:
            said = _openvex(msgspec.json.decode(data, type=_OpenVex), name)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UserError(f"{name} is no VEX: {error}", "OpenVEX 0.2.0 or CycloneDX 1.4 to 1.6, as JSON") from None
    held = []
    for each in said:
        if not each.author.strip():
            raise UserError(f"{name}: nobody is named as the author", "a statement needs somebody who answers for it")
        if each.status not in STATUSES:
            raise UserError(f"{name}: unknown status {each.status!r}", f"known: {', '.join(sorted(STATUSES))}")
        if each.status == "not_affected" and not (each.justification or each.reason):
            raise UserError(
                f"{name}: {min(each.names)} is not_affected without a justification", "OpenVEX asks for one"
            )
        if each.at.date() > today + dt.timedelta(days=1):
            raise UserError(f"{name}: a statement of {each.at.date()} is from the future", "see its timestamp")
        held.append(msgspec.structs.replace(each, until=each.at.date() + dt.timedelta(days=max_days)))
    return tuple(held)


def index(statements: Iterable[Statement]) -> Callable[[Finding, dt.date], Statement | None]:
    """A function from a finding and a day to the statement that lets it through then, or None. Look-ups by vulnerability."""
    by_name: defaultdict[str, list[Statement]] = defaultdict(list)
    for statement in statements:
        for name in statement.names:
            by_name[name].append(statement)

    def lets_through(finding: Finding, today: dt.date) -> Statement | None:
        fitting = [
            each for name in {finding.rule, *finding.aliases} for each in by_name.get(name, ()) if each.fits(finding)
        ]
        if not fitting:
            return None
        latest = max(each.at for each in fitting)
        newest = [each for each in fitting if each.at == latest]
        if any(each.status not in LETS_THROUGH or today > each.until for each in newest):
            return None
        return min(newest, key=lambda each: (each.file, each.author, each.status, each.justification, each.reason))

    return lets_through


def covers(stated: str, purl: str) -> bool:
    """Whether the package URL of a statement speaks of `purl`: no version speaks of all, and its qualifiers must be there."""
    from packageurl import PackageURL

    try:
        ours, theirs = PackageURL.from_string(purl), PackageURL.from_string(stated)
    except ValueError:
        return False
    same = (theirs.type, theirs.namespace, theirs.name) == (ours.type, ours.namespace, ours.name)
    qualified = (theirs.qualifiers or {}).items() <= (ours.qualifiers or {}).items()
    return same and theirs.version in {None, "", ours.version} and qualified and not theirs.subpath


def _openvex(document: _OpenVex, name: str) -> list[Statement]:
    if not document.context.startswith("https://openvex.dev/ns"):
        raise UserError(f"{name} is no OpenVEX: its @context is {document.context!r}", "https://openvex.dev/ns/v0.2.0")
    return [
        Statement(
            file=name,
            author=document.author,
            names=frozenset((said.vulnerability.name, *said.vulnerability.aliases)),
            product=product,
            status=said.status,
            justification=said.justification,
            reason=said.impact_statement or said.action_statement,
            at=_utc(said.last_updated or said.timestamp or document.timestamp),
            until=dt.date.min,
        )
        for said in document.statements
        for each in said.products
        if not each.subcomponents
        for product in {each.identifiers.get("purl", ""), each.id}
        if product.startswith(("pkg:", URN))
    ]


def _cyclonedx(document: _CycloneDx, name: str) -> list[Statement]:
    if document.spec_version not in {"1.4", "1.5", "1.6"}:
        raise UserError(f"{name} is CycloneDX {document.spec_version}", "1.4 to 1.6 are read")
    purls = {each.bom_ref: each.purl for each in document.components if each.bom_ref and each.purl}
    people = [*document.metadata.authors, *([document.metadata.supplier] if document.metadata.supplier else ())]
    author = people[0].name if people else ""
    said: list[Statement] = []
    for each in document.vulnerabilities:
        if each.analysis is None or not each.analysis.state:
            continue
        aliases = {str(reference.get("id", "")) for reference in each.references} - {""}
        said += [
            Statement(
                file=name,
                author=author,
                names=frozenset({each.id, *aliases}),
                product=product,
                status=CYCLONEDX.get(each.analysis.state, each.analysis.state),
                justification=each.analysis.justification,
                reason=each.analysis.detail,
                at=_utc(each.analysis.last_updated or document.metadata.timestamp),
                until=dt.date.min,
            )
            for product in {purls.get(affected.ref, affected.ref) for affected in each.affects}
            if product.startswith(("pkg:", URN))
        ]
    return said


def _utc(at: dt.datetime) -> dt.datetime:
    return at.replace(tzinfo=dt.UTC) if at.tzinfo is None else at.astimezone(dt.UTC)

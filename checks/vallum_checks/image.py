"""Container images: published vulnerabilities of every package in them, from a bill of materials by syft.

One unit for each service with a Dockerfile or an `image` in its configuration. The image comes from the archive, OCI layout
or reference that `services.<name>.image` names; else it is built with docker or podman where an engine answers. An archive is
checked before any scanner reads it: digests of every layer, names that lead out, bombs. Packages of an ecosystem that the
advisories know nothing about make the outcome incomplete.

Cannot see: programs copied in without a package manager, what the container does when it runs. Fix: each finding names the
version to upgrade to, at the manifest that pins it where there is one, else at the Dockerfile.

Options: `assemble` (true: where no engine answers, scan the service's files and installed dependencies instead, said to be no
container build; `always`: whether one answers or not), `context` (a table: service to build context),
`ecosystems-without-advisories` (`note`), `max-unpacked-mb`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.finding import Location
from vallum.outcome import Completed, Coverage, Incomplete, Missed, Outcome, Run
from vallum.target import Service, Target

if TYPE_CHECKING:
    from vallum.advisories.sbom import Bill, Component

MAX_MISSED = 1000


class _Subject(NamedTuple):
    """What syft looks at: `source` in its words, `note` says where it came from, `required` the packages that must be found."""

    source: str
    note: str
    largest: int = 0
    arguments: tuple[str, ...] = ()
    required: frozenset[tuple[str, str]] = frozenset()


def applies(target: Target, _config: Config) -> Planned | Skipped:
    """Each service that is built from a Dockerfile or names an image."""
    units = tuple(one.name for one in target.services if one.dockerfile or one.image)
    return Planned(units) if units else Skipped("no service has a Dockerfile or an image")


def run(ctx: Context) -> Outcome:
    """Get the image, check it, list its packages, compare them."""
    from vallum.advisories.source import open_source
    from vallum.images.compare import WITHOUT, compare
    from vallum.images.syft import scan
    from vallum.process import MAX_FILE

    service = ctx.target.service(ctx.unit)
    source = open_source(ctx.config.advisories.source, ctx.target.root, ctx.config.advisories.max_age_days)
    subject = _subject(ctx, service)
    found = scan(
        ctx,
        subject.source,
        service.name,
        arguments=subject.arguments,
        max_file=max(MAX_FILE, subject.largest + (64 << 20)),
    )
    if not found.bill.components:
        raise Inconclusive(f"syft found no package in {subject.note}: nothing could be compared")
    missed = _absent(subject, found.bill)
    gaps = "note" if ctx.config.settings("image").options.get(WITHOUT) == "note" else "incomplete"
    places = _Places(ctx, service)
    result = compare(found.bill, source, places.of, "note" if gaps == "note" else "incomplete")
    missed += result.missed
    record = Run(
        tool=found.tool,
        coverage=(
            Coverage("images", 1, 1),
            Coverage(
                "packages", result.expected + len(_absent(subject, found.bill)), result.seen, tuple(missed[:MAX_MISSED])
            ),
        ),
        rules=tuple(result.rules.values()),
        findings=tuple(result.findings),
        databases=(source.database,),
        notes=(subject.note, *result.notes),
        argv=found.done.argv,
        exit_code=found.done.exit_code,
    )
    if missed:
        return Incomplete(f"{len(missed)} not compared: {missed[0].target}: {missed[0].why}"[:500], record)
    return Completed(record)


def _subject(ctx: Context, service: Service) -> _Subject:
    """The configured image, else a build, else (where the options allow it) the assembled one. Raises Inconclusive."""
    from vallum.images import engine

    if service.image:
        path = ctx.target.root / service.image
        if path.exists():
            return _archive(ctx, path, f"the image {service.image}")
    options = ctx.config.settings("image").options
    wanted = options.get("assemble", False)
    if wanted not in (True, False, "always"):
        raise UserError(f"checks.image.options.assemble cannot be {wanted!r}", 'true, false or "always"')
    if wanted == "always" and not service.image:
        return _assembled(ctx, service)
    working = engine.find(ctx)
    if service.image:
        if working is not None:
            saved = engine.save(ctx, working, service.image)
            return _archive(ctx, saved, f"the image {service.image}, saved by {working.program} {working.version}")
        if not _is_reference(service.image):
            raise Inconclusive(
                f"services.{service.name}.image names {service.image}: there is no such file or folder, and without a "
                "container engine a reference must name its registry"
            )
        # A registry serves blobs by digest, and syft's client checks them; there is no archive of ours to look at first.
        return _Subject(f"registry:{service.image}", f"the image {service.image}, read from its registry")
    if working is not None:
        contexts = options.get("context", {})
        folder = str(contexts.get(service.name, service.path)) if isinstance(contexts, dict) else service.path
        built = engine.build(ctx, working, service.dockerfile, folder)
        return _archive(ctx, built, f"the image built from {service.dockerfile} by {working.program} {working.version}")
    if wanted:
        return _assembled(ctx, service)
    raise Inconclusive(
        f"no container engine answers, so {service.dockerfile} cannot be built: start docker or podman, or name an archive in "
        f"services.{service.name}.image"
    )


def _is_reference(text: str) -> bool:
    """An image with its registry (`HOST[:PORT]/NAME[:TAG][@DIGEST]`, the host with a dot or a port), not a mistyped path."""
    import re

    host = r"([a-z0-9-]+(\.[a-z0-9-]+)+(:\d+)?|[a-z0-9-]+:\d+)"
    return re.fullmatch(host + r"(/[a-z0-9._-]+)+(:[\w.-]+)?(@sha256:[0-9a-f]{64})?", text) is not None


def _archive(ctx: Context, path: Path, note: str) -> _Subject:
    from vallum.images.archive import MAX_UNPACKED, check

    limit = ctx.config.settings("image").options.get("max-unpacked-mb")
    checked = check(path, note, limit << 20 if isinstance(limit, int) else MAX_UNPACKED)
    return _Subject(f"{checked.kind}:{path}", f"{note} ({checked.digest}, {checked.layers} layers)", checked.largest)


def _assembled(ctx: Context, service: Service) -> _Subject:
    """The files of the service and what its manifests install; every pinned package must then be found."""
    from vallum.advisories.ecosystems import normal_name
    from vallum.advisories.python_manifests import read
    from vallum.images.assemble import NOTE, assemble
    from vallum.images.locks import npm

    made = assemble(ctx, service)
    required: set[tuple[str, str]] = set()
    if made.python:
        required |= {(normal_name("PyPI", pin.name), pin.version) for pin in read(ctx.target.root, made.python).pins}
    arguments: tuple[str, ...] = ()
    note = NOTE
    if made.node and not made.installed:
        required |= npm((ctx.target.root / made.node).read_text("utf-8"))
        arguments = ("--select-catalogers", "+javascript-lock-cataloger")
        note += "; npm is not installed, so Node packages are those of the lock file"
    subject = _archive(ctx, made.path, note)
    return subject._replace(arguments=arguments, required=frozenset(required))


def _absent(subject: _Subject, bill: Bill) -> list[Missed]:
    """Packages that were put into an assembled image and that syft did not find."""
    found = {(one.query.name if one.query else one.name, one.version) for one in bill.components}
    return [
        Missed(f"{name} {version}", "syft did not find it in the image")
        for name, version in sorted(subject.required - found)
    ]


class _Places:
    """Where a package of the image is pinned: the service's manifest that names it at that version, else its Dockerfile."""

    def __init__(self, ctx: Context, service: Service) -> None:
        from vallum.advisories.ecosystems import normal_name
        from vallum.advisories.manifest_names import is_manifest
        from vallum.advisories.python_manifests import read
        from vallum.images.locks import is_lock

        self._service = service
        inner = "" if service.path == "." else service.path + "/"
        own = [
            path for path in ctx.target.files if path.startswith(inner) and ctx.target.service_of(path) == service.name
        ]
        self._python: dict[tuple[str, str], Location] = {}
        for path in own:
            if is_manifest(path):
                for pin in read(ctx.target.root, path).pins:
                    self._python.setdefault((normal_name("PyPI", pin.name), pin.version), Location(path, pin.line))
        self._locks = [(path, (ctx.target.root / path).read_text("utf-8", "replace")) for path in own if is_lock(path)]
        self._else = self._fallback(ctx)

    def _fallback(self, ctx: Context) -> Location | None:
        docker = self._service.dockerfile
        if docker:
            lines = (ctx.target.root / docker).read_text("utf-8", "replace").splitlines()
            starts = [number for number, line in enumerate(lines, 1) if line.strip().upper().startswith("FROM ")]
            return Location(docker, starts[-1] if starts else 1)
        return Location("vallum.toml", 1) if "vallum.toml" in ctx.target.files else None

    def of(self, one: Component) -> list[tuple[Location | None, str]]:
        from vallum.images.compare import line_of

        name = self._service.name
        if one.query is not None:
            pinned = self._python.get((one.query.name, one.version)) if one.query.ecosystem == "PyPI" else None
            if pinned is not None:
                return [(pinned, name)]
            if ":" not in one.query.ecosystem and one.query.ecosystem != "PyPI":
                for path, text in self._locks:
                    line = line_of(text, one.query.name.rpartition(":")[2], one.version) if one.version in text else 0
                    if line:
                        return [(Location(path, line), name)]
        return [(self._else, name)]


CHECK = Check(
    id="image",
    stage=Stage.IMAGES,
    summary="Packages in each service's container image against published advisories (syft over OSV)",
    applies=applies,
    run=run,
    tools=("syft",),
    tags=("sca", "sbom", "container"),
)

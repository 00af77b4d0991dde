"""Write an OCI image archive from files: one plain layer, nothing that depends on the clock, the user or the machine.

Deterministic by construction: members sorted, times 0, owner 0, modes 0644 or 0755. By the OCI image format 1.0.
"""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import msgspec

_MEDIA = "application/vnd.oci.image"


def write(path: Path, files: Mapping[str, Path | bytes], labels: Mapping[str, str]) -> str:
    """Write the archive of one image that holds `files` (name in the image → file or content) and return the digest of its
    configuration. `labels` become the image's labels."""
    layer = path.with_name(path.name + ".layer")
    with layer.open("wb") as out:
        _tar(out, files)
    with layer.open("rb") as file:
        diff = hashlib.file_digest(file, "sha256").hexdigest()
    config = _json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {"Labels": dict(sorted(labels.items()))},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{diff}"]},
        }
    )
    digest = hashlib.sha256(config).hexdigest()
    manifest = _json(
        {
            "schemaVersion": 2,
            "mediaType": f"{_MEDIA}.manifest.v1+json",
            "config": _descriptor(f"{_MEDIA}.config.v1+json", digest, len(config)),
            "layers": [_descriptor(f"{_MEDIA}.layer.v1.tar", diff, layer.stat().st_size)],
        }
    )
    named = hashlib.sha256(manifest).hexdigest()
    index = {"schemaVersion": 2, "manifests": [_descriptor(f"{_MEDIA}.manifest.v1+json", named, len(manifest))]}
    members: dict[str, Path | bytes] = {
        "oci-layout": _json({"imageLayoutVersion": "1.0.0"}),
        "index.json": _json(index),
        f"blobs/sha256/{diff}": layer,
        f"blobs/sha256/{digest}": config,
        f"blobs/sha256/{named}": manifest,
    }
    with path.open("wb") as out:
        _tar(out, members)
    layer.unlink()
    return f"sha256:{digest}"


def _descriptor(kind: str, digest: str, size: int) -> dict[str, str | int]:
    return {"mediaType": kind, "digest": f"sha256:{digest}", "size": size}


def _json(content: object) -> bytes:
    return msgspec.json.encode(content, order="sorted")


def _tar(out: io.BufferedWriter, files: Mapping[str, Path | bytes]) -> None:
    """A folder gets its own member before what it holds: syft does not find `blobs/` in an archive otherwise."""
    folders: set[str] = set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name in sorted(files):
            parts = name.split("/")[:-1]
            for depth in range(1, len(parts) + 1):
                folder = "/".join(parts[:depth])
                if folder not in folders:
                    folders.add(folder)
                    tar.addfile(_member(folder, tarfile.DIRTYPE, 0o755))
            content = files[name]
            if isinstance(content, bytes):
                member = _member(name, tarfile.REGTYPE, 0o644)
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
                continue
            status = content.stat()
            member = _member(name, tarfile.REGTYPE, 0o755 if status.st_mode & 0o100 else 0o644)
            member.size = status.st_size
            with content.open("rb") as file:
                tar.addfile(member, file)


def _member(name: str, kind: bytes, mode: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.mode, member.mtime = kind, mode, 0
    return member

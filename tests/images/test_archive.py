"""Archives: written the same everywhere, and refused where they are not what they say."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import shutil
import tarfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vallum.errors import Inconclusive
from vallum.images import archive, layout, tarwalk


def layer(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return out.getvalue()


def docker(
    path: Path,
    *layers: bytes,
    packed: bool = False,
    ids: list[str] | None = None,
    extra: tuple[tarfile.TarInfo, ...] = (),
) -> Path:
    """A docker-archive as `docker save` writes it."""
    ids = ids or [f"sha256:{hashlib.sha256(one).hexdigest()}" for one in layers]
    config = json.dumps({"rootfs": {"type": "layers", "diff_ids": ids}}).encode()
    name = f"{hashlib.sha256(config).hexdigest()}.json"
    names = [f"{number}/layer.tar" for number in range(len(layers))]
    with tarfile.open(path, "w") as tar:
        data = [gzip.compress(one) if packed else one for one in layers]
        for member, content in [
            (name, config),
            *zip(names, data, strict=True),
            ("manifest.json", json.dumps([{"Config": name, "Layers": names}]).encode()),
        ]:
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in extra:
            tar.addfile(info)
    return path


GOOD = layer(("etc/os-release", b"ID=debian\n"), ("app/x", b"1"))


@pytest.mark.parametrize("packed", [False, True])
def test_a_sound_docker_archive(tmp_path, packed):
    found = archive.check(docker(tmp_path / "image.tar", GOOD, layer(("b", b"2")), packed=packed))
    assert (found.kind, found.layers, found.members) == ("docker-archive", 2, 3)
    assert found.unpacked == len(GOOD) + 10240


def test_a_written_layout_is_sound_as_archive_and_as_folder_and_the_same_every_time(tmp_path):
    files = {"app/b": b"2", "app/a": b"1", "c": b""}
    digest = layout.write(tmp_path / "a.tar", files, {"x": "y"})
    assert layout.write(tmp_path / "b.tar", dict(reversed(files.items())), {"x": "y"}) == digest
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    found = archive.check(tmp_path / "a.tar")
    assert (found.kind, found.digest, found.layers, found.members) == ("oci-archive", digest, 1, 4)
    with tarfile.open(tmp_path / "a.tar") as tar:
        assert "blobs" in tar.getnames()  # syft needs the folders as members
        tar.extractall(tmp_path / "layout", filter="data")
    assert archive.check(tmp_path / "layout").kind == "oci-dir"


def refused(path: Path, says: str, **limits: int) -> None:
    with pytest.raises(Inconclusive, match=says):
        archive.check(path, **limits)


def test_a_layer_that_does_not_match_its_digest(tmp_path):
    wrong = [f"sha256:{'0' * 64}"]
    refused(docker(tmp_path / "image.tar", GOOD, ids=wrong), "does not match its digest")


def test_one_flipped_byte_in_a_blob(tmp_path):
    layout.write(tmp_path / "a.tar", {"app/a": b"content of a file"}, {})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data.replace(b"content of a file", b"content of a fire"))
    refused(tmp_path / "a.tar", "does not match its digest")


def test_a_bomb_is_stopped_long_before_its_end(tmp_path):
    bomb = layer(("zeros", bytes(96 << 20)))
    refused(docker(tmp_path / "image.tar", bomb, packed=True), "100 times its size: a bomb")


def test_more_than_fits(tmp_path):
    refused(docker(tmp_path / "image.tar", layer(("a", bytes(3 << 20)))), "more than 1 MB", max_unpacked=1 << 20)


@pytest.mark.parametrize("name", ["../escape", "a/../../b", ".."])
def test_names_that_lead_out(tmp_path, name):
    refused(docker(tmp_path / "image.tar", layer((name, b"x"))), "leads out")


def link(name: str, to: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def test_links_in_the_outer_archive(tmp_path):
    archive.check(docker(tmp_path / "fine.tar", GOOD, extra=(link("1/layer.tar", "../0/layer.tar"),)))
    refused(docker(tmp_path / "a.tar", GOOD, extra=(link("x", "/etc/passwd"),)), "link that leads out")
    refused(docker(tmp_path / "b.tar", GOOD, extra=(link("x", "../y"),)), "link that leads out")


def test_a_manifest_that_names_a_layer_outside(tmp_path):
    path = docker(tmp_path / "image.tar", GOOD)
    data = path.read_bytes().replace(b'"0/layer.tar"', b'"../../a.tar"')
    path.write_bytes(data)
    refused(path, "no member")


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no image archive"),
        (b"hello" * 200, "no tar archive|damaged"),
        (b"\x1f\x8b" + bytes(600), "no tar archive|damaged"),
    ],
)
def test_what_is_no_archive(tmp_path, data, says):
    (tmp_path / "image.tar").write_bytes(data)
    refused(tmp_path / "image.tar", says)


def test_a_cut_off_archive(tmp_path):
    path = docker(tmp_path / "image.tar", layer(("a", bytes(100_000))))
    path.write_bytes(path.read_bytes()[:50_000])
    refused(path, "ends in the middle|no image archive")


def test_two_images_in_one_layout(tmp_path):
    for name, content in (("a", b"1"), ("b", b"2")):
        layout.write(tmp_path / f"{name}.tar", {"x": content}, {})
        with tarfile.open(tmp_path / f"{name}.tar") as tar:
            tar.extractall(tmp_path / name, filter="data")
    both = {"manifests": [json.loads((tmp_path / one / "index.json").read_text())["manifests"][0] for one in "ab"]}
    shutil.copytree(tmp_path / "b" / "blobs", tmp_path / "a" / "blobs", dirs_exist_ok=True)
    (tmp_path / "a" / "index.json").write_text(json.dumps(both | {"schemaVersion": 2}))
    refused(tmp_path / "a", "holds 2 images")


names = st.text(
    st.characters(codec="utf-8", exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=200
)


@given(
    st.lists(st.tuples(names, st.binary(max_size=2000)), max_size=5),
    st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]),
)
@example([("\x80\n", b"")], tarfile.PAX_FORMAT)
def test_our_walk_sees_what_the_standard_library_wrote(members, form):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    data = out.getvalue()
    found = list(tarwalk.entries(io.BytesIO(data), "x", 100))
    assert [(one.name, data[one.offset : one.offset + one.size]) for one in found] == members


@given(st.binary(max_size=3000))
def test_rubbish_is_refused_and_never_breaks_the_reader(data):
    try:
        list(tarwalk.entries(io.BytesIO(data), "x", 100))
    except Inconclusive:
        return
    assert not data or data[:512] == bytes(512)

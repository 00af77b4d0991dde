"""A local set is read strictly: whatever would make packages look sound without reason is refused, by name."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime

import pytest

from vallum.advisories.ecosystems import query
from vallum.advisories.local import LocalSet
from vallum.advisories.source import open_source
from vallum.errors import Inconclusive

TODAY = datetime(2026, 11, 22, tzinfo=UTC)


def advisory(identifier="PYSEC-1", name="jinja2", fixed="2.11.3", modified="2026-11-20T00:00:00Z", **more):
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    return {"id": identifier, "modified": modified, "affected": affected} | more


def folder(path, *records, **files):
    for record in records:
        (path / f"{record['id']}.json").write_text(json.dumps(record))
    for name, text in files.items():
        (path / name.replace("_", ".")).write_text(text)
    return path


def read(path, days=30):
    return LocalSet.read(path, "advisories", days, TODAY)


def test_a_folder_says_what_it_is(tmp_path):
    found = read(folder(tmp_path, advisory(), advisory("PYSEC-2"), index_toml='name = "demo"\ndate = 2026-11-21\n'))
    assert (found.database.name, found.database.records, found.database.date) == ("demo", 2, "2026-11-21")
    assert len(found.database.digest) == 64
    assert [one.id for one in found.ask(query("PyPI", "Jinja2", "2.11.2")).records] == ["PYSEC-1", "PYSEC-2"]
    assert found.covers("PyPI")
    assert not found.covers("npm")


def test_without_an_index_the_newest_record_dates_the_set(tmp_path):
    found = read(folder(tmp_path, advisory(), advisory("PYSEC-2", modified="2026-11-21T10:00:00.5Z")))
    assert found.database.date == "2026-11-21"


def test_zips_of_records_are_read_alone_and_inside_a_folder(tmp_path):
    (tmp_path / "set").mkdir()
    with zipfile.ZipFile(tmp_path / "set" / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("PYSEC-1.json", json.dumps(advisory()))
    assert read(tmp_path / "set").database.records == 1
    assert read(tmp_path / "set" / "all.zip").database.records == 1


def test_the_newest_version_of_a_record_counts_whatever_the_order(tmp_path):
    for name, modified, fixed in (("a", "2026-11-20T00:00:00Z", "2"), ("b", "2026-11-19T00:00:00Z", "9")):
        (tmp_path / f"{name}.json").write_text(json.dumps(advisory(modified=modified, fixed=fixed)))
    assert not read(tmp_path).ask(query("PyPI", "jinja2", "3")).records


def test_withdrawn_records_do_not_count(tmp_path):
    found = read(folder(tmp_path, advisory(), advisory("PYSEC-2", withdrawn="2026-11-01T00:00:00Z")))
    assert found.database.records == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{broken", "malformed"),
        ("<html>", "malformed"),
        ('{"id": "X"}', "modified"),
        (json.dumps(advisory() | {"modified": "yesterday"}), "RFC3339"),
        (json.dumps(advisory() | {"id": ""}), "id is empty"),
        (json.dumps(advisory() | {"affected": "all"}), "affected"),
        (
            json.dumps(advisory() | {"affected": [{"ranges": [{"type": "ECOSYSTEM", "events": [{"fixed": "1"}]}]}]}),
            "introduced",
        ),
        (
            json.dumps(advisory() | {"affected": [{"ranges": [{"type": "MAGIC", "events": [{"introduced": "0"}]}]}]}),
            "MAGIC",
        ),
    ],
)
def test_one_broken_record_is_not_passed_over(tmp_path, text, says):
    folder(tmp_path, advisory())
    (tmp_path / "odd.json").write_text(text)
    with pytest.raises(Inconclusive, match=f"odd.json in advisories cannot be read.*{says}"):
        read(tmp_path)


def test_an_empty_set_is_no_clean_bill(tmp_path):
    with pytest.raises(Inconclusive, match="there is no advisory"):
        read(tmp_path)
    folder(tmp_path, advisory(withdrawn="2026-11-01T00:00:00Z"))
    with pytest.raises(Inconclusive, match="there is no advisory"):
        read(tmp_path)


def test_a_stale_set_says_how_old_it_is(tmp_path):
    folder(tmp_path, advisory(modified="2024-10-10T00:00:00Z"))
    with pytest.raises(
        Inconclusive, match=r"end on 2024-10-10, 773 days ago; the limit is 30 days \(advisories.max-age-days\)"
    ):
        read(tmp_path)
    assert read(tmp_path, days=1000).database.date == "2024-10-10"


def test_a_date_in_the_future_is_not_believed(tmp_path):
    with pytest.raises(Inconclusive, match="future"):
        read(folder(tmp_path, advisory(), index_toml="date = 2030-01-01\n"))


@pytest.mark.parametrize("index", ["date = [", 'date = "soon"', "date = 5"])
def test_a_broken_index_is_refused(tmp_path, index):
    with pytest.raises(Inconclusive, match=r"index.toml"):
        read(folder(tmp_path, advisory(), index_toml=index))


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.json", b" " * (9 << 20))
    with pytest.raises(Inconclusive, match="more than 8 MB"):
        read(tmp_path / "all.zip")


def test_what_only_calls_itself_a_zip_is_refused(tmp_path):
    (tmp_path / "all.zip").write_bytes(b"PK\x03\x04 no zip")
    with pytest.raises(Inconclusive, match="no readable zip"):
        read(tmp_path / "all.zip")


def test_links_are_not_followed(tmp_path):
    inside = tmp_path / "set"
    inside.mkdir()
    (tmp_path / "secret.json").write_text(json.dumps(advisory()))
    (inside / "link.json").symlink_to(tmp_path / "secret.json")
    with pytest.raises(Inconclusive, match="there is no advisory"):
        read(inside)


def test_a_source_that_does_not_exist_is_named(tmp_path):
    with pytest.raises(Inconclusive, match=r"advisories\.source names nowhere"):
        open_source("nowhere", tmp_path)

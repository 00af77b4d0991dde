"""The packages check: real syft on real lock files, and the ones that it passes over without a word."""

from __future__ import annotations

import json

import pytest

from vallum import config, runner, target
from vallum.images.compare import line_of
from vallum.images.locks import expected, npm
from vallum.outcome import Completed, Incomplete, NotApplicable
from vallum_checks.packages import CHECK

SETTINGS = '[advisories]\nsource = "advisories"\nmax-age-days = 10000\n'


def advisory(identifier: str, name: str, fixed: str, ecosystem: str = "npm") -> str:
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = [{"package": {"ecosystem": ecosystem, "name": name}, "ranges": [{"type": "SEMVER", "events": events}]}]
    return json.dumps({"id": identifier, "modified": "2026-11-20T00:00:00Z", "affected": affected})


def lock(**packages: str) -> str:
    table = {"": {"name": "mine", "version": "1.0.0", "dependencies": packages}}
    table |= {f"node_modules/{name}": {"version": version} for name, version in packages.items()}
    return json.dumps({"name": "mine", "version": "1.0.0", "lockfileVersion": 3, "packages": table}, indent=2)


SET = {"vallum.toml": SETTINGS, "advisories/GHSA-1.json": advisory("GHSA-1", "lodash", "4.17.12")}
GO = "module example.org/mine\n\ngo 1.21\n\nrequire github.com/Masterminds/sprig v2.22.0+incompatible\n"


def outcome(root):
    settings = config.load(root)
    return runner.run_unit(CHECK, target.discover(root, settings), settings, "test")


def test_findings_stand_at_every_lock_that_pins_the_package(make_tree):
    files = {
        "a/Dockerfile": "FROM x\n",
        "a/package-lock.json": lock(lodash="4.17.11", ms="2.0.0"),
        "b/package-lock.json": lock(lodash="4.17.11"),
    }
    result = outcome(make_tree(SET | files))
    assert isinstance(result, Completed), result
    found = sorted((one.location.path, one.location.line, one.service) for one in result.run.findings)
    assert found == [("a/package-lock.json", 14, "a"), ("b/package-lock.json", 13, "")]
    text = files["a/package-lock.json"].splitlines()
    assert text[13].strip() == '"node_modules/lodash": {'
    assert {one.unit: (one.expected, one.seen) for one in result.run.coverage}["lock files"] == (2, 2)
    assert result.run.findings[0].fix == "Upgrade lodash from 4.17.11 to 4.17.12 or later."


def test_a_lock_that_syft_passes_over_in_silence_is_missed(make_tree):
    files = {"a/package-lock.json": lock(lodash="4.17.11"), "b/package-lock.json": "{broken", "c/yarn.lock": ""}
    result = outcome(make_tree(SET | files))
    assert isinstance(result, Incomplete)
    assert [one.target for one in result.run.coverage[1].missed] == ["b/package-lock.json", "c/yarn.lock"]
    assert len(result.run.findings) == 1


def test_a_lock_of_a_form_that_syft_does_not_read_is_missed(make_tree):
    strange = "lockfileVersion: '99.0'\n\npackages:\n\n  nothing syft would know: yes\n"
    result = outcome(make_tree(SET | {"package-lock.json": lock(ms="2.0.0"), "b/pnpm-lock.yaml": strange}))
    assert isinstance(result, Incomplete)
    assert "b/pnpm-lock.yaml: syft read no package of it" in result.reason


def test_an_ecosystem_without_advisories_is_a_gap_unless_it_is_chosen_as_a_note(make_tree):
    files = {"package-lock.json": lock(ms="2.0.0"), "go.mod": GO}
    result = outcome(make_tree(SET | files))
    assert isinstance(result, Incomplete)
    assert "1 of Go: no advisories for this ecosystem" in result.reason
    chosen = {"vallum.toml": SETTINGS + "[checks.packages.options]\necosystems-without-advisories = 'note'\n"}
    result = outcome(make_tree(SET | files | chosen))
    assert isinstance(result, Completed), result
    assert result.run.notes == ("1 package of Go: the advisories know nothing of them",)


def test_go_modules_meet_their_advisories(make_tree):
    more = {"advisories/GO-1.json": advisory("GO-1", "github.com/Masterminds/sprig", "2.23.0", "Go")}
    result = outcome(make_tree(SET | more | {"go.mod": GO}))
    assert isinstance(result, Completed), result
    assert [(one.rule, one.location.line) for one in result.run.findings] == [("GO-1", 5)]


def test_locks_that_name_nobody_else(make_tree):
    assert isinstance(
        outcome(make_tree(SET | {"package-lock.json": lock(), "go.mod": "module x\n\ngo 1.21\n"})), NotApplicable
    )


def test_no_lock_is_not_planned(make_tree):
    root = make_tree({"requirements.txt": "flask==1\n"})
    assert "no lock file" in CHECK.applies(target.discover(root, config.Config()), config.Config()).reason


def test_versions_one_of_npm_locks_nest():
    old = {
        "lockfileVersion": 1,
        "dependencies": {
            "a": {"version": "1.0.0", "dependencies": {"b": {"version": "2.0.0"}}},
            "own": {"version": "file:x"},
        },
    }
    assert npm(json.dumps(old)) == {("a", "1.0.0"), ("b", "2.0.0")}
    with pytest.raises(ValueError, match="lockfileVersion"):
        npm("{}")


def test_counting_reads_signs_of_each_kind(make_tree):
    root = make_tree({"go.mod": GO, "x/go.mod": "module x\n\ngo 1.21\n", "Cargo.lock": 'source = "registry"\n'})
    assert expected(root / "go.mod") is True
    assert expected(root / "x" / "go.mod") is False
    assert expected(root / "Cargo.lock") is True


def test_lines():
    text = 'lodash.merge@^4:\n  version "4.6.2"\n\nlodash@^4.17.0:\n  version "4.17.11"\n'
    assert line_of(text, "lodash", "4.17.11") == 4
    assert line_of(text, "lodash.merge", "4.6.2") == 1
    assert line_of(text, "nobody", "1") == 0

"""The pip-audit check: real pip-audit, real sockets, and each way in which it could stay silent."""

from __future__ import annotations

import json
import socket
import zipfile
from pathlib import Path

import msgspec
import pytest

from vallum import config, runner, target
from vallum.advisories.ecosystems import query
from vallum.advisories.local import LocalSet
from vallum.advisories.mirror import Mirror
from vallum.errors import Inconclusive
from vallum.outcome import Completed, Database, Incomplete, NotApplicable
from vallum.process import Finished
from vallum_checks import pip_audit
from vallum_checks.pip_audit import CHECK

DATA = Path(__file__).parent / "data"


def advisory(identifier: str, name: str, fixed: str, **more) -> str:
    events = [{"introduced": "0"}, {"fixed": fixed}]
    affected = [{"package": {"ecosystem": "PyPI", "name": name}, "ranges": [{"type": "ECOSYSTEM", "events": events}]}]
    return json.dumps({"id": identifier, "modified": "2026-11-20T00:00:00Z", "affected": affected} | more)


NPM = advisory("GHSA-9", "lodash", "4.17.12").replace("PyPI", "npm")
VECTOR = "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"
SETTINGS = '[advisories]\nsource = "advisories"\nmax-age-days = 10000\n'
SET = {
    "vallum.toml": SETTINGS,
    "advisories/PYSEC-1.json": advisory(
        "PYSEC-1", "jinja2", "2.11.3", aliases=["CVE-1"], severity=[{"type": "CVSS_V3", "score": VECTOR}]
    ),
    "advisories/GHSA-1.json": advisory("GHSA-1", "jinja2", "2.11.3", aliases=["CVE-1"]),
    "advisories/PYSEC-2.json": advisory("PYSEC-2", "click", "8.0"),
}


def outcome(root: Path):
    settings = config.load(root)
    return runner.run_unit(CHECK, target.discover(root, settings), settings, "test")


def places(result):
    return sorted((one.rule, one.location.path, one.location.line, one.service) for one in result.run.findings)


def counted(result):
    return {one.unit: (one.expected, one.seen) for one in result.run.coverage}


def test_findings_stand_where_the_package_is_pinned(make_tree):
    files = {
        "a/Dockerfile": "FROM x\n",
        "a/requirements.txt": "# x\nJinja2==2.11.2\nflask==1.0\n",
        "b/requirements.txt": "click==7.1.2\n",
    }
    result = outcome(make_tree(SET | files))
    assert isinstance(result, Completed)
    assert places(result) == [("GHSA-1", "a/requirements.txt", 2, "a"), ("PYSEC-2", "b/requirements.txt", 1, "")]
    assert counted(result) == {"manifests": (2, 2), "packages": (3, 3)}
    first = next(one for one in result.run.findings if one.rule == "GHSA-1")
    assert (first.severity, first.cvss, first.aliases) == ("critical", VECTOR, ("CVE-1", "PYSEC-1"))
    assert (result.run.databases[0].records, result.run.exit_code) == (3, 1)


def test_two_versions_of_a_package_are_both_audited(make_tree):
    files = {
        "a/requirements.txt": "Jinja2==2.11.2\n",
        "b/requirements.txt": "jinja2==2.10\n",
        "c/requirements.txt": "jinja2==3.0\n",
    }
    result = outcome(make_tree(SET | files))
    assert isinstance(result, Completed)
    assert [one[1] for one in places(result)] == ["a/requirements.txt", "b/requirements.txt"]
    assert counted(result) == {"manifests": (3, 3), "packages": (3, 3)}


def test_a_marker_for_another_system_hides_nothing(make_tree):
    result = outcome(make_tree(SET | {"requirements.txt": "jinja2==2.11.2 ; sys_platform == 'win32'\n"}))
    assert isinstance(result, Completed)
    assert len(result.run.findings) == 1


def test_clean_is_proved(make_tree):
    result = outcome(make_tree(SET | {"requirements.txt": "jinja2==3.1.6\n"}))
    assert isinstance(result, Completed)
    assert not result.run.findings
    assert counted(result)["packages"] == (1, 1)


def test_a_manifest_without_dependencies_is_not_applicable(make_tree):
    assert isinstance(outcome(make_tree(SET | {"requirements.txt": "# none yet\n"})), NotApplicable)


def test_what_cannot_be_read_is_missed_and_the_rest_is_audited(make_tree):
    result = outcome(make_tree(SET | {"requirements.txt": "jinja2==2.11.2\nbinderhub==0.2.0-n653\n"}))
    assert isinstance(result, Incomplete)
    assert "requirements.txt:2" in result.reason
    assert counted(result) == {"manifests": (1, 0), "packages": (2, 1)}
    assert len(result.run.findings) == 1


def test_a_version_that_an_advisory_cannot_be_compared_with_is_missed(make_tree):
    odd = {"advisories/PYSEC-9.json": advisory("PYSEC-9", "idna", "3.0-n1")}
    result = outcome(make_tree(SET | odd | {"requirements.txt": "idna==2.7\n"}))
    assert isinstance(result, Incomplete)
    assert "idna 2.7: cannot be compared with PYSEC-9" in result.reason


def wheel(folder: Path, name: str, version: str, requires: str = "") -> None:
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{requires}")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.fixture
def wheels(tmp_path) -> Path:
    """Packages of our own, to be used with no other index."""
    prepared()
    wheel(tmp_path / "wheels", "jinja2", "2.11.2")
    wheel(tmp_path / "wheels", "vallum_test_topmost", "1.0", "Requires-Dist: jinja2==2.11.2\n")
    return tmp_path / "wheels"


def prepared() -> None:
    """The tool's environment must stand before a test takes the index away."""
    from vallum.tools import prepare

    prepare("pip-audit")


def test_loose_requirements_are_resolved_first(make_tree, wheels):
    text = f"--no-index\n--find-links {wheels}\nvallum-test-topmost>=1\n"
    result = outcome(make_tree(SET | {"requirements.txt": text}))
    assert isinstance(result, Completed), result
    assert places(result) == [("GHSA-1", "requirements.txt", 3, "")]
    assert "brought in by vallum-test-topmost" in result.run.findings[0].message
    assert "resolved to 2 packages" in result.run.notes[0]


def test_pyproject_with_groups_is_resolved(make_tree, wheels, monkeypatch):
    monkeypatch.setenv("UV_FIND_LINKS", str(wheels))  # by the machine: the target's settings choose no versions
    text = """[project]
name = "x"
version = "1"
requires-python = ">=3.11"
[dependency-groups]
dev = ["vallum-test-topmost"]
"""
    result = outcome(make_tree(SET | {"pyproject.toml": text}))
    assert isinstance(result, Completed), result
    assert places(result) == [("GHSA-1", "pyproject.toml", 6, "")]


def test_loose_requirements_without_an_index_name_their_manifest(make_tree, monkeypatch, tmp_path):
    prepared()
    monkeypatch.setenv("UV_DEFAULT_INDEX", f"http://127.0.0.1:{closed()}/simple")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    monkeypatch.setenv("UV_HTTP_RETRIES", "0")
    result = outcome(make_tree(SET | {"a/requirements.txt": "click\n", "requirements.txt": "jinja2==2.11.2\n"}))
    assert isinstance(result, Incomplete)
    assert "a/requirements.txt" in result.reason
    assert "uv could not resolve" in result.reason
    assert len(result.run.findings) == 1  # the other manifest was audited


def closed() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"vallum.toml": "[advisories]\nsource = 'gone'\n"}, "names gone"),
        ({"vallum.toml": "[advisories]\nsource = 'empty'\n", "empty/readme": ""}, "there is no advisory"),
        ({"advisories/odd.json": "<html>"}, "odd.json"),
        ({"vallum.toml": SETTINGS.replace('advisories"', 'npm"'), "npm/GHSA-1.json": NPM}, "know nothing of PyPI"),
        (
            {"vallum.toml": SETTINGS.replace("10000", "1"), "advisories/index.toml": "date = 2026-01-01\n"},
            "the limit is 1 days",
        ),
    ],
)
def test_advisories_that_cannot_be_relied_on(make_tree, files, says):
    result = outcome(make_tree(SET | {"requirements.txt": "jinja2==2.11.2\n"} | files))
    assert isinstance(result, Incomplete)
    assert says in result.reason


def test_a_service_that_refuses_the_connection(make_tree):
    settings = {"vallum.toml": f"[advisories]\nsource = 'http://127.0.0.1:{closed()}'\n"}
    result = outcome(make_tree(SET | settings | {"requirements.txt": "jinja2==2.11.2\n"}))
    assert isinstance(result, Incomplete)
    assert "cannot be reached" in result.reason


def test_a_deadline_ends_it(make_tree):
    prepared()
    settings = {"vallum.toml": SETTINGS + "[checks.pip-audit]\ndeadline = 0.05\n"}
    result = outcome(make_tree(SET | settings | {"requirements.txt": "jinja2==2.11.2\n"}))
    assert isinstance(result, Incomplete)
    assert "passed its deadline" in result.reason


def local() -> LocalSet:
    from vallum.advisories.osv import decode

    return LocalSet([decode(SET["advisories/PYSEC-1.json"].encode())], Database("test", "test", 1, "2026-11-20"))


def test_pip_audit_dying_on_its_service_is_no_clean_bill(make_tree):
    root = make_tree(SET | {"requirements.txt": "jinja2==2.11.2\n"})
    settings = config.load(root)
    with Mirror(local()) as mirror:
        pass  # the port is closed from here on
    with (
        runner.context(CHECK, target.discover(root, settings), settings, "_") as ctx,
        pytest.raises(Inconclusive, match="no report"),
    ):
        pip_audit._audit(ctx, ctx.tool("pip-audit"), mirror, [("jinja2", "2.11.2")])


def finished(stdout: Path, tmp_path: Path, code: int = 0) -> Finished:
    (tmp_path / "stderr").write_text("No known vulnerabilities found\n")
    return Finished(("pip-audit",), code, 1.0, stdout, tmp_path / "stderr")


def test_what_pip_audit_skips_with_exit_0_is_not_found_clean(tmp_path):
    with Mirror(local()) as mirror:
        report = pip_audit._read(finished(DATA / "pip-audit-skipped.json", tmp_path), mirror)
    found, skipped = {}, {}
    pip_audit._sort(report, {"flask": "1.1.4", "werkzeug": "1.0.1", "jinja2": "2.11.2"}, found, skipped)
    assert not found
    assert set(skipped) == {("flask", "1.1.4"), ("werkzeug", "1.0.1"), ("jinja2", "2.11.2")}


@pytest.mark.parametrize(
    ("text", "code"), [("", 1), ('{"dependencies": []}', 0), ("{}", 0), ('{"dependencies": []}', 2), ("<html>", 1)]
)
def test_no_report_an_empty_one_and_an_odd_exit_code_are_inconclusive(tmp_path, text, code):
    (tmp_path / "out").write_text(text)
    with Mirror(local()) as mirror, pytest.raises(Inconclusive):
        pip_audit._read(finished(tmp_path / "out", tmp_path, code), mirror)


def test_a_name_that_no_served_advisory_has_is_an_alarm():
    from vallum.advisories.findings import Use

    one = Use(query("PyPI", "jinja2", "2.11.2"), "jinja2", "pkg:pypi/jinja2@2.11.2")
    records = local().ask(one.query).records
    pair = ("jinja2", "2.11.2")
    with pytest.raises(Inconclusive, match="PYSEC-404"):
        pip_audit._findings(one, records, pip_audit._Audited({pair: ("PYSEC-404",)}, {}, ()), {}, [])
    with pytest.raises(Inconclusive, match="does not report PYSEC-1"):
        pip_audit._findings(one, records, pip_audit._Audited({pair: ()}, {}, ()), {}, [])


def test_the_report_type_is_strict():
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"dependencies": [{"version": "1"}]}', type=pip_audit._Report)

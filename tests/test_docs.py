"""The documentation holds: generated pages are fresh, links lead somewhere, commands exist, examples run."""

from __future__ import annotations

import importlib.util
import json
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest
import yaml

from vallum import cli, commands, runner, sessions
from vallum.check import Check, Stage
from vallum.config import Config
from vallum.gate import judge
from vallum.outcome import Completed, Incomplete, NotApplicable
from vallum.plan import make
from vallum.reports import REPORTS
from vallum.severity import Severity
from vallum.target import discover
from vallum.verdict import EXIT, Status
from vallum_checks import CHECKS

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / ".github").rglob("*.md")])
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
COMMAND = re.compile(r"(?:^|`|; |uvx |pipx run )(vallum(?: [^`#;|\n]*)?)", re.MULTILINE)
NOX = re.compile(r"nox -s ([a-z][a-z -]*)")


def load(name: str, source: str | Path, folder: Path) -> ModuleType:
    """A module from a file, or from text that is written to one first."""
    path = source if isinstance(source, Path) else folder / f"{name}.py"
    if isinstance(source, str):
        path.write_text(source, "utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def generate(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return load("generate", DOCS / "generate.py", tmp_path_factory.mktemp("generate"))


def test_the_generated_pages_are_fresh(generate: ModuleType) -> None:
    assert "\n".join(generate.stale(DOCS, generate.pages())) == ""


def test_a_stale_a_missing_and_a_left_over_page_are_told(
    generate: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert generate.main([], tmp_path) == 0
    assert generate.main(["--check"], tmp_path) == 0
    page = tmp_path / "checks" / "bandit.md"
    page.write_text(page.read_text("utf-8").replace("# bandit", "# brigand"), "utf-8")
    (tmp_path / "configuration.md").unlink()
    (tmp_path / "checks" / "gone.md").write_text("no such check", "utf-8")
    capsys.readouterr()
    assert generate.main(["--check"], tmp_path) == 1
    said = capsys.readouterr().out
    assert "-# brigand" in said
    assert "+# Configuration" in said
    assert "gone.md: there is no such check" in said
    assert generate.main([], tmp_path) == 0
    assert not (tmp_path / "checks" / "gone.md").exists()


def test_every_module_with_a_check_is_registered(generate: ModuleType) -> None:
    """A check file without its line in CHECKS would never run, and nobody would miss it."""
    assert sorted(generate.modules()) == sorted(check.id for check in CHECKS)
    assert CHECKS


def test_each_checks_docstring_says_what_it_cannot_see(generate: ModuleType) -> None:
    static = {
        check.id for check in CHECKS if check.stage is not Stage.STAGED
    }  # docs/zap.md and staging.md say it of those
    modules = generate.modules()
    assert [name for name in static if "annot see" not in (modules[name].__doc__ or "")] == []


def test_the_configuration_page_names_every_key(generate: ModuleType) -> None:
    page = (DOCS / "configuration.md").read_text("utf-8")
    from vallum.config import _all_keys

    assert [key for key in _all_keys() if f"`{key}`" not in page] == []


def test_the_schemas_fit_what_they_describe() -> None:
    verdict = json.loads((DOCS / "verdict.schema.json").read_text("utf-8"))
    assert set(verdict["$defs"]["Verdict"]["properties"]) >= {"status", "reasons", "findings", "not_tested"}
    config = json.loads((DOCS / "vallum.schema.json").read_text("utf-8"))
    assert config["$defs"]["Config"]["additionalProperties"] is False


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in LINK.findall(FENCE.sub("", page.read_text("utf-8"))):
            if not re.match(r"[a-z]+:|#", target):
                yield page, target.partition("#")[0]


def test_links_lead_somewhere() -> None:
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page, target in links()
        if not (page.parent / target).resolve().exists()
    ]
    assert broken == []


def typed() -> Iterator[tuple[str, str]]:
    """Every `vallum …` that a page tells a person to type: in a console block or in backticks."""
    for page in PAGES:
        if page.name == "CHANGELOG.md":
            continue
        text = page.read_text("utf-8")
        shell = [body for language, body in FENCE.findall(text) if language in {"console", "sh", "bash"}]
        inline = re.findall(r"`(vallum -[^`]*)`", FENCE.sub("", text))
        for command in [*(found for body in shell for found in COMMAND.findall(body)), *inline]:
            yield page.name, command.strip()


def test_commands_that_pages_show_exist() -> None:
    known = {*commands.COMMANDS, *sessions.OWN_SESSIONS, *(check.id for check in CHECKS)}
    seen = 0
    for page, command in typed():
        words = command.split("  ")[0].split()[1:]
        before = words[: words.index("--")] if "--" in words else words
        if "…" in before or "CHECK" in before:
            continue
        options = cli._parser().parse_args(before)
        unknown = [name for name in options.sessions if name not in known | {"npm-lock", "ruff"}]
        assert unknown == [], f"{page}: {command}"
        seen += 1
    assert seen > 5


def test_nox_sessions_that_pages_show_exist() -> None:
    defined = set(re.findall(r"^def (\w+)\(session\)", (ROOT / "noxfile.py").read_text("utf-8"), re.MULTILINE))
    defined |= set(sessions.OWN_SESSIONS) | {check.id for check in CHECKS}
    for page in PAGES:
        for names in NOX.findall(page.read_text("utf-8")):
            words = names.partition(" --")[0].split()
            assert words[0] in defined, f"{page.name}: nox -s {names}"


def test_exit_codes_are_as_documented() -> None:
    page = (DOCS / "exit-codes.md").read_text("utf-8")
    documented = dict(re.findall(r"^\| (\d+) \| \*\*(\w+)\*\*", page, re.MULTILINE))
    assert documented == {str(code): status for status, code in EXIT.items()}
    for code in re.findall(r"(\d+) [a-z]", (cli.__doc__ or "").splitlines()[2]):
        assert f"| {code} |" in page


def test_own_sessions_and_commands_are_the_same() -> None:
    assert set(commands.COMMANDS) == set(sessions.OWN_SESSIONS) - {"dast", "declared"}


def test_toml_examples_are_valid_configurations() -> None:
    keys = {field.encode_name for field in msgspec.structs.fields(Config)}
    seen = 0
    for page in PAGES:
        for language, body in FENCE.findall(page.read_text("utf-8")):
            table = tomllib.loads(body) if language == "toml" else {}
            if keys & set(table):  # some other file's TOML has none of them
                msgspec.convert(table, Config, strict=True)
                seen += 1
    assert seen > len(CHECKS)


def test_yaml_examples_parse() -> None:
    for page in PAGES:
        for language, body in FENCE.findall(page.read_text("utf-8")):
            if language in {"yaml", "yml"}:
                assert isinstance(yaml.safe_load(body), dict)


def header() -> dict[str, object]:
    """The PEP 723 block of the noxfile."""
    text = (ROOT / "noxfile.py").read_text("utf-8")
    block = re.search(r"^# /// script\n((?:#.*\n)+?)# ///$", text, re.MULTILINE)
    assert block is not None
    return tomllib.loads("".join(line.removeprefix("#").removeprefix(" ") + "\n" for line in block[1].splitlines()))


def test_a_clone_runs_with_the_dependencies_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert header()["dependencies"] == project["dependencies"]
    assert header()["requires-python"] == project["requires-python"]


def example(beginning: str) -> str:
    """The code block of docs/adding.md whose docstring begins so."""
    found = [body for _, body in FENCE.findall((DOCS / "adding.md").read_text("utf-8")) if body.startswith(beginning)]
    assert len(found) == 1
    return found[0]


@pytest.fixture
def check(tmp_path: Path) -> Check:
    found = load("npm_lock", example('"""npm manifests'), tmp_path).CHECK
    assert isinstance(found, Check)
    return found


def test_the_worked_example_of_a_check_works(check: Check, make_tree) -> None:
    root = make_tree(
        {
            "services/cart/package.json": '{"dependencies": {"express": "^4"}}',
            "services/mail/package.json": '{"dependencies": {"express": "^4"}}',
            "services/mail/package-lock.json": "{}",
            "services/page/package.json": '{"name": "page"}',
        }
    )
    target = discover(root, Config())
    plan = make((check,), target, Config())
    outcome = runner.run_unit(check, target, Config(), plan.run)
    assert isinstance(outcome, Completed)
    assert [finding.location.path for finding in outcome.run.findings] == ["services/cart/package.json"]
    read = runner.read(root, check.id, "_", plan.run)
    strict = msgspec.structs.replace(Config().policy, block=(Severity.MEDIUM,))
    assert judge(strict, plan, {(check.id, "_"): read}).status is Status.FAIL
    assert judge(Config().policy, plan, {(check.id, "_"): read}).status is Status.PASS


def test_the_worked_example_fails_closed(check: Check, make_tree) -> None:
    root = make_tree({"package.json": "{not json", "web/package.json": "{}"})
    target = discover(root, Config())
    outcome = runner.run_unit(check, target, Config(), "run")
    assert isinstance(outcome, Incomplete)
    assert "1 of 2 manifests" in outcome.reason


def test_the_worked_example_of_a_report_works(check: Check, make_tree, tmp_path: Path) -> None:
    module = load("blocking", example('"""`blocking.csv`'), tmp_path)
    root = make_tree({"=cart/package.json": '{"dependencies": {"express": "^4"}}'})
    target = discover(root, Config())
    plan = make((check,), target, Config())
    outcome = runner.run_unit(check, target, Config(), plan.run)
    assert not isinstance(outcome, NotApplicable)
    strict = msgspec.structs.replace(Config().policy, block=(Severity.MEDIUM,))
    verdict = judge(strict, plan, {(check.id, "_"): outcome})
    files = module.render(verdict, root)
    assert list(files) == ["blocking.csv"]
    lines = files["blocking.csv"].decode().splitlines()
    assert len(lines) == 2
    assert ",'=cart/package.json," in lines[1]
    assert set(REPORTS)  # the registry that the page names

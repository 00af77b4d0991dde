"""Checks that vallum.toml declares: real tools that we ship no check for, and every way in which one can fail to tell."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from vallum import gather, plan, runner
from vallum.artifacts import outcome_folder
from vallum.check import Planned, Skipped
from vallum.errors import UserError
from vallum.imports import import_command
from vallum.outcome import Completed, Incomplete, Outcome
from vallum.sessions import OWN_SESSIONS
from vallum.severity import Severity
from vallum_checks import declared

RUFF = shutil.which("ruff", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
WEAK = "import subprocess\n\n\ndef f(name):\n    subprocess.call('ls ' + name, shell=True)\n    return eval(name)\n"


def toml(**keys: Any) -> str:
    """A `[[check]]` table."""
    base: dict[str, Any] = {"id": "mine", "summary": "my tool", "files": ["*.py"]}
    lines = [f"{key.replace('_', '-')} = {_value(value)}" for key, value in (base | keys).items()]
    return "[[check]]\n" + "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {json.dumps(inner)}" for key, inner in value.items()) + " }"
    return json.dumps(value)


def report(*results: dict[str, Any], **run: Any) -> str:
    driver = {"name": "mine", "version": "1.0"}
    return json.dumps({"version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": list(results), **run}]})


def script(body: str) -> list[str]:
    return [sys.executable, "-c", body, "{raw}"]


def writes(text: str, code: int = 0) -> dict[str, Any]:
    text = text.replace("{", "{{").replace("}", "}}")
    body = f"import sys,pathlib; pathlib.Path(sys.argv[1], 'r.sarif').write_text({text!r}); sys.exit({code})"
    return {"argv": script(body), "sarif": "r.sarif"}


@pytest.fixture
def outcome(make_tree):
    """What one declared check leaves on a tree of one weak Python file."""

    def make(files: dict[str, str] | None = None, **keys: Any) -> Outcome:
        root = make_tree({"a.py": WEAK, **(files or {}), "vallum.toml": toml(**keys)})
        target, config = gather.open_target(root)
        (check,) = declared.checks(config)
        return runner.run_unit(check, target, config, "r")

    return make


def incomplete(outcome: Outcome) -> str:
    assert isinstance(outcome, Incomplete)
    return outcome.reason


def test_ruff_which_we_ship_no_check_for(make_tree, vallum):
    assert RUFF is not None
    argv = [RUFF, "check", "--isolated", "--no-cache", "--no-respect-gitignore", "--select", "S", "--ignore-noqa"]
    argv += ["--output-format", "sarif", "--output-file", "{raw}/ruff.sarif", "{root}"]
    text = toml(
        id="ruff", argv=argv, sarif="ruff.sarif", version=[RUFF, "--version"], ok_exit_codes=[0, 1], least_targets=1
    )
    root = make_tree({"svc/a.py": WEAK, "vallum.toml": text})
    done = vallum("-C", str(root), "-s", "ruff")
    assert done.returncode == 1, done.stderr
    verdict = json.loads((root / ".vallum" / "verdict.json").read_bytes())
    found = {(each["finding"]["rule"], each["finding"]["location"]["path"]) for each in verdict["findings"]}
    assert {("S602", "svc/a.py"), ("S307", "svc/a.py")} <= found
    (check,) = verdict["checks"]
    assert (check["tool"]["name"], check["coverage"][0]["expected"], check["coverage"][0]["seen"]) == ("ruff", 1, 1)
    assert str(root) not in json.dumps(verdict)
    # the same repository, repaired, passes; and without the tool it cannot tell
    (root / "svc" / "a.py").write_text("print(1)\n")
    assert vallum("-C", str(root), "-s", "declared").returncode == 0
    (root / "vallum.toml").write_text(text.replace(RUFF, "/nonexistent/ruff"))
    assert vallum("-C", str(root), "-s", "ruff").returncode == 3


@pytest.mark.slow
def test_eslint_which_we_ship_no_check_for(make_tree, tmp_path, vallum):
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("no npm on this machine")
    tools = tmp_path / "tools"
    tools.mkdir()
    wanted = ["eslint@8.57.1", "@microsoft/eslint-formatter-sarif@3.1.0"]
    installed = subprocess.run(
        [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", *wanted],
        cwd=tools,
        check=False,
        capture_output=True,
        text=True,
    )
    assert installed.returncode == 0, installed.stderr
    eslint = str(tools / "node_modules" / ".bin" / "eslint")
    argv = [eslint, "--no-eslintrc", "--no-inline-config", "--no-ignore", "--ext", ".js", "--rule", "no-eval: error"]
    argv += ["--format", f"{tools}/node_modules/@microsoft/eslint-formatter-sarif/sarif.js"]
    argv += ["--output-file", "{raw}/eslint.sarif", "{root}"]
    text = toml(
        id="eslint",
        files=["*.js"],
        argv=argv,
        sarif="eslint.sarif",
        ok_exit_codes=[0, 1],
        lists_targets=False,
        version=[eslint, "--version"],
    )
    root = make_tree({"web/a.js": "eval(location.hash) // eslint-disable-line\n", "vallum.toml": text})
    done = vallum("-C", str(root), "-s", "eslint")
    assert done.returncode == 1, done.stderr
    verdict = json.loads((root / ".vallum" / "verdict.json").read_bytes())
    (finding,) = [each["finding"] for each in verdict["findings"]]
    assert (finding["rule"], finding["location"]["path"], finding["severity"]) == ("no-eval", "web/a.js", "high")
    assert verdict["checks"][0]["tool"]["version"] == "8.57.1"
    # a file that eslint cannot parse is a result with a fatal error in its SARIF: never a pass
    (root / "web" / "a.js").write_text("function (\n")
    assert vallum("-C", str(root), "-s", "eslint").returncode != 0


def test_ruff_by_junit(outcome):
    assert RUFF is not None
    argv = [RUFF, "check", "--isolated", "--no-cache", "--select", "S", "--output-format", "junit", "."]
    done = outcome(
        argv=argv, junit="-", ok_exit_codes=[0, 1], version=[RUFF, "--version"], levels={"failure": "medium"}
    )
    assert isinstance(done, Completed)
    assert {(f.rule, f.severity) for f in done.run.findings} >= {("org.ruff.S307", Severity.MEDIUM)}
    assert all(f.location and f.location.path == "a.py" for f in done.run.findings)


@pytest.mark.parametrize(
    ("keys", "reason"),
    [
        (writes(report(), 1), "none of ok-exit-codes"),
        (writes(""), "empty report"),
        (writes("{"), "cannot be read"),
        (writes(report()) | {"sarif": "other.sarif"}, "left no report"),
        (writes(report(invocations=[{"executionSuccessful": False}])), "could not do all"),
        ({"argv": ["no-such-program-anywhere"], "sarif": "-"}, "cannot start"),
        (
            {"argv": script("import os,signal; os.kill(os.getpid(), signal.SIGSEGV)"), "sarif": "-"},
            "killed by signal 11",
        ),
        ({"argv": script("import os; os.mkfifo(os.sys.argv[1] + '/r')"), "sarif": "r"}, "regular file|empty report"),
        (
            {"argv": script("import os; os.symlink('/etc/passwd', os.sys.argv[1] + '/r')"), "sarif": "r"},
            "cannot be read",
        ),
        (
            {"argv": script("import os; os.symlink('/etc', os.sys.argv[1] + '/d')"), "sarif": "d/passwd"},
            "behind a link",
        ),
        (writes(report()) | {"least_targets": 2}, "1 files match"),
        (writes(report()) | {"lists_targets": True}, "did not look at 1 of 1"),
        (writes(report().replace('"version": "1.0"', '"x": "1.0"')), "which version"),
        (writes(report()) | {"version": [sys.executable, "-c", "print('none')"]}, "says no version"),
        (writes(report()) | {"version": [sys.executable, "-c", "print('1.2'); exit(1)"]}, "says no version"),
    ],
    ids=range(15),
)
def test_a_tool_that_cannot_tell_is_red(outcome, keys, reason):
    assert re.search(reason, incomplete(outcome(**keys)))


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        ("'2001-01-01'", "days old, more than 30"),
        ("'2999-01-01T00:00:00Z 5'", "from the future"),
        ("'soon'", "which is no date"),
        ("''", "says no date"),
        ("int(__import__('time').time()), 0", "is empty"),
    ],
)
def test_a_database_that_is_old_empty_or_unknown_is_red(outcome, says, reason):
    database = {"argv": [sys.executable, "-c", f"print({says})"]}
    assert reason in incomplete(outcome(**writes(report()), database=database))


def test_a_database_of_today(outcome):
    database = {"argv": [sys.executable, "-c", "import time; print(int(time.time()), 12)"], "name": "advisories"}
    done = outcome(**writes(report()), database=database)
    assert isinstance(done, Completed)
    assert (done.run.databases[0].name, done.run.databases[0].records) == ("advisories", 12)


def test_it_applies_where_a_file_matches(make_tree):
    root = make_tree({"a.rb": "", "vallum.toml": toml(**writes(report()))})
    target, config = gather.open_target(root)
    (check,) = declared.checks(config)
    assert check.applies(target, config) == Skipped("no file matches *.py")
    (root / "vallum.toml").write_text(toml(**writes(report()), least_targets=1))
    target, config = gather.open_target(root)
    (check,) = declared.checks(config)
    assert check.applies(target, config) == Planned()


def test_it_sees_only_the_variables_that_are_named(outcome, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "t0ken")
    monkeypatch.setenv("MY_SETTING", "set")
    body = "import os; assert 'MY_TOKEN' not in os.environ and os.environ['MY_SETTING'] == 'set'; print(os.sys.argv[2])"
    argv = [*script(body), report().replace("{", "{{").replace("}", "}}")]
    assert isinstance(outcome(argv=argv, sarif="-", env=["MY_SETTING"]), Completed)


def test_a_finder_of_secrets_shows_none(outcome, make_tree):
    result = {
        "ruleId": "key",
        "level": "error",
        "message": {"text": "a key"},
        "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 1}}}],
    }
    done = outcome({"a.py": "KEY = 'AKIA1234567890ABCDEF'\n"}, **writes(report(result)), secrets=True)
    assert isinstance(done, Completed)
    root = make_tree({})
    assert not (outcome_folder(root, "mine", "_") / "raw").exists()
    for path in (root / ".vallum").rglob("*"):
        assert not path.is_file() or b"1234567890" not in path.read_bytes(), path


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (toml(argv=["x"], sariff="-"), "vallum.toml:6: unknown key `sariff`", "did you mean `sarif`?"),
        (toml(argv=["x"]), "needs either `sarif` or `junit`", ""),
        (toml(sarif="-"), "needs either `argv`", ""),
        (toml(argv=["x"], junit="-"), "needs `version`", ""),
        (toml(argv=["{rot}"], sarif="-"), "unknown placeholder {rot}", ""),
        (toml(argv=["x"], sarif="../r"), "leaves the folder", ""),
        (toml(argv=["x"], sarif="/r"), "leaves the folder", ""),
        (toml(argv=["x"], sarif="-", env=["A=B"]), "no name of a variable", ""),
        (toml(argv=["x"], sarif="-", id="bandit"), "vallum.toml:2: check `bandit`: the name is taken", ""),
        (toml(argv=["x"], sarif="-", id="gate"), "the name is taken", ""),
        (toml(argv=["x"], sarif="-") * 2, "the name is taken", ""),
        (toml(argv=["x"], sarif="-", id="../x"), "vallum.toml:2: ", ""),
        (toml(argv=["x"], sarif="-", stage="staged"), "vallum.toml:", ""),
        (toml(argv=["x"], sarif="-", files=[]), "vallum.toml:4", ""),
        (toml(argv="x", sarif="-"), "vallum.toml:5", ""),
        (toml(argv=["x"], sarif="-") + "[checks.mime]\n", "unknown check `mime`", "did you mean `mine`?"),
    ],
    ids=range(16),
)
def test_a_mistake_is_said_with_its_line(make_tree, text, message, hint):
    root = make_tree({"a.py": "", "vallum.toml": text})
    with pytest.raises(UserError) as caught:
        gather.open_target(root)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_no_declared_check_can_take_the_name_of_a_session():
    assert set(OWN_SESSIONS) <= gather.RESERVED


def test_it_can_be_optional_off_and_needs_no_python(make_tree, vallum):
    text = toml(argv=[sys.executable, "-c", "import sys; sys.exit(9)"], sarif="-")
    root = make_tree({"a.py": "x = 1\n", "vallum.toml": text})
    assert vallum("-C", str(root), "-s", "mine").returncode == 3
    (root / "vallum.toml").write_text(text + '[checks.mine]\nrequire = "off"\n')
    done = vallum("-C", str(root), "-s", "plan")
    assert "mine             not planned: switched off" in done.stderr


# --- import -----------------------------------------------------------------------------------------------------------

RESULT = {
    "ruleId": "R",
    "level": "error",
    "message": {"text": "bad"},
    "locations": [{"physicalLocation": {"artifactLocation": {"uri": "a.py"}, "region": {"startLine": 1}}}],
}


@pytest.fixture
def checkout(make_tree):
    """A git checkout whose vallum.toml waits for an import; gives root and commit."""
    root = make_tree({"a.py": "x = 1\n", "vallum.toml": toml(imports=True)})
    git = ["git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "-C", str(root)]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "add", "-A"], check=True)
    subprocess.run([*git, "commit", "-qm", "x"], check=True)
    commit = subprocess.run([*git, "rev-parse", "HEAD"], check=True, capture_output=True, text=True).stdout.strip()
    return root, commit


def arguments(path: Path, commit: str, **other: str) -> tuple[str, ...]:
    given = {"check": "mine", "commit": commit, "tool": "mine"} | other
    return (str(path), *(part for key, value in given.items() for part in (f"--{key}", value)))


def test_an_import_is_judged_like_any_outcome(checkout, tmp_path, vallum):
    root, commit = checkout
    assert vallum("-C", str(root), "-s", "mine").returncode == 3  # nothing was imported
    assert "nothing was imported" in (root / ".vallum" / "verdict.json").read_text()
    path = tmp_path / "r.sarif"
    path.write_text(report(RESULT))
    done = vallum("-C", str(root), "-s", "import", "--", *arguments(path, commit))
    assert done.returncode == 0, done.stderr
    assert vallum("-C", str(root), "-s", "gate").returncode == 1  # the plan that waited has its outcome
    assert vallum("-C", str(root), "-s", "mine").returncode == 1  # and so has a later run of the same commit
    path.write_text(report())
    assert vallum("-C", str(root), "-s", "import", "--", *arguments(path, commit)).returncode == 0
    assert vallum("-C", str(root), "-s", "mine").returncode == 0


def test_an_import_of_another_commit_or_tool_is_refused(checkout, tmp_path):
    root, commit = checkout
    path = tmp_path / "r.sarif"
    path.write_text(report())
    for given, message in (
        (arguments(path, "0" * 40), "is of commit 000"),
        (arguments(path, commit[:12]), "no full commit id"),
        (arguments(path, commit, tool="other"), "is a report of 'mine'"),
        (arguments(path, commit, check="other"), "no check 'other' waits"),
        (arguments(path, commit, check="bandit"), "no check 'bandit' waits"),
        (arguments(tmp_path / "none.sarif", commit), "cannot be imported"),
        ((str(path),), "required"),
    ):
        with pytest.raises(UserError, match=message):
            import_command(root, given)
    path.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        import_command(root, arguments(path, commit))
    assert not (root / ".vallum" / "imported").exists()


def test_what_was_imported_is_read_as_strictly_again(checkout, tmp_path):
    root, commit = checkout
    path = tmp_path / "r.sarif"
    path.write_text(report())
    import_command(root, arguments(path, commit))
    kept = root / ".vallum" / "imported" / "mine"

    def now() -> Outcome:
        target, config = gather.open_target(root)
        (check,) = declared.checks(config)
        return runner.run_unit(check, target, config, "r")

    assert isinstance(now(), Completed)
    (kept / "report.sarif").write_text(report(RESULT))
    assert "not the file that was imported" in incomplete(now())
    meta = json.loads((kept / "import.json").read_text())
    (kept / "import.json").write_text(json.dumps(meta | {"commit": "0" * 40}))
    assert "is of commit 000" in incomplete(now())
    (kept / "import.json").write_text(json.dumps(meta | {"file": "../../../a.py"}))
    assert "no name of ours" in incomplete(now())
    (kept / "import.json").write_text(json.dumps(meta | {"extra": 1}))
    assert "cannot be read" in incomplete(now())
    shutil.rmtree(kept)
    kept.symlink_to(tmp_path)
    assert "behind a link" in incomplete(now())


def test_plan_and_sessions_name_it(make_tree, vallum):
    root = make_tree({"a.py": "x = 1\n", "vallum.toml": toml(**writes(report()))})
    done = vallum("-C", str(root), "-s", "plan", "--", "mine", "--json")
    assert json.loads(done.stdout) == ["declared"]
    assert any(each.check == "mine" for each in plan.load(root).planned())

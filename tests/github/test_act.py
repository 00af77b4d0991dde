"""The action and the reusable workflow in real workflow runs: what a team sees when its pull request is weak, clean or broken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.github.conftest import COMMIT, NAME, Act, workflow

from vallum_checks import CHECKS

pytestmark = pytest.mark.slow

CHECKOUT = {
    "uses": "actions/checkout@08c6903cd8c0fde910a37f88322edcfb5dd907a8",
    "with": {"persist-credentials": False},
}
WEAK = "import subprocess\n\n\ndef run(name):\n    subprocess.call('echo ' + name, shell=True)\n"
CLEAN = "def double(number):\n    return 2 * number\n"
UNREADABLE = "def broken(:\n"


def repository(source: str, jobs: dict[str, object], checks: tuple[str, ...] = ("bandit",)) -> dict[str, str]:
    """A tiny repository whose configuration leaves all checks but `checks` out, to keep the run short."""
    off = "".join(f'[checks.{check.id}]\nrequire = "off"\n' for check in CHECKS if check.id not in checks)
    return {"app.py": source, "vallum.toml": off, ".github/workflows/test.yml": workflow(**jobs)}


def one_job(**inputs: object) -> dict[str, object]:
    """The action in one job, and a step after it that says its outputs."""
    return {
        "vallum": {
            "runs-on": "ubuntu-latest",
            "steps": [
                CHECKOUT,
                {"id": "vallum", "uses": f"{NAME}@{COMMIT}", "with": inputs},
                {
                    "if": "always()",
                    "run": 'echo "outputs: $VERDICT $CODE $REPORT"',
                    "env": {
                        "VERDICT": "${{ steps.vallum.outputs.verdict }}",
                        "CODE": "${{ steps.vallum.outputs.exit-code }}",
                        "REPORT": "${{ steps.vallum.outputs.report }}",
                    },
                },
            ],
        }
    }


def fanned_out(**inputs: object) -> dict[str, object]:
    """The reusable workflow, and a job after it that says its output (act starts that only where the first is green)."""
    return {
        "vallum": {
            "uses": "./.github/workflows/called.yml",
            "permissions": {"contents": "read", "security-events": "write"},
            "with": {"vallum-repository": NAME, "vallum-ref": COMMIT, **inputs},
        },
        "after": {
            "needs": "vallum",
            "if": "always()",
            "runs-on": "ubuntu-latest",
            "steps": [{"run": 'echo "output: $VERDICT"', "env": {"VERDICT": "${{ needs.vallum.outputs.verdict }}"}}],
        },
    }


def verdict(path: Path) -> dict[str, object]:
    return json.loads(path.read_text("utf-8"))


def test_a_weak_repository_is_red_and_everything_is_uploaded(act: Act) -> None:
    ran = act(repository(WEAK, one_job(**{"upload-sarif": True})))
    assert ran.code == 1, ran.log
    assert "outputs: fail 1 ./.vallum/report" in ran.log
    assert verdict(ran.artifact("vallum-report", "verdict.json"))["status"] == "fail"
    for name in ("index.html", "summary.md", "findings.json", "vallum.sarif", "junit.xml"):
        assert ran.artifact("vallum-report", f"report/{name}").stat().st_size > 0
    uploaded = list((ran.store / "code-scanning").glob("*.sarif"))
    assert uploaded
    assert "B602" in uploaded[0].read_text("utf-8")
    annotations = [message for message in ran.messages if message.get("command") == "error"]
    assert any("app.py" in json.dumps(annotation) for annotation in annotations), ran.log
    summary = ran.artifact("vallum-report", "report/summary.md").read_text("utf-8").splitlines()[0]
    assert summary in ran.log  # act logs what a step wrote to GITHUB_STEP_SUMMARY


def test_a_clean_repository_passes_and_the_tools_are_cached_by_the_default_branch_only(act: Act) -> None:
    ran = act(repository(CLEAN, one_job(online=True)))
    assert ran.code == 0, ran.log
    assert "outputs: pass 0 ./.vallum/report" in ran.log
    assert not (ran.store / "code-scanning").exists()
    log = [line.split() for line in (ran.store / "cache.log").read_text("utf-8").splitlines()]
    restored, saved = (sorted(line[1:] for line in log if line[0] == what) for what in ("restore", "save"))
    assert saved == restored
    assert sorted(path.rpartition("/")[2] for _, path in saved) == ["history.sqlite", "vallum"]


def test_a_file_that_cannot_be_parsed_is_incomplete_and_red_and_a_branch_saves_no_cache(act: Act) -> None:
    files = repository(UNREADABLE, one_job(**{"python-version": ""}))
    ran = act(files, event={"repository": {"default_branch": "trunk"}})
    assert ran.code == 1, ran.log
    assert "outputs: incomplete 3 " in ran.log
    assert {line.split()[0] for line in (ran.store / "cache.log").read_text("utf-8").splitlines()} == {"restore"}


def test_a_mistake_in_the_configuration_has_no_verdict_and_a_forged_one_does_not_count(act: Act) -> None:
    files = repository(CLEAN, one_job())
    files["vallum.toml"] = "[polciy]\n"
    files[".vallum/verdict.json"] = '{"status": "pass"}'
    files[".vallum/report/summary.md"] = "forged"
    ran = act(files)
    assert ran.code == 1, ran.log
    assert "outputs: error 2 " in ran.log
    assert not ran.artifact("vallum-report", "").exists()
    assert "forged" not in ran.log


def matrix(source: str, called: str, checks: tuple[str, ...], **inputs: object) -> dict[str, str]:
    return {**repository(source, fanned_out(**inputs), checks), ".github/workflows/called.yml": called}


@pytest.fixture
def called() -> str:
    """Our reusable workflow. act reads local ones only, so that the target brings it along."""
    return (Path(__file__).parents[2] / ".github/workflows/vallum.yml").read_text("utf-8")


def two_checks() -> tuple[str, ...]:
    ids = [check.id for check in CHECKS]
    return tuple(name for name in ("bandit", "workflows") if name in ids)


def test_the_matrix_gathers_what_its_jobs_found(act: Act, called: str) -> None:
    ran = act(matrix(WEAK, called, two_checks(), **{"upload-sarif": True}))
    assert ran.code == 1, ran.log
    judged = verdict(ran.artifact("vallum-report", "verdict.json"))
    assert judged["status"] == "fail"
    assert {(check["check"], check["status"]) for check in judged["checks"]} == {
        (name, "completed") for name in two_checks()
    }
    assert any("app.py" in json.dumps(each["finding"]) for each in judged["findings"])
    assert list((ran.store / "code-scanning").glob("*.sarif"))
    for name in two_checks():
        outcome = ran.artifact(f"vallum-report-outcome-{name}", f"{name}/_")
        assert sorted(path.name for path in outcome.iterdir()) == ["record.json", "result.sarif"]  # nothing raw


def test_the_matrix_passes_a_clean_repository(act: Act, called: str) -> None:
    ran = act(matrix(CLEAN, called, ("bandit",)))
    assert ran.code == 0, ran.log
    assert "output: pass" in ran.log


def test_a_job_that_was_killed_makes_the_verdict_incomplete(act: Act, called: str) -> None:
    """The runner dies: no outcome of that session arrives. The gate runs all the same and misses it."""
    kill = "      - run: kill -9 $$\n        if: matrix.session == 'bandit'\n"
    steps = called.index("      - uses: ./vallum")
    assert called[:steps].count("part: plan") == 1  # that is the matrix's own step
    ran = act(matrix(CLEAN, called[:steps] + kill + called[steps:], two_checks()))
    assert ran.code == 1, ran.log
    judged = verdict(ran.artifact("vallum-report", "verdict.json"))
    assert judged["status"] == "incomplete"
    assert next(reason["check"] for reason in judged["reasons"] if reason["kind"] == "incomplete") == "bandit"


def test_a_commit_of_vallum_that_is_a_branch_name_is_refused(act: Act, called: str) -> None:
    ran = act(matrix(CLEAN, called, ("bandit",), **{"vallum-ref": "main"}))
    assert ran.code == 1
    assert "40 hexadecimal digits" in ran.log

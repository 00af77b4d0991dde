"""Promote and roll back, end to end: a real verdict, real deployments of a real service, real signals, real git."""

from __future__ import annotations

import hashlib
import html
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from tests.conftest import MAIN
from tests.pipeline.promotions import DEPLOY, KUBECTL, PROMOTION, SERVICE, Live, git
from tests.pipeline.test_cli import WEAK, only

from vallum import gather, mergebase, promote, worktree
from vallum.errors import Inconclusive, UserError
from vallum.promote.steps import Steps
from vallum.promote.watch import watch
from vallum.promotions import Probe, Promotion
from vallum.reports import console, markdown
from vallum.reports import html as page_report
from vallum.target import commit_of
from vallum.verdict import Promoted, Status, Verdict

SECRET = "very-secret-deploy-token"


def judge(root: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-I", str(MAIN), "-C", str(root), *arguments]
    return subprocess.run(
        argv, env={**os.environ, **(env or {})}, capture_output=True, text=True, timeout=300, check=False
    )


def repository(root: Path, files: dict[str, str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    git(root.parent, "init", "-q", "-b", "main", str(root))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "one")
    return root


@pytest.fixture(scope="module")
def judged(tmp_path_factory) -> dict[str, Path]:
    """Judged by a real bandit: one tree that passes and one that fails."""
    top = tmp_path_factory.mktemp("promotion")
    files = {"service.py": SERVICE, "deploy.py": DEPLOY, "vallum.toml": only("bandit", extra=PROMOTION)}
    made = {}
    for name, more, code in (("pass", {}, 0), ("fail", {"weak.py": WEAK}, 1)):
        made[name] = repository(top / name / "target", {**files, **more})
        done = judge(made[name])
        assert done.returncode == code, done.stderr
    return made


@pytest.fixture
def root(judged, tmp_path) -> Path:
    shutil.copytree(judged["pass"], tmp_path / "target", symlinks=True)
    return tmp_path / "target"


@pytest.fixture
def live(root, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    one = Live(tmp_path / "live", port, root)
    one.deploy("one")
    until(lambda: answer(one)[1] == "one")
    yield one
    one.end()


def answer(live: Live) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{live.port}/", timeout=10) as said:
            return said.status, said.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()
    except OSError:
        return 0, ""


def until(true, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


def journal(root: Path) -> dict:
    return json.loads((root / ".vallum" / "promotion.json").read_bytes())


def verdict(root: Path) -> dict:
    return json.loads((root / ".vallum" / "verdict.json").read_bytes())


def said_everywhere(root: Path, word: str) -> None:
    assert word.lower() in verdict(root)["promotion"]["text"].lower()
    report = root / ".vallum" / "report"
    assert word.lower() in (report / "index.html").read_text().lower()
    assert word.lower() in html.unescape((report / "summary.md").read_text()).lower()


def test_a_good_version_stays(root, live):
    done = judge(root, "-s", "promote", env=live.env("two"))
    assert done.returncode == 0, done.stderr
    assert answer(live) == (200, "two")
    assert journal(root)["state"] == verdict(root)["promotion"]["state"] == "promoted"
    assert verdict(root)["status"] == "pass"
    said_everywhere(root, "promoted")
    # judged again, it has still been promoted
    assert judge(root, "-s", "gate").returncode == 0
    assert verdict(root)["promotion"]["state"] == "promoted"


def test_a_version_that_goes_bad_is_replaced_by_the_one_before(root, live):
    done = judge(root, "-s", "promote", env=live.env("two/0.3"))
    assert done.returncode == 3, done.stderr
    assert "rolled back" in done.stderr
    assert answer(live) == (200, "one")
    assert journal(root)["state"] == "rolled-back"
    assert journal(root)["previous"] == {"previous": "one"}
    assert "answered 500" in journal(root)["why"]
    said_everywhere(root, "answered 500")
    logs = "".join(path.read_text() for path in (root / ".vallum" / "promotion").iterdir())
    assert "deployed with [redacted]" in logs
    for path in (root / ".vallum").rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    # not twice by mistake, also not after another run, but when somebody wants it
    edit(root / ".vallum" / "plan.json", run="0123456789abcdef")
    edit(root / ".vallum" / "verdict.json", run="0123456789abcdef")
    edit(root / ".vallum" / "outcomes" / "bandit" / "_" / "record.json", run="0123456789abcdef")
    done = judge(root, "-s", "promote", env=live.env("two"))
    assert (done.returncode, answer(live)) == (3, (200, "one")), done.stderr
    assert "was promoted before and rolled back" in done.stderr
    done = judge(root, "-s", "promote", "--", "--again", env=live.env("two"))
    assert (done.returncode, answer(live)) == (0, (200, "two")), done.stderr


def test_a_failed_gate_promotes_nothing(judged, tmp_path, live):
    root = tmp_path / "weak"
    shutil.copytree(judged["fail"], root, symlinks=True)
    done = judge(root, "-s", "promote", env=live.env("two"))
    assert done.returncode == 1, done.stderr
    assert "quarantined: gate failed (FAIL)" in done.stderr
    assert (answer(live), live.version) == ((200, "one"), "one")
    said_everywhere(root, "quarantined: gate failed")
    # a verdict that was edited is not believed
    path = root / ".vallum" / "verdict.json"
    path.write_text(path.read_text().replace('"status": "fail"', '"status": "pass"'))
    done = judge(root, "-s", "promote", env=live.env("two"))
    assert done.returncode == 1, done.stderr
    assert "the outcomes do not bear it out" in done.stderr
    assert (answer(live), live.version) == ((200, "one"), "one")
    assert verdict(root)["status"] == "fail"


def promoting(root: Path, live: Live, version: str, state: str = "watching") -> subprocess.Popen[str]:
    argv = [sys.executable, "-I", str(MAIN), "-C", str(root), "-s", "promote"]
    process = subprocess.Popen(argv, env={**os.environ, **live.env(version)}, stderr=subprocess.PIPE, text=True)
    until(lambda: (root / ".vallum" / "promotion.json").exists() and journal(root)["state"] == state)
    return process


def slow_watch(root: Path) -> None:
    """Let the watch last."""
    path = root / "vallum.toml"
    path.write_text(path.read_text().replace("watch-seconds = 1\n", "watch-seconds = 300\n"))
    move_along(root)


def move_along(root: Path) -> None:
    """Commit the settings, and have the verdict be of that commit."""
    git(root, "commit", "-q", "-a", "-m", "two")
    plan = root / ".vallum" / "plan.json"
    made = json.loads(plan.read_text())
    was, made["commit"] = made["commit"], git(root, "rev-parse", "HEAD")
    plan.write_text(json.dumps(made))
    stored = root / ".vallum" / "verdict.json"
    stored.write_text(stored.read_text().replace(was, made["commit"]))


def test_killed_in_the_watch_the_next_call_repairs(root, live):
    slow_watch(root)
    process = promoting(root, live, "two")
    until(lambda: answer(live)[1] == "two")
    process.kill()
    process.communicate()
    assert (journal(root)["state"], live.version) == ("watching", "two")
    done = judge(root, "-s", "promote", env=live.env("three"))
    assert done.returncode == 3, done.stderr
    assert "did not end" in done.stderr
    assert (answer(live), live.version) == ((200, "one"), "one")
    assert journal(root)["state"] == "rolled-back"
    said_everywhere(root, "rolled back")
    # that was not its fault: it may be promoted
    process = promoting(root, live, "three")
    until(lambda: answer(live) == (200, "three"))
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert answer(live) == (200, "one")


def test_killed_before_the_watch_the_next_call_repairs_too(root, live, tmp_path):
    """The journal lies where the checkout's deletion does not reach it."""
    (tmp_path / "state").mkdir()
    path = root / "vallum.toml"
    path.write_text(path.read_text().replace("[promotion]\n", f'[promotion]\nstate = "{tmp_path}/state"\n'))
    move_along(root)
    process = promoting(root, live, "hangs", "promoting")
    until(lambda: live.version == "hangs")
    assert not answer(live)[0]
    process.kill()
    process.communicate()
    (root / ".vallum" / "promotion.json").unlink()
    done = judge(root, "-s", "promote", env=live.env("two"))
    assert done.returncode == 3, done.stderr
    assert "it was promoting" in done.stderr
    assert (answer(live), live.version) == ((200, "one"), "one")
    assert journal(root)["state"] == "rolled-back"
    assert (tmp_path / "state" / "promotion.json").read_bytes() == (root / ".vallum" / "promotion.json").read_bytes()


def test_cancelled_in_the_watch_it_is_taken_back(root, live):
    slow_watch(root)
    process = promoting(root, live, "two")
    process.send_signal(signal.SIGTERM)  # as a CI's cancel
    _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "rolled back: interrupted" in said
    assert (answer(live), live.version) == ((200, "one"), "one")
    assert journal(root)["state"] == "rolled-back"


def test_a_rollback_that_fails_is_said_loudly_and_tried_again(root, live):
    env = live.env("two/0.3")
    (live.folder / "version").write_text("undeployable")  # what `current` says, and the rollback cannot deploy
    done = judge(root, "-s", "promote", env=env)
    assert done.returncode == 3, done.stderr
    assert "ROLLBACK FAILED: it is not known what is deployed" in done.stderr
    assert "before: previous = undeployable" in done.stderr
    assert "no such version, said [redacted]" in done.stderr
    assert SECRET not in done.stderr
    assert journal(root)["state"] == "rollback-failed"
    said_everywhere(root, "ROLLBACK FAILED")
    done = judge(root, "-s", "promote", env=env)
    assert done.returncode == 3, done.stderr
    assert journal(root)["state"] == "rollback-failed"
    assert judge(root, "-s", "promote", "--", "--resolved", env=env).returncode == 0
    assert journal(root)["state"] == "resolved"


def test_a_command_that_cannot_promote_is_taken_back(root, live):
    done = judge(root, "-s", "promote", env=live.env("undeployable"))
    assert done.returncode == 3, done.stderr
    assert "rolled back: the promotion failed: promotion: python" in done.stderr
    assert (answer(live), journal(root)["state"]) == ((200, "one"), "rolled-back")


# Refusals: no process but git is started, so the settings are those of the repository and the variables are ours.


@pytest.fixture
def variables(monkeypatch, tmp_path):
    deployed = tmp_path / "deployed"
    deployed.mkdir()
    (deployed / "version").write_text("one")
    for name, value in (
        ("LIVE", deployed),
        ("PORT", "1"),
        ("VERSION", "two"),
        ("PYTHON", "false"),
        ("DEPLOY_TOKEN", SECRET),
    ):
        monkeypatch.setenv(name, str(value))
    commit_of.cache_clear()
    mergebase._trusted.cache_clear()
    yield
    commit_of.cache_clear()
    mergebase._trusted.cache_clear()


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _no_verdict(root: Path) -> None:
    (root / ".vallum" / "verdict.json").unlink()


def _no_plan(root: Path) -> None:
    (root / ".vallum" / "plan.json").unlink()


def _other_run(root: Path) -> None:
    edit(root / ".vallum" / "verdict.json", run="0123456789abcdef")


def _dirty(root: Path) -> None:
    (root / "service.py").write_text("import os\n")


def _new_file(root: Path) -> None:
    (root / "sitecustomize.py").write_text("")


def _missing_file(root: Path) -> None:
    (root / "service.py").unlink()


def _other_commit(root: Path) -> None:
    git(root, "commit", "-q", "--allow-empty", "-m", "two")


def _dirty_when_judged(root: Path) -> None:
    edit(root / ".vallum" / "plan.json", tree="service.py was changed")


def _tree_unknown(root: Path) -> None:
    edit(root / ".vallum" / "plan.json", tree="")


def _old(root: Path) -> None:
    edit(root / ".vallum" / "plan.json", started="2020-01-01T00:00:00Z")


def _from_the_future(root: Path) -> None:
    edit(root / ".vallum" / "plan.json", started="2999-01-01T00:00:00Z")


def _part(root: Path) -> None:
    edit(root / ".vallum" / "plan.json", scope=["bandit"])


def _plan_without_checks(root: Path) -> None:
    plan = json.loads((root / ".vallum" / "plan.json").read_text())
    kept = [each for each in plan["checks"] if each["check"] != "bandit"]
    one = next(each for each in plan["checks"] if each["check"] == "bandit")
    edit(root / ".vallum" / "plan.json", checks=[*kept, {**one, "check": "other"}])
    outcomes = root / ".vallum" / "outcomes"
    shutil.copytree(outcomes / "bandit", outcomes / "other")
    edit(outcomes / "other" / "_" / "record.json", check="other")


def _milder_plan(root: Path) -> None:
    plan = json.loads((root / ".vallum" / "plan.json").read_text())
    edit(root / ".vallum" / "plan.json", checks=[{**each, "require": "optional"} for each in plan["checks"]])


def _trusted_change(root: Path) -> None:
    note = {"file": "vallum.toml", "text": "the change was trusted with its own settings (--trust-change)"}
    edit(root / ".vallum" / "plan.json", settings=[note])


def _edited_outcome(root: Path) -> None:
    path = root / ".vallum" / "outcomes" / "bandit" / "_" / "result.sarif"
    path.write_text(path.read_text() + "\n")


def _lost_outcome(root: Path) -> None:
    shutil.rmtree(root / ".vallum" / "outcomes" / "bandit")


def _verdict_not_pass(root: Path) -> None:
    edit(root / ".vallum" / "verdict.json", status="incomplete")


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (_no_verdict, "there is no verdict"),
        (_no_plan, "there is no plan"),
        (_other_run, "the verdict is of run 0123456789abcdef"),
        (_dirty, "the work tree is not what was judged: service.py was changed"),
        (_new_file, "sitecustomize.py is not committed"),
        (_missing_file, "service.py is missing"),
        (_other_commit, "run vallum again"),
        (_dirty_when_judged, "what was judged was not commit"),
        (_tree_unknown, "does not know the work tree"),
        (_old, "more than 120 (max-age-minutes)"),
        (_from_the_future, "not in the past"),
        (_part, "on bandit alone"),
        (_plan_without_checks, "the plan lacks bandit"),
        (_milder_plan, "bandit is required, and the plan says optional"),
        (_trusted_change, "--trust-change"),
        (_edited_outcome, "the outcomes do not bear it out"),
        (_lost_outcome, "gate failed (INCOMPLETE)"),
        (_verdict_not_pass, "the verdict on disk is INCOMPLETE"),
    ],
)
def test_what_is_not_proved_is_not_promoted(root, variables, spoil, why):
    spoil(root)
    said = promote.promote(root, ())
    assert said.startswith("quarantined: "), said
    assert why in said
    assert not isinstance(said, promote.Blocked)
    assert journal(root)["state"] == "quarantined"
    assert (Path(os.environ["LIVE"]) / "version").read_text() == "one"
    assert not any((root / ".vallum" / "promotion").iterdir()), "something was started"


def test_a_journal_that_somebody_committed_is_not_believed(root, variables):
    git(root, "add", "-f", ".vallum/plan.json")
    git(root, "commit", "-q", "-m", "mine")
    with pytest.raises(UserError, match="are committed"):
        promote.promote(root, ())


def test_github_is_told(root, variables, monkeypatch, capsys):
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    _old(root)
    promote.promote(root, ())
    out = capsys.readouterr().out
    assert out.startswith("::error title=vallum%3A quarantined::quarantined: the verdict is "), out


def test_mistakes_are_told_before_anything_runs(root, variables, monkeypatch):
    with pytest.raises(UserError, match="does not know '--force'"):
        promote.promote(root, ("--force",))
    with pytest.raises(UserError, match="nothing to resolve"):
        promote.promote(root, ("--resolved",))
    monkeypatch.delenv("DEPLOY_TOKEN")
    with pytest.raises(UserError, match="DEPLOY_TOKEN is not set"):
        promote.promote(root, ())
    (root / ".vallum" / "promotion.json").write_text("{")
    with pytest.raises(UserError, match="what is deployed is not known"):
        promote.promote(root, ())


@pytest.mark.parametrize(
    ("table", "why"),
    [
        ('kind = "command"\nrollback = ["x"]\nhealth = ["true"]', "promotion.command is empty"),
        ('kind = "command"\ncommand = ["x"]\nhealth = ["true"]', "promotion.rollback is empty"),
        ('kind = "command"\ncommand = ["x"]\nrollback = ["y"]', "neither probes nor a health command"),
        ('kind = "command"\ncommand = ["x"]\nrollback = ["{previous}"]\nhealth = ["x"]', "add promotion.current"),
        ('kind = "tag"\nhealth = ["x"]', "there is no .promotion.tag."),
        ('kind = "kubernetes"\nhealth = ["x"]\nrollback = ["y"]', "promotion.rollback is for kind"),
        ('kind = "tag"\nhealth = ["x"]\n[promotion.tag]\nname = "--force"', "cannot be a tag"),
        ('kind = "compose"\nhealth = ["x"]\n[promotion.compose]\nproject = "x"\nimages = {}', "there is no file"),
        (
            'kind = "kubernetes"\nhealth = ["x"]\n[promotion.kubernetes]\nnamespace = "x"\nworkloads = ["pod/x"]',
            "is no workload",
        ),
        (
            'kind = "command"\ncommand = ["x"]\nrollback = ["y"]\n[promotion.probes.a]\nurl = "file:///x"',
            "no http address",
        ),
    ],
)
def test_settings_that_cannot_work_are_refused_when_planning(make_tree, vallum, table, why):
    root = make_tree({"a.py": "", "vallum.toml": only("bandit", extra=f"[promotion]\n{table}\n")})
    config = gather.open_target(root)[1]
    assert config.promotion is not None
    with pytest.raises(UserError) as caught:
        promote.check(config.promotion, root)
    assert re.search(why, caught.value.message + caught.value.hint)


def test_a_change_cannot_bring_its_own_promotion(root, variables, monkeypatch):
    """In a pull request the commands are the base's, and the script that they run is not the change's."""
    git(root, "checkout", "-q", "-b", "change")
    (root / "deploy.py").write_text("print('mine')\n")
    path = root / "vallum.toml"
    path.write_text(path.read_text().replace('"deploy.py"', '"mine.py"'))
    git(root, "commit", "-q", "-a", "-m", "change")
    done = judge(root, "--base", "main")
    assert done.returncode == 0, done.stderr
    monkeypatch.setenv("VALLUM_BASE", "main")
    said = promote.promote(root, ())
    assert "deploy.py decides what a promotion does, and this change touches it" in said
    config = gather.open_target(root)[1]
    assert config.promotion is not None
    assert config.promotion.command[1] == "deploy.py"


def test_evidence_must_be_signed_where_the_settings_say_so(root, variables, tmp_path):
    assert judge(root, "-s", "attest", "--", "--new-key", str(tmp_path / "key.pem")).returncode == 0
    shutil.copy(tmp_path / "key.pem.pub", root / "release.pub")
    path = root / "vallum.toml"
    path.write_text(path.read_text().replace("[promotion]\n", '[promotion]\npublic-key = "release.pub"\n'))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "sign")
    assert judge(root).returncode == 0
    assert judge(root, "-s", "attest", "--", "--key", str(tmp_path / "key.pem")).returncode == 0
    (root / ".vallum" / "report" / "summary.md").write_text("all is well")
    assert "the evidence does not verify" in promote.promote(root, ())
    (root / ".vallum" / "attestation.intoto.json").unlink()
    assert "the evidence is not signed" in promote.promote(root, ())


def test_what_became_of_it_is_no_markup():
    text = "rolled back: <script>alert(1)</script> ##[error] [x](https://evil.example) \x1b[31m"
    told = Promoted(state="rolled-back", text=text, at="2026-01-01T00:00:00Z", kind="command")
    made = Verdict(status=Status.PASS, target="t", run="r", vallum="0", started="", promotion=told)
    page = page_report.render(made, Path())["index.html"].decode()
    assert "Rolled back: &lt;script&gt;" in page
    summary = markdown.render(made, Path())["summary.md"].decode()
    assert "<script>" not in summary
    assert "](https" not in summary
    said = "\n".join(console.render(made))
    assert "rolled back: " in said
    assert "\x1b" not in said
    assert "##[" not in said


# Kinds that others deploy.


def settings_of(root: Path, table: str) -> None:
    """Other promotion settings, committed; the verdict is moved along to that commit."""
    (root / "vallum.toml").write_text(only("bandit", extra=table))
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "settings")
    head = git(root, "rev-parse", "HEAD")
    edit(root / ".vallum" / "plan.json", commit=head)
    commit_of.cache_clear()


GOOD, BAD, BEFORE = (f"registry.example/orders@sha256:{letter * 64}" for letter in "abc")
KUBERNETES = """
[promotion]
kind = "kubernetes"
health = ["true"]
pass-env = ["IMAGE"]
unscanned-images = "allow"
watch-seconds = 0.2
rollback-watch-seconds = 0.1
interval = 0.1
[promotion.kubernetes]
namespace = "shop"
workloads = ["deployment/orders"]
images = { "deployment/orders" = { app = "{env.IMAGE}" } }
"""


@pytest.fixture
def cluster(root, variables, tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "kubectl").write_text(KUBECTL)
    (folder / "kubectl").chmod(0o755)
    template = {"spec": {"containers": [{"name": "app", "image": BEFORE}]}}
    history = {"3": {"spec": {"containers": [{"name": "app", "image": "older"}]}}, "4": template}
    orders = {"template": template, "revision": "4", "history": history}
    (folder / "state.json").write_text(json.dumps({"deployment/orders": orders}))
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    settings_of(root, KUBERNETES)
    return folder


def image(cluster: Path) -> str:
    state = json.loads((cluster / "state.json").read_text())
    return state["deployment/orders"]["template"]["spec"]["containers"][0]["image"]


def test_kubernetes_promotes_by_digest(root, cluster, monkeypatch):
    monkeypatch.setenv("IMAGE", GOOD)
    assert promote.promote(root, ()) == ""
    assert image(cluster) == GOOD
    calls = (cluster / "calls.txt").read_text()
    assert f"--namespace=shop --request-timeout=60s set image deployment/orders app={GOOD}" in calls
    assert "rollout status deployment/orders --timeout=598s" in calls


def test_kubernetes_undoes_what_does_not_roll_out(root, cluster, monkeypatch):
    monkeypatch.setenv("IMAGE", BAD)
    said = promote.promote(root, ())
    assert said.startswith("rolled back: the promotion failed: rollout of deployment/orders"), said
    assert image(cluster) == BEFORE
    assert "rollout undo deployment/orders --to-revision=4" in (cluster / "calls.txt").read_text()


def test_kubernetes_undone_twice_is_as_before(root, cluster, monkeypatch):
    """After an undo the revision has another number: what counts is the pod template."""
    monkeypatch.setenv("IMAGE", BAD)
    promote.promote(root, ())
    kept = journal(root)
    edit(root / ".vallum" / "promotion.json", state="rolling-back")
    assert "rolled back" in promote.promote(root, ())
    assert image(cluster) == BEFORE
    assert journal(root)["previous"] == kept["previous"]
    assert (cluster / "calls.txt").read_text().count("rollout undo") == 1


def test_kubernetes_says_that_an_undo_failed(root, cluster, monkeypatch):
    monkeypatch.setenv("IMAGE", BAD)
    (cluster / "undo-fails").touch()
    said = promote.promote(root, ())
    assert said.startswith("ROLLBACK FAILED: the rollback failed: undo deployment/orders"), said
    assert "is forbidden" in said
    assert journal(root)["state"] == "rollback-failed"
    (cluster / "undo-fails").unlink()
    assert "rolled back" in promote.promote(root, ())
    assert image(cluster) == BEFORE


@pytest.mark.parametrize(
    ("change", "given", "why"),
    [
        ("", "registry.example/orders:latest", "is not named by its digest"),
        (KUBERNETES.replace('unscanned-images = "allow"\n', ""), GOOD, "none that this verdict's checks looked at"),
        (KUBERNETES.replace("{env.IMAGE}", "{env.OTHER}"), GOOD, "unknown placeholder {env.OTHER}"),
    ],
)
def test_kubernetes_takes_only_images_that_were_judged(root, cluster, monkeypatch, change, given, why):
    monkeypatch.setenv("IMAGE", given)
    if change:
        settings_of(root, change)
    try:
        said = promote.promote(root, ())
    except UserError as error:
        said = error.message
    assert why in said
    assert image(cluster) == BEFORE
    calls = cluster / "calls.txt"
    assert not calls.exists() or "set image" not in calls.read_text()


def test_kubernetes_applies_manifests_and_deletes_what_was_not_there(root, cluster, monkeypatch):
    monkeypatch.setenv("IMAGE", "")

    def manifest(name: str, reference: str) -> str:
        template = {"spec": {"containers": [{"name": "app", "image": reference}]}}
        return json.dumps({"kind": "Deployment", "metadata": {"name": name}, "spec": {"template": template}})

    (root / "deploy").mkdir()
    (root / "deploy" / "a.json").write_text(manifest("orders", GOOD))
    (root / "deploy" / "b.json").write_text(manifest("carts", BAD))
    table = KUBERNETES.partition("images = {")[0] + 'manifests = "deploy"\n'
    settings_of(root, table.replace('["deployment/orders"]', '["deployment/orders", "deployment/carts"]'))
    said = promote.promote(root, ())
    assert "rolled back: the promotion failed: rollout of deployment/carts" in said
    assert image(cluster) == BEFORE
    assert "deployment/carts" not in json.loads((cluster / "state.json").read_text())
    (root / "deploy" / "b.json").write_text(manifest("carts", "carts:1"))
    settings_of(root, table)
    assert "carts:1 is not named by its digest" in promote.promote(root, ("--again",))


def test_kubectl_that_writes_no_json_is_not_believed(root, cluster, monkeypatch):
    monkeypatch.setenv("IMAGE", GOOD)
    (cluster / "kubectl").write_text("#!/bin/sh\necho Unable to connect\n")
    assert "nothing was changed: kubectl wrote something else than JSON" in promote.promote(root, ())


TAG = """
[promotion]
kind = "tag"
health = ["{env.PYTHON}"]
pass-env = ["PYTHON"]
watch-seconds = 0.2
rollback-watch-seconds = 0
interval = 0.1
start-seconds = 0.2
[promotion.tag]
name = "release-{commit}"
message = "judged in run {run}"
remote = "origin"
"""


def test_a_git_tag_is_pushed_and_taken_back(root, variables, tmp_path, monkeypatch):
    remote = tmp_path / "remote.git"
    git(tmp_path, "init", "-q", "--bare", str(remote))
    git(root, "remote", "add", "origin", str(remote))
    settings_of(root, TAG)
    for name, value in (("GIT_COMMITTER_NAME", "t"), ("GIT_COMMITTER_EMAIL", "t@example.invalid")):
        git(root, "config", {"GIT_COMMITTER_NAME": "user.name", "GIT_COMMITTER_EMAIL": "user.email"}[name], value)
    name = f"release-{git(root, 'rev-parse', 'HEAD')}"
    monkeypatch.setenv("PYTHON", "false")  # health is bad
    assert "rolled back: health was not well" in promote.promote(root, ())
    assert (git(root, "tag"), git(remote, "tag")) == ("", "")
    monkeypatch.setenv("PYTHON", "true")
    assert promote.promote(root, ("--again",)) == ""
    assert (git(root, "tag"), git(remote, "tag")) == (name, name)
    assert git(remote, "rev-parse", f"{name}^{{commit}}") == git(root, "rev-parse", "HEAD")
    # a tag that is elsewhere is not moved
    git(root, "tag", "-f", name, "HEAD~1")
    assert "a tag is never moved" in promote.promote(root, ())


# Watching.


class Server:
    """Answers each connection with what `reply` does to it."""

    def __init__(self, reply) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}/"
        self._reply, self.asked = reply, 0
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            threading.Thread(target=self._one, args=(peer, self.asked), daemon=True).start()

    def _one(self, peer: socket.socket, number: int) -> None:
        with peer:
            try:
                peer.recv(4096)
                self._reply(peer, number)
            except OSError:
                pass


def status(code: int, extra: str = ""):
    return f"HTTP/1.1 {code} X\r\nContent-Length: 0\r\n{extra}\r\n".encode()


def watched(root: Path, url: str, **more):
    probe = Probe(url=url, seconds=more.pop("patience", 5))
    given = {"watch_seconds": 0.5, "interval": 0.1, "start_seconds": 20, "failures": 3, **more}
    settings = Promotion(kind="command", probes={"it": probe}, **given)
    return watch(settings, Steps(root, 60, ()), {"it": url}, settings.health, "promotion")


def drip(peer: socket.socket, _number: int) -> None:
    for byte in status(200) * 100:
        peer.sendall(bytes([byte]))
        time.sleep(0.2)


@pytest.mark.parametrize(
    ("reply", "more", "why"),
    [
        (lambda peer, _: peer.sendall(status(200)), {}, ""),
        # one bad answer now and then is borne
        (lambda peer, number: peer.sendall(status(503 if number == 3 else 200)), {}, ""),
        (lambda peer, number: peer.sendall(status(200 if number < 3 else 503)), {}, "failed 3 times in a row"),
        (lambda peer, _: peer.sendall(status(503)), {"start_seconds": 0.3}, "was not well within 0.3 s"),
        # where a redirect leads is not asked
        (lambda peer, _: peer.sendall(status(302, "Location: /\r\n")), {"start_seconds": 0.3}, "answered 302, not 200"),
        (lambda peer, _: peer.recv(1), {"start_seconds": 0.3, "patience": 0.5}, "did not answer within 0.5 s"),
        (drip, {"start_seconds": 0.3, "patience": 0.5}, "did not answer within 0.5 s"),
        (lambda peer, _: peer.sendall(b"SSH-2.0-x\r\n"), {"start_seconds": 0.3}, "RemoteProtocolError"),
        # never three times in a row, and never well: it does not go on for ever
        (
            lambda peer, number: peer.sendall(status(200 if number == 1 else 503)),
            {"failures": 1000, "start_seconds": 0.2},
            "when the time was up",
        ),
    ],
    ids=["well", "once", "bad", "never", "redirect", "silent", "drip", "no http", "flapping"],
)
def test_the_watch(tmp_path, reply, more, why):
    server = Server(reply)
    seen = watched(tmp_path, server.url, **more)
    assert why in seen.why
    assert bool(why) == bool(seen.why)
    assert seen.probes[0].rounds >= 1
    server.socket.close()


def test_the_watch_runs_a_command(tmp_path):
    server = Server(lambda peer, _: peer.sendall(status(200)))
    count = tmp_path / "count"
    script = f"echo x >> {count}; echo said it >&2; test $(wc -l < {count}) -lt 3"
    seen = watched(tmp_path, server.url, health=("sh", "-c", script))
    assert "health failed 3 times in a row" in seen.why
    assert "the command ended with 1: said it" in seen.why
    server.socket.close()


# Steps.


def test_a_command_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv("TOKEN", "hunter2hunter2")
    steps = Steps(tmp_path, 0.5, ("TOKEN",))
    with pytest.raises(Inconclusive, match=r"passed its deadline of 0\.5 s"):
        steps.run("slow", ["sleep", "60"])
    with pytest.raises(Inconclusive, match="cannot start"):
        steps.run("missing", ["/nonexistent/program"])
    with pytest.raises(Inconclusive, match=r"ended with 3: \[redacted\]$"):
        steps.run("fails", ["sh", "-c", "echo $TOKEN >&2; exit 3"])
    flood = Steps(tmp_path, 60, ())
    with pytest.raises(Inconclusive, match="wrote more than 64 MiB"):
        flood.run("floods", ["yes"])
    assert max(path.stat().st_size for path in (tmp_path / ".vallum" / "promotion").iterdir()) < 3 << 20


# The work tree.


def test_the_work_tree_is_held_against_the_commit(tmp_path):
    root = repository(tmp_path / "r", {"a.txt": "a", "sub/b.txt": "b", ".gitignore": "*.o\n"})
    assert worktree.state(root) == worktree.CLEAN
    (root / "sub" / "x.o").write_text("ignored")
    assert worktree.state(root) == worktree.CLEAN
    data = b"large" * 1000
    pointer = (
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{hashlib.sha256(data).hexdigest()}\nsize {len(data)}\n"
    )
    (root / "large.bin").write_text(pointer)
    (root / "link").symlink_to("a.txt")
    git(root, "add", ".")
    git(root, "commit", "-q", "-m", "two")
    (root / "large.bin").write_bytes(data)
    assert worktree.state(root) == worktree.CLEAN
    (root / "large.bin").write_bytes(data + b"!")
    assert worktree.state(root) == "large.bin was changed"
    (root / "large.bin").write_bytes(data)
    (root / "link").unlink()
    (root / "link").write_text("a.txt")
    assert worktree.state(root) == "link was changed"
    # as long, and with the same times: git's own index would take it for unchanged
    (root / "link").unlink()
    (root / "link").symlink_to("a.txt")
    before = (root / "a.txt").stat()
    (root / "a.txt").write_text("b")
    os.utime(root / "a.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    git(root, "update-index", "--assume-unchanged", "a.txt")
    assert worktree.state(root) == "a.txt was changed"
    # below a folder only what is in it counts
    assert worktree.state(root / "sub") == worktree.CLEAN
    (root / "sub" / "new.txt").write_text("")
    assert worktree.state(root / "sub") == "new.txt is not committed"
    assert "no git checkout" in worktree.state(tmp_path) or "not a git checkout" in worktree.state(tmp_path)

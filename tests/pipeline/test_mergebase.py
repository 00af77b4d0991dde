"""A change cannot weaken the gate that judges it: real git repositories, each with one way to try."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from tests.conftest import Vallum

from vallum import gather, mergebase, plan
from vallum.config import Config, Policy
from vallum.errors import UserError
from vallum.finding import Finding
from vallum.gate import judge
from vallum.git import find
from vallum.mergebase import BASE, TRUST_CHANGE, Trusted, trusted
from vallum.outcome import Completed, Coverage, Run, Tool
from vallum.severity import Severity
from vallum.target import discover
from vallum.verdict import Status

OWN = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_AUTHOR_NAME": "t",
    "GIT_AUTHOR_EMAIL": "t@example.invalid",
    "GIT_COMMITTER_NAME": "t",
    "GIT_COMMITTER_EMAIL": "t@example.invalid",
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
}
SETTINGS = """
exclude = ["vendor/*"]
[policy]
block = ["critical", "high", "medium"]
suppressions = "forbid"
[checks.semgrep.options]
rules = ["rules/own.yaml"]
[advisories]
source = "advisories"
"""
RULES = "rules:\n  - id: own\n    languages: [python]\n    severity: ERROR\n    message: m\n    pattern: eval(...)\n"
WAIVERS = "# none\n"
BASELINE = '{"schema": 1, "commit": "", "complete": [], "findings": {}}\n'
BEFORE = {
    "vallum.toml": SETTINGS,
    "vallum-waivers.toml": WAIVERS,
    "vallum-baseline.json": BASELINE,
    "pyproject.toml": '[project]\nname = "shop"\n',
    "rules/own.yaml": RULES,
    "advisories/A-1.json": '{"id": "A-1"}',
    "app.py": "eval(input())\n",
    "vendor/lib.py": "eval(input())\n",
}


class Checkout:
    """A repository: `main` as it is before, a branch with the change checked out."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir()
        self.git("init", "-q", "-b", "main")

    def git(self, *arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(self.root), *arguments], env=OWN, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | None]) -> None:
        for name, content in files.items():
            path = self.root / name
            if content is None:
                path.unlink()
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(content, "utf-8")

    def commit(self, files: Mapping[str, str | None] | None = None) -> str:
        self.write(files or {})
        self.git("add", "-A", "-f")
        if not any(name.startswith(".vallum/") for name in files or {}):
            self.git("rm", "-r", "-q", "--cached", "--ignore-unmatch", ".vallum")
        self.git("commit", "-q", "--allow-empty", "-m", "change")
        return self.git("rev-parse", "HEAD")

    def trusted(self, base: str = "main", at: str = ".") -> Trusted:
        mergebase._trusted.cache_clear()  # kept for the life of a process, whose target does not change
        return trusted(self.root / at, {BASE: base})

    def config(self, base: str = "main", at: str = ".") -> Config:
        return self.trusted(base, at).load()[0]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "shop")
    made.commit(BEFORE)
    made.git("checkout", "-q", "-b", "change")
    return made


def told(settings: Trusted) -> dict[str, str]:
    return {note.file: note.text for note in settings.notes}


WEAKER: dict[str, dict[str, str | None]] = {
    "switch a check off": {"vallum.toml": SETTINGS + '[checks.bandit]\nrequire = "off"\n'},
    "make it optional": {"vallum.toml": SETTINGS + '[checks.bandit]\nrequire = "optional"\n'},
    "exclude more": {"vallum.toml": SETTINGS.replace('"vendor/*"', '"vendor/*", "*.py"')},
    "exclude for one check": {"vallum.toml": SETTINGS + '[checks.bandit]\nexclude = ["*"]\n'},
    "block less": {"vallum.toml": SETTINGS.replace('"critical", "high", "medium"', '"critical"')},
    "obey markers": {"vallum.toml": SETTINGS.replace("forbid", "count")},
    "other advisories": {"vallum.toml": SETTINGS.replace('"advisories"', '"empty"'), "empty/A-9.json": "{}"},
    "no rules": {"vallum.toml": SETTINGS.replace('["rules/own.yaml"]', "[]")},
    "remove the settings": {"vallum.toml": None},
    "move them to pyproject": {
        "vallum.toml": None,
        "pyproject.toml": '[project]\nname = "shop"\n[tool.vallum.policy]\nblock = []\n',
    },
    "rename them": {"vallum.toml": None, "vallum.toml.off": SETTINGS},
}


@pytest.mark.parametrize("change", WEAKER.values(), ids=WEAKER.keys())
def test_settings_are_those_of_the_base(checkout: Checkout, change: dict[str, str | None]) -> None:
    before = checkout.config()
    checkout.commit(change)
    settings = checkout.trusted()
    assert settings.load()[0] == before
    assert before.policy.block == (Severity.CRITICAL, Severity.HIGH, Severity.MEDIUM)
    assert "takes effect after merging" in told(settings)["vallum.toml"]
    assert settings.problem == ""


def test_uncommitted_changes_count_as_the_change(checkout: Checkout) -> None:
    checkout.write({"vallum.toml": "[policy]\nblock = []\n"})
    assert Severity.HIGH in checkout.config().policy.block
    assert "vallum.toml" in checkout.trusted().changed


def test_without_a_base_the_target_has_its_own_settings(checkout: Checkout) -> None:
    checkout.commit({"vallum.toml": "[policy]\nblock = []\n"})
    settings = trusted(checkout.root, {})
    assert settings.load()[0].policy.block == ()
    assert settings.notes == ()


def test_nothing_changed_nothing_is_said(checkout: Checkout) -> None:
    checkout.commit({"app.py": "print()\n"})
    settings = checkout.trusted()
    assert (settings.changed, settings.notes, settings.problem) == ((), (), "")
    assert not (checkout.root / ".vallum").exists()


def test_waivers_and_baseline_are_those_of_the_base(checkout: Checkout) -> None:
    checkout.commit({"vallum-waivers.toml": "[[waiver]]\nid = '0123456789'\n", "vallum-baseline.json": "{}"})
    settings = checkout.trusted()
    assert settings.waivers_text == WAIVERS
    assert settings.baseline_text == BASELINE
    assert set(settings.changed) == {"vallum-waivers.toml", "vallum-baseline.json"}


def test_new_waivers_do_not_count_yet(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "main")
    checkout.commit({"vallum-waivers.toml": None, "vallum-baseline.json": None})
    checkout.git("checkout", "-q", "-B", "change")
    checkout.commit({"vallum-waivers.toml": "[[waiver]]\n", "vallum-baseline.json": BASELINE})
    settings = checkout.trusted()
    assert settings.waivers_text is None
    assert settings.baseline_text is None
    assert told(settings)["vallum-waivers.toml"].startswith("new in this change")


def test_a_base_without_settings_means_the_strict_defaults(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "shop")
    checkout.commit({"app.py": ""})
    checkout.git("checkout", "-q", "-b", "change")
    checkout.commit({"vallum.toml": '[policy]\nblock = []\n[checks.bandit]\nrequire = "off"\n'})
    settings = checkout.trusted()
    config = settings.load()[0]
    assert config.policy == Config().policy
    assert config.checks == {}
    assert any("strict defaults" in note.text for note in settings.notes)


def test_settings_in_the_base_s_pyproject(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "shop")
    checkout.commit({"pyproject.toml": "[tool.vallum.policy]\nblock = ['low']\n[project]\nname = 'a'\n"})
    checkout.git("checkout", "-q", "-b", "change")
    checkout.commit({"pyproject.toml": "[tool.vallum.policy]\nblock = ['low']\n[project]\nname = 'b'\n"})
    assert checkout.trusted().changed == ()
    assert checkout.config().policy.block == (Severity.LOW,)
    checkout.commit({"vallum.toml": "[policy]\nblock = []\n"})  # it would come before pyproject.toml
    assert checkout.config().policy.block == (Severity.LOW,)


def test_a_link_in_the_place_of_the_settings(checkout: Checkout, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere.toml"
    elsewhere.write_text("[policy]\nblock = []\n", "utf-8")
    before = checkout.config()
    checkout.write({"vallum.toml": None})
    (checkout.root / "vallum.toml").symlink_to(elsewhere)
    checkout.commit()
    settings = checkout.trusted()
    assert settings.load()[0].policy == before.policy
    assert "vallum.toml" in settings.changed


def test_a_link_at_the_base_is_refused(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "main")
    checkout.write({"vallum.toml": None})
    (checkout.root / "vallum.toml").symlink_to("app.py")
    checkout.commit()
    checkout.git("checkout", "-q", "-B", "change")
    with pytest.raises(UserError, match="link"):
        checkout.trusted()


def test_rules_and_advisories_are_those_of_the_base(checkout: Checkout) -> None:
    checkout.commit({"rules/own.yaml": RULES.replace("eval(...)", "nothing(...)"), "advisories/A-1.json": "{}"})
    config = checkout.config()
    (rules,) = config.settings("semgrep").options["rules"]
    assert rules.startswith(".vallum/trusted/")
    assert (checkout.root / rules).read_text("utf-8") == RULES
    assert (checkout.root / config.advisories.source / "A-1.json").read_text("utf-8") == '{"id": "A-1"}'
    assert not any(path.startswith(".vallum") for path in discover(checkout.root, config).files)


def test_a_removed_and_an_added_advisory(checkout: Checkout) -> None:
    checkout.commit({"advisories/A-1.json": None, "advisories/A-2.json": "{}"})
    source = checkout.root / checkout.config().advisories.source
    assert [path.name for path in source.iterdir()] == ["A-1.json"]


def test_a_planted_copy_of_the_base_s_rules_is_replaced(checkout: Checkout) -> None:
    checkout.commit({"rules/own.yaml": "rules: []\n"})
    (rules,) = checkout.config().settings("semgrep").options["rules"]
    checkout.write({rules: "rules: []\n"})
    (again,) = checkout.config().settings("semgrep").options["rules"]
    assert (checkout.root / again).read_text("utf-8") == RULES


def test_a_linked_folder_for_copies_is_refused(checkout: Checkout, tmp_path: Path) -> None:
    (checkout.root / ".vallum").mkdir()
    (tmp_path / "outside").mkdir()
    (checkout.root / ".vallum" / "trusted").symlink_to(tmp_path / "outside")
    checkout.commit({"rules/own.yaml": "rules: []\n"})
    with pytest.raises(UserError, match="link"):
        checkout.config()
    assert not list((tmp_path / "outside").iterdir())


def test_files_made_by_a_step_before_us_are_used(checkout: Checkout) -> None:
    checkout.git("checkout", "-q", "main")
    checkout.commit({"vallum.toml": SETTINGS.replace('"advisories"', '"cache/osv"')})
    checkout.git("checkout", "-q", "-B", "change")
    checkout.write({"cache/osv/A-3.json": "{}"})
    assert checkout.config().advisories.source == "cache/osv"
    checkout.commit()  # and now the change brings them itself
    assert not (checkout.root / checkout.config().advisories.source).exists()


SERVICES = """
[environment.services.cart]
directory = "services/cart"
command = ["python", "cart.py"]
[environment.services.mail]
directory = "services/mail"
command = ["python", "mail.py"]
depends-on = ["cart"]
[environment.login]
service = "cart"
path = "/login"
probe = "/me"
[environment.users.alice]
username = "alice"
password = "x"
"""


@pytest.fixture
def staged(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "shop")
    made.commit(
        {
            "vallum.toml": SERVICES,
            "services/cart/cart.py": "",
            "services/mail/mail.py": "",
            "services/cart/openapi.yaml": "openapi: 3.1.0\n",
        }
    )
    made.git("checkout", "-q", "-b", "change")
    return made


def test_the_deployment_is_the_change_s(staged: Checkout) -> None:
    staged.commit({"vallum.toml": SERVICES.replace("cart.py", "cart2.py")})
    environment = staged.config().environment
    assert environment is not None
    assert environment.services["cart"].command == ("python", "cart2.py")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[project]\nname = 'x'\n",
        SERVICES[: SERVICES.index("[environment.services.mail]")],
        SERVICES[: SERVICES.index("[environment.login]")] + "[environment.login]\nkind = 'none'\n",
    ],
)
def test_a_service_that_is_still_there_stays_deployed(staged: Checkout, text: str) -> None:
    staged.commit({"vallum.toml": text})
    environment = staged.config().environment
    assert environment is not None
    assert set(environment.services) == {"cart", "mail"}
    assert environment.login is not None
    assert environment.login.kind == "json"
    assert set(environment.users) == {"alice"}


OUTSIDE = "[environment.secrets]\nalice = {{ {} }}\n"


@pytest.mark.parametrize(
    "source", ['env = "DEPLOY_TOKEN"', 'file = "/run/secrets/deploy"', 'vault = "secret/ci#token"']
)
def test_a_change_hands_no_secret_from_outside_to_its_services(staged: Checkout, source: str) -> None:
    staged.commit({"vallum.toml": SERVICES + OUTSIDE.format(source)})
    with pytest.raises(UserError, match="cannot take a secret from outside that its base does not take"):
        staged.config()
    staged.git("checkout", "-q", "main")
    staged.commit({"vallum.toml": SERVICES + OUTSIDE.format(source)})
    staged.git("checkout", "-q", "-b", "second")
    staged.commit({"services/cart/cart.py": "1\n"})
    environment = staged.config().environment
    assert environment is not None
    assert "alice" in environment.secrets  # the owner of the base wrote it
    staged.commit({"vallum.toml": SERVICES + OUTSIDE.format('env = "ANOTHER"')})
    with pytest.raises(UserError, match=r"environment\.secrets\.alice"):
        staged.config()


def test_a_change_does_not_point_the_attack_at_others(staged: Checkout) -> None:
    elsewhere = '[environment]\nkind = "url"\n[environment.url]\nallow = ["victim.example:443"]\ni-may-attack = true\n'
    staged.commit({"vallum.toml": elsewhere + SERVICES})
    environment = staged.config().environment
    assert environment is not None
    assert environment.url is None


def test_a_change_does_not_choose_the_cluster(staged: Checkout) -> None:
    cluster = '[environment]\nkind = "kubernetes"\n[environment.kubernetes]\ncontext = "{}"\n'
    staged.commit({"vallum.toml": cluster.format("production") + SERVICES})
    with pytest.raises(UserError, match="cannot choose the cluster 'production'"):
        staged.config()
    staged.git("checkout", "-q", "main")
    staged.commit({"vallum.toml": cluster.format("test") + SERVICES})
    staged.git("checkout", "-q", "-b", "second")
    staged.commit({"vallum.toml": cluster.format("test") + SERVICES + "\n"})
    assert staged.config().environment is not None
    staged.commit({"vallum.toml": cluster.format("production") + SERVICES})
    with pytest.raises(UserError, match="cannot choose the cluster 'production'"):
        staged.config()


def test_a_service_whose_folder_is_gone_is_gone(staged: Checkout) -> None:
    staged.commit(
        {"vallum.toml": SERVICES[: SERVICES.index("[environment.services.mail]")], "services/mail/mail.py": None}
    )
    (staged.root / "services" / "mail").rmdir()
    environment = staged.config().environment
    assert environment is not None
    assert set(environment.services) == {"cart"}


def test_a_renamed_service_is_one_service(staged: Checkout) -> None:
    staged.commit({"vallum.toml": SERVICES.replace("services.cart]", "services.basket]").replace('"cart"', '"basket"')})
    environment = staged.config().environment
    assert environment is not None
    assert set(environment.services) == {"basket", "mail"}


def test_an_empty_definition_cannot_take_the_place_of_the_whole(staged: Checkout) -> None:
    weaker = SERVICES.replace(
        'command = ["python", "cart.py"]', 'command = ["python", "cart.py"]\nopenapi = "one.yaml"'
    )
    staged.commit({"vallum.toml": weaker, "services/cart/one.yaml": "openapi: 3.1.0\npaths: {}\n"})
    environment = staged.config().environment
    assert environment is not None
    assert environment.services["cart"].openapi == ""  # openapi.yaml is found there, as at the base
    other = SERVICES.replace(
        'command = ["python", "cart.py"]', 'command = ["python", "cart.py"]\ndefinition = { file = "one.har" }'
    )
    staged.commit({"vallum.toml": other, "services/cart/one.har": "{}"})
    environment = staged.config().environment
    assert environment is not None
    assert environment.services["cart"].definition is None


def test_a_change_opens_no_grpc_method(staged: Checkout) -> None:
    command = 'command = ["python", "cart.py"]'
    asked = SERVICES.replace(command, f'{command}\ndefinition = {{ kind = "grpc", descriptors = "cart.binpb" }}')
    staged.git("checkout", "-q", "main")
    staged.commit({"vallum.toml": asked, "services/cart/cart.binpb": "", "services/cart/openapi.yaml": None})
    staged.git("checkout", "-q", "-b", "second")
    opened = asked.replace('"cart.binpb" }', '"cart.binpb", public = ["/shop.Cart/*"] }')
    staged.commit({"vallum.toml": opened})
    environment = staged.config().environment
    assert environment is not None
    definition = environment.services["cart"].definition
    assert definition is not None
    assert definition.public == ()
    moved = opened.replace("cart.binpb", "moved.binpb")
    staged.commit({"vallum.toml": moved, "services/cart/cart.binpb": None, "services/cart/moved.binpb": ""})
    environment = staged.config().environment
    assert environment is not None
    definition = environment.services["cart"].definition
    assert definition is not None
    assert definition.descriptors == "moved.binpb"


def test_a_target_in_a_folder_of_the_repository(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "mono")
    checkout.commit({"team/shop/vallum.toml": SETTINGS, "vallum.toml": "[policy]\nblock = []\n", "team/shop/a.py": ""})
    checkout.git("checkout", "-q", "-b", "change")
    checkout.commit({"team/shop/vallum.toml": "[policy]\nblock = ['low']\n"})
    assert Severity.MEDIUM in checkout.config(at="team/shop").policy.block
    assert checkout.trusted(at="team/shop").changed == ("vallum.toml",)


def test_a_folder_that_poses_as_a_repository(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "mono")
    checkout.commit({"shop/vallum.toml": SETTINGS})
    checkout.git("checkout", "-q", "-b", "change")
    checkout.commit(
        {
            "shop/HEAD": "ref: refs/heads/main\n",
            "shop/config": "[core]\nbare = true\nfsmonitor = touch /tmp/bad\n",
            "shop/objects/x": "",
            "shop/refs/heads/x": "",
            "shop/vallum.toml": "",
        }
    )
    assert Severity.MEDIUM in checkout.config(at="shop").policy.block


def test_nothing_of_the_repository_s_settings_runs(checkout: Checkout, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    script = tmp_path / "bad.sh"
    script.write_text(f"#!/bin/sh\ntouch {canary}\ncat\n", "utf-8")
    script.chmod(0o755)
    checkout.commit({".gitattributes": "* filter=bad diff=bad\n", "rules/own.yaml": "rules: []\n", "vallum.toml": ""})
    hooks = checkout.root / "hooks"
    hooks.mkdir()
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-commit"):
        (hooks / name).write_text(script.read_text("utf-8"), "utf-8")
        (hooks / name).chmod(0o755)
    for key in (
        "filter.bad.smudge",
        "filter.bad.clean",
        "diff.bad.textconv",
        "diff.bad.command",
        "core.fsmonitor",
        "diff.external",
        "core.sshCommand",
        "core.pager",
        "gpg.program",
        "core.editor",
    ):
        checkout.git("config", key, str(script))
    checkout.git("config", "core.hooksPath", str(hooks))
    checkout.git("config", "log.showSignature", "true")
    canary.unlink(missing_ok=True)
    settings = checkout.trusted()
    assert Severity.MEDIUM in settings.load()[0].policy.block
    settings.renames()
    assert not canary.exists()


def test_submodules_are_no_settings(checkout: Checkout, tmp_path: Path) -> None:
    other = Checkout(tmp_path / "other")
    commit = other.commit({"own.yaml": "rules: []\n"})
    checkout.git("rm", "-q", "-r", "rules")
    checkout.git("update-index", "--add", "--cacheinfo", f"160000,{commit},rules")
    (checkout.root / ".gitmodules").write_text(
        '[submodule "rules"]\npath = rules\nurl = ext::sh -c "touch /tmp/bad"\n', "utf-8"
    )
    checkout.git("add", ".gitmodules")
    checkout.git("commit", "-q", "-m", "submodule")
    (rules,) = checkout.config().settings("semgrep").options["rules"]
    assert (checkout.root / rules).read_text("utf-8") == RULES


def test_moved_files_are_known_by_their_old_paths(checkout: Checkout) -> None:
    body = "".join(f"line_{number} = {number}\n" for number in range(20))
    checkout.git("checkout", "-q", "main")
    checkout.commit({"old/a.py": body, "old/b.py": body.replace("line", "other")})
    checkout.git("checkout", "-q", "-B", "change")
    checkout.git("mv", "old", "new")
    checkout.commit({"new/b.py": body.replace("line", "other") + "one_more = 1\n"})
    assert checkout.trusted().renames() == {"new/a.py": "old/a.py", "new/b.py": "old/b.py"}


# Where the base comes from


def event(tmp_path: Path, sha: str, ref: str = "main") -> dict[str, str]:
    path = tmp_path / "event.json"
    path.write_text(
        json.dumps({"pull_request": {"base": {"sha": sha, "ref": ref}, "head": {"sha": "0" * 40}}}), "utf-8"
    )
    return {"GITHUB_EVENT_NAME": "pull_request", "GITHUB_EVENT_PATH": str(path), "GITHUB_BASE_REF": ref}


def test_a_pull_request_is_judged_by_its_base(checkout: Checkout, tmp_path: Path) -> None:
    base = checkout.git("rev-parse", "main")
    checkout.commit({"vallum.toml": "[policy]\nblock = []\n"})
    settings = trusted(checkout.root, event(tmp_path, base))
    assert settings.base == base
    assert Severity.HIGH in settings.load()[0].policy.block


def test_the_branch_where_the_event_does_not_help(checkout: Checkout, tmp_path: Path) -> None:
    base = checkout.git("rev-parse", "main")
    checkout.git("update-ref", "refs/remotes/origin/main", base)
    checkout.commit({"vallum.toml": ""})
    (tmp_path / "event.json").write_text("not json", "utf-8")
    environ = event(tmp_path, base)
    (tmp_path / "event.json").write_text("not json", "utf-8")
    assert trusted(checkout.root, environ).base == base


def test_a_change_from_an_old_point_is_judged_by_today_s_base(checkout: Checkout, tmp_path: Path) -> None:
    """Settings were tightened after the branch was forked off: an old fork point is no way around."""
    checkout.commit({"app.py": "print()\n"})
    checkout.git("checkout", "-q", "main")
    tip = checkout.commit({"vallum.toml": SETTINGS.replace('"medium"', '"medium", "low"')})
    checkout.git("checkout", "-q", "change")
    settings = trusted(checkout.root, event(tmp_path, tip))
    assert Severity.LOW in settings.load()[0].policy.block
    assert settings.changed == ()  # it was main that changed them


def test_a_shallow_clone_cannot_tell(checkout: Checkout, tmp_path: Path) -> None:
    base = checkout.git("rev-parse", "main")
    checkout.commit({"vallum.toml": "[policy]\nblock = []\n"})
    checkout.commit({"app.py": ""})
    clone = tmp_path / "clone"
    subprocess.run(
        ["git", "clone", "-q", "--depth", "1", "--branch", "change", f"file://{checkout.root}", str(clone)],
        env=OWN,
        check=True,
        capture_output=True,
    )
    settings = trusted(clone, event(tmp_path, base))
    assert "fetch-depth: 0" in settings.problem
    assert settings.load()[0].policy == Config().policy  # what runs, runs with the strict defaults
    assert settings.waivers_text is None
    assert "fetch-depth: 0" in trusted(clone, {BASE: base}).problem


@pytest.mark.parametrize("name", ["pull_request", "pull_request_target", "merge_group"])
def test_no_base_at_all_cannot_tell(checkout: Checkout, name: str) -> None:
    assert trusted(checkout.root, {"GITHUB_EVENT_NAME": name}).problem


def test_a_folder_without_git_cannot_tell(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    assert "not in a git repository" in trusted(tmp_path / "plain", {BASE: "main"}).problem


def test_a_push_has_no_base(checkout: Checkout) -> None:
    assert trusted(checkout.root, {"GITHUB_EVENT_NAME": "push"}) == Trusted(checkout.root)


@pytest.mark.parametrize("wrong", ["nowhere", "--upload-pack=touch /tmp/bad", "-h", "main:vallum.toml"])
def test_a_wrong_base_is_the_user_s_mistake(checkout: Checkout, wrong: str) -> None:
    with pytest.raises(UserError, match="there is no commit"):
        trusted(checkout.root, {BASE: wrong})


def test_trusting_the_change_is_said_and_not_for_pull_requests(checkout: Checkout, tmp_path: Path) -> None:
    checkout.commit({"vallum.toml": "[policy]\nblock = []\n"})
    settings = trusted(checkout.root, {BASE: "main", TRUST_CHANGE: "1"})
    assert settings.load()[0].policy.block == ()
    assert "--trust-change" in settings.notes[0].text
    with pytest.raises(UserError, match="pull_request"):
        trusted(checkout.root, event(tmp_path, "0" * 40) | {TRUST_CHANGE: "1"})


def test_a_linked_work_tree(checkout: Checkout, tmp_path: Path) -> None:
    other = tmp_path / "other"
    checkout.git("worktree", "add", "-q", str(other), "main")
    repository = find(other)
    assert repository is not None
    assert repository.commit("HEAD") == checkout.git("rev-parse", "main")


def test_odd_names_survive(checkout: Checkout) -> None:
    odd = "rules/ö\n[x]*.yaml"
    checkout.git("checkout", "-q", "main")
    checkout.commit({odd: RULES, "vallum.toml": '[checks.semgrep.options]\nrules = ["rules/ö\\n[x]*.yaml"]\n'})
    checkout.git("checkout", "-q", "-B", "change")
    checkout.commit({odd: "rules: []\n"})
    (rules,) = checkout.config().settings("semgrep").options["rules"]
    assert (checkout.root / rules).read_text("utf-8") == RULES


# The plan and the verdict


def planned(checkout: Checkout, monkeypatch: pytest.MonkeyPatch, base: str = "main") -> dict[str, tuple[str, ...]]:
    monkeypatch.setenv(BASE, base)
    mergebase._trusted.cache_clear()
    made, _, _ = gather.make_plan(checkout.root)
    return {check.check: check.units for check in made.checks}


def test_a_check_that_the_base_plans_is_planned(staged: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    before = planned(staged, monkeypatch)
    assert before["zap"]
    assert before["bandit"]
    staged.commit({"vallum.toml": 'exclude = ["*"]\n[checks.zap]\nrequire = "off"\n'})
    assert planned(staged, monkeypatch) == before


def test_the_plan_keeps_what_the_base_s_would_do() -> None:
    def made(services: dict[str, str], **units: tuple[str, ...]) -> plan.Plan:
        checks = tuple(
            plan.PlannedCheck(
                check=name, stage="s", summary="", require="required", units=value, reason="" if value else "why"
            )
            for name, value in units.items()
        )
        return plan.Plan(run="r", target="t", vallum="0", started="", services=services, checks=checks)

    now = made({"basket": "cart"}, image=("basket",), zap=(), bandit=())
    before = made({"cart": "cart", "mail": "mail"}, image=("cart", "mail"), zap=("_",), bandit=(), own=("_",))
    kept = {check.check: check for check in plan.keep(now, before).checks}
    assert {name: check.units for name, check in kept.items()} == {
        "image": ("basket", "mail"),
        "zap": ("_",),
        "bandit": (),
        "own": ("_",),
    }
    assert (kept["zap"].reason, kept["bandit"].reason) == ("", "why")


def test_problems_make_the_verdict_incomplete_and_no_failure_a_smaller_one() -> None:
    one = plan.PlannedCheck(check="c", stage="source", summary="", require="required", units=("_",))
    made = plan.Plan(run="r", target="t", vallum="0", started="", checks=(one,), problems=("the base cannot be had",))
    run = Run(tool=Tool("c", "1"), coverage=(Coverage("files", 1, 1),))
    sound = {("c", "_"): Completed(run)}
    assert judge(Policy(), made, sound).status is Status.INCOMPLETE
    assert judge(Policy(), msgspec.structs.replace(made, problems=()), sound).status is Status.PASS
    bad = Finding(rule="x", severity=Severity.HIGH, message="m", id="1", checks=("c",))
    failed = judge(Policy(), made, {("c", "_"): Completed(msgspec.structs.replace(run, findings=(bad,)))})
    assert failed.status is Status.FAIL
    assert any(reason.text == "the base cannot be had" for reason in failed.reasons)


def test_the_gate_refuses_a_plan_made_with_other_settings(staged: Checkout, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a matrix each job finds the base itself; one that did not must not decide."""
    monkeypatch.setenv("VALLUM_RUN", "r")
    gather.make_plan(staged.root)
    monkeypatch.setenv(BASE, "main")
    mergebase._trusted.cache_clear()
    (problem,) = plan.load(staged.root).problems
    assert "settings of the change itself" in problem
    gather.make_plan(staged.root)
    assert plan.load(staged.root).problems == ()


@pytest.mark.parametrize("how", ["--base", "event"])
def test_the_whole_way(checkout: Checkout, tmp_path: Path, vallum: Vallum, how: str) -> None:
    """A change that switches the gate off is blocked by the base's gate, and the verdict says what it tried."""
    base = checkout.commit(
        {"advisories/A-1.json": None, "vallum.toml": '[policy]\nblock = ["critical", "high", "medium", "low"]\n'}
    )
    checkout.git("branch", "-f", "main")
    checkout.commit(
        {
            "app.py": "import subprocess\nsubprocess.run('ls ' + input(), shell=True)\n",
            "vallum.toml": 'exclude = ["*"]\n[policy]\nblock = []\n[checks.bandit]\nrequire = "off"\n',
        }
    )
    arguments = ("-C", str(checkout.root), "-s", "bandit")
    own = vallum(*arguments)
    assert own.returncode in {0, 3}  # by its own settings nothing blocks: bandit is off
    done = vallum("--base", "main", *arguments) if how == "--base" else vallum(*arguments, env=event(tmp_path, base))
    assert done.returncode == 1, done.stderr
    written = json.loads((checkout.root / ".vallum" / "plan.json").read_text("utf-8"))
    assert written["base"] == base
    assert [note["file"] for note in written["settings"]] == ["vallum.toml"]
    trusting = vallum("--base", "main", "--trust-change", *arguments)
    assert trusting.returncode == own.returncode
    assert vallum(*arguments, env=event(tmp_path, "1" * 40)).returncode in {1, 3}  # a base that is not here


def test_a_waiver_of_the_change_does_not_count_yet(checkout: Checkout, vallum: Vallum) -> None:
    until = (dt.datetime.now(dt.UTC).date() + dt.timedelta(days=9)).isoformat()
    waiver = (
        f"[[waiver]]\nmatch = {{ path = 'app.py' }}\nstatus = 'affected'\nreason = 'r'\nowner = 'o'\nuntil = {until}\n"
    )
    checkout.commit({"vallum-waivers.toml": WAIVERS + waiver})
    arguments = ("-C", str(checkout.root), "-s", "bandit")
    assert vallum(*arguments).returncode == 0  # on its own word it passes
    assert vallum("--base", "main", *arguments).returncode == 1
    verdict = json.loads((checkout.root / ".vallum" / "verdict.json").read_text("utf-8"))
    (notice,) = verdict["notices"]
    assert notice["file"] == "vallum-waivers.toml"
    assert "after merging" in notice["text"]
    checkout.git("checkout", "-q", "-B", "main")
    assert vallum("--base", "main", *arguments).returncode == 0  # it has been merged


def test_the_organisation_s_file_and_vex_are_those_of_the_base(tmp_path: Path) -> None:
    checkout = Checkout(tmp_path / "mono")
    org = "[organisation]\nallow = ['policy.vex']\n[policy]\nblock = ['critical', 'high', 'medium']\n"
    settings = "[organisation]\nfile = '../org.toml'\n[policy]\nvex = ['own.vex.json']\n"
    checkout.commit({"teams/org.toml": org, "teams/shop/vallum.toml": settings, "teams/shop/own.vex.json": "{}"})
    checkout.git("checkout", "-q", "-b", "change")
    checkout.commit(
        {
            "teams/org.toml": "[organisation]\nallow = ['policy.vex']\n[policy]\nblock = []\n",
            "teams/shop/own.vex.json": '{"weaker": 1}',
        }
    )
    config = checkout.config(at="teams/shop")
    assert Severity.MEDIUM in config.policy.block
    assert (checkout.root / "teams/shop" / config.policy.vex[0]).read_text("utf-8") == "{}"


def test_what_vallum_believes_cannot_be_committed(checkout: Checkout) -> None:
    checkout.commit({".vallum/history.sqlite": "planted"})
    assert ".vallum/" in checkout.trusted().problem

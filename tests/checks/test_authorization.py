"""The check `authorization` against a real API that is sound, or has the holes that a test names."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from tests.checks.attacked import Staged, context
from tests.checks.attacked import attack as alone
from tests.conftest import ROOT

from vallum.check import Planned, Skipped
from vallum.config import Config
from vallum.errors import Inconclusive, UserError
from vallum.outcome import Completed, Incomplete, Outcome, Run
from vallum.severity import Severity
from vallum.stage import deploy
from vallum.target import discover
from vallum_checks import authorization

DATA = Path(__file__).parent / "data" / "authorization"
SERVICE = """
[environment.secrets]
alice = "generate"
bob = "generate"
root = "generate"
[environment.services.notes]
directory = "notes"
runtime = "python"
command = ["{python}", "service.py", "{port}"]
env = { HOLES = "HOLES_HERE", ALICE = "{secret.alice}", BOB = "{secret.bob}", ROOT = "{secret.root}" }
ready = { path = "/ready", seconds = 30 }
openapi = "openapi.yaml"
"""
LOGIN = """
[environment.login]
service = "notes"
path = "/login"
json = { username = "{username}", password = "{password}" }
probe = "/me"
"""
ALICE = '[environment.users.alice]\nusername = "alice"\npassword = "{secret.alice}"\n'
BOB = '[environment.users.bob]\nusername = "bob"\npassword = "{secret.bob}"\n'
ADMIN = '[environment.users.root]\nusername = "root"\npassword = "{secret.root}"\nrole = "admin"\n'


@pytest.fixture
def api(tmp_path: Path) -> Callable[..., Staged]:
    def make(
        holes: str = "",
        *,
        users: str = LOGIN + ALICE + BOB + ADMIN,
        extra: str = "",
        change: Callable[[str], str] = str,
        deadline: float = 300,
    ) -> Staged:
        root = tmp_path / "target"
        (root / "notes").mkdir(parents=True)
        shutil.copy(DATA / "service.py", root / "notes" / "service.py")
        (root / "notes" / "openapi.yaml").write_text(change((DATA / "openapi.yaml").read_text()))
        (root / "vallum.toml").write_text(SERVICE.replace("HOLES_HERE", holes) + users + extra)
        return context(root, deadline)

    return make


def attack(staged: Staged) -> Outcome:
    assert authorization.CHECK.applies(*staged[:2]) == Planned()
    return alone("authorization", staged)


def found(run: Run) -> set[tuple[str, str, str]]:
    return {
        (
            one.rule.removeprefix("authorization."),
            f"{one.operation.method} {one.operation.path}",
            one.operation.parameter,
        )
        for one in run.findings
        if one.operation is not None
    }


def whole(outcome: Outcome) -> Run:
    assert isinstance(outcome, Completed), outcome
    assert outcome.run.coverage[0].missed == ()
    assert outcome.run.coverage[0].seen == outcome.run.coverage[0].expected == 18
    return outcome.run


@pytest.mark.parametrize("holes", ["", "polite strict limits"])
def test_a_sound_service_has_no_finding_and_is_put_back(api: Callable[..., Staged], holes: str) -> None:
    target, config, ctx = api(holes)
    with deploy(target, config, "run-1") as deployment:
        run = whole(authorization.run_on(deployment, ctx))
        with urlopen(deployment.urls["notes"] + "/ready") as answer:
            left: dict[str, Any] = json.load(answer)
    assert found(run) == set()
    assert left["notes"] == 0  # all that was made is gone
    assert left["users"]["alice"] == {"id": 100, "username": "alice", "role": "user", "email": "alice@x.example"}
    notes = "\n".join(run.notes)
    assert "7 operations have an object in their path: 6 tried" in notes
    assert "1 on objects for all users" in notes
    assert "not tested: API1" not in notes
    reached = {f"{one.method} {one.path}" for one in run.operations if one.attacked}
    assert {"GET /notes/{key}", "DELETE /notes/{key}", "POST /jobs", "GET /metrics"} <= reached


def test_every_hole_is_found_with_its_proof(api: Callable[..., Staged]) -> None:
    holes = "read change delete lines role price secrets undeclared report jobs metrics open-users password"
    run = whole(attack(api(holes)))
    assert found(run) == {
        ("object-read", "GET /notes/{key}", ""),
        ("object-changed", "PUT /notes/{key}", ""),
        ("object-deleted", "DELETE /notes/{key}", ""),
        ("object-read", "GET /notes/{id}/lines", ""),
        ("object-open", "GET /users/{number}", ""),
        ("object-changed", "PUT /users/{id}/password", ""),
        ("mass-assignment", "PATCH /me", "role"),
        ("price-from-client", "POST /notes", "price"),
        ("mass-assignment", "POST /notes", "shared"),
        *(("secret-returned", f"{where}", "token") for where in ("GET /notes", "GET /notes/{key}")),
        *(("undeclared-property", where, "") for where in ("GET /notes", "GET /notes/{key}", "PUT /notes/{key}")),
        ("function-for-everyone", "GET /admin/report", ""),
        ("function-for-everyone", "POST /jobs", ""),
        ("internal-exposed", "GET /metrics", ""),
    }
    by_rule = {one.rule.partition(".")[2]: one for one in run.findings}
    read = by_rule["object-read"]
    assert (read.severity, read.cwe, read.owasp[0]) == (Severity.HIGH, (639,), "API1:2023")
    assert by_rule["object-open"].severity is Severity.CRITICAL
    assert 862 in by_rule["object-open"].cwe
    assert by_rule["function-for-everyone"].cwe == (285,)
    assert by_rule["price-from-client"].owasp[:2] == ("API3:2023", "API6:2023")
    assert read.exchange is not None
    assert "[redacted]" in read.exchange.request
    assert '"token": "[redacted]"' in read.exchange.response
    assert not any("s3cr3t" in one.exchange.response for one in run.findings if one.exchange is not None)
    assert "two words" in by_rule["price-from-client"].exchange.response  # type: ignore[union-attr]
    assert read.location is not None
    assert read.location.path == "notes/openapi.yaml"
    assert read.location.line > 1
    assert {one.rule for one in run.findings} <= {rule.id for rule in run.rules}


def test_what_is_open_to_nobody_is_open_to_all(api: Callable[..., Staged]) -> None:
    run = whole(attack(api("open-read open-change open-delete open-report")))
    assert found(run) == {
        ("object-open", "GET /notes/{key}", ""),
        ("object-open", "PUT /notes/{key}", ""),
        ("object-open", "DELETE /notes/{key}", ""),
        ("function-open", "GET /admin/report", ""),
    }


def test_what_all_users_see_in_their_list_is_nobodys_secret(api: Callable[..., Staged]) -> None:
    run = whole(attack(api("read listed")))
    assert found(run) == set()


def test_one_user_is_said_and_the_rest_is_done(api: Callable[..., Staged]) -> None:
    outcome = attack(api("read open-delete metrics price", users=LOGIN + ALICE))
    assert isinstance(outcome, Completed), outcome
    run = outcome.run
    assert {("object-open", "DELETE /notes/{key}", ""), ("internal-exposed", "GET /metrics", "")} <= found(run)
    assert ("price-from-client", "POST /notes", "price") in found(run)
    assert ("object-read", "GET /notes/{key}", "") not in found(run)
    assert any(note.startswith("not tested: API1:2023 between users: one ordinary user") for note in run.notes)
    assert any("no user with the role admin is configured" in note for note in run.notes)


def test_no_user_is_said_and_the_rest_is_done(api: Callable[..., Staged]) -> None:
    outcome = attack(api("metrics", users=""))
    run = outcome.run  # type: ignore[union-attr]
    assert run is not None
    assert ("internal-exposed", "GET /metrics", "") in found(run)
    notes = "\n".join(run.notes)
    for word in ("API1:2023 and API3:2023", "API5:2023 as an ordinary user", "API6:2023"):
        assert f"not tested: {word}" in notes


def test_a_failure_of_the_service_is_no_refusal(api: Callable[..., Staged]) -> None:
    outcome = attack(api("read change delete fails"))
    assert isinstance(outcome, Completed)  # the runner judges its coverage
    assert found(outcome.run) == set()
    missed = {one.target: one.why for one in outcome.run.coverage[0].missed}
    assert missed.keys() == {
        *(f"notes {method} /notes/{{key}}" for method in ("GET", "PUT", "DELETE")),
        "notes GET /notes/{id}/lines",
    }
    assert set(missed.values()) == {"bob is answered 503, which tells nothing"}


DOCUMENTS = """
  /documents/{number}:
    get:
      parameters: [{ name: number, in: path, required: true, schema: { type: integer }, example: 7 }]
      responses: { "200": { $ref: "#/components/responses/Any" } }
"""


def test_an_object_that_may_be_anybodys_is_missed_and_the_settings_can_tell(api: Callable[..., Staged]) -> None:
    outcome = attack(api(change=lambda text: text + DOCUMENTS[1:]))
    assert isinstance(outcome, Completed)  # the runner judges its coverage
    missed = outcome.run.coverage[0].missed
    assert [(one.target, one.why) for one in missed] == [
        ("notes GET /documents/{number}", "whose it is cannot be told")
    ]
    assert outcome.run.coverage[0].seen == 18


@pytest.mark.parametrize(
    ("extra", "expected"),
    [
        ('objects = { "notes /documents/{number}" = 7 }', {("object-read", "GET /documents/{number}", "")}),
        ('public-operations = ["notes GET /documents/{number}"]', set()),
        (
            'admin-operations = ["notes GET /documents/{number}"]',
            {("function-for-everyone", "GET /documents/{number}", "")},
        ),
    ],
)
def test_the_settings_tell_what_an_operation_is_for(
    api: Callable[..., Staged], extra: str, expected: set[tuple[str, str, str]]
) -> None:
    outcome = attack(api(extra=f"[checks.authorization.options]\n{extra}\n", change=lambda text: text + DOCUMENTS[1:]))
    assert isinstance(outcome, Completed)
    assert found(outcome.run) == expected
    assert outcome.run.coverage[0].missed == ()


def test_a_definition_that_is_silent_on_logins(api: Callable[..., Staged]) -> None:
    def silent(text: str) -> str:
        return text.replace("security: [{ bearer: [] }]\n", "").replace("      security: []\n", "")

    run = whole(attack(api("read metrics", change=silent)))
    assert ("object-read", "GET /notes/{key}", "") in found(run)
    assert ("internal-exposed", "GET /metrics", "") in found(run)


def test_its_deadline_keeps_what_was_found(api: Callable[..., Staged]) -> None:
    outcome = attack(api(deadline=0.0))
    assert isinstance(outcome, Incomplete)
    assert outcome.reason == "the check passed its deadline of 0 s"
    assert outcome.run is not None


def test_a_setting_that_names_nothing_is_no_silence(api: Callable[..., Staged]) -> None:
    outcome = attack(api(extra='[checks.authorization.options]\nadmin-operations = ["notes GET /nowhere"]\n'))
    assert isinstance(outcome, Incomplete)
    assert "no definition declares `notes GET /nowhere`" in outcome.reason


@pytest.mark.parametrize(
    "extra",
    [
        "admin-operations = 3",
        'public-operations = ["GET /x"]',
        'objects = { "notes /x" = 1 }',
        'objects = { "notes /x/{y}" = true }',
        "unheard-of = 1",
    ],
)
def test_wrong_options(api: Callable[..., Staged], extra: str) -> None:
    target, config, _ = api(extra=f"[checks.authorization.options]\n{extra}\n")
    with pytest.raises(UserError, match=r"checks\.authorization\.options"):
        authorization.CHECK.applies(target, config)


def test_without_an_environment_the_reason_names_what_is_not_tested(tmp_path: Path) -> None:
    config = Config()
    said = authorization.CHECK.applies(discover(tmp_path, config), config)
    assert isinstance(said, Skipped)
    assert "API1, API3, API5 and API6:2023 are not tested" in said.reason


def test_its_cost_grows_with_the_operations_and_no_faster() -> None:
    place = importlib.util.spec_from_file_location("operations", ROOT / "tests" / "bench" / "operations.py")
    assert place is not None
    assert place.loader is not None
    bench = importlib.util.module_from_spec(place)
    place.loader.exec_module(bench)
    few, many = bench.measure("authorization", 14), bench.measure("authorization", 38)
    assert (few["status"], many["status"]) == ("Completed", "Completed")
    assert (few["findings"], many["findings"], few["missed"], many["missed"]) == (0, 0, 0, 0)
    assert many["requests"] - few["requests"] <= 6 * (38 - 14)


def test_a_broken_definition_is_inconclusive(api: Callable[..., Staged]) -> None:
    target, config, ctx = api(change=lambda _: "openapi: [")
    with (
        deploy(target, config, "run-1") as deployment,
        pytest.raises(Inconclusive, match="cannot read the API definition"),
    ):
        authorization.run_on(deployment, ctx)

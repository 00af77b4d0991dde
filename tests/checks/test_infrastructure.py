"""checkov: what it finds and where, what cannot silence it, and every way in which it cannot tell."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vallum.outcome import Completed, Incomplete
from vallum.process import Finished
from vallum.severity import Severity
from vallum_checks import infrastructure
from vallum_checks._manifests import Manifest
from vallum_checks.common import decode, judgements
from vallum_checks.infrastructure import CHECK

DATA = Path(__file__).parent / "data"
POD = """apiVersion: v1
kind: Pod
metadata:
  name: cart
spec:
  hostPID: true
  containers:
    - name: cart
      image: cart:1.0.0
      securityContext:
        privileged: true
"""
DOCKERFILE = "FROM python:3.12.1\nRUN pip install --trusted-host example.com flask\n"
TERRAFORM = """resource "aws_security_group" "open" {
  description = "d"
  ingress {
    description = "ssh"
    from_port   = var.port
    to_port     = var.port
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }
}
"""


@pytest.mark.slow
def test_it_finds_judges_and_places_in_all_frameworks(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            "deploy/cart.yaml": "---\n# the second document counts too\n"
            + POD
            + "---\n"
            + POD.replace("cart", "other"),
            "deploy/list.yaml": "apiVersion: v1\nkind: List\nitems:\n"
            + "".join("  " + ("- " if n == 0 else "  ") + line + "\n" for n, line in enumerate(POD.splitlines())),
            "deploy/own.yaml": "apiVersion: example.com/v1\nkind: Gizmo\nmetadata: {name: a}\n",
            "chart/Chart.yaml": "apiVersion: v2\nname: c\nkind: x\n",
            "chart/templates/a.yaml": "apiVersion: v1\nkind: Pod\nmetadata: {{ toYaml .Values }}\n",
            "api/Dockerfile": DOCKERFILE,
            "web/Dockerfile.dev": DOCKERFILE,
            ".hidden/Containerfile": DOCKERFILE,
            "infra/main.tf": TERRAFORM,
            "infra/variables.tf": 'variable "port" {\n  default = 22\n}\n',
            "compose.yaml": "services: {a: {image: b}}\n",
        },
    )
    assert isinstance(ran.outcome, Completed), ran.reason
    assert {part.unit: (part.expected, part.seen) for part in ran.outcome.run.coverage} == {
        "manifests": (2, 2),
        "Terraform files": (2, 2),
        "Dockerfiles": (3, 3),
    }
    found = {(finding.location.path, finding.rule, finding.location.line): finding for finding in ran.findings}
    assert found["deploy/cart.yaml", "CKV_K8S_16", 13].severity == Severity.HIGH
    assert ("deploy/cart.yaml", "CKV_K8S_16", 25) in found
    assert ("deploy/list.yaml", "CKV_K8S_16", 14) in found
    assert {path for path, rule, _ in found if rule == "CKV2_DOCKER_4"} == {
        "api/Dockerfile",
        "web/Dockerfile.dev",
        ".hidden/Containerfile",
    }
    assert any(
        (path, rule) == ("infra/main.tf", "CKV_AWS_24") for path, rule, _ in found
    )  # the port is in the other file
    limits = next(
        finding
        for finding in ran.findings
        if finding.rule == "CKV_K8S_13" and finding.location.path == "deploy/cart.yaml"
    )
    assert (limits.location.line, limits.cwe) == (10, (770,))
    assert any("Helm" in note for note in ran.outcome.run.notes)
    assert str(ran.root) not in repr(ran.outcome)


@pytest.mark.slow
def test_nothing_in_the_target_silences_it(check_context) -> None:
    annotation = "  annotations:\n    checkov.io/skip1: CKV_K8S_16=because\n"
    ran = check_context(
        CHECK,
        {
            "node_modules.d/.x/pod.yaml": POD.replace("spec:\n", annotation + "spec:\n", 1),
            "api/Dockerfile": "#checkov:skip=CKV_DOCKER_3:not now\n" + DOCKERFILE,
            ".checkov.yaml": "skip-check: [CKV_K8S_17, CKV2_DOCKER_4]\n",
            ".checkov.yml": "framework: [arm]\n",
        },
    )
    found = {finding.rule: finding for finding in ran.findings}
    assert isinstance(ran.outcome, Completed)
    assert (found["CKV_K8S_16"].suppression.by, found["CKV_K8S_16"].suppression.reason) == ("checkov:skip", "because")
    assert found["CKV_DOCKER_3"].suppression.reason == "not now"
    assert found["CKV_K8S_17"].suppression is None
    assert "CKV2_DOCKER_4" in found


@pytest.mark.slow
def test_files_that_it_cannot_parse_are_incomplete(check_context) -> None:
    ran = check_context(
        CHECK,
        {
            "a.yaml": POD,
            "b.yaml": "apiVersion: v1\nkind: Pod\nmetadata: [a\n",
            "main.tf": 'resource "a" {{{ \n',
        },
    )
    assert isinstance(ran.outcome, Incomplete)
    assert "1 of 2 manifests: b.yaml: not readable as YAML (line" in ran.reason
    assert [[missed.target for missed in part.missed] for part in ran.outcome.run.coverage] == [["b.yaml"], ["main.tf"]]
    assert ran.findings


def test_only_unreadable_manifests_need_no_checkov(check_context) -> None:
    assert (
        "1 of 1 manifests: b.yaml"
        in check_context(CHECK, {"b.yaml": "apiVersion: v1\nkind: Pod\nmetadata: [a\n"}).reason
    )


def test_a_pipe_is_no_dockerfile(check_context, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    os.mkfifo(tmp_path / "target" / "Dockerfile")
    assert "1 of 1 Dockerfiles: Dockerfile: cannot be read" in check_context(CHECK).reason


def test_a_tool_that_cannot_be_installed(check_context, no_tools) -> None:
    assert "cannot install checkov" in check_context(CHECK, {"pod.yaml": POD}).reason


def test_a_hang_ends_at_the_deadline(check_context) -> None:
    ran = check_context(CHECK, {"pod.yaml": POD}, "[checks.infrastructure]\ndeadline = 0.5\n")
    assert "checkov passed its deadline of" in ran.reason


def test_a_killed_tool(check_context, killer) -> None:
    killer("bin/checkov")
    assert "checkov was killed by signal 9" in check_context(CHECK, {"pod.yaml": POD}).reason


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("echo rubbish", "no readable report"),
        ("exit 0", "checkov ended with 0"),
        ("echo '[]'", "1 of 1 manifests: pod.yaml: checkov did not look at it"),
        (
            'echo \'{"passed": 0, "failed": 0, "resource_count": 0}\'',
            "1 of 1 manifests: pod.yaml: checkov did not look at it",
        ),
        ('echo \'{"check_type": "kubernetes", "summary": {"parsing_errors": 1}}\'', "and does not name them"),
    ],
)
def test_rubbish_is_not_a_report(check_context, stand_in, program: str, reason: str) -> None:
    stand_in("checkov", program)
    assert reason in check_context(CHECK, {"pod.yaml": POD}).reason


@pytest.mark.parametrize("name", ["empty-target", "unparsable-tf", "two-frameworks"])
def test_recorded_reports(name: str, tmp_path: Path) -> None:
    done = Finished(("checkov",), 1, 0.1, tmp_path / "out", tmp_path / "err")
    data = (DATA / f"checkov-{name}.json").read_bytes()
    kind = list[infrastructure._Framework] if data.startswith(b"[") else infrastructure._Framework
    read = decode(data, kind, "checkov", done)
    if name == "unparsable-tf":
        assert read.summary.parsing_errors == 1
    elif name == "two-frameworks":
        assert [part.check_type for part in read] == ["dockerfile", "github_actions"]
        assert read[0].results.failed_checks[0].check_id == "CKV_DOCKER_2"
    else:
        assert (read.check_type, read.results.failed_checks) == ("", [])


def test_the_map_of_severities() -> None:
    judged = judgements("checkov")
    assert judged["CKV_K8S_16"].severity == Severity.HIGH
    assert Severity.CRITICAL not in {judgement.severity for judgement in judged.values()}
    assert all(judgement.severity and judgement.fix for judgement in judged.values())


def test_a_key_that_is_missing_is_placed_at_its_parent() -> None:
    import yaml

    node = yaml.compose(POD, Loader=yaml.CSafeLoader)
    manifest = Manifest("Pod", 1, 11, node)
    assert manifest.find("spec/containers/[0]/securityContext/privileged") == (5, 11, 11)
    assert manifest.find("spec/containers/[0]/resources/limits/memory") == (3, 8, 11)
    assert manifest.find("spec/hostPID") == (2, 6, 6)
    assert manifest.find("metadatum") is None

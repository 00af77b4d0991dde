"""Formats on a staged deployment: a GraphQL service that is asked for its types, beside one that a recording describes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.api.test_formats import NAMES, SCHEMA, har

from vallum import config as configuration
from vallum import tools
from vallum.check import Context, Planned
from vallum.config import Config
from vallum.outcome import Completed, Incomplete
from vallum.target import Target, discover
from vallum_checks import dast, schemathesis

TOML = """
[environment.services.graph]
directory = "graph"
command = ["PYTHON", "server.py", "{port}", "schema.graphql", "MODE"]
ready = { path = "/ready" }
definition = { kind = "graphql" }
[environment.services.rest]
directory = "graph"
command = ["PYTHON", "server.py", "{port}", "schema.graphql"]
ready = { path = "/ready" }
definition = { file = "rest.har" }
[environment.services.rpc]
directory = "graph"
command = ["PYTHON", "server.py", "{port}", "schema.graphql"]
ready = { path = "/ready" }
definition = { file = "orders.proto" }
"""


def staged(tmp_path: Path, mode: str) -> tuple[Target, Config, Context]:
    root = tmp_path / "target"
    folder = root / "graph"
    folder.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("graphql_server.py"), folder / "server.py")
    (folder / "schema.graphql").write_text(SCHEMA)
    entries = [har("GET", "https://x.example.invalid/orders/7", 404)]
    (folder / "rest.har").write_text(json.dumps({"log": {"entries": entries}}))
    (folder / "orders.proto").write_text('syntax = "proto3"; service Orders { rpc Get (A) returns (A); }')
    python = str(tools.prepare("schemathesis").bin("python"))
    (root / "vallum.toml").write_text(TOML.replace("PYTHON", python).replace("MODE", mode))
    config = configuration.load(root)
    target = discover(root, config)
    folders = [tmp_path / name for name in ("outcome", "raw", "scratch")]
    for each in folders:
        each.mkdir()
    return target, config, Context(target, config, "_", *folders, 300)


@pytest.mark.slow
def test_a_graphql_service_is_asked_and_tested(tmp_path: Path) -> None:
    target, config, ctx = staged(tmp_path, "")
    assert schemathesis.CHECK.applies(target, config) == Planned()
    outcome = dast.run_staged(target, config, "run-1", {"schemathesis": ctx})["schemathesis"]
    assert isinstance(outcome, Completed), outcome
    run = outcome.run
    assert (run.coverage[0].seen, run.coverage[0].expected) == (5, 5)
    found = {each.name or f"{each.service} {each.path}": each for each in run.operations if each.declared}
    assert set(found) == {*NAMES, "rest /orders/{id}", "rpc /Orders/Get"}
    assert all(found[name].attacked for name in NAMES)
    assert not found["rest /orders/{id}"].reached
    assert found["rpc /Orders/Get"].why.startswith("unsupported: gRPC needs HTTP/2")
    said = "\n".join(run.notes)
    assert "rest: schemathesis reads no har definition" in said
    assert "not tested: 1 gRPC methods of graph/orders.proto" in said


def test_one_that_says_nothing_of_itself(tmp_path: Path) -> None:
    target, config, ctx = staged(tmp_path, "mute")
    outcome = dast.run_staged(target, config, "run-1", {"schemathesis": ctx})["schemathesis"]
    assert isinstance(outcome, Incomplete)
    assert "the introspection of graph at /graphql answers with an error" in outcome.reason
    assert 'definition = { kind = "graphql", file = … }' in outcome.reason

"""What is fuzzed: every reader of something that another machine, a tool or the target wrote; seeds, and what it may raise."""

from __future__ import annotations

import datetime as dt
import functools
import hashlib
import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from vallum import artifacts, baseline, intelligence, plan, runner, waivers
from vallum.advisories import osv, sbom
from vallum.api import descriptors, formats, grpc
from vallum.api import openapi as definition
from vallum.artifacts import outcome_folder
from vallum.check import Check, Planned, Stage
from vallum.config import Config, load
from vallum.environments import ApiDefinition
from vallum.errors import Inconclusive, UserError
from vallum.finding import Exchange, Finding, Location, Operation, Package, Rule, Suppression
from vallum.outcome import Completed, Coverage, Database, Incomplete, Reach, Run, Tool
from vallum.process import Finished
from vallum.sarif import read_run, write_run
from vallum.sarif.foreign import Foreign, read_sarif
from vallum.sarif.junit import read_junit
from vallum.severity import Severity
from vallum.target import Target
from vallum_checks import bandit, dockerfile, infrastructure, semgrep, workflows
from vallum_checks.common import decode

HERE = Path(__file__).parent
DATA = HERE.parent / "checks" / "data"
ROOT = Path(tempfile.mkdtemp(prefix="vallum-fuzz-")).resolve()


@dataclass(frozen=True)
class Reader:
    """`read` may raise what is in `raises` and nothing else; `seeds` are sound inputs, to be broken."""

    read: Callable[[bytes], object]
    seeds: tuple[bytes, ...]
    raises: tuple[type[Exception], ...]


FINDING = Finding(
    rule="R1",
    severity=Severity.HIGH,
    message="m",
    location=Location("a/b.py", 3, 1, 4, "x = 1"),
    service="s",
    cwe=(89,),
    owasp=("A05:2025",),
    confidence="high",
    fix="f",
    package=Package("p", "1.0", "pkg:pypi/p@1.0", ("1.1",)),
    aliases=("CVE-2024-0001", "GHSA-x"),
    cvss="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H",
    operation=Operation("GET", "/x/{id}", "id"),
    exchange=Exchange("GET / HTTP/1.1", "HTTP/1.1 200"),
    suppression=Suppression("inSource", "# nosec", "why"),
)
RUN = Run(
    tool=Tool("t", "1", "ab"),
    coverage=(Coverage("files", 1, 1),),
    rules=(Rule("R1", "r", "d", "h", "https://example.invalid"),),
    findings=(FINDING, Finding(rule="R1", severity=Severity.UNKNOWN, message="n")),
    databases=(Database("d", "s", 5, "2026-01-01"),),
    notes=("n",),
    argv=("a",),
    exit_code=0,
    started="2026-01-01T00:00:00Z",
    operations=(Reach(service="s", method="GET", path="/x/{id}", name="n", secured=True, reached=True, why="w"),),
)
CHECK = Check("demo", Stage.SOURCE, "s", lambda _t, _c: Planned(), lambda _c: Completed(RUN))
SARIF = {
    "$schema": "x",
    "version": "2.1.0",
    "runs": [
        {
            "tool": {
                "driver": {
                    "name": "t",
                    "version": "1",
                    "rules": [
                        {
                            "id": "R1",
                            "name": "n",
                            "shortDescription": {"text": "s"},
                            "help": {"text": "h", "markdown": "m"},
                            "messageStrings": {"default": {"text": "{0} is bad"}},
                            "defaultConfiguration": {"level": "error"},
                            "properties": {"tags": ["external/cwe/cwe-089"], "security-severity": "7.5"},
                        }
                    ],
                },
                "extensions": [{"name": "e", "rules": [{"id": "E1"}]}],
            },
            "originalUriBaseIds": {"SRC": {"uri": "file:///x/"}},
            "artifacts": [{"location": {"uri": "a.py", "uriBaseId": "SRC"}, "roles": ["analysisTarget"]}],
            "invocations": [
                {
                    "executionSuccessful": True,
                    "toolExecutionNotifications": [{"level": "note", "message": {"text": "n"}, "locations": []}],
                }
            ],
            "results": [
                {
                    "ruleId": "R1",
                    "ruleIndex": 0,
                    "kind": "fail",
                    "level": "warning",
                    "message": {"id": "default", "arguments": ["x"]},
                    "locations": [
                        {
                            "physicalLocation": {
                                "artifactLocation": {"uri": "a.py", "index": 0},
                                "region": {"startLine": 1, "startColumn": 2, "endLine": 3},
                            }
                        }
                    ],
                    "suppressions": [{"kind": "inSource", "status": "accepted", "justification": "j"}],
                }
            ],
        }
    ],
}
JUNIT = (
    b'<?xml version="1.0"?><testsuites><testsuite name="a.py"><testcase name="t" classname="c" file="a.py" line="3">'
    b'<failure message="m" type="T">body</failure></testcase><testcase name="u"><error/></testcase>'
    b'<testcase name="v"><skipped/></testcase></testsuite></testsuites>'
)
OSV = {
    "id": "GHSA-x",
    "modified": "2026-01-01T00:00:00Z",
    "aliases": ["CVE-2024-0001"],
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "p"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.2"}]}],
            "versions": ["1.0"],
            "database_specific": {"a": [1]},
        }
    ],
    "references": [{"type": "WEB", "url": "https://example.invalid"}],
}
BOM = {
    "bomFormat": "CycloneDX",
    "specVersion": "1.6",
    "metadata": {"tools": {"components": [{"name": "syft", "version": "1"}]}},
    "components": [
        {
            "type": "library",
            "name": "p",
            "version": "1",
            "purl": "pkg:npm/%40a/p@1",
            "properties": [{"name": "syft:location:0:path", "value": "/x"}],
        }
    ],
}
API = {
    "openapi": "3.0.3",
    "info": {"title": "t", "version": "1"},
    "servers": [{"url": "/api/v1"}],
    "paths": {
        "/x/{id}": {
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 3}}],
            "get": {
                "parameters": [{"name": "q", "in": "query", "schema": {"type": "string", "enum": ["a"]}}],
                "responses": {},
            },
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/X"}}}},
                "responses": {},
            },
            "put": {"requestBody": {"content": {"application/xml": {"schema": {"$ref": "#/components/schemas/X"}}}}},
            "patch": {
                "requestBody": {"content": {"multipart/form-data": {"schema": {"$ref": "#/components/schemas/X"}}}}
            },
        }
    },
    "components": {
        "schemas": {
            "X": {
                "type": "object",
                "required": ["a"],
                "properties": {
                    "a": {"type": "array", "items": {"type": "number", "format": "double"}, "minItems": 2},
                    "b": {"allOf": [{"$ref": "#/components/schemas/X"}]},
                    "c": {"type": "string", "format": "date-time", "minLength": 3},
                },
            }
        }
    },
}
SWAGGER = {
    "swagger": "2.0",
    "basePath": "/v2",
    "consumes": ["application/json"],
    "securityDefinitions": {"key": {"type": "apiKey", "in": "header", "name": "X-Key"}},
    "paths": {
        "/x/{id}": {
            "parameters": [{"$ref": "#/parameters/Id"}],
            "put": {
                "parameters": [{"in": "body", "name": "b", "schema": {"$ref": "#/definitions/X"}}],
                "responses": {"200": {"description": "", "schema": {"$ref": "#/definitions/X"}}},
            },
            "post": {
                "consumes": ["multipart/form-data"],
                "parameters": [{"in": "formData", "name": "f", "type": "file"}],
                "responses": {},
            },
        }
    },
    "parameters": {"Id": {"in": "path", "name": "id", "type": "array", "items": {"type": "integer"}}},
    "definitions": {"X": {"type": "object", "properties": {"a": {"$ref": "#/definitions/X"}}}},
}
SDL = b"""schema { query: Query mutation: Mutation }
directive @auth(role: String = "user") on FIELD_DEFINITION
enum State { OPEN CLOSED }
union Thing = Order | Other
type Other implements A & B { name: String! }
type Order { id: ID! state: State items(first: Int! = 3): [Order!]! thing: Thing }
input Line { sku: String = "b", next: Line!, more: [Line!]! }
type Query { \"\"\"all\"\"\" order(id: ID!, states: [State!]): Order @auth(role: "admin") }
type Mutation { add(line: Line!): Order! }
"""
INTROSPECTED = {
    "data": {
        "__schema": {
            "queryType": {"name": "Query"},
            "mutationType": None,
            "types": [
                {
                    "kind": "OBJECT",
                    "name": "Query",
                    "fields": [
                        {
                            "name": "order",
                            "args": [
                                {
                                    "name": "id",
                                    "type": {"kind": "NON_NULL", "ofType": {"kind": "SCALAR", "name": "ID"}},
                                    "defaultValue": None,
                                }
                            ],
                            "type": {"kind": "LIST", "ofType": {"kind": "OBJECT", "name": "Query"}},
                        }
                    ],
                },
                {"kind": "ENUM", "name": "State", "enumValues": [{"name": "OPEN"}]},
            ],
        }
    }
}
PROTO = b"""syntax = "proto3"; // x
package shop.v1;
/* service No { rpc No (A) returns (B); } */
message A { string rpc = 1; message Inner { int32 id = 1; } }
service Orders { option (x) = { a: "}" }; rpc Get (A) returns (stream B) { option deprecated = true; } rpc List(A) returns (B); }
"""
POSTMAN = {
    "info": {"name": "shop", "schema": "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"},
    "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{secret}}"}]},
    "variable": [{"key": "base", "value": "https://api.example.invalid/v1"}, {"key": "a", "value": "{{a}}"}],
    "item": [
        {
            "name": "orders",
            "item": [
                {
                    "request": {
                        "method": "POST",
                        "header": [{"key": "Content-Type", "value": "application/json"}],
                        "url": {
                            "raw": "{{base}}/orders/:id?x={{$guid}}",
                            "query": [{"key": "x", "value": "{{a}}"}],
                            "variable": [{"key": "id", "value": "7"}],
                        },
                        "body": {"mode": "raw", "raw": '{"password": "x", "n": 1}'},
                    },
                    "response": [{"code": 201}],
                },
                {
                    "request": {
                        "url": "{{base}}/f",
                        "auth": {"type": "noauth"},
                        "body": {"mode": "urlencoded", "urlencoded": [{"key": "a", "value": "b"}]},
                    }
                },
                {
                    "request": {
                        "body": {"mode": "graphql", "graphql": {"query": "{ me }", "variables": "{}"}},
                        "url": {},
                    }
                },
            ],
        }
    ],
}
HAR = {
    "log": {
        "version": "1.2",
        "entries": [
            {
                "request": {
                    "method": "POST",
                    "url": "https://shop.example.invalid/orders/17?token=abc&page=2",
                    "headers": [{"name": "Authorization", "value": "Bearer x"}],
                    "postData": {"mimeType": "application/json", "text": '{"a": [{"password": "x"}]}'},
                },
                "response": {"status": 200, "content": {"mimeType": "application/json"}},
            },
            {
                "request": {
                    "method": "PUT",
                    "url": "https://shop.example.invalid/u/0123456789abcdef0123456789abcdef/x",
                    "postData": {"mimeType": "x", "params": [{"name": "a", "value": "b"}]},
                },
                "response": {"status": 0},
            },
        ],
    }
}
CONFIG = b"""[project]
name = "x"
[services.a]
path = "a"
[checks.bandit]
require = "optional"
deadline = 3.5
options = { a = 1 }
[policy]
block = ["critical"]
[limits]
report-mb = 5
[[check]]
id = "mine"
summary = "s"
files = ["*.py"]
argv = ["x", "{raw}"]
sarif = "-"
levels = { error = "low" }
database = { argv = ["x"] }
"""
WAIVERS = b"""# why
[[waiver]]
id = "0123456789abcdef"
status = "affected"
reason = "r"
owner = "o@example.invalid"
until = 2026-12-01
[[waiver]]
match = { check = "bandit", path = "a/*" }
status = "affected"
reason = "r"
owner = "o"
until = 2026-12-01
"""
BANDIT = {
    "errors": [{"filename": "./b.py", "reason": "syntax error"}],
    "metrics": {"./a.py": {"loc": 1}, "_totals": {"loc": 1}},
    "results": [
        {
            "filename": "./a.py",
            "line_number": 1,
            "line_range": [1],
            "col_offset": 0,
            "test_id": "B1",
            "test_name": "n",
            "issue_text": "t",
            "issue_severity": "HIGH",
            "issue_confidence": "LOW",
            "issue_cwe": {"id": 78, "link": ""},
            "more_info": "https://example.invalid",
        }
    ],
}


def as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


@functools.cache
def stored() -> tuple[bytes, bytes]:
    """A record.json and its result.sarif as the runner writes them."""
    runner.run_unit(CHECK, Target(ROOT, "t", (), ()), Config(), "run")
    folder = outcome_folder(ROOT, "demo", "_")
    return (folder / "record.json").read_bytes(), (folder / "result.sarif").read_bytes()


def record(data: bytes) -> None:
    """A broken record is Incomplete; one that is Completed proves what it says."""
    folder = outcome_folder(ROOT, "demo", "_")
    _, sarif = stored()
    (folder / "record.json").write_bytes(data)
    (folder / "result.sarif").write_bytes(sarif)
    proved(runner.read(ROOT, "demo", "_", "run"))


def result(data: bytes) -> None:
    """With a digest that fits: the strongest attacker there is."""
    folder = outcome_folder(ROOT, "demo", "_")
    made = json.loads(stored()[0]) | {"sarif": hashlib.sha256(data).hexdigest()}
    (folder / "record.json").write_text(json.dumps(made))
    (folder / "result.sarif").write_bytes(data)
    proved(runner.read(ROOT, "demo", "_", "run"))


def proved(outcome: object) -> None:
    assert isinstance(outcome, Completed | Incomplete)
    if isinstance(outcome, Incomplete):
        assert outcome.reason
        return
    assert outcome.run.coverage
    assert all(part.seen > 0 and part.seen >= part.expected and not part.missed for part in outcome.run.coverage)
    data = write_run("demo", outcome.run, True)
    assert read_run(data) == (outcome.run.rules, outcome.run.findings)


def foreign(reader: Callable[[bytes, Path], Foreign], data: bytes) -> None:
    """What is let through can be written down and read back, and leaves no place outside of the target."""
    read = reader(data, ROOT)
    run = Run(
        tool=Tool(read.tool, read.version), coverage=(), rules=read.rules, findings=read.findings, notes=read.notes
    )
    assert read_run(write_run("x", run, True)) == (run.rules, run.findings)
    for finding in read.findings:
        if finding.location is not None:
            assert finding.location.path
            assert not finding.location.path.startswith("/")
            assert ".." not in finding.location.path.split("/")


def on_disk(name: str, read: Callable[[Path], object]) -> Callable[[bytes], object]:
    def reader(data: bytes) -> object:
        folder = ROOT / "disk" / name.replace(".", "-")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
        return read(folder)

    return reader


def api(data: bytes, name: str) -> None:
    """The definition, and a request made of each of its operations."""
    path = ROOT / name
    path.write_bytes(data)
    read = definition.read(path)
    for operation in read.operations:
        read.request(operation, lambda *_: "")


def defined(data: bytes, name: str, kind: str = "") -> None:
    """As `api`, through the reader of all formats."""
    (ROOT / name).write_bytes(data)
    read = formats.read(Target(ROOT, "t", (), ()), name, ApiDefinition(kind=kind))
    for operation in read.operations:
        read.request(operation, lambda *_: "")


def reflected(data: bytes) -> None:
    """What a gRPC server says of itself (a FileDescriptorSet here), and messages that are made and read by it."""
    files = descriptors.in_set(data, "it")
    descriptors.parsed([each.SerializeToString() for each in files.values()], "it")
    services = descriptors.services(files)
    read = grpc.served(descriptors.pool(files, "it"), services, ApiDefinition(), "it", grpc.nothing(ROOT))
    for operation in read.operations:
        request = read.request(operation, lambda *_: "")
        if read.decode is not None:
            read.decode(operation, request.body)
            read.decode(operation, data)


def done(data: bytes) -> Finished:
    for stream in ("out", "err"):
        (ROOT / stream).write_bytes(data if stream == "out" else b"")
    return Finished(("tool",), 1, 0.0, ROOT / "out", ROOT / "err")


def tool(kind: Any) -> Callable[[bytes], object]:
    return lambda data: decode(data, kind, "tool", done(b""))


def bandit_report(data: bytes) -> object:
    return bandit._read(done(data).stdout, done(data))


def either(data: bytes) -> None:
    """As checkov's reader does: one framework, or several."""
    kind = list[infrastructure._Framework] if data.lstrip()[:1] == b"[" else infrastructure._Framework
    tool(kind)(data)


def recorded(*names: str) -> tuple[bytes, ...]:
    return tuple((DATA / name).read_bytes() for name in names)


TODAY = dt.date(2026, 11, 1)
PLAN = plan.Plan(
    run="r",
    target="t",
    vallum="0",
    started="",
    checks=(plan.PlannedCheck(check="c", stage="source", summary="s", require="required", units=("_",)),),
)


def _plan(folder: Path) -> object:
    inner = folder / artifacts.FOLDER
    inner.mkdir(exist_ok=True)
    (folder / "plan.json").replace(inner / "plan.json")
    return plan.load(folder)


READERS: dict[str, Reader] = {
    "record.json": Reader(record, (stored()[0],), ()),
    "result.sarif": Reader(result, (stored()[1],), ()),
    "foreign.sarif": Reader(functools.partial(foreign, read_sarif), (as_json(SARIF), stored()[1]), (ValueError,)),
    "junit.xml": Reader(functools.partial(foreign, read_junit), (JUNIT,), (ValueError,)),
    "osv.json": Reader(osv.decode, (as_json(OSV),), (ValueError,)),
    "sbom.json": Reader(sbom.read, (as_json(BOM),), (Inconclusive,)),
    "vallum.toml": Reader(
        on_disk("vallum.toml", lambda folder: load(folder, frozenset({"bandit"}))), (CONFIG,), (UserError,)
    ),
    "pyproject.toml": Reader(
        on_disk("pyproject.toml", load),
        (b'[tool.vallum.policy]\nunknown = "warn"\n[tool.vallum.project]\nname = "x"\n',),
        (UserError,),
    ),
    "waivers.toml": Reader(lambda data: waivers.parse(data, TODAY, 180), (WAIVERS,), (UserError,)),
    "baseline.json": Reader(
        baseline.decode,
        (as_json({"schema": baseline.SCHEMA, "commit": "c", "source": "s", "findings": {}, "complete": []}),),
        (UserError,),
    ),
    "plan.json": Reader(on_disk("plan.json", _plan), (msgspec.json.encode(PLAN),), (UserError,)),
    "kev.json": Reader(
        intelligence.read_kev,
        (
            as_json(
                {
                    "catalogVersion": "1",
                    "dateReleased": "2026-01-01T00:00:00Z",
                    "count": 1,
                    "vulnerabilities": [
                        {
                            "cveID": "CVE-2024-0001",
                            "dateAdded": "2024-01-01",
                            "dueDate": "2024-02-01",
                            "knownRansomwareCampaignUse": "Known",
                        }
                    ],
                }
            ),
        ),
        (ValueError, Inconclusive),
    ),
    "epss.csv": Reader(
        intelligence.read_epss,
        (b"#model_version:v2025,score_date:2026-01-01T00:00:00Z\ncve,epss,percentile\nCVE-2024-0001,0.5,0.9\n",),
        (ValueError, Inconclusive),
    ),
    "openapi.json": Reader(functools.partial(api, name="openapi.json"), (as_json(API),), (Inconclusive,)),
    "openapi.yaml": Reader(functools.partial(api, name="openapi.yaml"), (as_json(API),), (Inconclusive,)),
    "swagger.json": Reader(functools.partial(defined, name="swagger.json"), (as_json(SWAGGER),), (Inconclusive,)),
    "schema.graphql": Reader(functools.partial(defined, name="schema.graphql"), (SDL,), (Inconclusive,)),
    "introspection.json": Reader(
        functools.partial(defined, name="introspection.json", kind="graphql"), (as_json(INTROSPECTED),), (Inconclusive,)
    ),
    "api.proto": Reader(functools.partial(defined, name="api.proto"), (PROTO,), (Inconclusive,)),
    "reflection.binpb": Reader(reflected, ((HERE.parent / "rpc" / "shop.binpb").read_bytes(),), (Inconclusive,)),
    "postman.json": Reader(
        functools.partial(defined, name="postman.json", kind="postman"), (as_json(POSTMAN),), (Inconclusive,)
    ),
    "api.har": Reader(functools.partial(defined, name="api.har", kind="har"), (as_json(HAR),), (Inconclusive,)),
    "bandit.json": Reader(bandit_report, (as_json(BANDIT),), (Inconclusive,)),
    "semgrep.json": Reader(
        tool(semgrep._Report), recorded("semgrep-findings.json", "semgrep-timeout.json"), (Inconclusive,)
    ),
    "zizmor.json": Reader(tool(list[workflows._Result]), recorded("zizmor.json"), (Inconclusive,)),
    "hadolint.json": Reader(tool(list[dockerfile._Result]), recorded("hadolint-demo.json"), (Inconclusive,)),
    "checkov.json": Reader(
        either, recorded("checkov-two-frameworks.json", "checkov-empty-target.json"), (Inconclusive,)
    ),
}

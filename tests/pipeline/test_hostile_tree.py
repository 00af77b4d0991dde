"""Whatever a tree holds that tools take for their settings or run: no finding is lost to it, and nothing of it runs.

One tree with known weaknesses is checked by the real tools, then once more with every trick that we know planted in it and
in the folder above it. A new tool's own files belong into PLANTED.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import vallum_checks
from vallum import config as configuration
from vallum import process, runner
from vallum.finding import Finding
from vallum.outcome import Completed, Incomplete, Outcome
from vallum.target import discover
from vallum.tools import prepare
from vallum_checks import CHECKS

pytestmark = pytest.mark.slow

WEAK = {
    "shop/app.py": "import hashlib\nimport subprocess\n\n\ndef run(word):\n    subprocess.call('ls ' + word, shell=True)\n    return hashlib.md5(word).hexdigest()\n",
    "shop/web.py": "from flask import Flask, request\nimport sqlite3\n\napp = Flask(__name__)\n\n\n@app.get('/find')\ndef find():\n    name = request.args['name']\n    return sqlite3.connect('x').execute('select * from t where n = ' + name).fetchall()\n\n\napp.run(debug=True)\n",
    "shop/tests/test_it.py": "import pickle\n\npickle.loads(b'')\n",
    "shop/settings.py": "AWS_KEY = 'AKIA" + "Z7QXW3N5RTBVLM2K'\n",
    "web/server.js": "const cp = require('child_process')\nconst app = require('express')()\napp.get('/', (req, res) => { cp.exec('ls ' + req.query.q); res.send('') })\n",
    "Dockerfile": "FROM python:latest\nRUN apt-get update && apt-get install curl\nADD http://example.com/a.tar /a\n",
    "deploy/pod.yaml": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: cart\nspec:\n  hostNetwork: true\n  containers:\n    - name: cart\n      image: cart:latest\n      securityContext:\n        privileged: true\n",
    "infra/main.tf": 'resource "aws_s3_bucket" "logs" {\n  bucket = "logs"\n  acl    = "public-read"\n}\n',
    ".github/workflows/ci.yml": "on: issues\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@main\n      - run: echo ${{ github.event.issue.title }}\n",
    "requirements.txt": "vallum-weak-example==1.0\n",
    "package.json": '{"name": "web", "version": "1.0.0", "dependencies": {"weak-example": "1.0.0"}}',
    "package-lock.json": json.dumps(
        {
            "name": "web",
            "version": "1.0.0",
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "web", "version": "1.0.0", "dependencies": {"weak-example": "1.0.0"}},
                "node_modules/weak-example": {
                    "version": "1.0.0",
                    "resolved": "https://registry.example.invalid/weak-example-1.0.0.tgz",
                },
            },
        }
    ),
}
ADVISORIES = {
    "PYSEC-2026-1.json": ("PyPI", "vallum-weak-example"),
    "GHSA-aaaa-bbbb-cccc.json": ("npm", "weak-example"),
}
CODE = "import pathlib\npathlib.Path({canary!r}).write_text(__file__)\n"
JS = "require('fs').writeFileSync({canary!r}, __filename)\n"


def planted(canary: str) -> dict[str, str]:
    """Every file that we know to silence a tool, or to be run by one; `canary` is written where one is run."""
    code, js = CODE.format(canary=canary), JS.format(canary=canary)
    touch = f"touch {canary}"
    return {
        # Python: start-up, imports from the working directory, test and build tools
        "sitecustomize.py": code, "usercustomize.py": code, "conftest.py": code, "noxfile.py": code, "setup.py": code,
        "tasks.py": code, "evil.pth": f"import os; os.system({touch!r})\n", "vallum.py": code, "vallum_checks/__init__.py": code,
        "vallum/__init__.py": code, "pipeline/vallum/__init__.py": code, "checks/vallum_checks/__init__.py": code,
        "nox.py": code, "bandit.py": code, "bandit/__init__.py": code, "semgrep.py": code, "detect_secrets/__init__.py": code,
        "checkov/__init__.py": code, "pip_audit.py": code, "msgspec.py": code, "yaml.py": code, "json.py": code, "re.py": code,
        "logging.py": code, "tomllib.py": code, "site.py": code, "uv/__init__.py": code, "git.py": code, "six.py": code,
        "pyvenv.cfg.txt": "home = /nowhere\n", ".pythonrc.py": code, ".python-version": "2.7.18\n", ".tool-versions": "python 2.7\n",
        "tox.ini": "[bandit]\nskips = B602,B324,B301,B201,B608\nexclude = /\n[testenv]\ncommands = " + touch + "\n",
        "setup.cfg": "[bandit]\nskips = B602,B324,B301,B201\nexclude = /\n[tool:bandit]\nskips = B602\n",
        ".bandit": "[bandit]\nskips = B602,B324,B301,B201,B608\nexclude = ./shop,/shop,*\ntests = B999\n",
        "bandit.yaml": "skips: [B602, B324, B301, B201]\nexclude_dirs: ['.']\n", ".bandit.yml": "skips: [B602]\n",
        "pyproject.toml": '[tool.bandit]\nskips = ["B602", "B324", "B301"]\nexclude_dirs = ["shop", "."]\n'
        '[tool.uv]\nindex-url = "https://registry.example.invalid/simple"\nno-index = true\noffline = true\n'
        '[tool.semgrep]\nexclude = ["*"]\n[tool.pip-audit]\nignore-vulns = ["PYSEC-2026-1"]\n'
        '[tool.detect-secrets]\nexclude-files = [".*"]\n[tool.checkov]\nskip-check = ["*"]\n',
        "requirements.in": "", "pip.conf": "[global]\nindex-url = https://registry.example.invalid/simple\nno-deps = true\n",
        "uv.toml": 'index-url = "https://registry.example.invalid/simple"\nno-index = true\n',
        # ignore files
        ".gitignore": "*\n", ".ignore": "*\n", ".rgignore": "*\n", ".dockerignore": "*\n", ".npmignore": "*\n",
        ".gitattributes": "* filter=evil diff=evil linguist-generated\n*.py linguist-vendored -diff\n", ".gitmodules": f'[submodule "a"]\npath = a\nurl = ext::sh -c "{touch}"\n',
        ".semgrepignore": "*\n:include .gitignore\n", ".semgrep.yml": "rules: []\n", ".semgrep/rules.yml": "rules: []\n", "shop/.semgrepignore": "*\n",
        # secrets
        ".secrets.baseline": '{"version": "1.5.0", "plugins_used": [], "filters_used": [], "results": {"shop/settings.py": []}}\n',
        ".gitleaks.toml": '[allowlist]\npaths = [".*"]\n', ".gitleaksignore": "*\n", ".trufflehog-ignore": "*\n",
        ".pre-commit-config.yaml": "repos: []\nexclude: .*\n",
        # Dockerfiles
        ".hadolint.yaml": "ignored: [DL3007, DL3008, DL3015, DL3020]\nfailure-threshold: none\noverride: {}\n", ".hadolint.yml": "ignored: [DL3007]\n",
        ".shellcheckrc": "disable=all\n",
        # infrastructure
        ".checkov.yaml": f"skip-check: ['*']\nskip-path: ['.*']\nexternal-checks-dir: [{os.path.dirname(canary)}/target/own_checks]\nsoft-fail: true\n",
        ".checkov.yml": "check: [CKV_NONE_1]\n", "deploy/.checkov.yaml": "skip-check: ['*']\n", "infra/.checkov.yaml": "skip-check: ['*']\n",
        ".checkov.baseline": '{"failed_checks": [{"file": "/infra/main.tf", "findings": [{"resource": "aws_s3_bucket.logs", "check_ids": ["CKV_AWS_20"]}]}]}\n',
        "own_checks/__init__.py": code, "own_checks/evil.py": code, ".checkov/evil.py": code, ".checkovignore": "*\n",
        "infra/terraform.tfvars": 'unused = "x"\n', ".terraformrc": f'credentials_helper "x" {{ args = ["{touch}"] }}\n',
        ".tfsec/config.yml": "exclude: ['*']\n", ".trivyignore": "*\n", "trivy.yaml": "severity: [CRITICAL]\n", ".kics.config": "exclude-paths: ['.']\n",
        # workflows
        "zizmor.yml": "rules:\n  template-injection: {disable: true}\n  unpinned-uses: {disable: true}\n",
        ".github/zizmor.yml": "rules:\n  template-injection: {ignore: [ci.yml]}\n  unpinned-uses: {ignore: [ci.yml]}\n",
        ".github/zizmor.yaml": "rules:\n  template-injection: {disable: true}\n", ".github/actionlint.yaml": "self-hosted-runner: {labels: []}\n",
        # packages
        ".syft.yaml": "exclude: ['**']\ncatalogers: []\n", ".syft/config.yaml": "exclude: ['**']\n", "syft.yaml": "exclude: ['**']\n",
        ".grype.yaml": "ignore:\n  - vulnerability: '*'\n", "osv-scanner.toml": "[[IgnoredVulns]]\nid = '*'\n", ".pip-audit.toml": "ignore = ['*']\n",
        ".npmrc": f"registry=https://registry.example.invalid/\nscript-shell={canary}.sh\nnode-options=--require=./evil.js\ngit=./evil.sh\n", "evil.js": js,
        "evil.sh": f"#!/bin/sh\n{touch}\n", ".yarnrc.yml": "yarnPath: ./evil.js\n", ".pnpmfile.cjs": js, ".nvmrc": "v0.1\n", ".node-version": "0.1\n",
        ".mvn/maven.config": "-Dmaven.ext.class.path=evil.jar\n", ".mvn/jvm.config": "-javaagent:evil.jar\n", ".mvn/extensions.xml": "<extensions/>\n",
        "mvnw": f"#!/bin/sh\n{touch}\n",
        # the shell, editors, everything else that is read from the working directory
        ".env": "PATH=/nowhere\nPYTHONPATH=.\nSEMGREP_RULES=none\nNODE_OPTIONS=--require=./evil.js\n", ".envrc": touch + "\n", ".bashrc": touch + "\n",
        "Makefile": f"all:\n\t{touch}\n", "schemathesis.toml": "[operations]\nenabled = false\n", "hypothesis.ini": "[hypothesis]\n",
        ".config/semgrep/settings.yml": "x: 1\n", ".coveragerc": "[run]\nplugins = evil\n", "evil.py": code, ".editorconfig": "root = true\n",
        "vallum-waivers.toml": "", ".vallumignore": "*\n",
        # what another run of ours might believe
        ".vallum/verdict.json": '{"status": "pass"}', ".vallum/plan.json": "{}", ".vallum/outcomes/bandit/_/record.json": "{}",
        ".vallum/history.sqlite": "", ".vallum/cache/evil.py": code,
    }  # fmt: skip


ABOVE = (
    *(
        "sitecustomize.py",
        "noxfile.py",
        "tox.ini",
        "setup.cfg",
        ".bandit",
        "pyproject.toml",
        "uv.toml",
        ".gitignore",
        "conftest.py",
    ),
    *(
        ".semgrepignore",
        ".hadolint.yaml",
        ".shellcheckrc",
        ".checkov.yaml",
        "zizmor.yml",
        ".syft.yaml",
        ".npmrc",
        ".env",
        "setup.py",
    ),
)
"""Some tools search the folders above the target too: the same files lie there."""
MARKERS = {
    "bandit": ("shop/app.py", "shell=True)", "shell=True)  # nosec"),
    "semgrep": ("shop/web.py", "debug=True)", "debug=True)  # nosemgrep"),
    "secrets": ("shop/settings.py", "'\n", "'  # pragma: allowlist secret\n"),
    "dockerfile": ("Dockerfile", "FROM", "# hadolint ignore=DL3007\nFROM"),
    "infrastructure": ("infra/main.tf", '"logs" {\n', '"logs" {\n  # checkov:skip=CKV_AWS_20:because\n'),
    "workflows": (".github/workflows/ci.yml", "@main", "@main # zizmor: ignore[unpinned-uses]"),
}
"""A marker in the source: it takes nothing away either, it is counted."""
NAMES = ("bandit", "semgrep", "secrets", "dockerfile", "infrastructure", "workflows", "pip-audit", "packages")


@dataclass(frozen=True)
class Trees:
    """The two trees, and the file that appears when something planted is run."""

    clean: Path
    hostile: Path
    canary: Path


def write(root: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, "utf-8")


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> Trees:
    folder = tmp_path_factory.mktemp("hostile")
    advisories = folder / "advisories"
    for name, (ecosystem, package) in ADVISORIES.items():
        record = {
            "id": name.removesuffix(".json"), "modified": "2026-11-20T00:00:00Z", "summary": "weak",
            "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],
            "affected": [{"package": {"ecosystem": ecosystem, "name": package}, "ranges": [{"type": "SEMVER" if ecosystem == "npm" else "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.0"  if ecosystem != "npm" else "2.0.0"}]}]}],
        }  # fmt: skip
        write(advisories, {name: json.dumps(record)})
    settings = f'[advisories]\nsource = "{advisories}"\nmax-age-days = 36500\n'
    canary = folder / "above" / "canary"
    clean, hostile = folder / "clean" / "target", folder / "above" / "target"
    for root in (clean, hostile):
        write(root, WEAK | {"vallum.toml": settings})
    tricks = planted(str(canary))
    write(hostile, {name: text for name, text in tricks.items() if name not in WEAK})
    write(hostile.parent, {name: tricks[name] for name in ABOVE})
    for name in ("evil.sh", "mvnw"):
        (hostile / name).chmod(0o755)
    (hostile / "bin").mkdir()
    for program in ("git", "node", "npm", "python", "python3", "uv", "semgrep-core", "shellcheck", "syft"):
        write(
            hostile, {f"bin/{program}": f"#!/bin/sh\ntouch {canary}\n", program + ".sh": f"#!/bin/sh\ntouch {canary}\n"}
        )
        (hostile / "bin" / program).chmod(0o755)
    return Trees(clean, hostile, canary)


@pytest.fixture(autouse=True)
def _in_the_tree(trees: Trees, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A person runs vallum in the target's folder, and may have it on PATH's relative end."""
    monkeypatch.chdir(trees.hostile)
    for name in ("SEMGREP_RULES", "BANDIT_CONFIG", "CKV_SKIP", "HADOLINT_IGNORE", "SYFT_EXCLUDE", "ZIZMOR_CONFIG"):
        monkeypatch.setenv(name, "*")
    monkeypatch.setenv("PYTHONPATH", str(trees.hostile))
    monkeypatch.setenv("NODE_OPTIONS", "--require=./evil.js")
    monkeypatch.setenv("HADOLINT_NOFAIL", "1")
    monkeypatch.setenv("SYFT_CONFIG", str(trees.hostile / ".syft.yaml"))
    yield
    trees.canary.unlink(missing_ok=True)


def run(root: Path, name: str) -> Outcome:
    check = next(check for check in CHECKS if check.id == name)
    config = configuration.load(root)
    return runner.run_unit(check, discover(root, config), config, "0" * 16)


def findings(outcome: Outcome, only: Callable[[Finding], bool] = lambda _: True) -> list[tuple[str, str, int, str]]:
    """What was found in the weak files, by rule, path, line and identity."""
    assert isinstance(outcome, Completed | Incomplete)
    assert outcome.run is not None, outcome
    return sorted(
        (
            found.rule,
            found.location.path if found.location else "",
            found.location.line if found.location else 0,
            found.id,
        )
        for found in outcome.run.findings
        if (found.location is None or found.location.path in WEAK) and only(found)
    )


@pytest.mark.parametrize("name", NAMES)
def test_nothing_planted_hides_a_finding_or_runs(trees: Trees, name: str) -> None:
    clean = run(trees.clean, name)
    assert isinstance(clean, Completed), clean
    before = findings(clean)
    assert before, "the weak tree has something for each check"
    hostile = run(trees.hostile, name)
    assert findings(hostile) == before
    assert not trees.canary.exists(), trees.canary.read_text("utf-8", "replace")
    assert isinstance(hostile, Completed), hostile


@pytest.mark.parametrize("name", MARKERS)
def test_a_marker_is_counted_and_hides_nothing(tmp_path: Path, trees: Trees, name: str) -> None:
    path, old, new = MARKERS[name]
    write(tmp_path, WEAK | {path: WEAK[path].replace(old, new, 1)})
    outcome = run(tmp_path, name)
    assert isinstance(outcome, Completed), outcome
    rules = {rule for rule, where, _, _ in findings(run(trees.clean, name)) if where == path}
    assert {rule for rule, where, _, _ in findings(outcome) if where == path} == rules
    assert findings(outcome, lambda found: found.suppression is not None)


def test_the_target_s_uv_settings_choose_no_versions(trees: Trees, tmp_path: Path) -> None:
    """`uv pip compile` would take overrides and constraints from uv.toml and [tool.uv], and resolve to a sound old version."""
    record = {
        "id": "PYSEC-2026-2",
        "modified": "2026-11-20T00:00:00Z",
        "affected": [
            {
                "package": {"ecosystem": "PyPI", "name": "idna"},
                "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "3"}]}],
            }
        ],
    }
    write(tmp_path / "advisories", {"PYSEC-2026-2.json": json.dumps(record)})
    target = tmp_path / "target"
    write(
        target,
        {
            "requirements.txt": "idna>=2\n",
            "uv.toml": 'constraint-dependencies = ["idna==2.9"]\n',
            "pyproject.toml": '[tool.uv]\noverride-dependencies = ["idna==2.10"]\n',
            "vallum.toml": f'[advisories]\nsource = "{tmp_path / "advisories"}"\nmax-age-days = 36500\n',
        },
    )
    outcome = run(target, "pip-audit")
    assert isinstance(outcome, Completed), outcome
    assert [found.rule for found in outcome.run.findings] == ["PYSEC-2026-2"]


BITES = {
    "bandit": (["-r", ".", "-f", "json"], "B602"),
    "semgrep": (
        ["scan", "--json", "--metrics=off", "--disable-version-check", "--config", "{rules}", "."],
        "shop/web.py",
    ),
    "hadolint": (["--format", "json", "Dockerfile"], "DL3007"),
    "checkov": (
        ["--compact", "--quiet", "--skip-download", "--output", "json", "--framework", "terraform", "--directory", "."],
        "CKV_AWS_20",
    ),
    "zizmor": (["--offline", "--format", "json", "."], "template-injection"),
}
"""How a person would call the tool, and a finding that the weak tree gives."""


@pytest.mark.parametrize("name", BITES)
def test_the_tricks_bite_where_a_tool_is_called_plainly(trees: Trees, tmp_path: Path, name: str) -> None:
    """Else the test above would prove nothing: called as a person would, each tool loses findings, or runs what is planted."""
    arguments, sign = BITES[name]
    rules = Path(str(vallum_checks.__file__)).parent / "rules" / "python"
    program = prepare(name).bin(name)
    said = {}
    for root in (trees.clean, trees.hostile):
        done = process.run(
            [str(program), *(part.format(rules=rules) for part in arguments)],
            cwd=root,
            deadline=120,
            stdout=tmp_path / "out",
            stderr=tmp_path / "err",
            env={"SEMGREP_ENABLE_VERSION_CHECK": "0", "HOME": str(tmp_path)},
        )
        said[root] = done.output().decode("utf-8", "replace")
    assert sign in said[trees.clean]
    assert sign not in said[trees.hostile] or trees.canary.exists()

# SPDX-License-Identifier: Apache-2.0
"""Every rule is loaded, finds what its fixture marks with `ruleid:`, and nothing else; none is skipped."""

import json
import os
import re
import subprocess
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

FIXTURES = Path(__file__).resolve().parent
RULES = FIXTURES.parents[1] / "checks" / "vallum_checks" / "rules"
LANGUAGES = {
    "python": {"python"},
    "javascript": {"javascript", "typescript"},
    "go": {"go"},
    "java": {"java"},
    "docker": {"dockerfile"},
    "compose": {"yaml"},
    "kubernetes": {"yaml"},
}
SEVERITIES = {"critical": "ERROR", "high": "ERROR", "medium": "WARNING", "low": "INFO"}
MARK = re.compile(r"(?:#|//)\s*(ruleid|ok):\s*([\w.-]+(?:\s*,\s*[\w.-]+)*)")


def rule_files() -> list[Path]:
    return sorted(RULES.glob("*/*.yaml"))


def rules() -> dict[str, tuple[Path, dict]]:
    found: dict[str, tuple[Path, dict]] = {}
    for path in rule_files():
        for rule in yaml.safe_load(path.read_text(encoding="utf-8"))["rules"]:
            assert rule["id"] not in found, f"{rule['id']} is there twice"
            found[rule["id"]] = (path, rule)
    return found


ALL = rules()


def fixtures() -> list[Path]:
    return sorted(path for name in LANGUAGES for path in (FIXTURES / name).iterdir() if path.is_file())


def marks(path: Path) -> dict[str, set[tuple[int, str]]]:
    """The (line, rule) pairs that comments mark: the next line that is not such a comment."""
    result: dict[str, set[tuple[int, str]]] = {"ruleid": set(), "ok": set()}
    lines = path.read_text(encoding="utf-8").splitlines()
    for index, line in enumerate(lines):
        match = MARK.search(line)
        if match is None:
            continue
        target = index + 1
        while target < len(lines) and MARK.search(lines[target]):
            target += 1
        for name in re.split(r"\s*,\s*", match[2]):
            result[match[1]].add((target + 1, name))
    return result


def scan(semgrep: Path, config: Path, target: Path, *options: str) -> dict:
    environment = {
        "PATH": os.environ.get("PATH", ""),
        "HOME": os.environ.get("HOME", ""),
        "SEMGREP_ENABLE_VERSION_CHECK": "0",
        "SEMGREP_SEND_METRICS": "off",
    }
    command = [str(semgrep), "scan", *options, "-j", "1", "--json", "--metrics=off", "--disable-version-check"]
    command += ["--no-git-ignore", "--x-ignore-semgrepignore-files", "--disable-nosem"]
    command += ["--config", str(config), str(target)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    assert done.stdout, done.stderr[-2000:]
    return json.loads(done.stdout)


def places(report: dict) -> dict[Path, set[tuple[int, str]]]:
    found: dict[Path, set[tuple[int, str]]] = defaultdict(set)
    for result in report["results"]:
        name = "vallum." + result["check_id"].rpartition("vallum.")[2]
        found[Path(result["path"]).resolve()].add((result["start"]["line"], name))
    return found


@pytest.fixture(scope="session")
def report(semgrep: Path) -> dict:
    return scan(semgrep, RULES, FIXTURES, "--experimental")


def test_there_are_enough_rules():
    assert len(ALL) >= 60


def test_every_rule_is_loaded(report: dict, semgrep: Path, tmp_path: Path):
    assert report["errors"] == []
    assert set(map(Path, report["paths"]["scanned"])) >= set(fixtures())
    # The report names no rule that found nothing, so each must have found something.
    fired = {name for found in places(report).values() for _, name in found}
    assert fired == set(ALL)
    # One broken rule among good ones shows as an error: the empty list above is a proof.
    broken = tmp_path / "broken.yaml"
    broken.write_text(
        "rules:\n  - {id: bad, languages: [python], severity: ERROR, message: m, pattern: 'def ('}\n", encoding="utf-8"
    )
    (tmp_path / "x.py").write_text("x = 1\n", encoding="utf-8")
    assert scan(semgrep, broken, tmp_path / "x.py", "--experimental")["errors"]


def test_python_front_end_finds_the_same(semgrep: Path, report: dict):
    other = scan(semgrep, RULES, FIXTURES)
    assert other["errors"] == []
    assert places(other) == places(report)


@pytest.mark.parametrize("path", fixtures(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_fixture(report: dict, path: Path):
    """A fixture `x.*` judges the rules of `x.yaml`, and every other rule that it marks."""
    home = (path.parent.name, path.name.split(".")[0])
    own = {name for name, (file, _) in ALL.items() if (file.parent.name, file.stem) == home}
    assert own, "no rule file belongs to this fixture"
    wanted = marks(path)
    judged = own | {name for _, name in wanted["ruleid"] | wanted["ok"]}
    found = {(line, name) for line, name in places(report)[path.resolve()] if name in judged}
    assert {name for _, name in wanted["ruleid"] | wanted["ok"]} <= set(ALL), "a mark names an unknown rule"
    assert wanted["ruleid"] - found == set(), "missed"
    assert found - wanted["ruleid"] == set(), "found without a mark"


@pytest.mark.parametrize("name", sorted(ALL))
def test_rule_has_both_kinds_of_example(name: str):
    kinds = {kind for path in fixtures() for kind, found in marks(path).items() for _, rule in found if rule == name}
    assert kinds == {"ruleid", "ok"}


@pytest.mark.parametrize("name", sorted(ALL))
def test_metadata(name: str):
    path, rule = ALL[name]
    language = path.parent.name
    assert re.fullmatch(rf"vallum\.{language}\.[a-z0-9]+(-[a-z0-9]+)*", name)
    assert set(rule["languages"]) == LANGUAGES[language]
    assert len(rule["message"].split()) >= 8
    data = rule["metadata"]
    assert data["category"] == "security"
    assert data["technology"]
    assert all(re.fullmatch(r"CWE-\d+", cwe) for cwe in data["cwe"]) and data["cwe"]
    assert data["cwe-name"]
    assert re.fullmatch(r"A(0[1-9]|10):2025", data["owasp"][0]) and re.fullmatch(r"A(0[1-9]|10):2021", data["owasp"][1])
    assert re.fullmatch(r"API([1-9]|10):2023", data.get("api", "API1:2023"))
    assert data["confidence"] in {"HIGH", "MEDIUM", "LOW"}
    assert rule["severity"] == SEVERITIES[data["vallum-severity"]]
    assert len(data["fix"].split()) >= 2
    assert data["references"] and all(url.startswith("https://") for url in data["references"])


@pytest.mark.parametrize("path", rule_files(), ids=lambda path: f"{path.parent.name}/{path.name}")
def test_file_head(path: Path):
    text = path.read_text(encoding="utf-8")
    head = text[: text.index("rules:")]
    assert head.startswith("# SPDX-License-Identifier: Apache-2.0")
    assert "# Covers:" in head and "# Cannot see:" in head


@pytest.mark.parametrize("language", sorted(LANGUAGES))
def test_repeated_sources_are_the_same(language: str):
    """The quick front end knows no YAML anchors, so the lists are repeated; they must not drift apart."""
    lists: dict[str, set[str]] = defaultdict(set)
    for path, rule in ALL.values():
        if path.parent.name == language and "vallum-sources" in rule["metadata"]:
            lists[rule["metadata"]["vallum-sources"]].add(json.dumps(rule["pattern-sources"], sort_keys=True))
    assert {name: len(found) for name, found in lists.items() if len(found) != 1} == {}

"""The page is self-contained, under a strict policy, whole without its script, and stays openable."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import CHECKS, FINDINGS, judged, shop
from vallum.finding import Exchange, Location
from vallum.outcome import Coverage, Missed
from vallum.reports import html
from vallum.reports.template import template
from vallum.verdict import Reason, Status, Verdict

ROOT = Path("/nonexistent")


def page(verdict: Verdict) -> str:
    return html.render(verdict, ROOT)["index.html"].decode()


class Outline(HTMLParser):
    """Headings, landmarks, and whether every element is closed in order."""

    VOID = frozenset({"meta", "link", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[int] = []
        self.seen: set[str] = set()
        self.ids: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        for name, value in attrs:
            self.attributes.append((tag, name, value or ""))
            if name == "id":
                self.ids.append(value or "")
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def outline(verdict: Verdict) -> Outline:
    parser = Outline()
    parser.feed(page(verdict))
    assert parser.open == []
    return parser


def test_the_policy_allows_exactly_our_style_and_script() -> None:
    text = page(shop())
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text)
    assert policy is not None
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].split(";"))

    def hashed(tag: str) -> str:
        (inner,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        return f"'sha256-{base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()}'"

    assert rules == {
        "default-src": "'none'",
        "style-src": hashed("style"),
        "script-src": hashed("script"),
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert text.index("Content-Security-Policy") < text.index("<style>")


def test_it_loads_nothing() -> None:
    parsed = outline(shop())
    loading = {
        ("link", "href"),
        ("script", "src"),
        ("img", "src"),
        ("use", "href"),
        ("form", "action"),
        ("object", "data"),
    }
    loads = [value for tag, name, value in parsed.attributes if (tag, name) in loading]
    assert set(loads) == {"data:,", *(value for value in loads if value.startswith("#i-"))}
    style = re.search("<style>(.*?)</style>", page(shop()), re.DOTALL)
    assert style is not None
    assert not re.search(r"url\(|@import|@font-face|expression\(", style[1])
    assert not re.search(r"fetch\(|XMLHttpRequest|import\(|innerHTML|eval\(|document\.write", page(shop()))


def test_headings_landmarks_and_labels() -> None:
    parsed = outline(shop())
    assert {"header", "nav", "main", "footer", "h1"} <= parsed.seen
    assert parsed.headings[0] == 1
    assert parsed.headings.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(parsed.headings, parsed.headings[1:], strict=False))
    assert len(parsed.ids) == len(set(parsed.ids))
    targets = {value[1:] for tag, name, value in parsed.attributes if tag == "a" and name == "href" and value[0] == "#"}
    assert targets <= set(parsed.ids)


@pytest.mark.parametrize("status", Status)
def test_the_verdict_comes_first_and_in_words(status: Status) -> None:
    text = page(shop(status=status))
    body = re.sub("<[^>]+>", " ", text[text.index("<header") :])
    assert body.index(status.upper()) < body.index("Rings of defence")
    assert text.index('id="why"') < text.index('id="not-tested"') < text.index('id="services"')
    assert text.index('id="services"') < text.index('id="coverage"') < text.index('id="findings"')


def test_everything_is_in_the_document_and_not_in_the_script() -> None:
    text = page(shop()).rsplit("<script>", 1)[0]
    for part in (
        "services/orders/app/legacy.py",
        "bandit -f json -r services --exclude &#39;a b&#39;",
        "31 records, newest of 2026-11-02",
        "GET /orders/search?q=x%27%20or%20%271%27=%271 HTTP/1.1",
        "&lt;b&gt;ada&lt;/b&gt;",
        "CWE-89",
        "API8:2023",
        "2.2.5, 2.3.2",
        "policy: critical blocks",
        "# nosec B608",
        "TABLE is a constant of this file",
        f"{3:032x}",
        "9f86d081884c",
    ):
        assert part in text, part
    assert "hidden>" in text.split('<form class="filters"')[1].split("\n")[0]


def test_rings() -> None:
    states = {ring.stage: ring.state for ring in html.rings(shop())}
    assert states == {"source": "breached", "dependencies": "breached", "images": "closed", "staged": "breached"}
    states = {ring.stage: ring.state for ring in html.rings(shop(findings=()))}
    assert states == {"source": "unproved", "dependencies": "closed", "images": "closed", "staged": "open"}
    assert {ring.state for ring in html.rings(shop(findings=(), checks=()))} == {"open"}


def test_a_ring_is_not_closed_by_checks_that_did_not_end() -> None:
    for number, check in enumerate(CHECKS):
        for require in ("required", "optional"):
            broken = msgspec.structs.replace(check, status="incomplete", require=require)
            checks = (*CHECKS[:number], broken, *CHECKS[number + 1 :])
            state = next(r.state for r in html.rings(shop(findings=(), checks=checks)) if r.stage == check.stage)
            assert state != "closed"


def test_missed_targets_that_are_not_listed_are_counted() -> None:
    missed = tuple(Missed(f"f{number}.py", "unparsable") for number in range(1_000))
    check = msgspec.structs.replace(CHECKS[0], coverage=(Coverage("files", 5_000, 2_000, missed),))
    text = page(shop(checks=(check,)))
    assert "Not looked at: 3,000 targets" in text
    assert "2,800 more, not listed" in text


def test_many_findings_stay_openable_and_the_rest_is_counted() -> None:
    exchange = Exchange("GET /\n" * 20_000, "x" * 20_000)
    found = tuple(
        judged(msgspec.structs.replace(FINDINGS[0], id=f"{number:032x}", exchange=exchange)) for number in range(20_000)
    )
    text = page(shop(findings=found))
    assert text.count('<li class="finding ') == html.MOST
    assert "the worst 2,000 of 20,000 findings" in text
    assert "The other 18,000 are in <code>findings.json</code>" in text
    assert "more characters in findings.json" in text
    assert len(text) < 16_000_000


def test_a_finding_with_the_least_there_can_be() -> None:
    bare = msgspec.structs.replace(
        FINDINGS[8], package=None, message="", id="", checks=(), location=Location(""), service=""
    )
    assert "CVE-2024-5569" in page(shop(findings=(judged(bare),), rules={}))


def test_the_compiled_template_is_kept_and_is_made_anew_where_it_is_broken_or_cannot_be_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rendered(cache: Path) -> bytes:
        monkeypatch.setenv("VALLUM_CACHE", str(cache))
        template.cache_clear()
        return html.render(shop(), Path())["index.html"]

    first = rendered(tmp_path)
    (kept,) = (path for path in tmp_path.rglob("*") if path.is_file())
    for broken in (b"", kept.read_bytes()[:-100], b"rubbish" * 1000):
        kept.write_bytes(broken)
        assert rendered(tmp_path) == first
    (tmp_path / "a file").touch()
    assert rendered(tmp_path / "a file") == first
    template.cache_clear()


def test_findings_that_differ_in_one_fact_differ_on_the_page() -> None:
    """Blocks of a card that are alike are rendered once."""
    one = FINDINGS[0]
    others = {
        "cwe": (90210,),
        "owasp": ("A99:2025",),
        "confidence": "sworn",
        "cvss": "CVSS:4.0/X",
        "aliases": ("ALIAS-9",),
        "fix": "Mend it so.",
        "checks": ("another-check",),
        "rule": "another.rule",
    }
    for field, value in others.items():
        other = msgspec.structs.replace(one, id="f" * 32, **{field: value})
        page = html.render(shop(findings=(judged(one), judged(other))), Path())["index.html"].decode()
        said = value if isinstance(value, str) else str(value[0])
        assert page.split('id="f-' + "f" * 32)[1].count(said) >= 1, field


def test_an_empty_verdict() -> None:
    empty = Verdict(
        status=Status.INCOMPLETE,
        target="",
        run="",
        vallum="0.1.0",
        started="",
        reasons=(Reason("incomplete", "no check ran whole: nothing is known about this target"),),
    )
    text = page(empty)
    assert "nothing is known about this target" in text
    assert "That proves nothing here" in text
    assert outline(empty).headings[0] == 1


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(each * 2 for each in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


PAIRS = [
    *(
        (ink, ground)
        for ink in ("ink", "muted", "link", "red", "amber", "green", "grey")
        for ground in ("bg", "surface", "sunk")
    ),
    *((name, f"{name}-bg") for name in ("critical", "high", "medium", "low", "info", "unknown")),
    *(("band-ink", f"band-{status}") for status in Status),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_contrast_is_aa(scheme: str) -> None:
    """WCAG 2.2, 1.4.3: 4.5 to 1 for text."""
    style = Path(html.__file__).parents[3].joinpath("templates/vallum_templates/report/style.css").read_text("utf-8")
    light, dark = re.findall(r":root \{(.*?)\n\s*\}", style, re.DOTALL)[:2]
    colours = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", light))
    if scheme == "dark":
        colours |= dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6});", dark))
    for ink, ground in PAIRS:
        high, low = sorted((luminance(colours[ink]), luminance(colours[ground])), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= 4.5, (ink, ground)

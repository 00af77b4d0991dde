"""The page in a real Chromium: what it shows and hides, that it breaks no policy, and that it fits a phone."""

from __future__ import annotations

import http.server
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path

import msgspec
import pytest

from tests.reports.verdicts import FINDINGS, judged, shop
from vallum.reports import html
from vallum.verdict import Disposition

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="there is no Chromium on this machine")]
FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"),
    *("--disable-background-networking", "--disable-component-update", "--enable-logging=stderr", "--v=0"),
)


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "index.html"
    path.write_bytes(html.render(shop(), path.parent)["index.html"])
    return path


def browse(url: str, profile: Path, *flags: str) -> tuple[str, str]:
    """The document after the scripts ran, and what the browser logged."""
    done = subprocess.run(
        [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "--dump-dom", url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    console = "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)
    return done.stdout, console


class Cards(HTMLParser):
    """The finding cards of a document: severity and whether they are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[dict[str, str]] = []
        self.hidden = 0
        self.opened: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "li" and values.get("class", "").startswith("finding "):
            if "hidden" in values:
                self.hidden += 1
            else:
                self.shown.append(values)
        if tag == "details" and "open" in values and "id" in values:
            self.opened.append(values["id"])


def cards(document: str) -> Cards:
    parser = Cards()
    parser.feed(document)
    return parser


@pytest.mark.parametrize(
    ("fragment", "keep"),
    [
        ("", lambda f: True),
        ("#sev=high", lambda f: f.severity == "high"),
        ("#sev=high,critical&svc=gateway", lambda f: f.severity in {"high", "critical"} and f.service == "gateway"),
        ("#check=bandit", lambda f: "bandit" in f.checks),
        ("#svc=", lambda f: not f.service),
        ("#disp=suppressed", lambda f: judged(f).disposition is Disposition.SUPPRESSED),
        ("#stage=staged", lambda f: "zap" in f.checks),
        ("#q=cookie%20pysec", lambda f: f.rule.startswith("PYSEC")),
        ("#q=no-such-word", lambda f: False),
    ],
)
def test_filters(page: Path, tmp_path: Path, fragment: str, keep) -> None:
    document, console = browse(f"{page.as_uri()}{fragment}", tmp_path)
    expected = [each for each in FINDINGS if keep(each)]
    found = cards(document)
    assert [each["data-sev"] for each in found.shown] == [str(each.severity) for each in expected]
    assert found.hidden == len(FINDINGS) - len(expected)
    assert console == ""
    said = re.search(r'<output id="shown"[^>]*>([^<]*)</output>', document)
    assert said is not None
    assert said[1] == (f"{len(expected)} of 10 shown" if len(expected) < 10 else "10 shown")
    assert ('id="none" class="notice" hidden' in document) == bool(expected)


def test_a_link_to_a_finding_opens_it(page: Path, tmp_path: Path) -> None:
    name = f"f-{FINDINGS[3].id}"
    document, _ = browse(f"{page.as_uri()}#{name}", tmp_path)
    assert cards(document).opened == [name]


def framed(folder: Path, style: str, sandbox: str, measure: str) -> str:
    """What the expression `measure` gives of the page `index.html` in a frame (`f`), by a page around it.

    Headless Chromium has no window as narrow as a phone and dumps nothing with scripts off; a frame has both.
    """
    frame = folder / "frame.html"
    frame.write_text(
        f'<iframe id="f" src="index.html#sev=high" {sandbox} style="border:0;{style}"></iframe>'
        f"<script>onload=()=>{{const d=f.contentDocument;document.title={measure}}}</script>",
        "utf-8",
    )
    flags = ("--window-size=1400,1000", "--allow-file-access-from-files")
    seen, _ = browse(frame.as_uri(), folder / "profile", *flags)
    found = re.search(r"<title>([^<]*)</title>", seen)
    assert found is not None, seen[:500]
    return found[1]


def test_without_script_everything_is_shown(page: Path, tmp_path: Path) -> None:
    shutil.copy(page, tmp_path)
    measure = "[...d.querySelectorAll('.finding')].filter(e=>e.checkVisibility()).length+' '+d.getElementById('filters').checkVisibility()"
    assert framed(tmp_path, "", 'sandbox="allow-same-origin"', measure) == f"{len(FINDINGS)} false"
    assert framed(tmp_path, "", "", measure) == "3 true"


def test_a_script_that_slipped_in_would_not_run(page: Path, tmp_path: Path) -> None:
    """The policy is the second line of defence: break the first by hand."""
    path = tmp_path / "broken.html"
    attack = "<script>document.title='owned'</script><img src='data:,' onerror=\"document.title='owned'\"><p style='color:red'>"
    path.write_text(page.read_text("utf-8").replace("<main", attack + "<main", 1), "utf-8")
    document, console = browse(path.as_uri(), tmp_path / "profile")
    assert "<title>owned" not in document
    assert "Content Security Policy" in console


@pytest.fixture
def counting() -> Iterator[tuple[str, list[str], Path]]:
    """A loopback server that serves one folder and remembers what was asked of it."""
    asked: list[str] = []
    folder: list[Path] = []

    class Server(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            body = (folder[0] / "index.html").read_bytes() if self.path == "/index.html" else b""
            self.send_response(200 if body else 404)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/", asked, folder  # type: ignore[misc]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_it_makes_no_further_request(page: Path, tmp_path: Path, counting) -> None:
    url, asked, folder = counting
    folder.append(page.parent)
    document, _ = browse(f"{url}index.html", tmp_path)
    assert len(cards(document).shown) == len(FINDINGS)
    assert asked == ["/index.html"]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(tmp_path: Path, width: int) -> None:
    long = msgspec.structs.replace(FINDINGS[0], message="averylongword" * 60, id="x" * 200)
    document = html.render(shop(findings=(judged(long), judged(FINDINGS[2]))), tmp_path)["index.html"].decode()
    (tmp_path / "index.html").write_text(document.replace("<details", "<details open"), "utf-8")
    measure = "d.documentElement.scrollWidth+'/'+d.documentElement.clientWidth"
    inner, screen = map(int, framed(tmp_path, f"width:{width}px;height:900px", "", measure).split("/"))
    assert inner <= screen
    assert screen in range(width - 20, width + 1)

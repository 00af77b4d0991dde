"""A ZAP out of what Maven Central holds: the core, four add-ons laid out anew, and our starter rules compiled once.

Maven Central has no scan rules, no passive scanner, no OpenAPI import and no reports for ZAP. The core refuses to start
without an add-on `callhome`, and the spider needs one called `database`: two empty ones stand in (measured on 2.17.0).
"""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import xml.etree.ElementTree as ET
import zipfile
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from vallum.artifacts import locked
from vallum.errors import Inconclusive
from vallum.process import run
from vallum.tools import cache_folder, packaged
from vallum_checks.zap_engine.java import Java

VERSION = "2.17.0"
LAYOUT = "1"
"""Counted up whenever the lay-out below changes: it is part of the cache key."""
PARTS = ("core", "addons")
COPY = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1:copy-dependencies"
"""In full: the plugin that Maven 3.8 takes by default (2.8) fails on current repositories."""
DOWNLOAD_DEADLINE = 600.0
ADDONS = {
    "network": (
        "0.25.0",
        "beta",
        ("bc", "brotli4j", "native-", "service-", "httpc", "netty-", "slf4j-", "log4j-slf4j", "ice4j"),
    ),
    "commonlib": ("1.40.0", "release", ("jackson-", "snakeyaml", "stax2", "woodstox", "commons-collections4")),
    "automation": ("0.60.0", "beta", ()),
    "spider": ("0.6.0", "release", ("kaitai",)),
}
"""Version, status and the libraries that go into each add-on. A library family must not be split between the core's class
path and an add-on: ZAP then hangs at the start."""
EMPTY = ("callhome", "database")
RULES = "vallumrules"


@dataclass(frozen=True)
class Assembled:
    """A laid-out ZAP. `digest` is the SHA-256 of everything that went into it."""

    folder: Path
    digest: str

    def command(self, java: Java, memory: str) -> list[str]:
        """The start of its command line."""
        path = f"{self.folder / f'zap-{VERSION}.jar'}{os.pathsep}{self.folder / 'lib'}{os.sep}*"
        # The first compiler only: a scan is over before the second one pays, and the target needs the other core.
        return [str(java.java), f"-Xmx{memory}", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", path]


def sources() -> Path:
    """The folder with the poms, the lock and the rules."""
    return packaged("vallum_checks") / "zap_rules"


def digest() -> str:
    """SHA-256 over what the assembled ZAP is made of: the poms, the locked jars, the rules, this lay-out."""
    total = hashlib.sha256(f"{VERSION} {LAYOUT} {sorted(ADDONS.items())}".encode())
    root = sources()
    for path in sorted(root.rglob("*")):
        if path.suffix in {".xml", ".java", ".lock"}:
            total.update(f"\0{path.relative_to(root).as_posix()}\0".encode())
            total.update(path.read_bytes())
    return total.hexdigest()


def assemble(java: Java) -> Assembled:
    """The assembled ZAP from the cache, or made now. Raises Inconclusive where a jar cannot be had or is not the locked one."""
    key = digest()
    folder = cache_folder() / "zap" / key[:16]
    if not (folder / ".complete").exists():
        with locked(folder.with_name(folder.name + ".lock")):
            if not (folder / ".complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                _build(folder, java)
                (folder / ".complete").touch()
    return Assembled(folder, key)


def _build(folder: Path, java: Java) -> None:
    work = folder / "work"
    core, addons = (jars(part) for part in PARTS)
    (folder / "lib").mkdir()
    (folder / "plugin").mkdir()
    for jar in sorted(core.glob("*.jar")):
        where = folder if jar.name == f"zap-{VERSION}.jar" else folder / "lib"
        shutil.copyfile(jar, where / jar.name)
    for name, (version, status, families) in ADDONS.items():
        libraries = [jar for jar in sorted(addons.glob("*.jar")) if jar.name.startswith(families or ("\0",))]
        lay_out(addons / f"{name}-{version}.jar", libraries, folder / "plugin" / f"{name}-{status}-{version}.zap")
    for name in EMPTY:
        _zip(folder / "plugin" / f"{name}-release-0.0.1.zap", {"ZapAddOn.xml": empty_addon(name)})
    classes = _compile(folder, work, java)
    content = {path.relative_to(classes).as_posix(): path.read_bytes() for path in sorted(classes.rglob("*.class"))}
    content["ZapAddOn.xml"] = (sources() / "ZapAddOn.xml").read_bytes()
    _zip(folder / "plugin" / f"{RULES}-release-1.zap", content)
    shutil.rmtree(work)


def jars(part: str) -> Path:
    """The folder with the locked jars of one pom, fetched once. Raises Inconclusive where they cannot be had."""
    root = sources()
    total = hashlib.sha256((root / part / "pom.xml").read_bytes() + repr(sorted(locked_jars(part).items())).encode())
    folder = cache_folder() / "zap" / f"{part}-{total.hexdigest()[:16]}"
    if not (folder / ".complete").exists():
        with locked(folder.with_name(folder.name + ".lock")):
            if not (folder / ".complete").exists():
                shutil.rmtree(folder, ignore_errors=True)
                work = folder / "work"
                work.mkdir(parents=True)
                if not _at_hand(part, folder):
                    _fetch(part, work, folder)
                verify(part, folder)
                shutil.rmtree(work)
                (folder / ".complete").touch()
    return folder


def _at_hand(part: str, out: Path) -> bool:
    """Copy the jars from Maven's local repository, where an earlier build left all of them. The lock judges their content."""
    repository = Path.home() / ".m2" / "repository"
    paths = [repository / path for _, path in locked_jars(part).values()]
    if not all(path.is_file() for path in paths):
        return False
    for path in paths:
        shutil.copyfile(path, out / path.name)
    return True


def _fetch(part: str, work: Path, out: Path) -> None:
    """Copy the jars of one pom to `out`, with Maven; its settings say from where."""
    maven = shutil.which("mvn")
    if maven is None:
        mirror = _mirror()
        if not mirror:
            raise Inconclusive(
                "no Maven (`mvn`) on PATH, and no repository in VALLUM_MAVEN_REPOSITORY or ~/.m2/settings.xml"
            )
        _download(part, out, mirror)
        return
    pom = work / "pom.xml"
    shutil.copyfile(sources() / part / "pom.xml", pom)
    done = run(
        [maven, "--batch-mode", "--quiet", "-f", str(pom), COPY, "-DincludeScope=runtime", f"-DoutputDirectory={out}"],
        cwd=work,
        deadline=DOWNLOAD_DEADLINE,
        stdout=work / "stdout",
        stderr=work / "stderr",
        installer=True,
    )
    if done.exit_code != 0:
        text = done.output().decode("utf-8", "replace")
        lines = [line for line in text.splitlines() if "ERROR" in line]
        raise Inconclusive(
            f"Maven cannot fetch ZAP: {lines[0][:300] if lines else 'exit code ' + str(done.exit_code)}", text[-4000:]
        )


def locked_jars(part: str) -> dict[str, tuple[str, str]]:
    """The jars of one part by name: the SHA-256 that each must have, and its path in a Maven repository."""
    lines = (sources() / "zap.lock").read_text("utf-8").splitlines()
    rows = (line.split() for line in lines if line.strip())
    return {path.rpartition("/")[2]: (value, path) for value, owner, path in rows if owner == part}


def verify(part: str, folder: Path) -> None:
    """Raise Inconclusive unless `folder` holds just the locked jars with just the locked content."""
    expected = locked_jars(part)
    present = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in folder.glob("*.jar")}
    for name in sorted(expected.keys() | present.keys()):
        if name not in present:
            raise Inconclusive(f"ZAP cannot be assembled: {name} is missing from what Maven fetched")
        if name not in expected or expected[name][0] != present[name]:
            raise Inconclusive(
                f"ZAP cannot be assembled: {name} is not the locked file (SHA-256 {present[name][:16]}…)"
            )


def lay_out(jar: Path, libraries: list[Path], out: Path) -> None:
    """An add-on as ZAP wants it: the jar from Maven plus its libraries under libs/, which its manifest must list."""
    content: dict[str, bytes] = {}
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if not name.endswith("/"):
                content[name] = archive.read(name)
    content["ZapAddOn.xml"] = with_libraries(content["ZapAddOn.xml"], [library.name for library in libraries])
    for library in libraries:
        content[f"libs/{library.name}"] = library.read_bytes()
    _zip(out, content)


def with_libraries(manifest: bytes, names: list[str]) -> bytes:
    """The add-on's manifest with its `<libs>` replaced by `names`."""
    root = ET.fromstring(manifest)  # noqa: S314 - from a jar whose SHA-256 is locked
    for old in root.findall("libs"):
        root.remove(old)
    if names:
        libs = ET.SubElement(root, "libs")
        for name in names:
            ET.SubElement(libs, "lib").text = f"libs/{name}"
    return bytes(ET.tostring(root, encoding="utf-8"))


def empty_addon(name: str) -> bytes:
    """The manifest of an add-on that holds nothing."""
    root = ET.Element("zapaddon")
    for tag, text in (
        ("name", f"{name} (empty stand-in)"),
        ("version", "0.0.1"),
        ("status", "release"),
        ("description", "Satisfies a dependency; does nothing."),
        ("author", "vallum"),
        ("not-before-version", VERSION),
    ):
        ET.SubElement(root, tag).text = text
    return bytes(ET.tostring(root, encoding="utf-8"))


def _zip(path: Path, content: dict[str, bytes]) -> None:
    """Write a zip whose bytes depend on its content only."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(content):
            archive.writestr(zipfile.ZipInfo(name), content[name])
    path.write_bytes(buffer.getvalue())


def _compile(folder: Path, work: Path, java: Java) -> Path:
    out = work / "classes"
    work.mkdir()
    files = sorted(str(path) for path in (sources() / "src").rglob("*.java"))
    path = os.pathsep.join(
        [str(folder / f"zap-{VERSION}.jar"), *sorted(str(jar) for jar in (folder / "lib").glob("*.jar"))]
    )
    if java.javac is not None:
        compiler = [str(java.javac), "--release", "17"]
    else:
        jar = next(iter(sorted(jars("compiler").glob("ecj-*.jar"))))
        compiler = [str(java.java), "-jar", str(jar), "-source", "17", "-target", "17", "-nowarn"]
    done = run(
        [*compiler, "-encoding", "UTF-8", "-cp", path, "-d", str(out), *files],
        cwd=work,
        deadline=120,
        stdout=work / "compile.stdout",
        stderr=work / "compile.stderr",
    )
    if done.exit_code != 0 or not any(out.rglob("*.class")):
        raise Inconclusive("the starter rules do not compile", done.tail())
    return out


_MIRROR = re.compile(r"<mirror>.*?</mirror>", re.DOTALL)
_FIELD = re.compile(r"<(url|mirrorOf)>\s*([^<\s]+)\s*</")


def _mirror() -> str:
    """A Maven repository that the person's own settings name; empty where they name none."""
    chosen = os.environ.get("VALLUM_MAVEN_REPOSITORY", "")
    if not chosen:
        try:
            text = (Path.home() / ".m2" / "settings.xml").read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            return ""
        for mirror in _MIRROR.findall(text):
            fields = dict(_FIELD.findall(mirror))
            if fields.get("mirrorOf", "") in {"*", "central", "external:*"}:
                chosen = fields.get("url", "")
                break
    return chosen.rstrip("/") if urlsplit(chosen).scheme in {"http", "https"} else ""


def _download(part: str, out: Path, repository: str) -> None:
    """Fetch the locked jars over HTTP, where there is a repository but no Maven. The lock decides what is right."""
    import httpx

    with httpx.Client(timeout=60, follow_redirects=True) as client:
        for name, (_, path) in sorted(locked_jars(part).items()):
            try:
                answer = client.get(f"{repository}/{path}")
                answer.raise_for_status()
            except httpx.HTTPError as error:
                raise Inconclusive(f"cannot fetch {name} from the Maven repository: {type(error).__name__}") from None
            (out / name).write_bytes(answer.content)

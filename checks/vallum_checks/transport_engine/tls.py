"""TLS of the https services by sslyze (AGPL, run as a program of its own): versions, suites, certificate, known holes."""

from __future__ import annotations

import contextlib
import datetime as dt
import ipaddress
import json
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from vallum.check import Context
from vallum.errors import Inconclusive
from vallum.severity import Severity
from vallum_checks._api import ApiRule
from vallum_checks.transport_engine import rules
from vallum_checks.transport_engine.wire import Identity, Line

COMMANDS = {
    "certinfo": "certificate_info",
    "sslv2": "ssl_2_0_cipher_suites",
    "sslv3": "ssl_3_0_cipher_suites",
    "tlsv1": "tls_1_0_cipher_suites",
    "tlsv1_1": "tls_1_1_cipher_suites",
    "tlsv1_2": "tls_1_2_cipher_suites",
    "tlsv1_3": "tls_1_3_cipher_suites",
    "heartbleed": "heartbleed",
    "robot": "robot",
    "openssl_ccs": "openssl_ccs_injection",
    "compression": "tls_compression",
    "reneg": "session_renegotiation",
}
"""sslyze's options, and where its JSON has the results."""
SOON = dt.timedelta(days=14)
_WEAK = ("NULL", "anon", "EXPORT", "RC4", "_DES_", "3DES", "RC2", "IDEA_CBC_MD5")
_HASHES = {"md5", "sha1", "md2"}
DEADLINE = 240.0


@dataclass(frozen=True)
class Weakness:
    """A rule that a service breaks, and the words that say how."""

    rule: ApiRule
    text: str
    severity: Severity | None = None


@dataclass
class Looked:
    """What sslyze said of one service. `problems`: what it could not find out."""

    weaknesses: list[Weakness] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    about: str = ""


def look(
    ctx: Context, line: Line, urls: Mapping[str, str], ca: Path | None, identity: Identity | None = None
) -> tuple[dict[str, Looked], str, str]:
    """What sslyze says of each https service of `urls`, its version and the digest of its lock file.

    `ca` holds authorities beside the public ones; `identity` is shown to services that ask for a certificate.
    Raises Inconclusive where it does not run or leaves no report.
    """
    tool = ctx.tool("sslyze")
    out = ctx.raw / "sslyze.json"
    places = {name: (urlsplit(url).hostname or "", urlsplit(url).port or 443) for name, url in urls.items()}
    servers = sorted({_place(line, url) for url in urls.values()})
    argv: list[str | Path] = [
        tool.bin("sslyze"),
        "--mozilla_config",
        "disable",
        *(f"--{option}" for option in COMMANDS),
    ]
    if ca is not None:
        argv += ["--certinfo_ca_file", ca]
    with _shown(ctx.scratch, identity) as shown:
        argv += [*shown, "--quiet", f"--json_out={out}", *servers]
        done = ctx.run(argv, name="sslyze", deadline=DEADLINE)
    if done.exit_code != 0:
        raise Inconclusive(f"sslyze ended with exit code {done.exit_code}", done.tail())
    try:
        report = json.loads(out.read_bytes())
        results = report["server_scan_results"]
        found = {(row["server_location"]["hostname"], row["server_location"]["port"]): read(row) for row in results}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise Inconclusive(f"sslyze left no report that can be read ({type(error).__name__})", done.tail()) from None
    looked = {
        name: found.get(place) or Looked(problems=["sslyze did not look at it"]) for name, place in places.items()
    }
    return looked, tool.version, tool.digest


@contextlib.contextmanager
def _shown(scratch: Path, identity: Identity | None) -> Iterator[list[str | Path]]:
    """The options of sslyze for a client's certificate, in files that last as long as the `with`."""
    if identity is None:
        yield []
        return
    with tempfile.TemporaryDirectory(dir=scratch) as folder:  # for our eyes only
        files = [Path(folder, name) for name in ("certificate.pem", "key.pem")]
        for file, content in zip(files, identity, strict=True):
            file.write_bytes(content)
        yield ["--cert", files[0], "--key", files[1]]


def _place(line: Line, url: str) -> str:
    """As sslyze wants it: the address in braces is where it connects, the name is what it asks for."""
    host, port, address = urlsplit(url).hostname or "", urlsplit(url).port or 443, line.address(url)
    if ":" in host:
        return f"[{host}]:{port}"
    return f"{host}:{port}" if address == host or ":" in address else f"{host}:{port}{{{address}}}"


def read(row: Mapping[str, Any], now: dt.datetime | None = None) -> Looked:
    """One server of sslyze's JSON. A command that failed is a problem, never a clean result."""
    looked = Looked()
    if row["connectivity_status"] != "COMPLETED" or not row["scan_result"]:
        looked.problems.append("sslyze could not speak TLS with it")
        return looked
    done: dict[str, Any] = {}
    for name in COMMANDS.values():
        attempt = row["scan_result"].get(name) or {}
        if attempt.get("status") == "COMPLETED" and isinstance(attempt.get("result"), Mapping):
            done[name] = attempt["result"]
        else:
            why = attempt.get("error_reason") or attempt.get("status") or "missing"
            looked.problems.append(f"sslyze could not finish {name} ({why})")
    looked.weaknesses += _versions(done)
    looked.weaknesses += _holes(done)
    if "certificate_info" in done:
        host = str(row["server_location"]["hostname"])
        for deployment in done["certificate_info"]["certificate_deployments"]:
            looked.weaknesses += _certificate(deployment, host, now or dt.datetime.now(dt.UTC))
    spoken = [version for version, _, supported in _suites(done) if supported]
    looked.about = ", ".join(spoken) or "no version of TLS"
    return looked


def _suites(done: Mapping[str, Any]) -> Iterator[tuple[str, list[str], bool]]:
    """Each version that was tried, its accepted suites, and whether it is spoken."""
    for name, result in done.items():
        if name.endswith("_cipher_suites"):
            words = name.split("_")
            names = [str(one["cipher_suite"]["name"]) for one in result["accepted_cipher_suites"]]
            yield f"{words[0].upper()} {words[1]}.{words[2]}", names, bool(result["is_tls_version_supported"])


def _versions(done: Mapping[str, Any]) -> Iterator[Weakness]:
    spoken = [version for version, _, supported in _suites(done) if supported]
    ssl = [version for version in spoken if version.startswith("SSL")]
    old = [version for version in spoken if version in {"TLS 1.0", "TLS 1.1"}]
    if ssl:
        yield Weakness(rules.SSL, f"{' and '.join(ssl)} accepted")
    if old:
        yield Weakness(rules.OLD_TLS, f"{' and '.join(old)} accepted")
    both = {"tls_1_2_cipher_suites", "tls_1_3_cipher_suites"}
    if both <= done.keys() and not {"TLS 1.2", "TLS 1.3"} & set(spoken):
        yield Weakness(rules.NO_MODERN_TLS, f"only {', '.join(spoken) or 'nothing'} is spoken")
    suites = {name for _, names, supported in _suites(done) if supported for name in names}
    weak = sorted(name for name in suites if any(part in name for part in _WEAK))
    if weak:
        shown = ", ".join(weak[:5]) + (f" and {len(weak) - 5} more" if len(weak) > 5 else "")
        yield Weakness(rules.WEAK_CIPHER, f"{shown} accepted")
    if suites and both <= done.keys() and not any("DHE" in name or _of_13(name) for name in suites):
        yield Weakness(rules.NO_FORWARD_SECRECY, "every accepted suite exchanges keys by RSA")


def _of_13(name: str) -> bool:
    """Suites of TLS 1.3 do not name a key exchange: it is always ephemeral."""
    return "_WITH_" not in name


def _holes(done: Mapping[str, Any]) -> Iterator[Weakness]:
    if done.get("heartbleed", {}).get("is_vulnerable_to_heartbleed"):
        yield Weakness(rules.BROKEN_TLS, "Heartbleed (CVE-2014-0160)", Severity.CRITICAL)
    if str(done.get("robot", {}).get("robot_result", "")).startswith("VULNERABLE"):
        yield Weakness(rules.BROKEN_TLS, "ROBOT, an oracle for RSA (CVE-2017-13099 and others)")
    if done.get("openssl_ccs_injection", {}).get("is_vulnerable_to_ccs_injection"):
        yield Weakness(rules.BROKEN_TLS, "CCS injection (CVE-2014-0224)")
    if done.get("tls_compression", {}).get("supports_compression"):
        yield Weakness(rules.BROKEN_TLS, "TLS compression (CRIME, CVE-2012-4929)", Severity.MEDIUM)
    renegotiation = done.get("session_renegotiation", {})
    if renegotiation.get("supports_secure_renegotiation") is False:
        yield Weakness(rules.BROKEN_TLS, "insecure renegotiation (CVE-2009-3555)", Severity.MEDIUM)
    if renegotiation.get("is_vulnerable_to_client_renegotiation_dos"):
        yield Weakness(rules.BROKEN_TLS, "renegotiation by the client without limit", Severity.LOW)


def _certificate(deployment: Mapping[str, Any], host: str, now: dt.datetime) -> Iterator[Weakness]:
    leaf = deployment["received_certificate_chain"][0]
    begins, ends = (dt.datetime.fromisoformat(leaf[key]) for key in ("not_valid_before", "not_valid_after"))
    valid = begins <= now <= ends
    if now > ends:
        yield Weakness(rules.EXPIRED, f"it ended on {ends:%Y-%m-%d}")
    elif now < begins:
        yield Weakness(rules.EXPIRED, f"it begins on {begins:%Y-%m-%d}")
    elif ends - now < SOON:
        yield Weakness(rules.EXPIRES, f"it ends on {ends:%Y-%m-%d}")
    named = _named(leaf["subject_alternative_name"], host)
    if not named:
        yield Weakness(rules.WRONG_NAME, "its names do not hold the host's")
    trusted = any(path["was_validation_successful"] for path in deployment["path_validation_results"])
    own = leaf["subject"]["rfc4514_string"] == leaf["issuer"]["rfc4514_string"]
    if not trusted and (own or (valid and named)):
        yield Weakness(rules.UNTRUSTED, "it is self-signed" if own else "no known authority signed it")
    key = leaf["public_key"]
    needed = 2048 if str(key["algorithm"]).startswith(("RSA", "DSA")) else 224
    if (key.get("key_size") or needed) < needed:
        yield Weakness(rules.WEAK_KEY, f"its key has {key['key_size']} bits")
    digest = (leaf["signature_hash_algorithm"] or {}).get("name", "")
    if digest in _HASHES and not own:
        yield Weakness(rules.WEAK_KEY, f"it is signed with {digest}")


def _named(names: Mapping[str, Any], host: str) -> bool:
    """RFC 9525: an address must be named as such; a wildcard stands for the first label alone."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        wanted = host.lower().rstrip(".")
        tail = wanted.partition(".")[2]
        known = {str(name).lower() for name in names["dns_names"]}
        return wanted in known or (tail.count(".") > 0 and f"*.{tail}" in known)
    return any(ipaddress.ip_address(str(one)) == address for one in names["ip_addresses"])

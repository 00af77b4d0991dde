"""What travels between callers and services, and how (OWASP API8:2023, NIST SP 800-52r2): TLS, certificates, cookies, addresses.

https services are asked by sslyze for their versions, suites, certificate and known holes, and for Strict-Transport-Security
and what plain HTTP gets; all for the attributes of session cookies, credentials in addresses and caches that may keep what a
user sees. Where the environment says `mtls`, callers without TLS or a certificate must be refused. Cannot see: what stands in
front of the services elsewhere; TLS of services that are plain HTTP on loopback is said to be not tested.
Fix: each finding says it; docs/transport.md has more.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from vallum import __version__
from vallum.check import Check, Context, Planned, Skipped, Stage
from vallum.config import Config
from vallum.errors import Inconclusive
from vallum.finding import Finding, Location, Operation
from vallum.outcome import Completed, Coverage, Database, Incomplete, Missed, Outcome, Run, Tool
from vallum.target import Target
from vallum_checks import dast
from vallum_checks._api import found
from vallum_checks.transport_engine import settings

if TYPE_CHECKING:
    from pathlib import Path

    from vallum.stage import Deployment
    from vallum.stage.calls import Surface
    from vallum_checks.transport_engine.tls import Weakness
    from vallum_checks.transport_engine.wire import Reply

SAFE = frozenset({"GET", "HEAD"})
CONFIG = "vallum.toml"


def _applies(target: Target, config: Config) -> Planned | Skipped:
    said = dast.applies(target, config)
    if isinstance(said, Planned):
        settings.options(config, target.root)
    return said


def _run(ctx: Context) -> Outcome:
    return dast.run_alone(CHECK.id, ctx)


def run_on(deployment: Deployment, ctx: Context) -> Outcome:
    """Look at every service of `deployment`. What could not be looked at makes the outcome incomplete; findings are kept."""
    return _Look(deployment, ctx).run()


class _Look:
    def __init__(self, deployment: Deployment, ctx: Context) -> None:
        from vallum.stage.calls import surfaces
        from vallum_checks.transport_engine import wire

        self.deployment = deployment
        self.ctx = ctx
        self.ca, self.plain = settings.options(ctx.config, ctx.target.root)
        self.surfaces = {one.service: one for one in surfaces(deployment, ctx.target, ctx.config)[0]}
        self.findings: dict[tuple[str, ...], Finding] = {}
        self.missed: list[Missed] = []
        self.problems: list[str] = []
        self.notes: list[str] = []
        self.line = wire.Line(deployment.scope, deployment.urls.values(), deployment.identity)

    def run(self) -> Outcome:
        mutual = [name for name in self.deployment.urls if settings.mutual(self.ctx.config.environment, name)]
        tool = self._tls()
        for name, url in self.deployment.urls.items():
            if name in mutual and not self._mutual(name, url):
                self.notes.append(f"not tested: headers and cookies of {name}: it answers only with a certificate")
                continue
            if name in self.surfaces and self.surfaces[name].definition.kind == "grpc":
                self.notes.append(f"not tested: headers and cookies of {name}: it speaks gRPC")
                continue
            self._answers(name, url)
        from vallum_checks.transport_engine.rules import RULES

        services = len(self.deployment.urls)
        lost = {missed.target.partition(" ")[0] for missed in self.missed}
        run = Run(
            tool=tool or Tool("vallum", __version__),
            coverage=(Coverage("services", services, services - len(lost), tuple(self.missed[:1000])),),
            rules=tuple(rule.rule() for rule in RULES),
            findings=tuple(self.findings.values()),
            databases=(Database("vallum transport rules", "vallum", len(RULES)),),
            notes=(f"{self.line.requests} requests", *self.notes),
        )
        self.problems += [f"{missed.target}: {missed.why}" for missed in self.missed]
        return Incomplete("; ".join(self.problems), run) if self.problems else Completed(run)

    def _tls(self) -> Tool | None:
        """Ask sslyze about the https services; what is plain HTTP is said."""
        from vallum_checks.transport_engine import rules, tls

        https = {name: url for name, url in self.deployment.urls.items() if urlsplit(url).scheme == "https"}
        plain = {name: url for name, url in self.deployment.urls.items() if name not in https}
        here = sorted(name for name, url in plain.items() if settings.loopback(url))
        if here:
            said = "plain HTTP on loopback, TLS is terminated elsewhere"
            self.notes.append(
                f"not tested: TLS, certificate and Strict-Transport-Security of {', '.join(here)}: {said}"
            )
        for name in sorted(plain.keys() - set(here)):
            self._add(name, None, tls.Weakness(rules.PLAIN, "its address is http"))
        if not https:
            return None
        try:
            looked, version, digest = tls.look(
                self.ctx, self.line, https, self._authorities(), self.deployment.identity
            )
        except Inconclusive as error:
            self.missed += [Missed(f"{name} TLS", error.reason) for name in https]
            self.ctx.log.append(error.detail)
            return None
        for name, one in looked.items():
            for weakness in one.weaknesses:
                self._add(name, None, weakness)
            self.missed += [Missed(f"{name} TLS", problem) for problem in one.problems]
            if one.about:
                self.notes.append(f"{name} speaks {one.about}")
        made = sorted(name for name in https if settings.made_for_run(self.ctx.config.environment, name))
        if made:
            self.notes.append(
                f"not tested: the certificates that {', '.join(made)} show elsewhere: here they are the run's own"
            )
        return Tool("sslyze", version, digest)

    def _authorities(self) -> Path | None:
        """One file with whoever may have signed the services' certificates: what the settings name, and the deployment's own."""
        given = [path for path in (self.ca, self.deployment.authorities) if path is not None]
        if len(given) < 2:
            return next(iter(given), None)
        both = self.ctx.scratch / "authorities.pem"
        both.write_bytes(b"\n".join(path.read_bytes() for path in given))
        return both

    def _mutual(self, name: str, url: str) -> bool:
        """Whether the service asks for a certificate, as it must. Returns whether we get in all the same."""
        from vallum_checks.transport_engine import mutual, rules

        environment = self.ctx.config.environment
        service = environment.services.get(name) if environment is not None else None
        beside = self.deployment.plain.get(name, "")
        try:
            found = mutual.probe(self.line, name, url, service.ready.path if service else "/", beside)
        except Inconclusive as error:
            self.missed.append(Missed(name, error.reason))
            found = []
        for weakness, reply in found:
            self._add(name, None, weakness, reply)
        ours = urlsplit(url).scheme == "http" or settings.made_for_run(environment, name)
        return ours or any(weakness.rule is rules.NO_CLIENT_CERTIFICATE for weakness, _ in found)

    def _answers(self, name: str, url: str) -> None:
        """Headers of what the service answers: its pages and operations that only read, logged in, and its logins."""
        https = urlsplit(url).scheme == "https"
        first = self.line.ask("GET", url + "/")
        if first.status == 0:
            self.missed.append(Missed(name, f"no answer ({first.why})"))
            return
        from vallum_checks.transport_engine import browsing

        if https:
            weakness = browsing.hsts(first)
            if weakness is not None:
                self._add(name, None, weakness, first)
            self._redirect(name, url)
        self._cookies(name, None, first, https=https)
        surface = self.surfaces.get(name)
        if surface is None:
            return
        for operation, reply, secured in self._replies(surface):
            self._cookies(name, operation, reply, https=https)
            weakness = browsing.shared_cache(reply) if secured else None
            if weakness is not None:
                self._add(name, operation, weakness, reply)
            for parameter in browsing.redirected_secrets(reply):
                self._secret(name, operation, parameter, "the answer leads to an address with it", reply)

    def _replies(self, surface: Surface) -> Iterator[tuple[Operation, Reply, bool]]:
        """Each operation that reads, and each login, with its answer, and whether it was a logged-in one."""
        from vallum_checks.transport_engine import browsing, entering

        given = entering.credentials(self.deployment, self.ctx.config)
        headers = self.deployment.headers()
        skipped = 0
        for declared in surface.definition.operations:
            if declared.unsupported:
                continue
            request = surface.definition.request(declared, lambda _before, _name: "")
            where = Operation(declared.method, surface.definition.prefix + declared.template)
            for name in browsing.secrets_in(parameter for parameter, _ in request.query):
                self._secret(surface.service, where, name, "the definition takes it in the query", None)
            if declared.login:
                reply = entering.log_in(self.line, surface, request, given)
                skipped += reply is None
            elif declared.method in SAFE and not declared.late:
                from urllib.parse import urlencode

                query = f"?{urlencode(request.query)}" if request.query else ""
                reply = self.line.ask(
                    declared.method, surface.url + request.path + query, {**dict(request.headers), **headers}
                )
            else:
                continue
            if reply is not None and reply.status == 0:
                self.missed.append(Missed(f"{surface.service} {declared}", f"no answer ({reply.why})"))
            elif reply is not None:
                yield where, reply, declared.secured and bool(headers)
        if skipped:
            self.notes.append(
                f"not tested: cookies of {skipped} logins of {surface.service} without configured credentials"
            )

    def _cookies(self, name: str, operation: Operation | None, reply: Reply, *, https: bool) -> None:
        from vallum_checks.transport_engine import browsing

        for cookie, weakness in browsing.cookies(reply, https=https):
            where = operation or Operation("GET", "/")
            self._add(name, Operation(where.method, where.path, cookie), weakness, reply)

    def _secret(self, name: str, where: Operation, parameter: str, how: str, reply: Reply | None) -> None:
        from vallum_checks.transport_engine import rules, tls

        text = f"parameter {parameter}: {how}"
        self._add(name, Operation(where.method, where.path, parameter), tls.Weakness(rules.URL_SECRET, text), reply)

    def _redirect(self, name: str, url: str) -> None:
        """Plain HTTP on the same host: at the port that is configured or staged, else 80 beside 443. None is as good."""
        from vallum_checks.transport_engine import rules, tls

        parts = urlsplit(url)
        usual = f"http://{parts.hostname}:80" if (parts.port or 443) == 443 else ""
        plain = self.plain.get(name) or self.deployment.plain.get(name) or usual
        if not plain:
            self.notes.append(f"not tested: whether plain HTTP is redirected to {name} (no plain port is known)")
            return
        if urlsplit(plain).hostname != parts.hostname:
            self.problems.append(f"checks.transport.options.http: {name} is on another host")
            return
        reply = self.line.ask("GET", plain.rstrip("/") + "/")
        away = urlsplit(reply.header("location")).scheme == "https" and 300 <= reply.status < 400
        if reply.status and not away and reply.status not in {400, 403, 421, 426}:
            text = f"plain HTTP answers {reply.status} and does not lead to https"
            self._add(name, None, tls.Weakness(rules.NO_REDIRECT, text), reply)

    def _add(self, name: str, operation: Operation | None, weakness: Weakness, reply: Reply | None = None) -> None:
        """A finding, once for each rule, operation and parameter; without an operation, once for the service."""
        rule = weakness.rule
        at = f"{operation.method} {operation.path}" if operation else ""
        key = (rule.id, name, at, operation.parameter if operation else weakness.text)
        surface = self.surfaces.get(name)
        line = 0
        if surface is not None and operation is not None:
            prefix = surface.definition.prefix
            line = next((o.line for o in surface.definition.operations if at == f"{o.method} {prefix}{o.template}"), 0)
        message = f"{rule.name} at {at or f'the service {name}'}: {weakness.text}"
        location = Location(surface.path if surface else CONFIG, line)
        self.findings.setdefault(key, found(rule, name, location, operation, message, reply, weakness.severity))


CHECK = Check(
    id="transport",
    stage=Stage.STAGED,
    summary="TLS, certificates, cookies and what travels in addresses",
    applies=_applies,
    run=_run,
    tools=("sslyze",),
    tags=("dast", "api"),
    deadline=600,
)

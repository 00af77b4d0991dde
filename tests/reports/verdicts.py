"""Verdicts for the tests and for looking at the page: a shop of four services, judged by the real gate where it matters."""

from __future__ import annotations

from vallum.finding import Exchange, Finding, Location, Operation, Package, Rule, Suppression
from vallum.outcome import Coverage, Database, Missed, Tool
from vallum.severity import Severity as S
from vallum.verdict import (
    CheckResult,
    Disposition,
    Judged,
    NotTested,
    Reason,
    ServiceOperations,
    ServiceVerdict,
    Status,
    Verdict,
)

DIGEST = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


def finding(number: int, rule: str, severity: S, message: str, **rest: object) -> Finding:
    fields: dict[str, object] = {"id": f"{number:032x}", "checks": ("semgrep",), **rest}
    return Finding(rule=rule, severity=severity, message=message, **fields)  # type: ignore[arg-type]


RULES = {
    "bandit/B608": Rule(
        "B608",
        "SQL built from strings",
        "A query is put together from strings instead of parameters.",
        "Pass the values as parameters of execute().",
        "https://bandit.readthedocs.io/en/1.9.4/plugins/b608_hardcoded_sql_expressions.html",
    ),
    "bandit/B201": Rule("B201", "Flask debug server", "", "Start Flask without debug=True."),
    "semgrep/jwt-none": Rule(
        "jwt-none",
        "JWT accepted without a signature",
        "The algorithms that are accepted contain `none`.",
        "Name exactly the algorithms that you sign with, and never `none`.",
    ),
    "semgrep/cors-any": Rule("cors-any", "CORS open to every origin", "", "Name the origins."),
    "pip-audit/PYSEC-2023-62": Rule(
        "PYSEC-2023-62", "Flask may cache a session cookie", "A proxy may send one client's cookie to others.", ""
    ),
    "image/CVE-2024-5569": Rule("CVE-2024-5569", "zipp loops on a crafted archive"),
    "zap/40018": Rule("40018", "SQL injection", "A parameter changes the query.", "Use prepared statements."),
    "zap/10038": Rule("10038", "No Content-Security-Policy", "", "Send the header with every page."),
    "secrets/aws": Rule("aws", "AWS access key", "", "Revoke the key, then read it from the environment."),
    "infrastructure/CKV_K8S_16": Rule("CKV_K8S_16", "Privileged container", "", "Set privileged: false."),
}
FINDINGS = (
    finding(
        1,
        "40018",
        S.CRITICAL,
        "SQL injection: the answer to a true condition differs from the answer to a false one.",
        service="orders",
        cwe=(89,),
        owasp=("A05:2025", "API8:2023"),
        confidence="high",
        checks=("zap", "bandit"),
        operation=Operation("GET", "/orders/search", "q"),
        location=Location(
            "services/orders/app/store.py",
            41,
            19,
            43,
            "rows = connection.execute(\n    f\"select id, item, total from orders where item like '%{q}%'\"\n).fetchall()",
        ),
        exchange=Exchange(
            "GET /orders/search?q=x%27%20or%20%271%27=%271 HTTP/1.1\nHost: orders\nAuthorization: Bearer [redacted]\n",
            'HTTP/1.1 200 OK\nContent-Type: application/json\n\n[{"id":1,"item":"rope","total":12.5,"user":"<b>ada</b>"}]',
        ),
        fix="Pass q as a parameter: connection.execute('… like ?', (f'%{q}%',)).",
    ),
    finding(
        2,
        "jwt-none",
        S.CRITICAL,
        "jwt.decode accepts unsigned tokens: anybody can be anybody.",
        service="gateway",
        cwe=(347,),
        owasp=("A07:2025", "API2:2023"),
        confidence="high",
        location=Location(
            "services/gateway/gateway/auth.py", 27, 12, 27, 'jwt.decode(token, KEY, algorithms=["HS256", "none"])'
        ),
    ),
    finding(
        3,
        "PYSEC-2023-62",
        S.HIGH,
        "Flask 1.1.4 is open to PYSEC-2023-62.",
        service="accounts",
        cwe=(539,),
        owasp=("A03:2025",),
        checks=("pip-audit",),
        package=Package("flask", "1.1.4", "pkg:pypi/flask@1.1.4", ("2.2.5", "2.3.2")),
        aliases=("CVE-2023-30861", "GHSA-m2qf-hxjv-5gpq"),
        cvss="CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N",
        location=Location("services/accounts/requirements.txt", 1),
    ),
    finding(
        4,
        "aws",
        S.HIGH,
        "An AWS access key is in the source.",
        service="gateway",
        cwe=(798,),
        checks=("secrets",),
        location=Location("services/gateway/gateway/settings.py", 9, snippet='AWS_KEY = "…WXYZ"'),
    ),
    finding(
        5,
        "CKV_K8S_16",
        S.HIGH,
        "The container `notify` runs privileged.",
        service="notify",
        cwe=(250,),
        checks=("infrastructure",),
        location=Location("kubernetes/notify.yaml", 22),
    ),
    finding(
        6,
        "B201",
        S.UNKNOWN,
        "The debug server of Flask gives a console to whoever finds it.",
        service="accounts",
        cwe=(489,),
        checks=("bandit",),
        location=Location("services/accounts/accounts/__main__.py", 14, snippet="app.run(debug=True)"),
    ),
    finding(
        7,
        "cors-any",
        S.MEDIUM,
        "Any site may read answers with the user's cookies.",
        service="gateway",
        cwe=(942,),
        location=Location("services/gateway/gateway/main.py", 33, 5, 38),
    ),
    finding(
        8,
        "10038",
        S.LOW,
        "No Content-Security-Policy on 6 pages.",
        service="gateway",
        cwe=(693,),
        checks=("zap",),
        operation=Operation("GET", "/"),
    ),
    finding(
        9,
        "CVE-2024-5569",
        S.INFO,
        "zipp 3.4.0 is open to CVE-2024-5569.",
        checks=("image",),
        package=Package("zipp", "3.4.0", "pkg:pypi/zipp@3.4.0"),
    ),
    finding(
        10,
        "B608",
        S.MEDIUM,
        "SQL built from strings; the table's name comes from a constant.",
        service="orders",
        cwe=(89,),
        checks=("bandit",),
        location=Location(
            "services/orders/app/migrate.py", 12, snippet='db.execute("select * from " + TABLE)  # nosec'
        ),
        suppression=Suppression("inSource", "# nosec B608", "TABLE is a constant of this file"),
    ),
)
BLOCKING = frozenset({S.CRITICAL, S.HIGH, S.UNKNOWN})


def judged(found: Finding) -> Judged:
    if found.suppression:
        return Judged(found, Disposition.SUPPRESSED, f"{found.suppression.by} in the source")
    blocks = found.severity in BLOCKING
    clause = f"policy: {found.severity} {'blocks' if blocks else 'does not block'}"
    return Judged(found, Disposition.BLOCKS if blocks else Disposition.WARNS, clause)


CHECKS = (
    CheckResult(
        check="bandit",
        stage="source",
        unit="_",
        status="incomplete",
        require="required",
        summary="weaknesses in Python source",
        reason="one file could not be parsed: services/orders/app/legacy.py",
        tool=Tool("bandit", "1.9.4", DIGEST),
        coverage=(Coverage("files", 23, 22, (Missed("services/orders/app/legacy.py", "unparsable"),)),),
        notes=("1 nosec marker",),
        argv=("bandit", "-f", "json", "-r", "services", "--exclude", "a b"),
        exit_code=1,
        started="2026-11-22T21:40:01Z",
        seconds=1.31,
        findings=3,
    ),
    CheckResult(
        check="semgrep",
        stage="source",
        unit="_",
        status="completed",
        require="required",
        summary="our rules for microservices",
        tool=Tool("semgrep", "1.168.0", DIGEST),
        coverage=(Coverage("files", 41, 41), Coverage("rules", 46, 46)),
        databases=(Database("rules", "vallum_checks/rules", 46, "2026-11-20", DIGEST),),
        argv=("semgrep", "scan", "--json", "-j", "1"),
        exit_code=0,
        started="2026-11-22T21:40:01Z",
        seconds=3.9,
        findings=2,
    ),
    CheckResult(
        check="secrets",
        stage="source",
        unit="_",
        status="completed",
        require="required",
        tool=Tool("detect-secrets", "1.5.0"),
        coverage=(Coverage("files", 57, 57),),
        exit_code=0,
        seconds=0.9,
        findings=1,
    ),
    CheckResult(
        check="infrastructure",
        stage="source",
        unit="_",
        status="completed",
        require="required",
        tool=Tool("checkov", "3.3.2"),
        coverage=(Coverage("manifests", 9, 9),),
        exit_code=0,
        seconds=11.2,
        findings=1,
    ),
    CheckResult(
        check="pip-audit",
        stage="dependencies",
        unit="_",
        status="completed",
        require="required",
        tool=Tool("pip-audit", "2.10.0", DIGEST),
        coverage=(Coverage("packages", 48, 48),),
        databases=(Database("osv", "examples/shop/advisories", 31, "2026-11-02"),),
        exit_code=1,
        seconds=4.4,
        findings=1,
    ),
    *(
        CheckResult(
            check="image",
            stage="images",
            unit=unit,
            status="completed",
            require="required",
            tool=Tool("syft", "1.44.0"),
            coverage=(Coverage("packages", 12, 12),),
            exit_code=0,
            seconds=2.2,
            findings=1,
        )
        for unit in ("accounts", "gateway", "orders")
    ),
    CheckResult(
        check="zap",
        stage="staged",
        unit="_",
        status="completed",
        require="optional",
        tool=Tool("ZAP", "2.17.0"),
        coverage=(Coverage("operations", 19, 19),),
        seconds=96.4,
        findings=2,
    ),
    CheckResult(
        check="schemathesis",
        stage="staged",
        unit="_",
        status="incomplete",
        require="optional",
        reason="passed its deadline of 60 s",
        seconds=60.1,
    ),
)
REASONS = (
    Reason("blocked", "2 critical findings from semgrep, zap", severity="critical", count=2),
    Reason("blocked", "3 high findings", severity="high", count=3),
    Reason("blocked", "1 unknown finding from bandit", "bandit", severity="unknown", count=1),
    Reason("incomplete", "bandit: one file could not be parsed: services/orders/app/legacy.py", "bandit"),
)
NOT_TESTED = (
    NotTested("bandit", "one file could not be parsed: services/orders/app/legacy.py", required=True),
    NotTested("schemathesis", "passed its deadline of 60 s"),
    NotTested("workflows: weaknesses in GitHub workflows", "there is no .github/workflows"),
    NotTested("API1:2023, objects of other users", "no check logs in as two users"),
)


def counts(service: str) -> dict[str, int]:
    return {str(s): sum(f.service == service and f.severity is s for f in FINDINGS) for s in S}


OPERATIONS = (
    ServiceOperations(
        service="accounts",
        declared=4,
        secured=3,
        reached=3,
        authenticated=2,
        attacked=3,
        floor=0.9,
        unreached=(Missed("DELETE /users/{id}", "answered 404"),),
    ),
    ServiceOperations(
        service="gateway",
        declared=12,
        secured=7,
        reached=12,
        authenticated=6,
        attacked=11,
        undeclared=("GET /debug/vars",),
    ),
    ServiceOperations(service="notify", undefined=True),
)


def shop(**changes: object) -> Verdict:
    blocking = {
        name: sum(judged(f).disposition is Disposition.BLOCKS for f in FINDINGS if f.service == name)
        for name in ("accounts", "gateway", "notify", "orders", "")
    }
    fields: dict[str, object] = {
        "status": Status.FAIL,
        "target": "shop",
        "run": "4f2a9c1be07d3386",
        "vallum": "0.1.0",
        "started": "2026-11-22T21:40:00Z",
        "commit": "396fbd5d0c1b2a394857665544332211ffeeddcc",
        "seconds": 118.2,
        "reasons": REASONS,
        "services": tuple(
            ServiceVerdict(
                name,
                f"services/{name}" if name else ".",
                Status.FAIL if blocking[name] else Status.INCOMPLETE,
                counts(name),
                blocking[name],
            )
            for name in blocking
        ),
        "checks": CHECKS,
        "not_tested": NOT_TESTED,
        "findings": tuple(judged(each) for each in FINDINGS),
        "rules": RULES,
        "operations": OPERATIONS,
        "policy": {"block": "critical, high", "unknown": "block", "suppressions": "count"},
        **changes,
    }
    return Verdict(**fields)  # type: ignore[arg-type]

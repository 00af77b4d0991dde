package vallum.zap;

import java.util.regex.Pattern;
import org.apache.commons.httpclient.URI;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Consoles, metrics, settings and repositories that answer without a login, known by what stands in them. Once per host. */
public class ExposedEndpoints extends Rule {
    private record Endpoint(String path, String what, int risk, Pattern content) {
        Endpoint(String path, String what, int risk, String content) {
            this(path, what, risk, Pattern.compile(content));
        }
    }

    private static final String PROMETHEUS = "(?m)^[a-zA-Z_:][\\w:]*(\\{[^}\\n]*\\})? [-+\\d.eENaIinf]+( \\d+)?$";
    private static final Endpoint[] ENDPOINTS = {
        new Endpoint("/console", "Werkzeug console", Alert.RISK_HIGH, "Interactive Console|EVALEX|werkzeug.{0,40}console"),
        new Endpoint("/metrics", "Metrics", Alert.RISK_MEDIUM, PROMETHEUS),
        new Endpoint("/actuator/prometheus", "Metrics", Alert.RISK_MEDIUM, PROMETHEUS),
        new Endpoint("/actuator/env", "Spring Boot environment", Alert.RISK_HIGH, "\"propertySources\"\\s*:"),
        new Endpoint("/actuator/configprops", "Spring Boot settings", Alert.RISK_HIGH, "\"contexts\"\\s*:.{0,80}\"beans\""),
        new Endpoint("/actuator/heapdump", "Heap dump", Alert.RISK_HIGH, "^JAVA PROFILE"),
        new Endpoint("/actuator", "Spring Boot actuator", Alert.RISK_MEDIUM, "\"_links\"\\s*:.{0,200}actuator"),
        new Endpoint("/debug/pprof/", "Go profiler", Alert.RISK_HIGH, "/debug/pprof/|full goroutine stack dump"),
        new Endpoint("/debug/vars", "Go variables", Alert.RISK_MEDIUM, "\"memstats\"\\s*:"),
        new Endpoint("/.env", "Environment file", Alert.RISK_HIGH, "(?m)^(export )?[A-Z][A-Z0-9_]{2,40}=\\S"),
        new Endpoint("/.git/HEAD", "Git repository", Alert.RISK_HIGH, "^ref: refs/|^[0-9a-f]{40}\\s*$"),
        new Endpoint("/config", "Settings", Alert.RISK_HIGH, "(?i)\"[\\w-]*(secret|password|private)[\\w-]*\"\\s*:"),
        new Endpoint("/env", "Environment", Alert.RISK_HIGH, "(?i)\"(PATH|HOME)\"\\s*:\\s*\"/"),
        new Endpoint("/server-status", "Apache status", Alert.RISK_MEDIUM, "Apache Server Status"),
        new Endpoint("/phpinfo.php", "phpinfo", Alert.RISK_MEDIUM, "<title>phpinfo\\(\\)"),
        new Endpoint("/h2-console", "H2 database console", Alert.RISK_HIGH, "H2 Console"),
        new Endpoint("/__debug__/", "Django debug toolbar", Alert.RISK_MEDIUM, "djdt|Debug Toolbar"),
        new Endpoint("/_profiler/", "Symfony profiler", Alert.RISK_MEDIUM, "Symfony Profiler"),
        new Endpoint("/graphiql", "GraphiQL console", Alert.RISK_LOW, "GraphiQL"),
        new Endpoint("/trace.axd", "ASP.NET trace", Alert.RISK_MEDIUM, "Application Trace"),
    };

    public ExposedEndpoints() {
        super(
                new Sheet(
                        600024,
                        "Exposed endpoint",
                        Category.INFO_GATHER,
                        Alert.RISK_MEDIUM,
                        200,
                        34,
                        "OWASP_2025_A02 OWASP_2021_A05 API_2023_API09",
                        "An endpoint for operators or developers answers whoever asks, without a login.",
                        "Serve it on a port or path that only operators reach, or demand a login; switch debug endpoints off in production.",
                        "https://owasp.org/API-Security/editions/2023/en/0xa8-security-misconfiguration/"));
    }

    @Override
    public void scan() {
        if (!firstOnHost()) {
            return;
        }
        HttpMessage control = ask("/" + Wire.word(12));
        if (control == null) {
            return;
        }
        for (Endpoint endpoint : ENDPOINTS) {
            HttpMessage answer = ask(endpoint.path());
            if (answer == null) {
                if (isStop()) {
                    return;
                }
                continue;
            }
            String evidence = Wire.success(answer) ? Wire.find(endpoint.content(), Wire.body(answer)) : null;
            // A service that answers everything alike would match by chance.
            if (evidence != null && !(Wire.success(control) && Wire.find(endpoint.content(), Wire.body(control)) != null)) {
                newAlert()
                        .setAlertRef(String.valueOf(getId()))
                        .setName("Exposed endpoint: " + endpoint.what())
                        .setRisk(endpoint.risk())
                        .setConfidence(SURE)
                        .setParam("")
                        .setCweId(endpoint.path().equals("/console") ? 489 : 200)
                        .setEvidence(evidence)
                        .setMessage(answer)
                        .raise();
            }
        }
    }

    private HttpMessage ask(String path) {
        try {
            HttpMessage message = getNewMsg();
            URI uri = new URI(message.getRequestHeader().getURI().toString(), true);
            uri.setEscapedPath(path);
            uri.setEscapedQuery(null);
            HttpMessage fresh = new HttpMessage(uri);
            return send(fresh);
        } catch (java.io.IOException impossible) {
            return null;
        }
    }
}

package vallum.zap;

import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** What the service says when something unexpected comes: stack traces, an interactive debugger, or an unhandled error. */
public class VerboseErrors extends Rule {
    private static final Pattern TRACE =
            Pattern.compile(
                    "Traceback \\(most recent call last\\)"
                            + "|File \\\\?\"[^\"\\n]{1,200}\\.py\\\\?\", line \\d+"
                            + "|\\bat [\\w$.<> \\[\\]]{1,120} ?\\((?:[^()\\s]{1,200}\\.(?:js|ts|mjs|cjs)|node:[\\w/]+|native|file://[^()\\s]+):\\d+:\\d+\\)"
                            + "|\\bat [\\w$.]{3,150}\\([\\w$]+\\.(?:java|kt|scala):\\d+\\)"
                            + "|goroutine \\d+ \\[running\\]"
                            + "|Fatal error: .{1,200} in .{1,200}\\.php on line \\d+"
                            + "|\\bat [\\w.`<>]{3,150}\\([^)\\n]{0,200}\\) in [^\\n]{1,200}\\.cs:line \\d+"
                            + "|\\.rb:\\d+:in `");
    private static final Pattern DEBUGGER =
            Pattern.compile(
                    "Werkzeug Debugger|__debugger__=yes|EVALEX ?= ?true|You're seeing this error because you have <code>DEBUG = True"
                            + "|Whoops! There was an error|Action Controller: Exception caught|DeveloperExceptionPage");
    private boolean told;

    public VerboseErrors() {
        super(
                new Sheet(
                        600023,
                        "Error tells too much",
                        Category.INFO_GATHER,
                        Alert.RISK_MEDIUM,
                        209,
                        13,
                        "OWASP_2025_A10 OWASP_2021_A05 API_2023_API08",
                        "An unexpected value makes the service show its inside: code, file names, versions, sometimes settings.",
                        "Handle errors in one place: log the details, answer with a short message and an id. Never run a debugger where others can reach it.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Error_Handling_Cheat_Sheet.html"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (Wire.asset(base) || Seeds.repeated(base)) {
            return;
        }
        look(base, "", "", "");
        String type = base.getRequestHeader().getHeader("Content-Type");
        if (type != null && type.contains("json") && base.getRequestBody().length() > 0) {
            for (String body : new String[] {"[1]", "{\"a\":"}) {
                HttpMessage message = getNewMsg();
                message.setRequestBody(body);
                message.getRequestHeader().setContentLength(message.getRequestBody().length());
                HttpMessage answer = send(message);
                if (answer == null || look(answer, "body", body, "The body was not what the definition says.")) {
                    break;
                }
            }
        }
        super.scan();
    }

    @Override
    protected void probe(String value) {
        if (told) {
            return; // one proof for an operation is enough
        }
        String payload = "vallum'\"{[(%\\";
        HttpMessage answer = attack(payload);
        if (answer != null) {
            told = look(answer, null, payload, "");
        }
    }

    /** An alert where the answer tells too much; {@code at} null means the current parameter. */
    private boolean look(HttpMessage answer, String at, String attack, String other) {
        String body = Wire.body(answer);
        String evidence = Wire.find(DEBUGGER, body);
        if (evidence != null) {
            raise(2, "Interactive debugger or debug page", Alert.RISK_HIGH, SURE, at, attack, evidence, other, answer);
            return true;
        }
        evidence = Wire.find(TRACE, body);
        if (evidence != null) {
            raise(1, "Stack trace in an answer", Alert.RISK_MEDIUM, SURE, at, attack, evidence, other, answer);
            return true;
        }
        int status = Wire.status(answer);
        if (status == 500 && Wire.status(getBaseMsg()) < 500) {
            raise(3, "Unexpected value is not handled (HTTP 500)", Alert.RISK_LOW, LIKELY, at, attack, "HTTP " + status, other, answer);
            return true;
        }
        return false;
    }

    @Override
    protected int weakness(int variant) {
        return variant == 3 ? 755 : 209;
    }

    private void raise(
            int variant, String name, int risk, int confidence, String at, String attack, String evidence, String other, HttpMessage proof) {
        if (at == null) {
            found(variant, name, risk, confidence, attack, evidence, other, proof);
        } else {
            foundAt(variant, name, risk, confidence, at, attack, evidence, other, proof);
        }
    }
}

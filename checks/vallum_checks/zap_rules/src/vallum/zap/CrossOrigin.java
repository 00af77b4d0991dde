package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Cross-origin sharing with any origin: asks as a site that cannot be on any list. */
public class CrossOrigin extends Rule {
    public CrossOrigin() {
        super(
                new Sheet(
                        600022,
                        "Permissive cross-origin sharing",
                        Category.BROWSER,
                        Alert.RISK_MEDIUM,
                        942,
                        14,
                        "OWASP_2025_A02 OWASP_2021_A05 API_2023_API08 SYSTEMIC",
                        "The answer allows any web site to read it, with the visitor's cookies: every page the visitor opens can act as the visitor.",
                        "Answer only origins from a fixed list, and send Access-Control-Allow-Credentials only to those.",
                        "https://fetch.spec.whatwg.org/#cors-protocol-and-credentials"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (Wire.status(base) >= 500 || Wire.status(base) == 404 || Seeds.repeated(base)
                || !base.getRequestHeader().getMethod().equals("GET")) {
            return;
        }
        String origin = "https://vallum-" + Wire.word(8) + ".example";
        HttpMessage message = getNewMsg();
        message.getRequestHeader().setHeader("Origin", origin);
        if (message.getRequestHeader().getHeader("Cookie") == null) {
            message.getRequestHeader().setHeader("Cookie", "vallum=1"); // some libraries reflect only when there is one
        }
        HttpMessage answer = send(message);
        if (answer == null) {
            return;
        }
        String allowed = answer.getResponseHeader().getHeader("Access-Control-Allow-Origin");
        String credentials = answer.getResponseHeader().getHeader("Access-Control-Allow-Credentials");
        boolean with = credentials != null && credentials.trim().equalsIgnoreCase("true");
        if (allowed == null) {
            return;
        }
        String evidence = "Access-Control-Allow-Origin: " + (allowed.equals(origin) ? "(the origin that asked)" : allowed);
        if (allowed.equals(origin)) {
            String title = with ? "Any origin may read answers with credentials" : "Any origin may read answers";
            raise(with ? 1 : 2, title, with ? Alert.RISK_HIGH : Alert.RISK_MEDIUM, origin, evidence, answer);
        } else if (allowed.trim().equals("*") && with) {
            raise(3, "Any origin, with credentials (a browser refuses it; the setting is wrong)", Alert.RISK_MEDIUM, origin, evidence, answer);
        } else if (allowed.trim().equals("*") && Seeds.secured(base)) {
            raise(4, "Any origin may read an answer that needs a login", Alert.RISK_LOW, origin, evidence, answer);
        }
    }

    private void raise(int variant, String name, int risk, String origin, String evidence, HttpMessage answer) {
        foundAt(variant, name, risk, SURE, "Origin", origin, evidence, "", answer);
    }
}

package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Response headers that tell a browser to defend the user, and are not there. Sends nothing. */
public class SecurityHeaders extends Rule {
    public SecurityHeaders() {
        super(
                new Sheet(
                        600020,
                        "Missing security headers",
                        Category.BROWSER,
                        Alert.RISK_LOW,
                        693,
                        15,
                        "OWASP_2025_A02 OWASP_2021_A05 API_2023_API08 SYSTEMIC",
                        "The answer lacks headers with which a browser would limit the damage of a mistake in the page.",
                        "Set them once, in the gateway or a middleware: Content-Security-Policy, X-Content-Type-Options, frame-ancestors or X-Frame-Options, Strict-Transport-Security.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/HTTP_Headers_Cheat_Sheet.html"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (!Wire.success(base) || Wire.body(base).isEmpty() || Seeds.repeated(base)) {
            return;
        }
        if (Wire.type(base).contains("html")) {
            String policy = header(base, "Content-Security-Policy");
            if (policy.isEmpty()) {
                missing(1, "No Content-Security-Policy", Alert.RISK_MEDIUM, "Content-Security-Policy");
            }
            if (header(base, "X-Frame-Options").isEmpty() && !policy.contains("frame-ancestors")) {
                missing(2, "Page can be framed (no X-Frame-Options, no frame-ancestors)", Alert.RISK_MEDIUM, "X-Frame-Options");
            }
        }
        if (!header(base, "X-Content-Type-Options").equalsIgnoreCase("nosniff")) {
            missing(3, "No X-Content-Type-Options: nosniff", Alert.RISK_LOW, "X-Content-Type-Options");
        }
        if ("https".equalsIgnoreCase(base.getRequestHeader().getURI().getScheme())
                && header(base, "Strict-Transport-Security").isEmpty()) {
            missing(4, "No Strict-Transport-Security", Alert.RISK_LOW, "Strict-Transport-Security");
        }
        String server = header(base, "Server");
        if (server.matches("(?s).*\\d+\\.\\d+.*")) {
            tells("Server", server);
        }
        if (!header(base, "X-Powered-By").isEmpty()) {
            tells("X-Powered-By", header(base, "X-Powered-By"));
        }
    }

    private void tells(String header, String value) {
        foundAt(
                5,
                "Header tells what the service is made of",
                Alert.RISK_LOW,
                SURE,
                header,
                "",
                header + ": " + value,
                "It says which published weaknesses to try.",
                getBaseMsg());
    }

    @Override
    protected int weakness(int variant) {
        return variant == 2 ? 1021 : variant == 5 ? 497 : 693;
    }

    private void missing(int variant, String name, int risk, String header) {
        foundAt(variant, name, risk, SURE, header, "", "", "", getBaseMsg());
    }

    private static String header(HttpMessage message, String name) {
        String value = message.getResponseHeader().getHeader(name);
        return value == null ? "" : value;
    }
}

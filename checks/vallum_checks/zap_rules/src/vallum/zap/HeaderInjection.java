package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Header injection: a line break in the value starts a new header of the answer. */
public class HeaderInjection extends Rule {
    private static final String NAME = "Header injection (CRLF)";

    public HeaderInjection() {
        super(
                new Sheet(
                        600008,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        113,
                        25,
                        "OWASP_2025_A05 OWASP_2021_A03",
                        "A line break in the value ends a header of the answer: a caller can add headers, set cookies and poison caches.",
                        "Refuse control characters in values that become headers; a current HTTP library does.",
                        "https://owasp.org/www-community/vulnerabilities/CRLF_Injection"));
    }

    @Override
    protected void probe(String value) {
        for (String end : new String[] {"\r\n", "\n"}) {
            String header = "X-Vallum-" + Wire.word(6);
            String payload = value + end + header + ": 1";
            HttpMessage answer = attack(payload);
            if (answer == null) {
                continue; // some servers close the connection on the first and let the second pass
            }
            if (answer.getResponseHeader().getHeader(header) != null) {
                found(0, NAME, Alert.RISK_HIGH, SURE, payload, header + ": 1", "", answer);
                return;
            }
        }
    }
}

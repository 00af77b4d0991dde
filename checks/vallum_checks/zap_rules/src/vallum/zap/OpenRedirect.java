package vallum.zap;

import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Open redirect: the answer sends the browser to a host that the parameter names. */
public class OpenRedirect extends Rule {
    private static final String NAME = "Open redirect";

    public OpenRedirect() {
        super(
                new Sheet(
                        600007,
                        NAME,
                        Category.MISC,
                        Alert.RISK_MEDIUM,
                        601,
                        38,
                        "OWASP_2025_A01 OWASP_2021_A01",
                        "The service redirects to any address that the parameter names: its name lends trust to a phishing page.",
                        "Redirect only to paths of your own (one leading slash, no host), or to addresses from a list.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Unvalidated_Redirects_and_Forwards_Cheat_Sheet.html"));
    }

    @Override
    protected void probe(String value) {
        String host = "vallum-" + Wire.word(8) + ".example";
        String[] payloads = {"https://" + host + "/", "//" + host + "/", "/\\" + host + "/"};
        for (String payload : payloads) {
            HttpMessage answer = attack(payload);
            if (answer == null) {
                return;
            }
            String location = target(answer);
            if (location == null) {
                return; // no redirect at all: nothing that another spelling would change
            }
            if (leadsTo(location, host)) {
                found(0, NAME, Alert.RISK_MEDIUM, SURE, payload, location, "", answer);
                return;
            }
        }
    }

    private static final Pattern REFRESH =
            Pattern.compile("(?i)<meta[^>]{0,80}http-equiv=.?refresh[^>]{0,80}url=([^\"'>\\s]{1,300})");

    private static String target(HttpMessage answer) {
        String location = answer.getResponseHeader().getHeader("Location");
        if (Wire.status(answer) / 100 == 3 && location != null) {
            return location.trim();
        }
        String refresh = Wire.type(answer).contains("html") ? Wire.find(REFRESH, Wire.body(answer)) : null;
        return refresh == null ? null : refresh.replaceFirst("(?is).*url=", "");
    }

    private static boolean leadsTo(String location, String host) {
        String plain = location.replace('\\', '/').toLowerCase();
        return plain.matches("(https?:)?//+" + Pattern.quote(host) + "([/:?#].*)?");
    }
}

package vallum.zap;

import java.util.List;
import java.util.Locale;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Cookies that script can read, that other sites can send, or that travel without TLS. Sends nothing. */
public class CookieFlags extends Rule {
    public CookieFlags() {
        super(
                new Sheet(
                        600021,
                        "Cookie without protection",
                        Category.BROWSER,
                        Alert.RISK_LOW,
                        1004,
                        13,
                        "OWASP_2025_A07 OWASP_2021_A05",
                        "The cookie lacks attributes that keep it from scripts, from other sites or from the open wire.",
                        "Set HttpOnly, Secure and SameSite=Lax (or Strict) on every cookie that scripts need not read.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Session_Management_Cheat_Sheet.html#cookies"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        List<String> cookies = base.getResponseHeader().getHeaderValues("Set-Cookie");
        for (String cookie : cookies) {
            String[] parts = cookie.split(";");
            String name = parts[0].split("=", 2)[0].trim();
            String value = parts[0].contains("=") ? parts[0].split("=", 2)[1].trim() : "";
            String flags = cookie.substring(parts[0].length()).toLowerCase(Locale.ROOT);
            if (value.isEmpty() || flags.contains("max-age=0") || flags.contains("1970")) {
                continue; // a cookie that is being deleted
            }
            boolean session = name.matches("(?i).*(sess|sid|auth|token|jwt|login|remember).*");
            int risk = session ? Alert.RISK_MEDIUM : Alert.RISK_LOW;
            if (!flags.contains("httponly") && !name.matches("(?i).*(csrf|xsrf).*")) {
                raise(1, "Cookie without HttpOnly", risk, name);
            }
            if (!flags.contains("samesite") || (flags.contains("samesite=none") && !flags.contains("secure"))) {
                raise(2, "Cookie without SameSite", Alert.RISK_LOW, name);
            }
            if (!flags.contains("secure")) {
                raise(3, "Cookie without Secure", Alert.RISK_LOW, name);
            }
        }
    }

    @Override
    protected int weakness(int variant) {
        return variant == 2 ? 1275 : variant == 3 ? 614 : 1004;
    }

    private void raise(int variant, String name, int risk, String cookie) {
        foundAt(variant, name, risk, SURE, cookie, "", "Set-Cookie: " + cookie, "", getBaseMsg());
    }
}

package vallum.zap;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Reflected cross-site scripting: finds where in the page the value lands, then breaks out of exactly that place. */
public class CrossSiteScripting extends Rule {
    private static final String NAME = "Cross-site scripting (reflected)";

    public CrossSiteScripting() {
        super(
                new Sheet(
                        600002,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        79,
                        8,
                        "OWASP_2025_A05 OWASP_2021_A03",
                        "The page repeats the value of the parameter without encoding it for the place where it stands, so that a link can run script in a visitor's session.",
                        "Encode for the context: let a template engine with autoescape on write the page, and send a Content-Security-Policy.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Cross_Site_Scripting_Prevention_Cheat_Sheet.html"));
    }

    @Override
    protected void probe(String value) {
        String mark = Wire.word(10);
        HttpMessage plain = attack(mark);
        if (plain == null || !Wire.document(plain)) {
            return;
        }
        String page = Wire.body(plain);
        int tried = 0;
        for (int at = page.indexOf(mark); at >= 0 && tried < 4; at = page.indexOf(mark, at + 1), tried++) {
            String place = place(page, at);
            String word = Wire.word(8);
            String payload = payload(place, word);
            HttpMessage answer = attack(payload);
            if (answer == null) {
                return;
            }
            // Unencoded and in a document: a browser would make an element, an attribute or a statement of it.
            int reflected = Wire.body(answer).indexOf(payload);
            if (Wire.document(answer) && reflected >= 0 && place(Wire.body(answer), reflected).equals(place)) {
                found(0, NAME, Alert.RISK_HIGH, SURE, payload, payload, "The value stands in: " + place + ".", answer);
                return;
            }
        }
    }

    private static String payload(String place, String word) {
        switch (place) {
            case "an attribute in double quotes":
                return "\" on" + word + "=\"1\" x=\"";
            case "an attribute in single quotes":
                return "' on" + word + "='1' x='";
            case "an attribute without quotes":
                return word + " on" + word + "=1";
            case "a script's string in double quotes":
                return "\"-" + word + "()-\"";
            case "a script's string in single quotes":
                return "'-" + word + "()-'";
            case "a script":
                return ";" + word + "();";
            case "a comment":
                return "--><" + word + " onload=1>";
            default:
                return "<" + word + " onload=1>";
        }
    }

    private static final Pattern SCRIPT = Pattern.compile("(?is)<script\\b[^>]*>|</script\\s*>");

    /** In which context of the page the character at {@code at} stands. */
    static String place(String page, int at) {
        String before = page.substring(0, at);
        if (before.lastIndexOf("<!--") > before.lastIndexOf("-->")) {
            return "a comment";
        }
        int open = -1;
        for (Matcher matcher = SCRIPT.matcher(before); matcher.find(); ) {
            open = matcher.group().startsWith("</") ? -1 : matcher.end();
        }
        if (open >= 0) {
            char quote = quote(before.substring(open));
            return quote == '"' ? "a script's string in double quotes" : quote == '\'' ? "a script's string in single quotes" : "a script";
        }
        int tag = before.lastIndexOf('<');
        if (tag > before.lastIndexOf('>') && tag + 1 < before.length() && !Character.isWhitespace(before.charAt(tag + 1))) {
            char quote = quote(before.substring(tag));
            if (quote == '"') {
                return "an attribute in double quotes";
            }
            if (quote == '\'') {
                return "an attribute in single quotes";
            }
            if (before.matches("(?s).*=\\s*[^\\s>]*$")) {
                return "an attribute without quotes";
            }
        }
        return "text of the page";
    }

    /** The quote that is open at the end of {@code text}, or 0. */
    private static char quote(String text) {
        char open = 0;
        for (int i = 0; i < text.length(); i++) {
            char c = text.charAt(i);
            if (c == '\\') {
                i++;
            } else if (open == 0 && (c == '"' || c == '\'')) {
                open = c;
            } else if (c == open) {
                open = 0;
            }
        }
        return open;
    }
}

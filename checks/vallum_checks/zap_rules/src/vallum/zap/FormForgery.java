package vallum.zap;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** A form that changes something and carries no value that another site could not know. Sends nothing. */
public class FormForgery extends Rule {
    private static final Pattern FORM = Pattern.compile("(?is)<form\\b([^>]*)>(.*?)</form>");
    private static final Pattern POST = Pattern.compile("(?i)method\\s*=\\s*[\"']?post");
    private static final Pattern HIDDEN =
            Pattern.compile("(?i)<input\\b[^>]*name\\s*=\\s*[\"']?[\\w-]*(csrf|xsrf|token|nonce|authenticity|_state)[\\w-]*");

    public FormForgery() {
        super(
                new Sheet(
                        600030,
                        "Form without a token against forgery",
                        Category.BROWSER,
                        Alert.RISK_MEDIUM,
                        352,
                        9,
                        "OWASP_2025_A01 OWASP_2021_A01",
                        "Another site can send this form in the visitor's name: nothing in it is secret to the visitor's session.",
                        "Put a random token of the session into the form and check it, and set SameSite=Lax or Strict on the session's cookie.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (!Wire.success(base) || !base.getRequestHeader().getMethod().equals("GET") || !Wire.type(base).contains("html") || Seeds.repeated(base)) {
            return;
        }
        Matcher form = FORM.matcher(Wire.body(base));
        while (form.find()) {
            if (POST.matcher(form.group(1)).find() && !HIDDEN.matcher(form.group(2)).find()) {
                foundAt(0, getName(), Alert.RISK_MEDIUM, LIKELY, "", "", "<form" + form.group(1) + ">", "", base);
                return;
            }
        }
    }
}

package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** An operation that the definition protects, asked without any login. */
public class MissingAuthentication extends Rule {
    private static final String NAME = "Operation answers without a login";

    public MissingAuthentication() {
        super(
                new Sheet(
                        600025,
                        NAME,
                        Category.MISC,
                        Alert.RISK_HIGH,
                        306,
                        1,
                        "OWASP_2025_A07 OWASP_2021_A07 API_2023_API02",
                        "The API definition says that the operation needs a login, and the service answers without one.",
                        "Check the login in one place that every route passes, and refuse by default.",
                        "https://owasp.org/API-Security/editions/2023/en/0xa2-broken-authentication/"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (!Seeds.secured(base) || Seeds.repeated(base) || !Wire.success(base)) {
            return;
        }
        HttpMessage answer = send(anonymous());
        if (answer == null || !Wire.success(answer)) {
            return;
        }
        // A page that only asks to log in is an answer of 200 too: then a wrong token gets the same page, the right one another.
        HttpMessage again = send(anonymous());
        if (again != null && Wire.success(again)) {
            foundAt(0, NAME, Alert.RISK_HIGH, SURE, "", "", "HTTP " + Wire.status(answer), "Asked without Authorization and cookies.", answer);
        }
    }

    private HttpMessage anonymous() {
        HttpMessage message = getNewMsg();
        message.getRequestHeader().setHeader("Authorization", null);
        message.getRequestHeader().setHeader("Cookie", null);
        return message;
    }
}

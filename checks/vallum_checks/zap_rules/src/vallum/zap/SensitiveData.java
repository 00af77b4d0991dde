package vallum.zap;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Password hashes, keys and secrets in an answer. Sends nothing; prints none of the values. */
public class SensitiveData extends Rule {
    private static final Pattern PROPERTY =
            Pattern.compile(
                    "(?i)\"((?:user_?|hashed_?|encrypted_?|db_?|database_?)?(?:password|passwd|pwd|pass)(?:_?(?:hash|digest|salt))?"
                            + "|secret_?key|client_?secret|private_?key|api_?secret|aws_secret_access_key|totp_?secret|credit_?card(?:_?number)?|card_?number|ssn)\""
                            + "\\s*:\\s*\"([^\"]{4,})\"");
    private static final Pattern KEY = Pattern.compile("-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----|\\bAKIA[0-9A-Z]{16}\\b");

    public SensitiveData() {
        super(
                new Sheet(
                        600028,
                        "Sensitive data in an answer",
                        Category.INFO_GATHER,
                        Alert.RISK_HIGH,
                        200,
                        13,
                        "OWASP_2025_A01 OWASP_2021_A01 API_2023_API03",
                        "The answer holds values that no caller needs, such as password hashes or keys.",
                        "Name the properties that an answer has (a response model), instead of returning the stored object.",
                        "https://owasp.org/API-Security/editions/2023/en/0xa3-broken-object-property-level-authorization/"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        if (!Wire.success(base) || Wire.asset(base) || Seeds.repeated(base)) {
            return;
        }
        String body = Wire.body(base);
        String sent = base.getRequestBody().toString() + base.getRequestHeader().getURI();
        Matcher matcher = PROPERTY.matcher(body);
        while (matcher.find()) {
            String value = matcher.group(2);
            if (!value.matches("[*x•.]+|(?i)none|null|redacted.*|<.*>|string") && !sent.contains(value)) {
                foundAt(1, getName(), Alert.RISK_HIGH, LIKELY, matcher.group(1), "", "\"" + matcher.group(1) + "\": …", "", base);
                return;
            }
        }
        String key = Wire.find(KEY, body);
        if (key != null) {
            foundAt(2, "Key in an answer", Alert.RISK_HIGH, SURE, "", "", key.substring(0, 4) + "…", "", base);
        }
    }
}

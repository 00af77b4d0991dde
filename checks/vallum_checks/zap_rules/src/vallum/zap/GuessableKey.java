package vallum.zap;

import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.util.Base64;
import java.util.LinkedHashSet;
import java.util.Set;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** A token whose HMAC key is a word that anyone would try first. Computed here; the service is asked only whether it verifies. */
public class GuessableKey extends Rule {
    private static final String[] WORDS = {
        "secret", "password", "changeme", "change-me", "change_me", "changeit", "jwt", "key", "test", "dev", "development",
        "admin", "root", "default", "example", "token", "private", "supersecret", "super-secret", "super_secret", "mysecret",
        "my-secret", "my_secret", "s3cr3t", "s3cret", "letmein", "qwerty", "123456", "12345678", "1234567890", "passw0rd",
        "topsecret", "top-secret", "hunter2", "insecure", "dummy", "foobar", "foo", "bar", "demo", "local", "localhost",
        "your-256-bit-secret", "your_jwt_secret", "your-secret-key", "your_secret_key", "please-change-me", "shhhhh", "keyboard cat",
    };
    private static final String[] ENDS = {
        "%s", "%s-secret", "%s_secret", "%ssecret", "%s-secret-key", "%s_secret_key", "%s-key", "%s_key", "%s-jwt", "%s_jwt",
        "%s-jwt-secret", "%s_jwt_secret", "%s-password", "%s123", "%s1234", "%s!", "%s-2023", "%s-2024", "%s-2025", "%s-2026",
        "secret-%s", "secret_%s", "my-%s-secret", "jwt-%s", "jwt-secret-%s",
    };

    public GuessableKey() {
        super(
                new Sheet(
                        600027,
                        "Guessable key of tokens",
                        Category.MISC,
                        Alert.RISK_HIGH,
                        521,
                        1,
                        "OWASP_2025_A04 OWASP_2021_A02 API_2023_API02 VALLUM_SEVERITY=critical SYSTEMIC",
                        "The key that signs JSON Web Tokens is a word from a short list: a caller can sign a token for any user.",
                        "Use a random key of at least 256 bits from a secret store, or an asymmetric algorithm; replace the key now.",
                        "https://www.rfc-editor.org/rfc/rfc8725#section-3.5"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        Tokens token = Tokens.of(base);
        if (token == null || !Wire.success(base) || Seeds.repeated(base) || !token.algorithm().matches("HS(256|384|512)")) {
            return;
        }
        Set<String> bases = new LinkedHashSet<>(Seeds.words());
        bases.addAll(Set.of(WORDS));
        for (String word : bases) {
            for (String end : ENDS) {
                String key = String.format(end, word);
                if (signs(token, key)) {
                    HttpMessage wrong = getNewMsg();
                    wrong.getRequestHeader().setHeader("Authorization", token.tampered());
                    HttpMessage answer = send(wrong);
                    if (answer == null || !Wire.refused(answer)) {
                        return; // here nobody looks at the signature: then the key does not matter
                    }
                    foundAt(
                            0,
                            getName(),
                            Alert.RISK_HIGH,
                            SURE,
                            "Authorization",
                            "",
                            "a word of " + key.length() + " characters",
                            "The key was found in a list of some " + bases.size() * ENDS.length + " words; it is not printed here.",
                            base);
                    return;
                }
            }
        }
    }

    private static boolean signs(Tokens token, String key) {
        try {
            String name = "HmacSHA" + token.algorithm().substring(2);
            Mac mac = Mac.getInstance(name);
            mac.init(new SecretKeySpec(key.getBytes(StandardCharsets.UTF_8), name));
            byte[] ours = mac.doFinal((token.header() + "." + token.payload()).getBytes(StandardCharsets.US_ASCII));
            return MessageDigest.isEqual(ours, Base64.getUrlDecoder().decode(token.signature()));
        } catch (GeneralSecurityException | IllegalArgumentException unreadable) {
            return false;
        }
    }
}

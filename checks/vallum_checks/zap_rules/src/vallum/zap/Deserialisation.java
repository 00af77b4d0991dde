package vallum.zap;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;

/** Unsafe deserialisation of Python's pickle and of YAML with constructors: the loader calls what the value names. */
public class Deserialisation extends TimedRule {
    public Deserialisation() {
        super(
                new Sheet(
                        600011,
                        "Unsafe deserialisation",
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        502,
                        20,
                        "OWASP_2025_A08 OWASP_2021_A08 VALLUM_SEVERITY=critical",
                        "The service builds any object that the value names: a caller can run code in the service.",
                        "Take JSON with a schema; for YAML use the safe loader; never unpickle what came from outside.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Deserialization_Cheat_Sheet.html"));
    }

    @Override
    protected void probe(String value) {
        if (pickled(value)) {
            delayed(
                    seconds -> {
                        // protocol 0: time.sleep(seconds)
                        String pickle = "ctime\nsleep\n(I" + seconds + "\ntR.";
                        return Base64.getEncoder().encodeToString(pickle.getBytes(StandardCharsets.US_ASCII));
                    },
                    "The unpickler called time.sleep");
        } else if (value.contains("\n") || value.matches("(?s)\\s*- .*|\\s*[\\w-]+: .*")) {
            delayed(seconds -> "!!python/object/apply:time.sleep [" + seconds + "]", "The YAML loader called time.sleep");
        }
    }

    private static boolean pickled(String value) {
        if (value.length() < 8 || !value.matches("[A-Za-z0-9+/_=-]+")) {
            return false;
        }
        try {
            byte[] bytes = Base64.getDecoder().decode(value.replace('-', '+').replace('_', '/'));
            boolean binary = bytes.length > 3 && (bytes[0] & 0xff) == 0x80 && bytes[1] >= 2 && bytes[1] <= 5;
            return bytes.length > 0 && bytes[bytes.length - 1] == '.' && (binary || "(cI]}".indexOf(bytes[0]) >= 0);
        } catch (IllegalArgumentException notBase64) {
            return false;
        }
    }
}

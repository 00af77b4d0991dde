package vallum.zap;

import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Path traversal: a file that every Unix or Windows has, read through the parameter. */
public class PathTraversal extends Rule {
    private static final String NAME = "Path traversal";
    private static final Pattern FILE =
            Pattern.compile("root:[^:\\n]{0,40}:0:0:[^\\n]{0,80}|; for 16-bit app support");
    /** Deeper than services are installed: too many lead to the root all the same. */
    private static final String UP = "../".repeat(20);

    public PathTraversal() {
        super(
                new Sheet(
                        600003,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        22,
                        33,
                        "OWASP_2025_A01 OWASP_2021_A01",
                        "The parameter names a file, and a caller can name any file of the machine that the service may read.",
                        "Resolve the path, and refuse it unless it lies inside the intended folder; better, look files up by an id.",
                        "https://owasp.org/www-community/attacks/Path_Traversal"));
    }

    @Override
    protected void probe(String value) {
        String[] payloads = {
            UP + "etc/passwd",
            "/etc/passwd",
            UP.replace("/", "%2f") + "etc%2fpasswd",
            "....//".repeat(20) + "etc/passwd",
            (UP + "windows/win.ini").replace('/', '\\'),
        };
        boolean looksLikeFile = value.contains(".") || value.contains("/") || value.contains("\\");
        // A value that names no file gets the two that find nearly all; the rest are for filters in front of a file name.
        for (int i = 0; i < (looksLikeFile ? payloads.length : 2); i++) {
            HttpMessage answer = attack(payloads[i]);
            if (answer == null) {
                return;
            }
            String evidence = Wire.find(FILE, Wire.body(answer));
            if (evidence == null || Wire.find(FILE, Wire.body(getBaseMsg())) != null) {
                continue;
            }
            HttpMessage control = attack(payloads[i] + "-" + Wire.word(8));
            if (control != null && Wire.find(FILE, Wire.body(control)) == null) {
                found(0, NAME, Alert.RISK_HIGH, SURE, payloads[i], evidence, "", answer);
                return;
            }
        }
    }
}

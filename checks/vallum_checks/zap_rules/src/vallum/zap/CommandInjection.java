package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Command injection, shown by output: the shell adds two numbers, and the sum comes back. */
public class CommandInjection extends Rule {
    static final String NAME = "Command injection";
    static final String SOLUTION =
            "Start programs with a list of arguments and without a shell, and allow only known values.";
    static final String REFERENCE =
            "https://cheatsheetseries.owasp.org/cheatsheets/OS_Command_Injection_Defense_Cheat_Sheet.html";

    public CommandInjection() {
        super(
                new Sheet(
                        600004,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        78,
                        31,
                        "OWASP_2025_A05 OWASP_2021_A03 VALLUM_SEVERITY=critical",
                        "The value of the parameter reaches a shell, which runs the caller's commands with the rights of the service.",
                        SOLUTION,
                        REFERENCE));
    }

    @Override
    protected void probe(String value) {
        for (int form = 0; form < 4; form++) {
            String attack = sum(value, form);
            if (attack == null) {
                return;
            }
        }
    }

    /** Try one form of payload; null when there is nothing more to do. */
    private String sum(String value, int form) {
        int left = Wire.number(100000, 900000);
        int right = Wire.number(100000, 900000);
        String payload = payload(value, form, left, right);
        HttpMessage answer = attack(payload);
        if (answer == null) {
            return null;
        }
        if (!Wire.body(answer).contains(expected(form, left + right))) {
            return payload;
        }
        int other = Wire.number(100000, 900000);
        HttpMessage again = attack(payload(value, form, left, other));
        if (again == null || !Wire.body(again).contains(expected(form, left + other))) {
            return payload;
        }
        proved(NAME);
        found(0, NAME, Alert.RISK_HIGH, SURE, payload, expected(form, left + right), "The shell added two numbers.", answer);
        return null;
    }

    private static String expected(int form, int sum) {
        return form == 3 ? String.valueOf(sum) : "vlm" + sum;
    }

    private static String payload(String value, int form, int left, int right) {
        String echo = "echo vlm$((" + left + "+" + right + "))";
        switch (form) {
            case 0:
                return value + "$(" + echo + ")"; // unquoted, and in double quotes
            case 1:
                return value + "';" + echo + ";'"; // in single quotes
            case 2:
                return value + ";" + echo; // where $( ) is filtered
            default:
                return value + "&set /a " + left + "+" + right; // cmd.exe
        }
    }
}

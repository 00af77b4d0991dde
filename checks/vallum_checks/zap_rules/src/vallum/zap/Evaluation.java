package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Template injection and evaluation of code: the product of two numbers comes back instead of the expression. */
public class Evaluation extends Rule {
    private static final String[] SYNTAX = {"{{%s}}", "${%s}", "#{%s}", "<%%= %s %%>", "*{%s}", "@(%s)"};

    public Evaluation() {
        super(
                new Sheet(
                        600006,
                        "Template injection",
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        1336,
                        20,
                        "OWASP_2025_A05 OWASP_2021_A03 VALLUM_SEVERITY=critical",
                        "The service evaluates the value of the parameter, as a template or as code: a caller can run code in the service.",
                        "Keep templates and code fixed and pass values as data; where formulas are wanted, parse them with a grammar of your own.",
                        "https://owasp.org/www-project-web-security-testing-guide/stable/4-Web_Application_Security_Testing/07-Input_Validation_Testing/18-Testing_for_Server-side_Template_Injection"));
    }

    @Override
    protected void probe(String value) {
        long left = Wire.number(10000, 99999);
        long right = Wire.number(10000, 99999);
        String product = String.valueOf(left * right);
        String plain = left + "*" + right;
        HttpMessage code = attack(plain);
        if (code == null) {
            return;
        }
        if (Wire.body(code).contains(product)) {
            confirm("%s", 2, "Evaluation of code", plain, product, code);
            return;
        }
        StringBuilder all = new StringBuilder();
        for (int i = 0; i < 3; i++) {
            all.append(String.format(SYNTAX[i], plain));
        }
        // The three syntaxes that most engines use in one request; a request each only where that tells something.
        HttpMessage together = attack(all.toString());
        if (together == null) {
            return;
        }
        boolean seen = Wire.body(together).contains(product);
        boolean broken = Wire.status(together) >= 500 && Wire.status(getBaseMsg()) < 500;
        if (!seen && !broken) {
            String other = String.format(SYNTAX[3], plain);
            HttpMessage erb = attack(other);
            if (erb != null && Wire.body(erb).contains(product)) {
                confirm(SYNTAX[3], 1, getName(), other, product, erb);
            }
            return;
        }
        for (String syntax : SYNTAX) {
            String attack = String.format(syntax, plain);
            HttpMessage answer = attack(attack);
            if (answer == null) {
                return;
            }
            if (Wire.body(answer).contains(product) && confirm(syntax, 1, getName(), attack, product, answer)) {
                return;
            }
        }
    }

    @Override
    protected int weakness(int variant) {
        return variant == 2 ? 95 : 1336;
    }

    private boolean confirm(String syntax, int variant, String name, String attack, String product, HttpMessage proof) {
        long left = Wire.number(10000, 99999);
        long right = Wire.number(10000, 99999);
        HttpMessage again = attack(String.format(syntax, left + "*" + right));
        if (again == null || !Wire.body(again).contains(String.valueOf(left * right))) {
            return false;
        }
        found(variant, name, Alert.RISK_HIGH, SURE, attack, product, "The service multiplied two numbers.", proof);
        return true;
    }
}

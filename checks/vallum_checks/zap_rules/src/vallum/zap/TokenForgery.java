package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** A token that anybody could have written is accepted: unsigned ({@code alg: none}), or with a wrong signature. */
public class TokenForgery extends Rule {
    public TokenForgery() {
        super(
                new Sheet(
                        600026,
                        "Forged token accepted",
                        Category.MISC,
                        Alert.RISK_HIGH,
                        347,
                        1,
                        "OWASP_2025_A07 OWASP_2021_A07 API_2023_API02 VALLUM_SEVERITY=critical SYSTEMIC",
                        "The service accepts a JSON Web Token that its issuer never signed: a caller can be any user.",
                        "Verify every token, with a fixed list of algorithms; never read the algorithm from the token, never decode without verifying.",
                        "https://www.rfc-editor.org/rfc/rfc8725"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        Tokens token = Tokens.of(base);
        if (token == null || !Wire.success(base) || Seeds.repeated(base)) {
            return;
        }
        HttpMessage without = send(with(null));
        HttpMessage rubbish = send(with(token.scheme() + "vallum." + Wire.word(12) + "." + Wire.word(12)));
        if (!refuses(without) || !refuses(rubbish)) {
            return; // the operation does not look at the token at all: that is another rule's finding
        }
        HttpMessage wrong = send(with(token.tampered()));
        if (wrong != null && Wire.success(wrong)) {
            raise(2, "Signature of tokens is not verified", "a wrong signature", wrong);
            return; // an unsigned token would tell nothing more
        }
        for (String none : new String[] {"none", "None", "NONE"}) {
            HttpMessage unsigned = send(with(token.with(none, "")));
            if (unsigned == null) {
                return;
            }
            if (Wire.success(unsigned)) {
                raise(1, "Unsigned token accepted (alg: none)", "alg: " + none, unsigned);
                return;
            }
        }
    }

    private static boolean refuses(HttpMessage answer) {
        return answer != null && !Wire.success(answer) && Wire.status(answer) < 500;
    }

    private HttpMessage with(String value) {
        HttpMessage message = getNewMsg();
        message.getRequestHeader().setHeader("Authorization", value);
        return message;
    }

    private void raise(int variant, String name, String attack, HttpMessage answer) {
        foundAt(
                variant,
                name,
                Alert.RISK_HIGH,
                SURE,
                "Authorization",
                attack,
                "HTTP " + Wire.status(answer),
                "No token and a made-up token are refused; this one is not.",
                answer);
    }
}

package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Passwords may be tried without end, or the answer tells which users exist. Last of all rules; at most 17 requests. */
public class LoginThrottle extends Rule {
    private static final int TRIES = 12;

    public LoginThrottle() {
        super(
                new Sheet(
                        600029,
                        "Weak login",
                        Category.MISC,
                        Alert.RISK_MEDIUM,
                        307,
                        11,
                        "OWASP_2025_A07 OWASP_2021_A07 API_2023_API02",
                        "The login helps a guesser: it takes any number of wrong passwords at full speed, or says which user names exist.",
                        "Slow down and lock by account and address after a few failures (HTTP 429), and answer every failure alike.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Authentication_Cheat_Sheet.html"));
    }

    /** After all others: an account that this rule locked would blind them. */
    @Override
    public String[] getDependency() {
        return new String[] {
            "SqlInjection", "CrossSiteScripting", "PathTraversal", "CommandInjection", "CommandInjectionTime", "Evaluation",
            "OpenRedirect", "HeaderInjection", "RequestForgery", "ExternalEntity", "Deserialisation", "SecurityHeaders",
            "CookieFlags", "CrossOrigin", "VerboseErrors", "ExposedEndpoints", "MissingAuthentication", "TokenForgery",
            "GuessableKey", "SensitiveData",
        };
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        String body = base.getRequestBody().toString();
        if (!base.getRequestHeader().getMethod().equals("POST") || Seeds.repeated(base)) {
            return;
        }
        if (!body.matches("(?is).*(\"(password|passwd|pwd)\"\\s*:\\s*\"|(^|&)(password|passwd|pwd)=).*")
                || body.matches("(?is).*(new_?password|confirm|repeat|e-?mail\"?\\s*[:=].*username).*")) {
            return; // no login: a registration or a change of password
        }
        if (body.matches("(?is).*(csrf|xsrf|nonce|captcha).*")) {
            return; // an attempt with an old form token is refused before the password is looked at
        }
        HttpMessage first = attempt(body, "");
        if (first == null || Wire.status(first) >= 500) {
            return;
        }
        names(body, first);
        HttpMessage last = first;
        for (int i = 1; i < TRIES; i++) {
            last = attempt(body, "");
            if (last == null || Wire.status(last) == 429 || Wire.status(last) != Wire.status(first)) {
                return;
            }
            String retry = last.getResponseHeader().getHeader("Retry-After");
            if (retry != null || Wire.body(last).matches("(?is).*(too many|locked|try again later|captcha).*")) {
                return;
            }
        }
        foundAt(
                1,
                "Login without rate limit",
                Alert.RISK_MEDIUM,
                SURE,
                "password",
                TRIES + " wrong passwords",
                "HTTP " + Wire.status(last),
                "All " + TRIES + " were answered alike, without 429, Retry-After or a lock.",
                last);
    }

    /** Whether a user name that does not exist is answered otherwise than a wrong password. */
    private void names(String body, HttpMessage known) {
        String nobody = Wire.word(10);
        HttpMessage unknown = attempt(body, nobody);
        HttpMessage again = attempt(body, "");
        String other = Wire.word(10);
        HttpMessage unknownAgain = attempt(body, other);
        if (unknown == null || again == null || unknownAgain == null) {
            return;
        }
        boolean differs = Wire.status(unknown) != Wire.status(known) || !text(unknown, nobody).equals(text(known, ""));
        boolean steady =
                Wire.status(again) == Wire.status(known)
                        && text(again, "").equals(text(known, ""))
                        && Wire.status(unknown) == Wire.status(unknownAgain)
                        && text(unknown, nobody).equals(text(unknownAgain, other));
        if (differs && steady && Wire.status(known) != 429 && Wire.status(unknown) != 429) {
            foundAt(
                    2,
                    "Login tells which users exist",
                    Alert.RISK_MEDIUM,
                    LIKELY,
                    "username",
                    "a user name that does not exist",
                    "HTTP " + Wire.status(unknown) + " instead of " + Wire.status(known),
                    "A wrong password and an unknown name are answered differently.",
                    unknown);
        }
    }

    @Override
    protected int weakness(int variant) {
        return variant == 2 ? 204 : 307;
    }

    private static String text(HttpMessage message, String name) {
        return Wire.withoutDigits(Wire.steady(message, name));
    }

    private HttpMessage attempt(String body, String name) {
        String wrong = body.replaceFirst("(?i)(\"(?:password|passwd|pwd)\"\\s*:\\s*\")[^\"]*", "$1" + Wire.word(12));
        wrong = wrong.replaceFirst("(?i)((?:^|&)(?:password|passwd|pwd)=)[^&]*", "$1" + Wire.word(12));
        if (!name.isEmpty()) {
            wrong = wrong.replaceFirst("(?i)(\"(?:username|user|login|name|email)\"\\s*:\\s*\")[^\"@]*", "$1" + name);
            wrong = wrong.replaceFirst("(?i)((?:^|&)(?:username|user|login|name|email)=)[^&@%]*", "$1" + name);
        }
        HttpMessage message = getNewMsg();
        message.setRequestBody(wrong);
        message.getRequestHeader().setContentLength(message.getRequestBody().length());
        return send(message);
    }
}

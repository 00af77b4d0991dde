package vallum.zap;

import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.parosproxy.paros.network.HttpMessage;

/** The JSON Web Token of a request: RFC 7515 compact serialisation in an Authorization header. */
record Tokens(String scheme, String header, String payload, String signature) {
    private static final Base64.Encoder ENCODE = Base64.getUrlEncoder().withoutPadding();

    /** The token of the message, or null where it carries none. */
    static Tokens of(HttpMessage message) {
        String value = message.getRequestHeader().getHeader("Authorization");
        if (value == null) {
            return null;
        }
        String[] words = value.trim().split(" ");
        String[] parts = words[words.length - 1].split("\\.", -1);
        if (parts.length != 3 || !decode(parts[0]).contains("\"alg\"")) {
            return null;
        }
        return new Tokens(words.length > 1 ? words[0] + " " : "", parts[0], parts[1], parts[2]);
    }

    /** The header's JSON. */
    String algorithm() {
        return decode(header).replaceFirst("(?s).*\"alg\"\\s*:\\s*\"([^\"]*)\".*", "$1");
    }

    /** The same claims under {@code alg}, with this signature. */
    String with(String alg, String signed) {
        String head = "{\"alg\":\"" + alg + "\",\"typ\":\"JWT\"}";
        return scheme + ENCODE.encodeToString(head.getBytes(StandardCharsets.UTF_8)) + "." + payload + "." + signed;
    }

    /** The same token with a signature that cannot be right. */
    String tampered() {
        StringBuilder wrong = new StringBuilder(signature);
        for (int i = 0; i < Math.min(8, wrong.length()); i++) {
            wrong.setCharAt(i, wrong.charAt(i) == 'A' ? 'B' : 'A');
        }
        return scheme + header + "." + payload + "." + wrong;
    }

    private static String decode(String part) {
        try {
            return new String(Base64.getUrlDecoder().decode(part), StandardCharsets.UTF_8);
        } catch (IllegalArgumentException notBase64) {
            return "";
        }
    }
}

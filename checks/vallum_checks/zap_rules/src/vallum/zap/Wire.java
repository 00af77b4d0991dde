package vallum.zap;

import java.security.SecureRandom;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.apache.commons.httpclient.URI;
import org.parosproxy.paros.network.HttpMessage;

/** Reading requests and responses: what several rules need. */
final class Wire {
    private static final SecureRandom RANDOM = new SecureRandom();
    private static final Pattern MOVING =
            Pattern.compile(
                    "\\d{4}-\\d\\d-\\d\\d[T ]\\d\\d:\\d\\d:\\d\\d[.\\d]*(Z|[+-]\\d\\d:?\\d\\d)?" // times
                            + "|[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}"
                            + "|eyJ[\\w-]+\\.[\\w-]+\\.[\\w-]*" // tokens
                            + "|\\b[0-9a-fA-F]{16,}\\b|\\b\\d{9,}(\\.\\d+)?\\b");
    private static final Pattern ASSET =
            Pattern.compile("(?i)\\.(css|js|mjs|map|png|jpe?g|gif|ico|webp|woff2?|ttf|eot|mp4|pdf)$");

    private Wire() {}

    /** Lower-case letters that occur nowhere by chance. */
    static String word(int length) {
        StringBuilder text = new StringBuilder(length);
        for (int i = 0; i < length; i++) {
            text.append((char) ('a' + RANDOM.nextInt(26)));
        }
        return text.toString();
    }

    /** A number in [low, high). */
    static int number(int low, int high) {
        return low + RANDOM.nextInt(high - low);
    }

    /** Host and port of the request. */
    static String authority(HttpMessage message) {
        URI uri = message.getRequestHeader().getURI();
        try {
            int port = uri.getPort();
            if (port < 0) {
                port = "https".equalsIgnoreCase(uri.getScheme()) ? 443 : 80;
            }
            return uri.getHost() + ":" + port;
        } catch (org.apache.commons.httpclient.URIException unreadable) {
            return "";
        }
    }

    static int status(HttpMessage message) {
        return message == null ? 0 : message.getResponseHeader().getStatusCode();
    }

    static boolean success(HttpMessage message) {
        int status = status(message);
        return status >= 200 && status < 300;
    }

    static boolean refused(HttpMessage message) {
        return status(message) == 401 || status(message) == 403;
    }

    static String body(HttpMessage message) {
        return message.getResponseBody().toString();
    }

    static String type(HttpMessage message) {
        String type = message.getResponseHeader().getHeader("Content-Type");
        return type == null ? "" : type.toLowerCase();
    }

    /** Whether a browser would render the response as a document in which script runs. */
    static boolean document(HttpMessage message) {
        String type = type(message);
        return type.contains("html") || type.contains("svg") || (type.isEmpty() && !body(message).isEmpty());
    }

    /** Whether the request is for a static file: nothing there reads parameters. */
    static boolean asset(HttpMessage message) {
        String path = message.getRequestHeader().getURI().getEscapedPath();
        return path != null && ASSET.matcher(path).find();
    }

    /** The body without what changes by itself and without the values that were sent. */
    static String steady(HttpMessage message, String... sent) {
        String text = body(message);
        for (String value : sent) {
            if (value.length() > 1) {
                text = text.replace(value, "~");
                text = text.replace(value.replace("\\", "\\\\").replace("\"", "\\\""), "~");
                text = text.replace(value.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
                        .replace("\"", "&#34;").replace("'", "&#39;"), "~");
                String quoted = java.net.URLEncoder.encode(value, java.nio.charset.StandardCharsets.UTF_8);
                text = text.replace(quoted, "~").replace(quoted.replace("+", "%20"), "~");
            }
        }
        return MOVING.matcher(text).replaceAll("~");
    }

    /** {@code text} with every run of digits replaced: for answers that count up with each request. */
    static String withoutDigits(String text) {
        return text.replaceAll("\\d+", "0");
    }

    /** The first match of {@code pattern}, at most 200 characters of it, or null. */
    static String find(Pattern pattern, String text) {
        Matcher matcher = pattern.matcher(text);
        if (!matcher.find()) {
            return null;
        }
        String found = matcher.group();
        return found.length() > 200 ? found.substring(0, 200) : found;
    }
}

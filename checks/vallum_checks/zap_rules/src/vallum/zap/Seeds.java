package vallum.zap;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.NameValuePair;
import org.parosproxy.paros.network.HttpMessage;

/**
 * What vallum knows of the operations that it sent: which path segments and headers are parameters and which operations
 * demand a login. Read from the tab-separated file that the system property {@code vallum.seeds} names; without it every
 * query, form and JSON parameter is attacked, and no path segment and no header.
 */
final class Seeds {
    private record Seed(
            String authority,
            String method,
            String path,
            Pattern template,
            Map<Integer, String> segments,
            Set<String> headers,
            Set<String> parameters,
            boolean secured) {}

    private static List<Seed> seeds = List.of();
    private static List<String> words = List.of();
    private static long read = -1;

    private Seeds() {}

    /** The name under which the parameter is attacked and reported, or null where attacking it is pointless. */
    static String parameter(HttpMessage message, NameValuePair pair) {
        Seed seed = of(message);
        switch (pair.getType()) {
            case NameValuePair.TYPE_URL_PATH:
                return seed == null || !exact(seed, message) ? null : seed.segments.get(pair.getPosition());
            case NameValuePair.TYPE_HEADER:
                return seed == null || !seed.headers.contains(pair.getName().toLowerCase()) ? null : pair.getName();
            case NameValuePair.TYPE_COOKIE:
                return null;
            default:
                // A page that links to other objects of the same operation brings no new parameter.
                boolean repeated =
                        seed != null && !exact(seed, message) && seed.parameters.contains(pair.getName());
                return repeated ? null : pair.getName();
        }
    }

    /** Whether another object of an operation that was sent itself: its headers and login were looked at already. */
    static boolean repeated(HttpMessage message) {
        Seed seed = of(message);
        return seed != null && !exact(seed, message);
    }

    /** Whether the definition says that the operation needs a login. */
    static boolean secured(HttpMessage message) {
        Seed seed = of(message);
        return seed != null && seed.secured;
    }

    /** Names of the project and its services: what lazy secrets are made of. */
    static synchronized List<String> words() {
        load();
        return words;
    }

    private static boolean exact(Seed seed, HttpMessage message) {
        return seed.path.equals(path(message));
    }

    private static String path(HttpMessage message) {
        String path = message.getRequestHeader().getURI().getEscapedPath();
        return path == null || path.isEmpty() ? "/" : path;
    }

    private static synchronized Seed of(HttpMessage message) {
        load();
        String authority = Wire.authority(message);
        String method = message.getRequestHeader().getMethod();
        String path = path(message);
        Seed found = null;
        for (Seed seed : seeds) {
            if (!seed.authority.equals(authority) || !seed.method.equals(method)) {
                continue;
            }
            if (seed.path.equals(path)) {
                return seed;
            }
            if (found == null && seed.template.matcher(path).matches()) {
                found = seed;
            }
        }
        return found;
    }

    private static void load() {
        String name = System.getProperty("vallum.seeds", "");
        if (name.isEmpty()) {
            return;
        }
        try {
            Path file = Path.of(name);
            long changed = Files.getLastModifiedTime(file).toMillis();
            if (changed == read) {
                return;
            }
            List<Seed> next = new ArrayList<>();
            for (String line : Files.readAllLines(file)) {
                String[] cells = line.split("\t", -1);
                if (cells[0].equals("words")) {
                    words = List.copyOf(set(cells[1]));
                } else if (cells.length >= 8) {
                    Map<Integer, String> segments = new HashMap<>();
                    for (String part : set(cells[4])) {
                        int colon = part.indexOf(':');
                        segments.put(Integer.valueOf(part.substring(0, colon)), part.substring(colon + 1));
                    }
                    next.add(
                            new Seed(
                                    cells[0],
                                    cells[1],
                                    cells[2],
                                    Pattern.compile(cells[3]),
                                    segments,
                                    set(cells[5].toLowerCase()),
                                    set(cells[6]),
                                    cells[7].equals("1")));
                }
            }
            seeds = next;
            read = changed;
        } catch (IOException missing) {
            seeds = List.of();
        }
    }

    private static Set<String> set(String cell) {
        return cell.isEmpty() ? Set.of() : new java.util.TreeSet<>(List.of(cell.split(",")));
    }
}

package vallum.zap;

import java.io.IOException;
import java.io.InputStream;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.charset.StandardCharsets;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** A listener on loopback that remembers who called: proof that a service fetches addresses it is given. */
final class Canary {
    private static final Pattern WORD = Pattern.compile("/(vlm[a-z]{12})");
    private static final int MOST = 10_000;
    private static final Set<String> CALLED = ConcurrentHashMap.newKeySet();
    private static ServerSocket server;

    private Canary() {}

    /** A new word to ask for. */
    static String word() {
        return "vlm" + Wire.word(12);
    }

    /** The address that fetches {@code word}, or null where no port could be had. */
    static synchronized String address(String word) {
        try {
            if (server == null) {
                server = new ServerSocket(0, 50, InetAddress.getByName("127.0.0.1"));
                Thread thread = new Thread(Canary::listen, "vallum-canary");
                thread.setDaemon(true);
                thread.start();
            }
            return "http://127.0.0.1:" + server.getLocalPort() + "/" + word;
        } catch (IOException noPort) {
            return null;
        }
    }

    /** Whether the word was asked for, within a quarter of a second. */
    static boolean called(String word) {
        for (int i = 0; i < 5; i++) {
            if (CALLED.contains(word)) {
                return true;
            }
            try {
                Thread.sleep(i == 0 ? 0 : 50);
            } catch (InterruptedException interrupted) {
                Thread.currentThread().interrupt();
                return false;
            }
        }
        return CALLED.contains(word);
    }

    private static void listen() {
        while (!server.isClosed()) {
            try (Socket socket = server.accept()) {
                socket.setSoTimeout(500);
                InputStream in = socket.getInputStream();
                byte[] start = new byte[512];
                int length = in.read(start);
                Matcher matcher = WORD.matcher(new String(start, 0, Math.max(0, length), StandardCharsets.ISO_8859_1));
                String word = matcher.find() ? matcher.group(1) : "";
                if (!word.isEmpty() && CALLED.size() < MOST) {
                    CALLED.add(word);
                }
                byte[] body = ("canary " + word + "\n").getBytes(StandardCharsets.US_ASCII);
                String head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: " + body.length + "\r\n\r\n";
                socket.getOutputStream().write(head.getBytes(StandardCharsets.US_ASCII));
                socket.getOutputStream().write(body);
            } catch (IOException broken) {
                // one caller that hung up; the next is served
            }
        }
    }
}

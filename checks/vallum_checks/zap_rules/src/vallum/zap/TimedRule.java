package vallum.zap;

import java.util.function.IntFunction;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.network.HttpMessage;

/** Shows by waiting: an answer that is late by the asked time, three times with two different times, and not late in between. */
abstract class TimedRule extends Rule {
    private static final int SLACK_MS = 150;

    TimedRule(Sheet sheet) {
        super(sheet);
    }

    /** Send the payload for 1, 0, 2, 0 and 1 seconds; true, and an alert, where the delays follow each time. */
    protected boolean delayed(IntFunction<String> payload, String what) {
        String attack = payload.apply(1);
        if (!follows(attack(attack), 1)) {
            return false;
        }
        HttpMessage zero = attack(payload.apply(0));
        String longer = payload.apply(2);
        HttpMessage proof = follows(zero, 0) ? attack(longer) : null;
        if (proof == null || !follows(proof, 2) || !follows(attack(payload.apply(0)), 0) || !follows(attack(attack), 1)) {
            return false;
        }
        found(
                0,
                getName(),
                Alert.RISK_HIGH,
                SURE,
                longer,
                "",
                what + ": 2 s asked, " + seconds(proof) + " s taken; 0 s asked, " + seconds(zero) + " s taken.",
                proof);
        return true;
    }

    /** Whether the answer took what was asked, and less than one second more. */
    private static boolean follows(HttpMessage message, int seconds) {
        int late = message == null ? -1 : message.getTimeElapsedMillis() - seconds * 1000;
        return message != null && late >= -SLACK_MS && late < 900;
    }

    private static String seconds(HttpMessage message) {
        return String.valueOf(message.getTimeElapsedMillis() / 1000);
    }
}

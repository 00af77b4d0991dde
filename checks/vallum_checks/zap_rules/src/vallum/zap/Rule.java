package vallum.zap;

import java.io.IOException;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.Semaphore;
import org.parosproxy.paros.core.scanner.AbstractAppParamPlugin;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.NameValuePair;
import org.parosproxy.paros.network.HttpMessage;

/**
 * A rule of vallum's starter set. A rule for parameters overrides {@code probe(name, value)}; a rule for whole messages
 * overrides {@code scan()}.
 */
abstract class Rule extends AbstractAppParamPlugin {
    /** Requests on the way at once, over all hosts: the target is somebody's small staging machine. */
    private static final Semaphore ON_THE_WAY = new Semaphore(6);

    private static final Set<String> DONE = ConcurrentHashMap.newKeySet();

    private final Sheet sheet;
    private String label = "";
    private String parameter = "";

    Rule(Sheet sheet) {
        this.sheet = sheet;
    }

    @Override
    public int getId() {
        return sheet.id();
    }

    @Override
    public String getName() {
        return sheet.name();
    }

    @Override
    public String getDescription() {
        return sheet.description();
    }

    @Override
    public int getCategory() {
        return sheet.category();
    }

    @Override
    public String getSolution() {
        return sheet.solution();
    }

    @Override
    public String getReference() {
        return sheet.reference();
    }

    @Override
    public int getRisk() {
        return sheet.risk();
    }

    @Override
    public int getCweId() {
        return sheet.cwe();
    }

    @Override
    public int getWascId() {
        return sheet.wasc();
    }

    @Override
    public Map<String, String> getAlertTags() {
        return sheet.tagMap();
    }

    @Override
    public void scan(HttpMessage message, NameValuePair pair) {
        String name = Wire.asset(message) ? null : Seeds.parameter(message, pair);
        if (name != null && !isStop()) {
            label = name;
            super.scan(message, pair);
        }
    }

    @Override
    public void scan(HttpMessage message, String name, String value) {
        parameter = name;
        probe(value == null ? "" : value);
    }

    /** Attack the current parameter, whose value in the definition's example is {@code value}. */
    protected void probe(String value) {}

    /** Send the message with another value of the current parameter; null where no answer came or the scan was stopped. */
    protected HttpMessage attack(String value) {
        HttpMessage message = getNewMsg();
        setParameter(message, parameter, value);
        return send(message);
    }

    /** Send a message, following no redirect; null where no answer came or the scan was stopped. */
    protected HttpMessage send(HttpMessage message) {
        if (isStop()) {
            return null;
        }
        boolean held = false;
        try {
            ON_THE_WAY.acquire();
            held = true;
            sendAndReceive(message, false);
            return message;
        } catch (IOException unanswered) {
            return null; // vallum reads ZAP's own count of failed sends and calls the scan incomplete
        } catch (InterruptedException interrupted) {
            Thread.currentThread().interrupt();
            return null;
        } finally {
            if (held) {
                ON_THE_WAY.release();
            }
        }
    }

    /** True the first time it is called for this rule and host. */
    protected boolean firstOnHost() {
        return DONE.add(getId() + " " + Wire.authority(getBaseMsg()));
    }

    /** Remember that the current parameter was proved to be weak in this way, for a slower rule to leave it out. */
    protected void proved(String weakness) {
        DONE.add(weakness + " " + place());
    }

    /** Whether a quicker rule proved it. */
    protected boolean isProved(String weakness) {
        return DONE.contains(weakness + " " + place());
    }

    private String place() {
        return getBaseMsg().getRequestHeader().getMethod() + " " + getBaseMsg().getRequestHeader().getURI() + " " + label;
    }

    /** An alert at the current operation and parameter. {@code variant} counts from 1; 0: the rule has only one. */
    protected void found(
            int variant, String name, int risk, int confidence, String attack, String evidence, String other, HttpMessage proof) {
        foundAt(variant, name, risk, confidence, label, attack, evidence, other, proof);
    }

    /** The same, at a parameter named here. */
    protected void foundAt(
            int variant,
            String name,
            int risk,
            int confidence,
            String at,
            String attack,
            String evidence,
            String other,
            HttpMessage proof) {
        newAlert()
                .setAlertRef(variant == 0 ? String.valueOf(getId()) : getId() + "-" + variant)
                .setName(name)
                .setRisk(risk)
                .setConfidence(confidence)
                .setUri(getBaseMsg().getRequestHeader().getURI().toString())
                .setParam(at)
                .setAttack(attack)
                .setEvidence(evidence)
                .setOtherInfo(other)
                .setCweId(weakness(variant))
                .setMessage(proof)
                .raise();
    }

    /** The CWE of a variant: two weaknesses at one place are two findings only if they differ. */
    protected int weakness(int variant) {
        return getCweId();
    }

    protected static final int SURE = Alert.CONFIDENCE_HIGH;
    protected static final int LIKELY = Alert.CONFIDENCE_MEDIUM;
}

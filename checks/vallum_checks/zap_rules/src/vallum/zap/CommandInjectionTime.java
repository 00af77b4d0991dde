package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;

/** Command injection without output: the answer comes as much later as the shell was told to sleep. */
public class CommandInjectionTime extends TimedRule {
    public CommandInjectionTime() {
        super(
                new Sheet(
                        600005,
                        CommandInjection.NAME + " (by time)",
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        78,
                        31,
                        "OWASP_2025_A05 OWASP_2021_A03 VALLUM_SEVERITY=critical",
                        "The value of the parameter reaches a shell: the answer is delayed by just the time that the shell was told to wait.",
                        CommandInjection.SOLUTION,
                        CommandInjection.REFERENCE));
    }

    @Override
    public String[] getDependency() {
        return new String[] {"CommandInjection"};
    }

    @Override
    protected void probe(String value) {
        if (isProved(CommandInjection.NAME)) {
            return;
        }
        String[] forms = {value + "$(sleep %s)", value + "';sleep %s;'", value + ";sleep %s", value + "|timeout /t %s"};
        for (String form : forms) {
            if (isStop() || delayed(seconds -> String.format(form, seconds), "The shell slept")) {
                return;
            }
        }
    }
}

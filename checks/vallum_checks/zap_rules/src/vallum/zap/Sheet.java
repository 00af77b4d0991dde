package vallum.zap;

import java.util.LinkedHashMap;
import java.util.Map;

/**
 * What ZAP wants to know about a rule. {@code risk} is one of Alert.RISK_*, {@code category} one of Category.*; tags are
 * space-separated: OWASP_2025_A05, API_2023_API8, VALLUM_SEVERITY=critical, SYSTEMIC.
 */
record Sheet(
        int id,
        String name,
        int category,
        int risk,
        int cwe,
        int wasc,
        String tags,
        String description,
        String solution,
        String reference) {

    /** The tags as ZAP keeps them: name to address or value. */
    Map<String, String> tagMap() {
        Map<String, String> map = new LinkedHashMap<>();
        map.put("CWE-" + cwe, "https://cwe.mitre.org/data/definitions/" + cwe + ".html");
        for (String tag : tags.trim().split("\\s+")) {
            int equals = tag.indexOf('=');
            if (equals > 0) {
                map.put(tag.substring(0, equals), tag.substring(equals + 1));
            } else if (!tag.isEmpty()) {
                map.put(tag, "");
            }
        }
        return map;
    }
}

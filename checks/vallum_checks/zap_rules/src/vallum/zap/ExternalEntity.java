package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** XML external entities: the parser of the service fetches what a document type declaration names. */
public class ExternalEntity extends Rule {
    private static final String NAME = "XML external entity";

    public ExternalEntity() {
        super(
                new Sheet(
                        600010,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        611,
                        43,
                        "OWASP_2025_A02 OWASP_2021_A05",
                        "The XML parser resolves external entities: a caller can read files of the service and make it send requests.",
                        "Switch document type declarations and external entities off (defusedxml in Python; disallow-doctype-decl in Java).",
                        "https://cheatsheetseries.owasp.org/cheatsheets/XML_External_Entity_Prevention_Cheat_Sheet.html"));
    }

    @Override
    public void scan() {
        HttpMessage base = getBaseMsg();
        String body = base.getRequestBody().toString().trim();
        String type = base.getRequestHeader().getHeader("Content-Type");
        if (type == null || !type.toLowerCase().contains("xml") || !body.startsWith("<")) {
            return;
        }
        String root = body.replaceFirst("(?s)^<\\?.*?\\?>\\s*", "");
        String name = root.replaceFirst("(?s)^<([\\w:.-]+).*", "$1");
        String word = Canary.word();
        String address = Canary.address(word);
        if (address == null || name.equals(root)) {
            return;
        }
        String text = root.replaceFirst(">[^<>]*[^<>\\s][^<>]*</", ">&vlm;</");
        String attack = "<!DOCTYPE " + name + " [<!ENTITY vlm SYSTEM \"" + address + "\">]>" + text;
        HttpMessage message = getNewMsg();
        message.setRequestBody(attack);
        message.getRequestHeader().setContentLength(message.getRequestBody().length());
        HttpMessage answer = send(message);
        if (answer == null || !Canary.called(word)) {
            return;
        }
        boolean read = Wire.body(answer).contains("canary " + word);
        foundAt(
                0,
                NAME,
                Alert.RISK_HIGH,
                SURE,
                "body",
                attack,
                read ? "canary " + word : "",
                read ? "The parser fetched the entity, and the answer holds what it read." : "The parser fetched the entity.",
                answer);
    }
}

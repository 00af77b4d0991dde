package vallum.zap;

import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** Server-side request forgery: the service fetches an address on loopback that the parameter names. */
public class RequestForgery extends Rule {
    private static final String NAME = "Server-side request forgery";

    public RequestForgery() {
        super(
                new Sheet(
                        600009,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        918,
                        15,
                        "OWASP_2025_A01 OWASP_2021_A10 API_2023_API07",
                        "The service fetches any address that the parameter names, loopback included: a caller reaches what only the service should reach.",
                        "Fetch only from a list of hosts, resolve the name yourself, refuse private and loopback addresses, follow no redirects.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/Server_Side_Request_Forgery_Prevention_Cheat_Sheet.html"));
    }

    @Override
    protected void probe(String value) {
        String word = Canary.word();
        String address = Canary.address(word);
        HttpMessage answer = address == null ? null : attack(address);
        if (answer == null && address != null && !Canary.called(word)) {
            return;
        }
        if (address == null || answer == null || !Canary.called(word)) {
            return;
        }
        boolean read = Wire.body(answer).contains("canary " + word);
        found(
                0,
                NAME,
                Alert.RISK_HIGH,
                SURE,
                address,
                read ? "canary " + word : "",
                read ? "The service fetched the address and returned what it read." : "The service fetched the address.",
                answer);
    }
}

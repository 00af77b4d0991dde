package vallum.zap;

import java.util.regex.Pattern;
import org.parosproxy.paros.core.scanner.Alert;
import org.parosproxy.paros.core.scanner.Category;
import org.parosproxy.paros.network.HttpMessage;

/** SQL injection, shown by the database's own error, by pairs of quotes, or by a pair of true and false conditions. */
public class SqlInjection extends Rule {
    /** What database engines and their drivers say about broken syntax, from their own documentation. */
    private static final Pattern ERROR =
            Pattern.compile(
                    "sqlite3?\\.(OperationalError|Warning|ProgrammingError)|SQLITE_ERROR|unrecognized token: "
                            + "|near \"[^\"]{0,60}\": syntax error|near \\\\\"[^\"]{0,60}\\\\\": syntax error"
                            + "|error in your SQL syntax|MySQLSyntaxErrorException|pymysql\\.err|MariaDB server version for"
                            + "|syntax error at or near|unterminated quoted (string|identifier)|psycopg2?\\.errors|PSQLException|PG::SyntaxError"
                            + "|ORA-\\d{5}|quoted string not properly terminated"
                            + "|Unclosed quotation mark|Incorrect syntax near|SqlException|ODBC SQL Server"
                            + "|SQLSTATE\\[\\w+\\]|java\\.sql\\.SQL|org\\.hibernate\\.\\w*SQLGrammar|sqlalchemy\\.exc\\.\\w+|SequelizeDatabaseError");

    private static final String NAME = "SQL injection";

    public SqlInjection() {
        super(
                new Sheet(
                        600001,
                        NAME,
                        Category.INJECTION,
                        Alert.RISK_HIGH,
                        89,
                        19,
                        "OWASP_2025_A05 OWASP_2021_A03 VALLUM_SEVERITY=critical",
                        "The value of the parameter becomes part of an SQL statement, so that a caller can change what the statement does.",
                        "Pass values as parameters of a prepared statement; never put them into the text of a statement.",
                        "https://cheatsheetseries.owasp.org/cheatsheets/SQL_Injection_Prevention_Cheat_Sheet.html"));
    }

    @Override
    protected void probe(String value) {
        HttpMessage base = getBaseMsg();
        HttpMessage odd = attack(value + "'");
        if (odd == null) {
            return;
        }
        String error = Wire.find(ERROR, Wire.body(odd));
        if (error != null && Wire.find(ERROR, Wire.body(base)) == null) {
            HttpMessage even = attack(value + "''");
            boolean mended = even != null && Wire.find(ERROR, Wire.body(even)) == null;
            found(
                    1,
                    NAME + " (database error)",
                    Alert.RISK_HIGH,
                    mended ? SURE : LIKELY,
                    value + "'",
                    error,
                    mended ? "A doubled quote makes the error go away." : "",
                    odd);
            return;
        }
        if (Wire.status(odd) >= 500 && Wire.status(base) < 500 && quotesPair(value, odd)) {
            return;
        }
        HttpMessage again = attack(value);
        if (again == null) {
            return;
        }
        boolean counting = !Wire.steady(again, value).equals(Wire.steady(base, value));
        if (counting && !text(again, value, true).equals(text(base, value, true))) {
            return; // the answer differs from one request to the next: no pair could be told apart
        }
        boolean ignored = same(odd, value + "'", again, value, counting);
        if (value.matches("-?\\d{1,12}") && conditions(value + " AND ", "%d=%d", again, value, counting)) {
            return;
        }
        if (ignored) {
            return; // a lone quote changes nothing: the value is not inside a quoted string
        }
        if (conditions(value + "' AND ", "'%d'='%d", again, value, counting)
                || conditions(value + "%' AND ", "'%d%%'='%d", again, value, counting)
                || conditions(value + "') AND (", "'%d'='%d", again, value, counting)) {
            return;
        }
        if (base.getRequestHeader().getMethod().matches("GET|POST")) {
            alternatives(value, again, counting);
        }
    }

    /** One quote breaks the answer, two mend it, three break it, four mend it: the quotes reach a quoted string. */
    private boolean quotesPair(String value, HttpMessage odd) {
        HttpMessage two = attack(value + "''");
        if (two == null || Wire.status(two) >= 500) {
            return false;
        }
        HttpMessage three = attack(value + "'''");
        HttpMessage four = attack(value + "''''");
        if (three == null || four == null || Wire.status(three) < 500 || Wire.status(four) >= 500) {
            return false;
        }
        HttpMessage other = attack(value + "\"");
        if (other == null || Wire.status(other) >= 500) {
            return false; // a shell and a program's source break on the other quote too; a quoted SQL string does not
        }
        found(
                3,
                NAME + " (paired quotes)",
                Alert.RISK_HIGH,
                LIKELY,
                value + "'",
                "HTTP " + Wire.status(odd),
                "An odd number of quotes fails, an even number does not.",
                odd);
        return true;
    }

    /** A true condition must leave the answer as it was, a false one must change it; twice, and never a word that is no SQL. */
    private boolean conditions(String prefix, String condition, HttpMessage base, String value, boolean counting) {
        int number = Wire.number(1000, 9999);
        String truth = prefix + String.format(condition, number, number);
        HttpMessage first = attack(truth);
        if (first == null || !same(first, truth, base, value, counting)) {
            return false;
        }
        String lie = prefix + String.format(condition, number, number + 1);
        HttpMessage second = attack(lie);
        if (second == null || same(second, lie, base, value, counting)) {
            return false;
        }
        String truthAgain = prefix + String.format(condition, number + 7, number + 7);
        HttpMessage third = attack(truthAgain);
        String lieAgain = prefix + String.format(condition, number + 7, number + 9);
        HttpMessage fourth = attack(lieAgain);
        String nonsense = prefix.replace(" AND ", " " + Wire.word(3).toUpperCase() + " ") + String.format(condition, number, number);
        HttpMessage control = attack(nonsense);
        if (third == null || fourth == null || control == null) {
            return false;
        }
        if (!same(third, truthAgain, base, value, counting)
                || !same(fourth, lieAgain, second, lie, counting)
                || same(control, nonsense, base, value, counting)) {
            return false;
        }
        found(
                2,
                NAME + " (true and false conditions)",
                Alert.RISK_HIGH,
                SURE,
                lie,
                "",
                "The answer to \"" + truth + "\" is that to the plain value; the answer to \"" + lie + "\" is not.",
                second);
        return true;
    }

    /** Where the plain value finds nothing: a condition that is always true finds more than one that never is. */
    private void alternatives(String value, HttpMessage base, boolean counting) {
        for (String quote : new String[] {"'", "%'"}) {
            String prefix = value + quote + " OR ";
            int number = Wire.number(1000, 9999);
            String truth = prefix + number + "=" + number + " -- ";
            HttpMessage first = attack(truth);
            if (first == null || Wire.status(first) >= 500 || same(first, truth, base, value, counting)) {
                continue;
            }
            String lie = prefix + number + "=" + (number + 1) + " -- ";
            HttpMessage second = attack(lie);
            if (second == null || same(second, lie, first, truth, counting) || Wire.status(second) >= 500) {
                continue;
            }
            String nonsense = value + quote + " " + Wire.word(2).toUpperCase() + " " + number + "=" + number + " -- ";
            HttpMessage control = attack(nonsense);
            // Other numbers: an answer that only repeats the value in some encoding differs here.
            String truthAgain = prefix + (number + 7) + "=" + (number + 7) + " -- ";
            String lieAgain = prefix + (number + 7) + "=" + (number + 9) + " -- ";
            HttpMessage third = attack(truthAgain);
            HttpMessage fourth = attack(lieAgain);
            if (control == null || third == null || fourth == null) {
                return;
            }
            if (!same(control, nonsense, first, truth, counting)
                    && same(third, truthAgain, first, truth, counting)
                    && same(fourth, lieAgain, second, lie, counting)) {
                found(
                        2,
                        NAME + " (true and false conditions)",
                        Alert.RISK_HIGH,
                        LIKELY,
                        truth,
                        "",
                        "\"" + truth + "\" and \"" + lie + "\" have different answers, each time.",
                        first);
                return;
            }
        }
    }

    private static boolean same(HttpMessage one, String sentOne, HttpMessage two, String sentTwo, boolean counting) {
        return Wire.status(one) == Wire.status(two) && text(one, sentOne, counting).equals(text(two, sentTwo, counting));
    }

    private static String text(HttpMessage message, String sent, boolean counting) {
        String text = Wire.steady(message, sent);
        return counting ? Wire.withoutDigits(text) : text;
    }
}

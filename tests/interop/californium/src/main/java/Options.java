import java.util.HashMap;
import java.util.Map;

/** The program's arguments: `--name value`, and flags without a value. */
final class Options {
    private final Map<String, String> values = new HashMap<>();

    Options(String[] arguments) {
        for (int at = 0; at < arguments.length; at++) {
            String name = arguments[at];
            if (!name.startsWith("--")) {
                throw new IllegalArgumentException("an option begins with --: " + name);
            }
            boolean hasValue = at + 1 < arguments.length && !arguments[at + 1].startsWith("--");
            values.put(name.substring(2), hasValue ? arguments[++at] : "");
        }
    }

    /** Removes an option. An option that is left at the end is unknown. */
    String take(String name) {
        return values.remove(name);
    }

    String require(String name) {
        String value = take(name);
        if (value == null) {
            throw new IllegalArgumentException("--" + name + " is missing");
        }
        return value;
    }

    Integer takeNumber(String name) {
        String value = take(name);
        return value == null ? null : Integer.valueOf(value);
    }

    boolean takeFlag(String name) {
        return take(name) != null;
    }

    void refuseUnknown() {
        if (!values.isEmpty()) {
            throw new IllegalArgumentException("unknown options: " + values.keySet());
        }
    }
}

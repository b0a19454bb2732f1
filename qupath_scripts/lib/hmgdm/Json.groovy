package hmgdm

import com.google.gson.Gson
import com.google.gson.GsonBuilder
import com.google.gson.JsonParseException
import com.google.gson.JsonPrimitive
import com.google.gson.JsonSerializer
import com.google.gson.ToNumberPolicy

/** JSON with the library that every QuPath has; Groovy's own does not come with it. */
class Json {
    static final Gson GSON = new GsonBuilder()
        .setObjectToNumberStrategy(ToNumberPolicy.LONG_OR_DOUBLE)
        .registerTypeHierarchyAdapter(GString, { text, type, context -> new JsonPrimitive(text.toString()) } as JsonSerializer)
        .disableHtmlEscaping().serializeNulls().create()

    /** The object in `text`; null where it is none. */
    static Map parse(String text) {
        try {
            return GSON.fromJson(text, Map)
        } catch (JsonParseException | NumberFormatException error) {
            return null
        }
    }

    static Map read(File file) { parse(file.getText('UTF-8')) }

    static String write(Object value) { GSON.toJson(value) }
}

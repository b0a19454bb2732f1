package hmgdm

import com.google.gson.Gson
import com.google.gson.JsonObject
import com.google.gson.stream.JsonReader
import groovy.transform.CompileStatic
import java.nio.charset.StandardCharsets
import java.nio.file.Files
import java.nio.file.StandardCopyOption
import java.util.concurrent.CancellationException
import java.util.function.BooleanSupplier
import java.util.zip.GZIPInputStream
import qupath.lib.io.GsonTools
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject

/** GeoJSON feature by feature, in little memory; a bad feature is counted and left out, not fatal. */
@CompileStatic
class GeoJson {
    static List<PathObject> read(File file, List<String> bad, BooleanSupplier cancelled) {
        InputStream raw = new BufferedInputStream(new FileInputStream(file), 1 << 16)
        raw.mark(2)
        boolean zipped = raw.read() == 0x1f && raw.read() == 0x8b
        raw.reset()
        Reader text = new InputStreamReader(zipped ? new GZIPInputStream(raw, 1 << 16) : raw, StandardCharsets.UTF_8)
        text.withCloseable { Reader reader -> features(new JsonReader(reader), bad, cancelled) }
    }

    private static List<PathObject> features(JsonReader reader, List<String> bad, BooleanSupplier cancelled) {
        Gson gson = GsonTools.getInstance()
        List<PathObject> out = []
        reader.beginObject()
        while (reader.hasNext()) {
            if (reader.nextName() != 'features') {
                reader.skipValue()
                continue
            }
            reader.beginArray()
            while (reader.hasNext()) {
                JsonObject feature = gson.fromJson(reader, JsonObject) // a fault in the syntax ends the file
                try {
                    PathObject made = gson.fromJson(feature, PathObject)
                    made.getROI().getBoundsX() // as in Columns: not when the window first paints
                    out.add(made)
                } catch (RuntimeException error) {
                    bad.add(String.valueOf(error.getMessage()))
                }
                if (cancelled != null && (out.size() & 1023) == 0 && cancelled.getAsBoolean()) throw new CancellationException()
            }
            reader.endArray()
        }
        out
    }

    static void write(File file, Collection<? extends PathObject> objects) {
        File partial = new File(file.getParentFile(), file.getName().replaceFirst(/\.geojson$/, '.partial.geojson'))
        try {
            Disk.writing(file, 'free some space there') {
                PathIO.exportObjectsAsGeoJSON(partial, objects, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION, PathIO.GeoJsonExportOptions.EXCLUDE_MEASUREMENTS)
                Files.move(partial.toPath(), file.toPath(), StandardCopyOption.REPLACE_EXISTING)
            }
        } finally {
            partial.delete()
        }
    }
}

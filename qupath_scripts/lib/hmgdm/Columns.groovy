package hmgdm

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.StandardCharsets
import java.util.concurrent.CancellationException
import java.util.concurrent.ExecutionException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.concurrent.ThreadFactory
import java.util.function.BooleanSupplier
import java.util.function.DoubleConsumer
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import qupath.lib.common.ColorTools
import qupath.lib.objects.PathObject
import qupath.lib.objects.classes.PathClass

/** Objects out of the columns that `hmgdm … --columns` writes; hmgdm_plugin/qupath/columns.py says what they are. */
@CompileStatic
class Columns {
    static final int BLOCK = 2000 // objects: arrays of more than half a megabyte are a burden to Java's memory
    static final int WAITING = 8 // blocks that are read before they are needed: what waits is memory that has to be moved

    static List<PathObject> read(File file, DoubleConsumer progress, BooleanSupplier cancelled) {
        int cores = Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors()))
        ExecutorService threads = Executors.newFixedThreadPool(cores, Columns.&behind as ThreadFactory)
        ZipFile zip = new ZipFile(file)
        try {
            return new Columns(zip).objects(threads, progress, cancelled)
        } catch (ExecutionException error) {
            throw error.getCause() ?: error
        } finally {
            threads.shutdownNow()
            zip.close()
        }
    }

    /** A thread that gives way to the window, where the system knows such a thing (Windows and macOS do). */
    private static Thread behind(Runnable work) {
        Thread made = new Thread(work, 'hmgdm-columns')
        made.setDaemon(true)
        made.setPriority(Thread.MIN_PRIORITY)
        made
    }

    private static JsonObject header(ZipFile zip) {
        String text = new String(member(zip, 'header').readAllBytes(), StandardCharsets.UTF_8)
        JsonObject found = JsonParser.parseString(text).getAsJsonObject()
        String format = found.has('format') ? found.get('format').getAsString() : ''
        if (format != 'hmgdm-columns' || found.get('version').getAsInt() != 1)
            throw new Trouble("${zip.getName()}: columns of another version", 'use the scripts that came with your hmgdm')
        found
    }

    /** A member of the .npz, positioned after its header; each has its own stream, so that all are read in step. */
    private static InputStream member(ZipFile zip, String name) {
        ZipEntry entry = zip.getEntry(name + '.npy')
        if (entry == null) throw new IOException("${zip.getName()}: no column ${name}")
        InputStream stream = new BufferedInputStream(zip.getInputStream(entry), 1 << 16)
        byte[] start = stream.readNBytes(10)
        int length = (start[8] & 0xff) | ((start[9] & 0xff) << 8)
        if (start[6] > 1) {
            byte[] more = stream.readNBytes(2)
            length |= ((more[0] & 0xff) << 16) | ((more[1] & 0xff) << 24)
        }
        stream.skipNBytes(length)
        stream
    }

    private static ByteBuffer take(InputStream stream, int size) {
        byte[] bytes = stream.readNBytes(size)
        if (bytes.length != size) throw new EOFException("file cut short: ${bytes.length} of ${size} bytes")
        ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN)
    }

    private final int count
    private final String[] names
    private final String[] measurements
    private final PathClass[] classes
    private final InputStream id, kind, cls, name, rings, role, points, xy
    private final InputStream[] numbers

    private Columns(ZipFile zip) {
        JsonObject head = header(zip)
        count = head.get('objects').getAsInt()
        names = texts(head.getAsJsonArray('names'))
        measurements = texts(head.getAsJsonArray('measurements'))
        JsonArray found = head.getAsJsonArray('classes')
        classes = new PathClass[found.size()]
        for (int k = 0; k < classes.length; k++) {
            JsonObject each = found.get(k).getAsJsonObject()
            JsonArray rgb = each.getAsJsonArray('color')
            int colour = ColorTools.packRGB(rgb.get(0).getAsInt(), rgb.get(1).getAsInt(), rgb.get(2).getAsInt())
            classes[k] = PathClass.fromString(each.get('name').getAsString(), colour) // a colour that the project has stays
        }
        id = member(zip, 'id')
        kind = member(zip, 'kind')
        cls = member(zip, 'class')
        name = member(zip, 'name')
        rings = member(zip, 'rings')
        role = member(zip, 'role')
        points = member(zip, 'points')
        xy = member(zip, 'xy')
        numbers = new InputStream[measurements.length]
        for (int k = 0; k < numbers.length; k++) numbers[k] = member(zip, 'm' + k)
    }

    private static String[] texts(JsonArray array) {
        String[] out = new String[array.size()]
        int k = 0
        for (JsonElement each : array) out[k++] = each.getAsString()
        out
    }

    private List<PathObject> objects(ExecutorService threads, DoubleConsumer progress, BooleanSupplier cancelled) {
        Deque<Future<List<PathObject>>> jobs = new ArrayDeque<Future<List<PathObject>>>()
        List<PathObject> out = new ArrayList<PathObject>(count)
        for (int at = 0; at < count || !jobs.isEmpty(); at += BLOCK) {
            if (cancelled != null && cancelled.getAsBoolean()) throw new CancellationException()
            if (at < count) jobs.add(threads.submit(block(Math.min(BLOCK, count - at))))
            if (at < count && jobs.size() < WAITING) continue
            out.addAll(jobs.remove().get())
            if (progress != null) progress.accept(out.size() / (double) Math.max(count, 1))
        }
        out
    }

    /** The next `n` objects of the columns. */
    private Block block(int n) {
        Block out = new Block(n: n, names: names, measurements: measurements, classes: classes)
        out.id = take(id, 16 * n).order(ByteOrder.BIG_ENDIAN)
        out.kind = take(kind, n)
        out.cls = take(cls, 2 * n)
        out.name = take(name, 4 * n)
        out.rings = ints(take(rings, 4 * n))
        int ringCount = sum(out.rings)
        out.role = take(role, ringCount)
        out.points = ints(take(points, 4 * ringCount))
        out.xy = take(xy, 8 * sum(out.points))
        out.numbers = new ByteBuffer[numbers.length]
        for (int k = 0; k < numbers.length; k++) out.numbers[k] = take(numbers[k], 4 * n)
        out
    }

    private static int[] ints(ByteBuffer bytes) {
        int[] out = new int[bytes.remaining() >> 2]
        bytes.asIntBuffer().get(out)
        out
    }

    private static int sum(int[] values) {
        int total = 0
        for (int each : values) total += each
        total
    }
}

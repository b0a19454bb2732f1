package hmgdm

import com.google.gson.JsonArray
import com.google.gson.JsonElement
import com.google.gson.JsonObject
import com.google.gson.JsonParser
import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.nio.charset.StandardCharsets
import java.util.concurrent.Callable
import java.util.concurrent.CancellationException
import java.util.concurrent.ExecutionException
import java.util.concurrent.ExecutorService
import java.util.concurrent.Executors
import java.util.concurrent.Future
import java.util.function.BooleanSupplier
import java.util.function.DoubleConsumer
import java.util.zip.ZipEntry
import java.util.zip.ZipFile
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.GeometryFactory
import org.locationtech.jts.geom.LinearRing
import qupath.lib.common.ColorTools
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/** Objects out of the columns that `hmgdm … --columns` writes; hmgdm_plugin/qupath/columns.py says what they are. */
@CompileStatic
class Columns {
    static final int BLOCK = 10000
    static final int NO_CLASS = 65535

    static List<PathObject> read(File file, DoubleConsumer progress, BooleanSupplier cancelled) {
        ExecutorService threads = Executors.newFixedThreadPool(Math.max(1, Math.min(4, Runtime.getRuntime().availableProcessors())))
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

    private final ZipFile zip
    private final int count
    private final String[] names
    private final String[] measurements
    private final PathClass[] classes

    private Columns(ZipFile zip) {
        this.zip = zip
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
    }

    private static String[] texts(JsonArray array) {
        String[] out = new String[array.size()]
        int k = 0
        for (JsonElement each : array) out[k++] = each.getAsString()
        out
    }

    private List<PathObject> objects(ExecutorService threads, DoubleConsumer progress, BooleanSupplier cancelled) {
        InputStream id = member(zip, 'id'), kind = member(zip, 'kind'), cls = member(zip, 'class'), name = member(zip, 'name')
        InputStream rings = member(zip, 'rings'), role = member(zip, 'role'), points = member(zip, 'points'), xy = member(zip, 'xy')
        InputStream[] numbers = new InputStream[measurements.length]
        for (int k = 0; k < numbers.length; k++) numbers[k] = member(zip, 'm' + k)
        List<Future<List<PathObject>>> jobs = []
        for (int at = 0; at < count; at += BLOCK) {
            if (cancelled != null && cancelled.getAsBoolean()) throw new CancellationException()
            int n = Math.min(BLOCK, count - at)
            Block block = new Block(n: n, names: names, measurements: measurements, classes: classes)
            block.id = take(id, 16 * n).order(ByteOrder.BIG_ENDIAN)
            block.kind = take(kind, n)
            block.cls = take(cls, 2 * n)
            block.name = take(name, 4 * n)
            block.rings = ints(take(rings, 4 * n))
            int ringCount = sum(block.rings)
            block.role = take(role, ringCount)
            block.points = ints(take(points, 4 * ringCount))
            block.xy = take(xy, 8 * sum(block.points))
            block.numbers = new ByteBuffer[numbers.length]
            for (int k = 0; k < numbers.length; k++) block.numbers[k] = take(numbers[k], 4 * n)
            jobs.add(threads.submit(block))
        }
        List<PathObject> out = new ArrayList<PathObject>(count)
        for (Future<List<PathObject>> job : jobs) {
            if (cancelled != null && cancelled.getAsBoolean()) throw new CancellationException()
            out.addAll(job.get())
            if (progress != null) progress.accept(out.size() / (double) Math.max(count, 1))
        }
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

    /** Some thousand objects, made on one thread. */
    @CompileStatic
    private static class Block implements Callable<List<PathObject>> {
        int n
        String[] names, measurements
        PathClass[] classes
        ByteBuffer id, kind, cls, name, role, xy
        int[] rings, points
        ByteBuffer[] numbers
        private int ring = 0
        private int point = 0

        @Override
        List<PathObject> call() {
            List<PathObject> out = new ArrayList<PathObject>(n)
            for (int i = 0; i < n; i++) out.add(object(i))
            out
        }

        private PathObject object(int i) {
            ROI roi = outline(rings[i])
            roi.getBoundsX() // forces the statistics of the shape here; else the window does it when it first paints
            int number = cls.getShort(2 * i) & 0xffff
            PathClass pathClass = number == NO_CLASS ? null : classes[number]
            int what = kind.get(i) & 0xff
            PathObject made = create(what & 0x7f, roi, pathClass, list(i))
            made.setID(new UUID(id.getLong(16 * i), id.getLong(16 * i + 8)))
            String called = names[name.getInt(4 * i)]
            if (!called.isEmpty()) made.setName(called)
            if ((what & 0x80) != 0) made.setLocked(true)
            made
        }

        private static PathObject create(int what, ROI roi, PathClass pathClass, MeasurementList list) {
            if (what == 0) return PathObjects.createTileObject(roi, pathClass, list)
            if (what == 1) return PathObjects.createDetectionObject(roi, pathClass, list)
            PathObjects.createAnnotationObject(roi, pathClass, list)
        }

        private MeasurementList list(int i) {
            MeasurementList out = MeasurementListFactory.createMeasurementList(
                measurements.length, MeasurementList.MeasurementListType.FLOAT)
            for (int k = 0; k < measurements.length; k++) {
                float value = numbers[k].getFloat(4 * i)
                if (!Float.isNaN(value)) out.put(measurements[k], (double) value)
            }
            out.close() // shares the list of names between objects
            out
        }

        private ROI outline(int count) {
            ImagePlane plane = ImagePlane.getDefaultPlane()
            if (count == 1) {
                int what = role.get(ring)
                int n = points[ring++]
                double[] x = new double[n], y = new double[n]
                for (int k = 0; k < n; k++, point++) {
                    x[k] = xy.getFloat(8 * point)
                    y[k] = xy.getFloat(8 * point + 4)
                }
                if (what == 2) return n == 2 ? ROIs.createLineROI(x[0], y[0], x[1], y[1], plane) : ROIs.createPolylineROI(x, y, plane)
                if (isBox(x, y)) return ROIs.createRectangleROI(Math.min(x[0], x[2]), Math.min(y[0], y[2]), Math.abs(x[2] - x[0]), Math.abs(y[2] - y[0]), plane)
                return ROIs.createPolygonROI(x, y, plane)
            }
            GeometryTools.geometryToROI(geometry(count), plane)
        }

        private static boolean isBox(double[] x, double[] y) {
            if (x.length != 4) return false
            (x[0] == x[1] && y[1] == y[2] && x[2] == x[3] && y[3] == y[0]) || (y[0] == y[1] && x[1] == x[2] && y[2] == y[3] && x[3] == x[0])
        }

        /** Several rings: polygons with holes, or several parts. */
        private Geometry geometry(int count) {
            GeometryFactory factory = GeometryTools.getDefaultFactory()
            List<Geometry> parts = []
            LinearRing shell = null
            List<LinearRing> holes = []
            for (int r = 0; r < count; r++) {
                int what = role.get(ring)
                Coordinate[] coordinates = ringOf(points[ring++], what != 2)
                if (what != 1 && shell != null) {
                    parts.add(factory.createPolygon(shell, holes as LinearRing[]))
                    shell = null
                    holes = []
                }
                if (what == 2) parts.add(factory.createLineString(coordinates))
                else if (what == 1) holes.add(factory.createLinearRing(coordinates))
                else shell = factory.createLinearRing(coordinates)
            }
            if (shell != null) parts.add(factory.createPolygon(shell, holes as LinearRing[]))
            factory.buildGeometry(parts)
        }

        private Coordinate[] ringOf(int n, boolean closed) {
            Coordinate[] out = new Coordinate[closed ? n + 1 : n]
            for (int k = 0; k < n; k++, point++) out[k] = new Coordinate(xy.getFloat(8 * point), xy.getFloat(8 * point + 4))
            if (closed) out[n] = new Coordinate(out[0])
            out
        }
    }
}

package hmgdm

import groovy.transform.CompileStatic
import java.nio.ByteBuffer
import java.util.concurrent.Callable
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Geometry
import org.locationtech.jts.geom.GeometryFactory
import org.locationtech.jts.geom.LinearRing
import qupath.lib.measurements.MeasurementList
import qupath.lib.measurements.MeasurementListFactory
import qupath.lib.objects.PathObject
import qupath.lib.objects.PathObjects
import qupath.lib.objects.classes.PathClass
import qupath.lib.regions.ImagePlane
import qupath.lib.roi.GeometryTools
import qupath.lib.roi.ROIs
import qupath.lib.roi.interfaces.ROI

/** Some thousand objects out of their part of the columns, made on one thread. */
@CompileStatic
class Block implements Callable<List<PathObject>> {
    static final int NO_CLASS = 65535

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

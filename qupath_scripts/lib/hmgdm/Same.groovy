package hmgdm

import groovy.transform.CompileStatic
import qupath.lib.measurements.MeasurementList
import qupath.lib.objects.PathObject

/** Whether results are on an image already: the same objects with the same numbers, whatever a person added to them. */
@CompileStatic
class Same {
    private static final String OURS = 'HMGDM: '

    /** `there`: what `wanted` would replace. Classes do not count: a person may have corrected them. */
    static boolean objects(List<PathObject> there, List<PathObject> wanted) {
        Map<UUID, PathObject> known = new HashMap<UUID, PathObject>()
        for (PathObject each : there) known.put(each.getID(), each)
        if (known.size() != wanted.size()) return false
        for (PathObject each : wanted) {
            PathObject old = known.get(each.getID())
            if (old == null || !place(old, each) || !numbers(old.getMeasurementList(), each.getMeasurementList())) return false
        }
        true
    }

    private static boolean place(PathObject one, PathObject other) {
        def a = one.getROI(), b = other.getROI()
        near(a.getCentroidX(), b.getCentroidX()) && near(a.getCentroidY(), b.getCentroidY()) && near(a.getBoundsWidth(), b.getBoundsWidth())
    }

    private static boolean near(double a, double b) { Math.abs(a - b) < 0.01d }

    /** As floats: some lists of QuPath keep no more. */
    private static boolean numbers(MeasurementList there, MeasurementList wanted) {
        int count = 0
        for (String name : there.getMeasurementNames()) if (name.startsWith(OURS)) count++
        for (String name : wanted.getMeasurementNames()) {
            if (!there.containsKey(name) || Float.compare((float) there.get(name), (float) wanted.get(name)) != 0) return false
            if (name.startsWith(OURS)) count--
        }
        count == 0
    }
}

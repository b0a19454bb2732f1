package hmgdm

import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/** The objects of H-MGDM on an image and what they measure; compiled, since they may be 500,000 and the window waits. */
@CompileStatic
class Ours {
    static final String LEFT_OUT = 'HMGDM: left out of maps' // 1 for a tile with too little tissue to be coloured
    static final Set<String> OF_EVERY_TILE = ['HMGDM: novelty', 'HMGDM: tissue share'] as Set
    private static final int LOOKED_AT = 200 // objects of a kind, for the names of their measurements

    final List<PathObject> objects

    Ours(ImageData<?> imageData) { objects = Tag.on(imageData.getHierarchy()) }

    /** Names of all measurements, by an example of each kind of object. */
    List<String> measurements() {
        LinkedHashSet<String> seen = new LinkedHashSet<String>()
        Map<String, Integer> looked = new HashMap<String, Integer>()
        for (PathObject each : objects) {
            String kind = Runs.kind(each)
            int count = looked.getOrDefault(kind, 0)
            if (count == LOOKED_AT) continue
            looked.put(kind, count + 1)
            for (String name : each.getMeasurementList().getMeasurementNames()) if (name.startsWith('HMGDM: ')) seen.add(name)
        }
        seen.remove(LEFT_OUT)
        new ArrayList<String>(seen)
    }

    /** Squares of the grid that have a class. */
    List<PathObject> classified() {
        List<PathObject> out = []
        for (PathObject each : objects) if (each.getPathClass() != null && Runs.kind(each) == 'square') out.add(each)
        out
    }

    /** Objects that a map of the measurement colours. */
    List<PathObject> mapped(String measurement) {
        boolean every = OF_EVERY_TILE.contains(measurement)
        List<PathObject> out = []
        for (PathObject each : objects) {
            if (each.getMeasurementList().containsKey(measurement) && (every || !each.getMeasurementList().containsKey(LEFT_OUT))) out.add(each)
        }
        out
    }

    /** Whether a map of the measurement leaves out tiles that have it. */
    boolean leavesOut(String measurement) {
        if (OF_EVERY_TILE.contains(measurement)) return false
        for (PathObject each : objects)
            if (each.getMeasurementList().containsKey(LEFT_OUT) && each.getMeasurementList().containsKey(measurement)) return true
        false
    }

    static float[] values(List<PathObject> objects, String measurement) {
        float[] out = new float[objects.size()]
        int k = 0
        for (PathObject each : objects) out[k++] = (float) each.getMeasurementList().get(measurement)
        out
    }
}

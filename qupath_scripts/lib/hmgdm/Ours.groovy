package hmgdm

import groovy.transform.CompileStatic
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/** The objects of H-MGDM on an image and what they measure; compiled, since they may be 500,000 and the window waits. */
@CompileStatic
class Ours {
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
        new ArrayList<String>(seen)
    }

    /** Squares of the grid that have a class. */
    List<PathObject> classified() {
        List<PathObject> out = []
        for (PathObject each : objects) if (each.getPathClass() != null && Runs.kind(each) == 'square') out.add(each)
        out
    }

    List<PathObject> having(String measurement) {
        List<PathObject> out = []
        for (PathObject each : objects) if (each.getMeasurementList().containsKey(measurement)) out.add(each)
        out
    }

    static float[] values(List<PathObject> objects, String measurement) {
        float[] out = new float[objects.size()]
        int k = 0
        for (PathObject each : objects) out[k++] = (float) each.getMeasurementList().get(measurement)
        out
    }
}

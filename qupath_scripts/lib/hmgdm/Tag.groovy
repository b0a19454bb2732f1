package hmgdm

import groovy.transform.CompileStatic
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

/**
 * Whose an object is, read from its id: 484d4744-RRRR-8RRR-bNNN-NNNNNNNNNNNN, a UUID of version 8 that starts with
 * "HMGD"; the seven R digits are the recipe that made it. The same layout as hmgdm_plugin/qupath/ids.py.
 */
@CompileStatic
class Tag {
    static final long MAGIC = 0x484d4744L

    static boolean ours(UUID id) {
        (id.getMostSignificantBits() >>> 32) == MAGIC && id.version() == 8
    }

    static int of(UUID id) {
        long high = id.getMostSignificantBits()
        (int) ((((high >>> 16) & 0xffffL) << 12) | (high & 0xfffL))
    }

    static List<PathObject> ours(Collection<? extends PathObject> objects) {
        def found = new ArrayList<PathObject>()
        for (PathObject each : objects) if (ours(each.getID())) found.add(each)
        found
    }

    /** Ours on an image. Not by way of getAllObjects, which keeps a lock that the painting of the window waits for. */
    static List<PathObject> on(PathObjectHierarchy hierarchy) {
        def found = new ArrayList<PathObject>()
        def left = new ArrayDeque<PathObject>()
        left.add(hierarchy.getRootObject())
        while (!left.isEmpty()) for (PathObject each : left.poll().getChildObjectsAsArray()) {
            if (ours(each.getID())) found.add(each)
            if (each.hasChildObjects()) left.add(each)
        }
        found
    }

    static String text(int tag) { String.format('%07x', tag) }
}

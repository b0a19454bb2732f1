package hmgdm

import groovy.transform.CompileStatic
import org.locationtech.jts.geom.Coordinate
import org.locationtech.jts.geom.Envelope
import org.locationtech.jts.index.strtree.STRtree
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/**
 * The runs whose objects are on an image. An object's id says the recipe; of the runs of that recipe, the latest that
 * looked at its place owns it. The list is a property of the image and is saved with it.
 */
class Runs {
    static final String PROPERTY = 'hmgdm.runs'
    static final List<String> KINDS = ['square', 'entity', 'contact', 'nucleus']
    static final int CELL = 64 // pixels: how finely the place of a run without tiles is kept

    /** Oldest first: [id, title, recipe (numbers), kinds, folder, objects, boxes (null: the whole image)]. */
    static List<Map> all(ImageData imageData) {
        def text = imageData.getProperty(PROPERTY)
        (text ? Json.parse(text as String)?.runs : null) ?: []
    }

    static void keep(ImageData imageData, List<Map> runs) { imageData.setProperty(PROPERTY, Json.write([runs: runs])) }

    static Map made(Results results, String slide, List<PathObject> objects) {
        Set<Integer> recipes = []
        Set<String> kinds = []
        def squares = surveyed(objects, recipes, kinds)
        [
            id: Integer.toHexString((results.folder.canonicalPath + results.record.finished).hashCode()),
            title: results.title(),
            folder: results.folder.canonicalPath,
            slide: slide,
            recipes: recipes.toList(),
            kinds: squares ? KINDS : kinds.toList(), // an analysis answers anew for all that an earlier one drew there
            objects: objects.size(),
            boxes: results.ofRegions() ? boxes(squares ?: objects, squares.isEmpty()) : null
        ]
    }

    /** The squares among `objects`; fills in what recipes and kinds there are. */
    @CompileStatic
    private static List<PathObject> surveyed(List<PathObject> objects, Set<Integer> recipes, Set<String> kinds) {
        List<PathObject> squares = []
        for (PathObject each : objects) {
            String what = kind(each)
            recipes.add(Tag.of(each.getID()))
            kinds.add(what)
            if (what == 'square') squares.add(each)
        }
        squares
    }

    /** What an object shows: a square of the grid, an entity in it, a contact or a nucleus; kinds are replaced apart. */
    @CompileStatic
    static String kind(PathObject object) {
        String name = object.getName() ?: ''
        if (name.startsWith('tile ')) return 'square'
        if (name == 'contact') return 'contact'
        object.isTile() || object.getMeasurementList().containsKey('HMGDM: importance') ? 'entity' : 'nucleus'
    }

    private static List<Integer> boxes(List<PathObject> objects, boolean cells) {
        def out = new LinkedHashSet<List<Integer>>()
        for (PathObject each : objects) {
            def roi = each.ROI
            int x = Math.floor(roi.boundsX), y = Math.floor(roi.boundsY)
            int right = Math.ceil(roi.boundsX + roi.boundsWidth), bottom = Math.ceil(roi.boundsY + roi.boundsHeight)
            if (!cells) out.add([x, y, right, bottom])
            else for (int a = x.intdiv(CELL); a * CELL < right; a++)
                for (int b = y.intdiv(CELL); b * CELL < bottom; b++)
                    out.add([a * CELL, b * CELL, (a + 1) * CELL, (b + 1) * CELL])
        }
        out.toList().flatten() as List<Integer>
    }

    /** Objects of `run` among `ours`: its recipe and kinds, in its place, not taken over by a run of `later`. */
    static List<PathObject> owned(Map run, List<PathObject> ours, List<Map> later = []) {
        Place.filter(ours, new Place(run), later.collect { new Place(it) })
    }

    /** Ours among `objects` that `run` would take the place of with `by`. */
    static List<PathObject> replaced(Map run, Collection<PathObject> objects, Collection<PathObject> by) {
        new Place(run).replaced(Tag.ours(objects), by)
    }

    /** Ours that no run of the list owns: imported by hand, or with a list that was lost. */
    static List<PathObject> loose(ImageData imageData) {
        Place.filter(Tag.on(imageData.hierarchy), null, all(imageData).collect { new Place(it) })
    }

    /** Where a run looked, and for what. */
    @CompileStatic
    static class Place {
        private final Set<Integer> recipes = []
        private final Set<String> kinds = []
        private final STRtree boxes

        Place(Map run) {
            for (Object each : (run.get('recipes') as List)) recipes.add((each as Number).intValue())
            for (Object each : (run.get('kinds') as List)) kinds.add(each.toString())
            List<?> numbers = run.get('boxes') as List
            boxes = numbers == null ? null : new STRtree()
            if (numbers != null) for (int k = 0; k + 3 < numbers.size(); k += 4) {
                double[] at = new double[4]
                for (int n = 0; n < 4; n++) at[n] = (numbers.get(k + n) as Number).doubleValue()
                boxes.insert(new Envelope(at[0], at[2], at[1], at[3]), Boolean.TRUE)
            }
        }

        boolean has(PathObject object) {
            if (!recipes.contains(Tag.of(object.getID())) || !kinds.contains(kind(object))) return false
            if (boxes == null) return true
            def roi = object.getROI()
            !boxes.query(new Envelope(new Coordinate(roi.getCentroidX(), roi.getCentroidY()))).isEmpty()
        }

        /** Those of `ours` that have the id of one of `by`, or that this run would own. */
        List<PathObject> replaced(List<PathObject> ours, Collection<PathObject> by) {
            Set<UUID> ids = new HashSet<UUID>(2 * by.size())
            for (PathObject each : by) ids.add(each.getID())
            List<PathObject> out = []
            for (PathObject each : ours) if (ids.contains(each.getID()) || has(each)) out.add(each)
            out
        }

        /** What lies in the place `mine` (anywhere for null) and in none of `others`. */
        static List<PathObject> filter(List<PathObject> objects, Place mine, List<Place> others) {
            List<PathObject> out = []
            for (PathObject each : objects) {
                if (mine != null && !mine.has(each)) continue
                boolean taken = false
                for (Place other : others) if (other.has(each)) taken = true
                if (!taken) out.add(each)
            }
            out
        }
    }
}

package hmgdm

import java.nio.file.Files
import java.nio.file.StandardCopyOption
import qupath.lib.images.ImageData
import qupath.lib.io.PathIO
import qupath.lib.objects.PathObject
import qupath.lib.objects.hierarchy.PathObjectHierarchy

/** What the program asks of a project when no window is there; answers are JSON. */
class Headless {
    static String importFolder(ImageData imageData, String folder) {
        def landed = Landing.importFolder(imageData, new File(folder))
        Landing.importStep(imageData, new File(folder))
        Json.write(Outcome.of(landed))
    }

    /** Whether an image has the results of `folder`, which is about one slide. */
    static boolean has(PathObjectHierarchy hierarchy, String folder) {
        def results = new Results(new File(folder))
        def slides = results.record.slides.keySet() as List<String>
        if (slides.size() != 1) return false
        def objects = results.objects(slides[0], [], null, null)
        Same.objects(Runs.replaced(Runs.made(results, slides[0], objects), hierarchy.getAllObjects(false), objects), objects)
    }

    /** What is on an image. */
    static String counts(PathObjectHierarchy hierarchy) {
        def objects = hierarchy.getAllObjects(false)
        def ours = Tag.ours(objects)
        Json.write([annotations: objects.count { PathObject each -> each.isAnnotation() }, detections: objects.count { PathObject each -> each.isDetection() },
                    ours: ours.size(), recipes: ours.collect { Tag.text(Tag.of(it.ID)) }.toSet().sort()])
    }

    static int export(PathObjectHierarchy hierarchy, String path, String kind) {
        def wanted = hierarchy.getAllObjects(false).findAll { PathObject each ->
            kind == 'all' || kind == 'annotations' && each.isAnnotation() || kind == 'detections' && each.isDetection() ||
                kind == 'cells' && each.isCell() || kind == 'tiles' && each.isTile()
        }
        def file = new File(path)
        def ending = file.name.endsWith('.gz') ? '.geojson.gz' : '.geojson'
        def partial = new File(file.parentFile, ".${file.name}.partial${ending}")
        try {
            Disk.writing(file) {
                PathIO.exportObjectsAsGeoJSON(partial, wanted, PathIO.GeoJsonExportOptions.FEATURE_COLLECTION)
                Files.move(partial.toPath(), file.toPath(), StandardCopyOption.REPLACE_EXISTING)
            }
        } finally {
            partial.delete()
        }
        wanted.size()
    }
}

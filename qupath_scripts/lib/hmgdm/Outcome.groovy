package hmgdm

import java.nio.file.Files
import java.nio.file.StandardCopyOption
import qupath.lib.images.ImageData
import qupath.lib.projects.ProjectImageEntry

/**
 * What a headless script did, as a line of JSON and as a file that appears last and whole. The image is saved before that:
 * QuPath's own option to save would come after it, and say nothing where the disk is full. After a failure QuPath ends with
 * status 1, also where it went on with other images of a project.
 */
class Outcome {
    private static final String FAILED = 'hmgdm.failed'

    /** `place`: the file, or a folder for a file of each image; null for the line only. */
    static void told(File place, ProjectImageEntry entry, ImageData imageData, Closure<Map> work) {
        Map result = [ok: false]
        try {
            def done = work()
            if (entry) Disk.writing(entry.imageName) { entry.saveImageData(imageData) }
            result = [ok: true] + done
        } catch (Throwable error) {
            result = [ok: false, error: error instanceof Trouble ? error.problem : error.toString(), fix: error instanceof Trouble ? error.fix : '']
            endWithFailure()
            throw error
        } finally {
            def line = Json.write([image: entry ? entry.imageName : imageData ? Source.name(imageData.server) : ''] + result)
            println line
            if (place) write(place.directory ? new File(place, "${entry?.ID ?: 'image'}.json") : place, line)
        }
    }

    private static void write(File file, String line) {
        def partial = new File(file.path + '.tmp')
        partial.setText(line, 'UTF-8')
        Files.move(partial.toPath(), file.toPath(), StandardCopyOption.REPLACE_EXISTING)
    }

    private static void endWithFailure() {
        if (System.properties.put(FAILED, 'yes')) return
        Runtime.runtime.addShutdownHook(new Thread({
            Thread.sleep(1000) // for what else is done at the end
            Runtime.runtime.halt(1)
        }))
    }

    /** What can be said of results that were put on an image. */
    static Map of(Map landed) {
        landed.subMap(['added', 'removed', 'bad', 'slide', 'notes']) + [run: landed.run.id, title: landed.run.title, results: landed.run.folder]
    }
}

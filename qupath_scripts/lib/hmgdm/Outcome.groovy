package hmgdm

import java.nio.file.Files
import java.nio.file.StandardCopyOption
import qupath.lib.images.ImageData
import qupath.lib.projects.ProjectImageEntry

/**
 * What a headless script did, as a file that appears last and whole: QuPath's exit code is 0 for scripts that failed. The
 * image is saved before that; QuPath's own option to save would come after it, and say nothing where the disk is full.
 */
class Outcome {
    static void told(File file, ProjectImageEntry entry, ImageData imageData, Closure<Map> work) {
        Map result = [ok: false]
        try {
            def done = work()
            if (entry) Disk.writing(entry.imageName) { entry.saveImageData(imageData) }
            result = [ok: true] + done.findAll { key, value -> value instanceof Number || value instanceof String || value instanceof List }
        } catch (Throwable error) {
            result = [ok: false, error: error instanceof Trouble ? error.problem : error.toString(), fix: error instanceof Trouble ? error.fix : '']
            throw error
        } finally {
            println Json.write(result)
            if (file) {
                def partial = new File(file.path + '.tmp')
                partial.setText(Json.write(result), 'UTF-8')
                Files.move(partial.toPath(), file.toPath(), StandardCopyOption.REPLACE_EXISTING)
            }
        }
    }
}

package hmgdm

import qupath.lib.images.ImageData
import qupath.lib.projects.Project

/** What a script can call, one line each, in the editor and headless; nothing here opens a dialog that asks. */
class Scripted {
    /** Analyse `regions` (the whole slide for none) with the options of `hmgdm VERB`; returns what changed. */
    static Map analyse(ImageData imageData, Project project, String verb, Collection regions, Map options = [:]) {
        Program.version()
        def job = new Analyse(imageData, project, verb, regions.findAll { Source.isRegion(it) }, options)
        def quiet = Work.quiet()
        def landed = job.run(quiet)
        job.finish(landed)
        landed
    }

    static Map importResults(ImageData imageData, String folder) {
        def landed = Landing.importFolder(imageData, new File(folder))
        Landing.importStep(imageData, new File(folder))
        landed
    }

    static int undo(ImageData imageData, String run) {
        def gone = Landing.undo(Source.required(imageData), run)
        Landing.undoStep(imageData, run)
        gone
    }
}

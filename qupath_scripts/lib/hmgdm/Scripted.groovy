package hmgdm

import qupath.lib.images.ImageData
import qupath.lib.projects.Project
import qupath.lib.projects.ProjectImageEntry

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

    /**
     * Analyse, from QuPath's command line. `args` are options of `hmgdm VERB` (model=…, device=…) and a file or folder for
     * the outcome; all may be left out.
     */
    static void headless(ImageData imageData, Project project, ProjectImageEntry entry, String verb, Closure<Collection> regions, args) {
        def given = (args ?: []).toList()
        def options = given.findAll { it ==~ /\w+=.*/ }, places = given - options
        Outcome.told(places ? new File(places[0]) : null, entry, imageData) {
            if (places.size() > 1) throw new Trouble("${places[1]}: one file for the outcome is enough", 'give options as NAME=VALUE')
            def named = options.collectEntries { it.split('=', 2).with { parts -> [parts[0], value(parts[1])] } }
            Outcome.of(analyse(imageData, project, verb, regions(), named))
        }
    }

    private static Object value(String text) { text in ['true', 'false'] ? text == 'true' : text.isNumber() ? text.toBigDecimal() : text }

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

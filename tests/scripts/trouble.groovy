// Starts programs that misbehave, one per file of a folder, and tells what a user would be told; ends one that will not end.
import com.google.gson.Gson

def (Prefs, Program, Job, Analyse, Source) = evaluate(new File(args[0], 'load.groovy'))('Prefs', 'Program', 'Job', 'Analyse', 'Source')
def folder = new File(args[1])
def said = [:]
def kept = Prefs.program().get()
def tell = { String name, Closure work ->
    try {
        said[name] = String.valueOf(work())
    } catch (Throwable error) {
        said[name] = error.class.simpleName == 'Trouble' ? "${error.problem} | ${error.fix}".toString() : error.toString()
    }
}
try {
    folder.listFiles().findAll { it.name.startsWith('version-') }.sort().each { file ->
        Prefs.program().set(file.path)
        tell(file.name) { Program.version() }
    }
    Prefs.program().set("\"${new File(folder, 'version-good').path}\"".toString())
    tell('copied as path') { Program.version() }
    Prefs.program().set(new File(folder, 'none at all').path)
    tell('missing') { Program.version() }
    folder.listFiles().findAll { it.name.startsWith('run-') }.sort().each { file ->
        Prefs.program().set(file.path)
        tell(file.name) { Job.run('predict', [slides: ['C:\\a "b" \'c\' ü.svs']], folder).result }
    }
    Prefs.program().set(new File(folder, 'slow').path)
    long start = System.nanoTime()
    tell('slow') { Job.run('predict', [:], folder, { }) { System.nanoTime() - start > 2_000_000_000L } }
    said['seconds after cancel'] = (System.nanoTime() - start) / 1e9d - 2
    said['children'] = ProcessHandle.current().descendants().count()
    tell('no image') { Analyse.selected(null) }
    tell('nothing selected') { Analyse.selected(getCurrentImageData()) }
    tell('rotated') { Source.file(new qupath.lib.images.servers.TransformedServerBuilder(getCurrentServer()).crop(ImageRegion.createInstance(0, 0, 50, 50, 0, 0)).build()) }
    tell('in memory') { Source.file(new qupath.lib.images.servers.WrappedBufferedImageServer('a server', new java.awt.image.BufferedImage(64, 64, 1))) }
    tell('series') { Source.file(qupath.lib.images.servers.ImageServers.buildServer(args[2], '--classname', 'BioFormatsServerBuilder', '--series', '1')) }
    tell('file') { Source.file(getCurrentServer()) }
    tell('fingerprint') { Source.fingerprint(Source.file(getCurrentServer())) }
    Prefs.program().set(new File(folder, 'pixels').path)
    def plane = ImagePlane.getDefaultPlane(), other = ImagePlane.getPlane(1, 0)
    def regions = [plane, other].collect { PathObjects.createAnnotationObject(ROIs.createRectangleROI(5, 5, 50, 50, it)) }
    tell('planes') { Analyse.newInstance(getCurrentImageData(), null, 'predict', regions, [:]) }
    tell('pixels') { Analyse.newInstance(getCurrentImageData(), null, 'predict', [], [results_dir: new File(folder, 'out').path]).estimate(evaluate(new File(args[0], 'load.groovy'))('Work')[0].quiet()) }
} finally {
    Prefs.program().set(kept)
}
new File(folder, 'said.json').setText(new Gson().toJson(said), 'UTF-8')

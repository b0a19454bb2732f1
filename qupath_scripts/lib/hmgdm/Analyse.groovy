package hmgdm

import java.nio.file.Files
import java.time.LocalDateTime
import java.time.format.DateTimeFormatter
import javafx.scene.control.CheckBox
import javafx.scene.control.Label
import javafx.scene.control.TextField
import javafx.scene.layout.GridPane
import qupath.fx.dialogs.Dialogs
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.projects.Project

/** Regions or a whole slide to the program, and its results back onto the slide. */
class Analyse {
    final ImageData imageData
    final Project project
    final String verb
    final List<PathObject> regions
    final Map options = [:]

    Analyse(ImageData imageData, Project project, String verb, Collection<PathObject> regions, Map options) {
        this.imageData = Source.required(imageData)
        this.project = project
        this.verb = verb
        this.regions = regions.toList()
        def slide = Source.file(imageData.server)
        def planes = this.regions.collect { it.ROI.imagePlane }.toSet()
        if (planes.size() > 1) throw new Trouble('the regions lie on several planes', 'select regions of one plane')
        this.options.putAll([slides: [slide.path], model: (verb == 'nuclei' ? Prefs.detector() : Prefs.model()).get(), device: Prefs.device().get(), columns: true])
        if (verb == 'predict') this.options.explain = true
        this.options.putAll(options)
        if (!this.options.results_dir) this.options.results_dir = folder().path
    }

    /** The annotations that are selected; an error where there is none. */
    static List<PathObject> selected(ImageData imageData) {
        def chosen = Source.required(imageData).hierarchy.selectionModel.selectedObjects.findAll { Source.isRegion(it) }
        if (!chosen) throw new Trouble('no region is selected', 'draw or select one or more annotations with an area first')
        chosen.toList()
    }

    private File folder() {
        def set = Prefs.runs().get()?.trim()
        def root = set ? new File(set) : project ? new File(project.path.toAbsolutePath().parent.toFile(), 'hmgdm-runs') : new File(System.getProperty('user.home'), 'hmgdm-runs')
        def time = LocalDateTime.now().format(DateTimeFormatter.ofPattern('yyyyMMdd-HHmmss'))
        def model = new File(options.model as String).name
        def name = Source.name(imageData.server).replaceAll(/[^\p{L}\p{N}._-]+/, '_').take(60)
        def found = new File(root, "${time}-${model}-${name}")
        for (int k = 2; found.exists(); k++) found = new File(root, "${time}-${model}-${name}-${k}")
        found
    }

    /** Ask what can be chosen; false where the user thinks better of it. */
    boolean asked(String what) {
        def model = new TextField(options.model as String)
        def explain = new CheckBox('Explain too: which entities carried each answer')
        explain.selected = options.explain as boolean
        int count = cells().size()
        def use = new CheckBox("Use the ${String.format('%,d', count)} nuclei and cells that are on the slide")
        def grid = new GridPane(hgap: 8, vgap: 8)
        grid.addRow(0, new Label('Slide'), new Label(Source.name(imageData.server)))
        grid.addRow(1, new Label('Analyse'), new Label(what))
        grid.addRow(2, new Label('Model'), model)
        if (verb == 'predict') grid.addRow(3, new Label(''), explain)
        if (verb == 'predict' && count) grid.addRow(4, new Label(''), use)
        if (!Dialogs.showConfirmDialog(Talk.TITLE, grid)) return false
        options.model = model.text.trim()
        if (verb == 'predict') options.explain = explain.selected
        if (use.selected) options[CELLS] = true
        true
    }

    /** Cells and nuclei on the image, by whomever; tiles and contacts of ours are none. */
    private List<PathObject> cells() {
        imageData.hierarchy.getDetectionObjects().findAll { it.isCell() || (!it.isTile() && it.ROI.isArea() && !(Tag.ours(it.ID) && Runs.kind(it) != 'nucleus')) }
    }

    static final String CELLS = 'use_cells' // of a script: what the tick in the dialog means

    String describe() {
        if (!regions) return 'the whole slide'
        def mpp = Source.mpp(imageData.server)
        def area = regions.sum { it.ROI.getArea() } as double
        def size = mpp > 0 ? String.format(Locale.ROOT, '%.3f mm²', area * mpp * mpp / 1e6) : String.format(Locale.ROOT, '%.0f pixels', area)
        "${regions.size()} region${regions.size() > 1 ? 's' : ''}, ${size}"
    }

    /** What a run would cost: the result of --dry-run. */
    Map estimate(Work work) { retried { Job.run(verb, options.findAll { it.key != CELLS } + [dry_run: true], new File(options.results_dir), work.events(), work.cancelled).result } }

    /** Run it, load what came out, put it on the slide; all or nothing. */
    Map run(Work work) {
        def folder = new File(options.results_dir as String)
        def sent = [:]
        try {
            if (regions) sent.regions = handed('regions', regions)
            if (options[CELLS]) sent.nuclei = handed('nuclei', cells())
            def asked = options.findAll { it.key != CELLS } + sent.collectEntries { key, file -> [key, file.path] }
            def said = retried { Job.run(verb, asked + (options.mpp ? [mpp: options.mpp] : [:]), folder.parentFile, work.events(), work.cancelled) }
            Disk.writing(folder, 'free some space, then Import results… brings in what is finished') {
                sent.each { key, file -> Files.copy(file.toPath(), new File(folder, "${key}.geojson").toPath()) }
            }
            return land(work, folder) + [notes: said.notes, result: said.result]
        } finally {
            sent.values().each { it.delete() }
        }
    }

    /** Objects as a file for the program. */
    private static File handed(String what, Collection<PathObject> objects) {
        def file = Disk.writing(System.getProperty('java.io.tmpdir'), 'free some space there') { File.createTempFile("hmgdm-${what}-", '.geojson') }
        GeoJson.write(file, objects)
        file
    }

    private Map land(Work work, File folder) {
        work.progress(-1d, 'reading results')
        Landing.importFolder(imageData, folder, { work.progress(it, 'reading results') }, work.cancelled) { count ->
            if (work.cancelled.call()) throw new java.util.concurrent.CancellationException()
            work.progress(-1d, "showing ${String.format('%,d', count)} objects")
        }
    }

    /** Where the file has no pixel size: QuPath's, or the user's answer; never a guess. */
    private Object retried(Closure job) {
        try {
            return job()
        } catch (Trouble trouble) {
            if (!trouble.problem.contains('no microns per pixel') || options.mpp) throw trouble
            def known = Source.mpp(imageData.server)
            if (known <= 0) known = Talk.number('The slide does not say its pixel size. Microns per pixel (0.25 at 40x, 0.5 at 20x):') ?: 0d
            if (!(known > 0)) throw new Trouble(trouble.problem, 'set the pixel size in QuPath (Image tab) or pass mpp')
            options.mpp = known
            return job()
        }
    }

    /** The options that repeat this run from a script. */
    String call() {
        def kept = options.findAll { key, value -> !(key in ['slides', 'results_dir', 'columns']) }
        def text = kept.collect { key, value -> "${key}: ${value instanceof Number || value instanceof Boolean ? value : Home.quoted(value as String)}" }.join(', ')
        "analyse(getCurrentImageData(), getProject(), ${Home.quoted(verb)}, ${regions ? 'getSelectedObjects()' : '[]'}, [${text}])"
    }

    /** After a run: say what happened, note the step, show it. */
    void finish(Map landed) {
        Landing.step(imageData, "H-MGDM: ${verb} ${describe()}", [model: options.model as String, results: options.results_dir as String], call())
        Talk.inform("${landed.added} objects from ${landed.run.title}${landed.removed ? ', in place of ' + landed.removed : ''}; results in ${options.results_dir}")
        landed.notes.findAll { !it.toString().startsWith('{') }.each { Talk.warn(it as String) }
        if (landed.bad) Talk.warn("${landed.bad.size()} objects could not be read: ${landed.bad[0]}")
        if (Talk.window()) Show.first(imageData)
    }

    /** From a menu: ask, then run in the background. */
    static void fromMenu(ImageData imageData, Project project, String verb, List<PathObject> regions, Map options = [:]) {
        def job = new Analyse(imageData, project, verb, regions, options)
        Program.version()
        if (regions) {
            if (job.asked(job.describe())) job.go()
        } else if (job.asked('the whole slide')) {
            Work.start('Estimating', { Work work -> job.estimate(work) }) { Map cost ->
                def text = "${cost.tiles ?: 'All'} tiles${cost.objects ? ', about ' + String.format('%,d', cost.objects as long) + ' objects' : ''}\nEstimated time: ${span(cost.seconds as double)}\n\nAnalyse now?"
                if (Talk.confirm(text.toString())) job.go()
            }
        }
    }

    static String span(double seconds) {
        seconds < 90 ? "${Math.ceil(seconds) as int} seconds" : seconds < 5400 ? "${Math.ceil(seconds / 60) as int} minutes" : String.format(Locale.ROOT, '%.1f hours', seconds / 3600)
    }

    private void go() {
        Work.start(regions ? "Analysing ${describe()}" : 'Analysing the whole slide', { Work work -> run(work) }) { Map landed -> finish(landed) }
    }
}

package hmgdm

import java.util.function.BooleanSupplier
import java.util.function.DoubleConsumer
import qupath.lib.images.servers.ImageServer
import qupath.lib.objects.PathObject

/** A results folder of `hmgdm`: which slides it is about, and their objects. */
class Results {
    static final List<String> WHAT = ['tiles', 'entities', 'explained', 'nuclei']

    final File folder
    final Map record

    Results(File folder) {
        this.folder = folder
        this.record = readRecord(folder)
    }

    private static Map readRecord(File folder) {
        def records = (folder.listFiles() ?: []).findAll { it.name ==~ /run(-[a-z]+)?\.json/ }
        if (!records) throw new Trouble("${folder}: not a results folder", 'choose a folder that hmgdm has written')
        def read = records.sort { it.lastModified() }.collect { Json.read(it) }
        if (read.any { it == null || !(it.slides instanceof Map) }) throw new Trouble("${folder}: its run record is damaged", 'run the analysis again')
        read.inject([:]) { all, each -> all + each + [slides: (all.slides ?: [:]) + each.slides, notes: ((all.notes ?: []) + (each.notes ?: [])).unique()] }
    }

    String title() {
        def model = record.model instanceof Map ? "${record.model.name} ${record.model.version}" : ''
        [record.verb, model, record.finished ? record.finished.toString().take(16).replace('T', ' ') : ''].findAll().join(' · ')
    }

    /** What a run that is on the image had to say about its slide; nothing where its folder is gone. */
    static List<String> remarks(Map run) {
        def folder = new File(run.folder as String)
        if (!folder.isDirectory()) return []
        def begin = "${run.slide}: "
        (readRecord(folder).notes as List<String>).findAll { it.startsWith(begin) }.collect { it.substring(begin.length()) }
    }

    /** The name here of the slide that is open; the size and the file's fingerprint must be those of the run. */
    String slideOf(ImageServer server) {
        def file = Source.local(server)
        def print = file?.isFile() ? Source.fingerprint(file) : null
        def same = record.slides.find { name, facts ->
            print ? facts.fingerprint == print : new File(facts.path as String).name == Source.name(server)
        }
        if (same == null)
            throw new Trouble("${Source.name(server)}: these results are of ${record.slides.keySet().join(', ')}", 'open that slide')
        def bounds = same.value.bounds_px
        if (bounds && (bounds[2] != server.width || bounds[3] != server.height))
            throw new Trouble(
                "${Source.name(server)}: is ${server.width} x ${server.height} pixels here, ${bounds[2]} x ${bounds[3]} in the results",
                'open the slide with the reader that shows it at that size (OpenSlide or Bio-Formats)')
        same.key
    }

    /** Whether only parts of the slide were analysed. */
    boolean ofRegions() { record.options?.regions != null }

    /** The files of a slide's objects, columns before GeoJSON; what explain wrote takes the place of plain entities. */
    List<File> files(String slide) {
        def found = [:]
        WHAT.each { what ->
            def columns = new File(folder, "columns/${slide}/${what}.npz")
            def parts = (new File(folder, "geojson/${slide}").listFiles() ?: []).findAll { it.name ==~ /${what}-part-\d+\.geojson(\.gz)?/ }.sort()
            if (columns.isFile()) found[what] = [columns]
            else if (parts) found[what] = parts
        }
        if (found.explained) found.remove('entities')
        found.values().flatten()
    }

    /** All objects of a slide; slow, and made for a background thread. `bad` gets what had to be left out. */
    List<PathObject> objects(String slide, List<String> bad, DoubleConsumer progress, BooleanSupplier cancelled) {
        def files = files(slide)
        if (!files) throw new Trouble("${folder}: no objects of ${slide}", 'run the analysis again')
        double whole = files.sum { it.length() } ?: 1d
        double before = 0d
        def out = []
        for (File file : files) {
            try {
                double start = before, share = file.length()
                DoubleConsumer part = { double done -> progress?.accept((start + done * share) / whole) }
                out.addAll(file.name.endsWith('.npz') ? Columns.read(file, part, cancelled) : GeoJson.read(file, bad, cancelled))
            } catch (IOException error) {
                throw new Trouble("${file}: cannot be read (${error.message})", 'run the analysis again; the disk may have been full')
            }
            before += file.length()
            progress?.accept(before / whole)
        }
        out
    }
}

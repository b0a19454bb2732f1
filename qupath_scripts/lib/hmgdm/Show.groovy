package hmgdm

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.lib.color.ColorMaps
import qupath.lib.gui.tools.MeasurementMapper
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject

/** What of the results can be drawn on the slide, prepared in the background; one layer at a time. */
class Show {
    static final String SLIVERS = 'Tiles with too little tissue have no colour.'
    static final String COMPONENTS = 'Embeddings as colours', MAP = 'Heat map: ', GROUPS = 'Groups: ', OBJECTS = 'Objects: '

    /** All layers that the image has: pictures of the last run, and a map of every measurement. */
    static List<String> layers(ImageData imageData) {
        def out = []
        def pages = pages(imageData)
        if (pages) {
            def groups = groupNames(imageData)
            pages.names().each { name -> if (!name.startsWith('component ')) out << (name in groups ? GROUPS : MAP) + name }
            if (pages.names().contains('component 3')) out << COMPONENTS
        }
        out + new Ours(imageData).measurements().collect { OBJECTS + it }
    }

    private static Layers pages(ImageData imageData) {
        def run = mapped(imageData)
        run ? new Layers(new Ran(run).heatMap()) : null
    }

    private static Map mapped(ImageData imageData) { Runs.all(imageData).reverse().find { new Ran(it).heatMap().isFile() } }

    /** Where the files of a run that is on the image lie. */
    private static class Ran {
        final Map run
        Ran(Map run) { this.run = run }
        File heatMap() {
            def files = ['heatmap', 'nuclear-density'].collect { new File(run.folder as String, "overlays/${run.slide}-${it}.tif") }
            files.find { it.isFile() } ?: files[0]
        }
    }

    /** Titles of measurements whose value is the number of the tile's class. */
    private static Set<String> groupNames(ImageData imageData) {
        def squares = new Ours(imageData).classified()
        if (!squares) return []
        squares[0].measurementList.measurementNames.findAll { name ->
            name.startsWith('HMGDM: ') && !name.startsWith('HMGDM: p(') && classes(squares, name) != null
        }.collect { it.substring(7) } as Set
    }

    /** Number > colour where each number always comes with one class; null where it does not. */
    private static Map<Integer, Object> classes(List<PathObject> squares, String measurement) {
        def out = [:]
        for (PathObject each : squares) {
            def value = each.measurementList.get(measurement) as double
            if (Double.isNaN(value) || value != Math.rint(value)) return null
            def known = out.putIfAbsent(value as int, each.pathClass)
            if (known != null && known != each.pathClass) return null
        }
        out.size() <= 40 && out.values().toSet().size() == out.size() ? out : null
    }

    /** After a run: the first thing it found. */
    static void first(ImageData imageData) {
        draw(Talk.window().viewer, imageData) {
            def all = layers(imageData)
            all ? ready(imageData, all.find { it.startsWith(MAP) || it.startsWith(GROUPS) } ?: all[0]) : null
        }
    }

    static void layer(viewer, ImageData imageData, String name) { draw(viewer, imageData) { ready(imageData, name) } }

    /** A map of one measurement over the objects that have it, or over those of `lit`; the others are not drawn. */
    static void measurement(viewer, ImageData imageData, String name, Collection<PathObject> lit = null) {
        draw(viewer, imageData) { map(imageData, name, lit) }
    }

    /** `prepare` takes its time in the background and returns what is left for the window's thread. */
    private static void draw(viewer, ImageData imageData, Closure<Closure> prepare) {
        Thread.startDaemon('hmgdm-show') {
            Talk.guarded {
                def show = prepare()
                Platform.runLater { if (show && viewer.imageData == imageData) Talk.guarded { show(viewer) } }
            }
        }
    }

    private static Closure ready(ImageData imageData, String name) {
        name.startsWith(OBJECTS) ? map(imageData, name.substring(OBJECTS.length()), null) : picture(imageData, name)
    }

    private static Closure picture(ImageData imageData, String name) {
        def run = mapped(imageData)
        def pages = new Layers(new Ran(run).heatMap())
        def remarks = Results.remarks(run) + (pages.leavesOut(name.substring(name.indexOf(': ') < 0 ? 0 : name.indexOf(': ') + 2)) ? [SLIVERS] : [])
        BufferedImage image
        Closure key
        if (name == COMPONENTS) {
            image = pages.components()
            key = { Legend.words('Tiles of similar colour look alike to the model: its first three principal components as red, green and blue.') }
        } else if (name.startsWith(GROUPS)) {
            def title = name.substring(GROUPS.length())
            def squares = new Ours(imageData).classified()
            def byNumber = classes(squares, 'HMGDM: ' + title).sort()
            image = pages.groups(squares)
            key = { Legend.swatches(byNumber.values().collect { [it.toString().replaceFirst('^HMGDM: ', ''), it.color & 0xffffff] }) }
        } else {
            def title = name.substring(MAP.length())
            def scale = new Scale(pages.page(title))
            image = pages.heat(title, scale)
            key = { Legend.bar(scale) }
        }
        def place = [(pages.place()): image], title = unit(pages, name)
        return { viewer -> Look.picture(viewer, place, title, key, remarks) }
    }

    private static String unit(Layers pages, String name) {
        def title = name.contains(': ') ? name.substring(name.indexOf(': ') + 2) : name
        def unit = (pages.facts.units ?: [:])[title]
        unit ? "${title.capitalize()} (${unit})" : title.capitalize()
    }

    /** Colours for some objects only; the others are not drawn. */
    @CompileStatic
    static class Lit extends MeasurementMapper {
        private final Set<PathObject> lit

        Lit(ColorMaps.ColorMap colours, String name, Collection<PathObject> all, Collection<PathObject> lit) {
            super(colours, name, all)
            this.lit = new HashSet<PathObject>(lit)
        }

        @Override
        Integer getColorForObject(PathObject object) { lit.contains(object) ? super.getColorForObject(object) : null }
    }

    private static Closure map(ImageData imageData, String name, Collection<PathObject> lit) {
        def ours = new Ours(imageData)
        def objects = ours.mapped(name)
        if (!objects) throw new Trouble("no object has ${name}", 'analyse the slide first')
        def scale = new Scale(Ours.values(objects, name))
        def mapper = new Lit(scale.colours(), name, objects, lit ?: objects)
        mapper.setDisplayMinValue(scale.low)
        mapper.setDisplayMaxValue(scale.high)
        def run = Runs.all(imageData).reverse().find { (it.recipes as List)*.intValue().contains(Tag.of(objects[0].ID)) }
        def remarks = (run ? Results.remarks(run) : []) + (ours.leavesOut(name) ? [SLIVERS] : [])
        def unit = name.startsWith(Why.PREFIX) ? Why.unit(imageData, name) : ''
        def title = name.replaceFirst('^HMGDM: ', '').capitalize() + (unit ? " (${unit})" : '')
        return { viewer -> Look.objects(viewer, mapper, title, { Legend.bar(scale) }, remarks) }
    }
}

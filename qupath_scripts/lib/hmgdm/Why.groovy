package hmgdm

import javafx.scene.control.Label
import javafx.scene.control.ListCell
import javafx.scene.control.ListView
import javafx.scene.layout.VBox
import javafx.scene.Scene
import javafx.stage.Stage
import qupath.lib.images.ImageData
import qupath.lib.objects.PathObject
import qupath.lib.regions.ImageRegion

/** Why the clicked result is what it is: the entities that carried it light up. */
class Why {
    static final int LIT = 10
    static final String PREFIX = 'HMGDM: contribution to '
    static final String WINDOW = 'H-MGDM: why this result'

    /** The place asked about: the object that is selected. */
    static PathObject clicked(ImageData imageData) {
        def chosen = Source.required(imageData).hierarchy.selectionModel.selectedObject
        if (chosen == null || !chosen.hasROI())
            throw new Trouble('nothing is selected', 'click a tile, an entity or a region that was analysed, then ask again')
        chosen
    }

    /** Title of the prediction, and the entities of the place, the strongest first. */
    static Map of(ImageData imageData, PathObject place) {
        def inside = entities(imageData, place)
        def names = inside.collectMany { it.measurementList.measurementNames.findAll { n -> n.startsWith(PREFIX) } }.toSet().sort()
        if (!names) throw new Trouble('no explained entity lies here', 'analyse this region first (Analyse selected regions)')
        def name = names[0]
        def carried = inside.findAll { it.measurementList.containsKey(name) }.sort { -Math.abs(it.measurementList.get(name)) }
        [name: name, title: name.substring(PREFIX.length()), place: place, entities: carried, lit: carried.take(LIT)]
    }

    private static List<PathObject> entities(ImageData imageData, PathObject place) {
        def around = Runs.kind(place) == 'entity' && Tag.ours(place.ID) ? square(imageData, place) ?: place : place
        def roi = around.ROI
        Tag.ours(near(imageData, roi)).findAll { Runs.kind(it) == 'entity' && roi.contains(it.ROI.centroidX, it.ROI.centroidY) }
    }

    /** The tile that an entity belongs to. */
    private static PathObject square(ImageData imageData, PathObject entity) {
        Tag.ours(near(imageData, entity.ROI)).find { Runs.kind(it) == 'square' && it.ROI.contains(entity.ROI.centroidX, entity.ROI.centroidY) }
    }

    private static Collection<PathObject> near(ImageData imageData, roi) {
        Source.detections(imageData.hierarchy, ImageRegion.createInstance(roi))
    }

    /** What can be said in words, for the window and for the console. */
    static List<String> words(ImageData imageData, Map why) {
        def out = []
        def tile = Runs.kind(why.place) == 'square' ? why.place : square(imageData, why.place)
        if (tile && Tag.ours(tile.ID)) tile.measurementList.with { list ->
            out << "${tile.name}: " + list.measurementNames.findAll { it.startsWith('HMGDM: ') }.collect { "${it.substring(7)} ${Legend.number(list.get(it))}" }.join(', ')
        }
        def raised = why.lit.count { it.measurementList.get(why.name) > 0 }
        out << "${why.title.capitalize()}: of ${why.entities.size()} entities here, the ${why.lit.size()} that mattered most are lit up; ${raised} raised the answer, ${why.lit.size() - raised} lowered it."
        out << belief(imageData, why.name as String)
        out.findAll()
    }

    /** What the check by deletion found in the run: whether the importance can be believed. */
    private static String belief(ImageData imageData, String name) {
        def low = checked(imageData, name)?.contribution?.low
        if (low == null) return 'Not checked on this slide: analyse with "Explain too" to see whether it can be believed.'
        (low as double) > 0 ? 'Checked by removing entities: the order is better than chance on this run.'
            : 'Checked by removing entities: no better than chance on this run. Do not rely on it.'
    }

    /** In what the measurement is counted: deviations of a number, log-odds of a class. */
    static String unit(ImageData imageData, String name) { checked(imageData, name)?.unit ?: '' }

    /** What the last run that explained this measurement left about it. */
    private static Map checked(ImageData imageData, String name) {
        Runs.all(imageData).reverse().findResult { run ->
            def file = new File(run.folder as String, "overlays/${run.slide}-curves.json")
            def found = file.isFile() ? Json.read(file) : null
            found?.contribution instanceof Map && found.measurement in [null, name] ? found : null
        }
    }

    /** Light them up and list them. */
    static void show(viewer, ImageData imageData, Map why) {
        imageData.hierarchy.selectionModel.clearSelection() // what is selected is painted over
        Show.measurement(viewer, imageData, why.name as String, why.lit as List)
        window(viewer, imageData, why)
    }

    private static void window(viewer, ImageData imageData, Map why) {
        javafx.stage.Window.windows.findAll { it instanceof Stage && it.title == WINDOW }.each { it.close() }
        def list = new ListView<PathObject>(), counted = unit(imageData, why.name as String).replace(' of the answer', '')
        list.items.setAll(why.lit)
        list.cellFactory = { view -> new Row(name: why.name as String, unit: counted) }
        list.selectionModel.selectedItemProperty().addListener({ value, old, now ->
            if (now) {
                viewer.setCenterPixelLocation(now.ROI.centroidX, now.ROI.centroidY)
                imageData.hierarchy.selectionModel.setSelectedObject(now)
            }
        } as javafx.beans.value.ChangeListener)
        list.prefHeight = 250
        def texts = words(imageData, why).collect { text ->
            def label = new Label(text)
            label.wrapText = true
            label
        }
        def box = new VBox(8, *texts, list)
        box.style = '-fx-padding: 10;'
        def stage = new Stage()
        stage.title = WINDOW
        stage.initOwner(Talk.window().stage)
        stage.scene = new Scene(box, 380, 420)
        stage.show()
    }

    private static class Row extends ListCell<PathObject> {
        String name, unit

        @Override
        protected void updateItem(PathObject object, boolean empty) {
            super.updateItem(object, empty)
            setText(empty || object == null ? null : String.format(Locale.ROOT, '%s   %+.3f %s   %.0f µm²', object.name ?: 'entity',
                object.measurementList.get(name), unit, object.measurementList.get('HMGDM: area µm²')))
        }
    }
}

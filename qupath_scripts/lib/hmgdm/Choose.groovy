package hmgdm

import javafx.scene.control.CheckBox
import javafx.scene.control.Label
import javafx.scene.control.TextField
import javafx.scene.control.Tooltip
import javafx.scene.layout.GridPane
import qupath.fx.dialogs.Dialogs
import qupath.fx.dialogs.FileChoosers
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.images.ImageData

/** Dialogs that ask the user to choose. */
class Choose {
    static File folder() { FileChoosers.promptForDirectory(Talk.window().stage, 'Results folder of H-MGDM', null) }

    static String layer(ImageData imageData) {
        def all = Show.layers(Source.required(imageData))
        if (!all) throw new Trouble('no results are on this image', 'analyse it, or import results first')
        Dialogs.showChoiceDialog(Talk.TITLE, 'Show on the slide:', all, all[0])
    }

    /** Remove one run, chosen by the user. */
    static void undo(ImageData imageData) {
        def runs = Runs.all(Source.required(imageData)).reverse()
        def texts = runs.collectEntries { ["${it.title} · ${String.format('%,d', it.objects as long)} objects${it.boxes == null ? '' : ' in regions'} · ${it.id}".toString(), it.id] }
        def loose = Runs.loose(imageData).groupBy { Tag.of(it.ID) }
        loose.each { tag, objects -> texts["Objects imported otherwise (recipe ${Tag.text(tag)}) · ${String.format('%,d', objects.size())}".toString()] = tag }
        if (!texts) throw new Trouble('no objects of H-MGDM are on this image', 'there is nothing to undo')
        def chosen = Dialogs.showChoiceDialog(Talk.TITLE, 'Remove all objects of this run. Your own objects stay.', texts.keySet().toList(), texts.keySet()[0])
        if (chosen == null) return
        def what = texts[chosen]
        boolean whole = what instanceof Integer
        Work.start('Removing objects', { whole ? Landing.undoRecipe(imageData, what as Integer) : Landing.undo(imageData, what as String) }) { gone ->
            if (!whole) Landing.undoStep(imageData, what as String)
            Look.hide(Talk.window().viewer)
            Talk.inform("${gone} objects removed${whole ? '' : '; the results folder is kept, Import results brings them back'}")
        }
    }

    static void settings() {
        def grid = new GridPane(hgap: 8, vgap: 8)
        def takes = []
        Prefs.rows().eachWithIndex { row, k ->
            def (property, kind, name, about) = row
            def field = kind == Boolean ? new CheckBox() : new TextField(property.get() as String)
            if (kind == Boolean) field.selected = property.get()
            else field.prefColumnCount = 34
            field.tooltip = new Tooltip(about)
            grid.addRow(2 * k, new Label(name), field)
            def small = new Label(about)
            small.style = '-fx-font-size: 10; -fx-opacity: 0.7;'
            grid.add(small, 1, 2 * k + 1)
            takes << { property.set(kind == Boolean ? field.selected : field.text.trim()) }
        }
        if (!Dialogs.showConfirmDialog(Talk.TITLE, grid)) return
        takes.each { it() }
        PathPrefs.savePreferences()
    }
}

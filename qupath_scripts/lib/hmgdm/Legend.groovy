package hmgdm

import java.util.function.Function
import javafx.geometry.Pos
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.Slider
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.Region
import javafx.scene.layout.StackPane
import javafx.scene.layout.VBox
import javafx.scene.shape.Rectangle
import qupath.lib.gui.ColorMapCanvas

/** A box in a corner of the viewer: what the colours mean, how opaque they are, and a way to put them away. */
class Legend {
    static final String ID = 'hmgdm-legend'

    static find(viewer) { viewer.view.children.find { it.id == ID } }

    static void remove(viewer) { viewer.view.children.removeIf { it.id == ID } }

    /** A bar from `low` to `high`. */
    static Region bar(colours, double low, double high) {
        def canvas = new ColorMapCanvas(14d, colours, { d -> number(low + (d as double) * (high - low) / 255d) } as Function)
        canvas.resize(220, 14)
        def ends = new HBox(label(number(low)), spacer(), label(number(high)))
        new VBox(2, canvas, ends)
    }

    /** Words, for what has neither. */
    static Region words(String text) {
        def made = label(text)
        made.wrapText = true
        made.maxWidth = 220
        made
    }

    /** Names with their colours; [name, rgb] each. */
    static Region swatches(List<List> classes) {
        def rows = classes.take(14).collect { name, rgb ->
            new HBox(6, new Rectangle(12, 12, javafx.scene.paint.Color.rgb((rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255)), label(name as String))
        }
        new VBox(3, *rows)
    }

    /** `remarks` are what the run said of the slide; they stay as long as its colours do. */
    static void show(viewer, String title, Region colours, List<String> remarks, Map before) {
        remove(viewer)
        def close = new Button('Hide')
        close.onAction = { Show.hide(viewer) }
        close.style = '-fx-font-size: 10; -fx-padding: 1 6 1 6;'
        def opacity = new Slider(0.1, 1.0, viewer.overlayOptions.opacity as double)
        opacity.prefWidth = 110
        opacity.valueProperty().addListener({ value, old, now -> viewer.overlayOptions.setOpacity(now.floatValue()) } as javafx.beans.value.ChangeListener)
        def word = label('Opacity')
        word.setMinWidth(Region.USE_PREF_SIZE)
        close.setMinWidth(Region.USE_PREF_SIZE)
        def heading = label(title)
        heading.wrapText = true
        heading.maxWidth = 220
        heading.style = '-fx-text-fill: #202020; -fx-font-weight: bold;'
        def said = remarks.collect { words(it) }
        said.each { it.style += '-fx-text-fill: #9a3b00;' }
        def box = new VBox(5, heading, colours, *said, new HBox(6, word, opacity, spacer(), close))
        box.id = ID
        box.userData = before
        box.style = '-fx-background-color: rgba(255,255,255,0.92); -fx-padding: 8; -fx-border-color: #888888; -fx-background-radius: 4; -fx-border-radius: 4;'
        box.setMaxSize(240, Region.USE_PREF_SIZE)
        viewer.view.children.add(box)
        StackPane.setAlignment(box, Pos.BOTTOM_LEFT)
        StackPane.setMargin(box, new javafx.geometry.Insets(0, 0, 46, 8)) // clear of the scale bar
    }

    private static Label label(String text) {
        def made = new Label(text)
        made.style = '-fx-text-fill: #202020; -fx-font-size: 11;'
        made
    }

    private static Region spacer() {
        def made = new Region()
        HBox.setHgrow(made, Priority.ALWAYS)
        made
    }

    static String number(double value) { String.format(Locale.ROOT, Math.abs(value) >= 1000 ? '%.0f' : Math.abs(value) >= 10 ? '%.1f' : '%.2f', value) }
}

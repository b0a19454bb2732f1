package hmgdm

import groovy.transform.CompileStatic
import java.util.function.Function
import javafx.beans.value.ChangeListener
import javafx.beans.value.ObservableValue
import javafx.event.ActionEvent
import javafx.geometry.Insets
import javafx.geometry.Pos
import javafx.scene.Node
import javafx.scene.control.Button
import javafx.scene.control.Label
import javafx.scene.control.Slider
import javafx.scene.layout.HBox
import javafx.scene.layout.Priority
import javafx.scene.layout.Region
import javafx.scene.layout.StackPane
import javafx.scene.layout.VBox
import javafx.scene.paint.Color
import javafx.scene.shape.Rectangle
import qupath.lib.gui.ColorMapCanvas
import qupath.lib.gui.viewer.QuPathViewer

/** A box in a corner of the viewer: what the colours mean, how opaque they are, and a way to put them away. */
@CompileStatic
class Legend {
    static final String ID = 'hmgdm-legend', OPACITY = 'hmgdm-opacity'

    static Node find(QuPathViewer viewer) {
        for (Node each : viewer.getView().getChildren()) if (each.getId() == ID) return each
        null
    }

    static void remove(QuPathViewer viewer) {
        Node there = find(viewer)
        if (there == null) return
        (there.lookup('#' + OPACITY) as Slider).valueProperty().unbindBidirectional(viewer.getOverlayOptions().opacityProperty())
        viewer.getView().getChildren().remove(there)
    }

    /** A bar from one end of `scale` to the other. */
    static Region bar(Scale scale) {
        double low = scale.low, high = scale.high
        Function<Double, String> said = { Double each -> number(low + each * (high - low) / 255d) } as Function<Double, String>
        ColorMapCanvas canvas = new ColorMapCanvas(14d, scale.colours(), said)
        canvas.resize(220, 14)
        new VBox(2, canvas, new HBox(label(number(low)), spacer(), label(number(high))))
    }

    /** Words, for what has neither. */
    static Region words(String text) {
        Label made = label(text)
        made.setWrapText(true)
        made.setMaxWidth(220)
        made
    }

    /** Names with their colours; [name, rgb] each. */
    static Region swatches(List<List> classes) {
        VBox rows = new VBox(3)
        for (List each : classes.take(14)) {
            int rgb = (each[1] as Number).intValue()
            Color colour = Color.rgb((rgb >> 16) & 255, (rgb >> 8) & 255, rgb & 255)
            rows.getChildren().add(new HBox(6, new Rectangle(12, 12, colour), label(each[0].toString())))
        }
        rows
    }

    /** `remarks` are what the run said of the slide; they stay as long as its colours do. */
    static void show(QuPathViewer viewer, String title, Region colours, List<String> remarks, Look before) {
        remove(viewer)
        Label heading = label(title)
        heading.setWrapText(true)
        heading.setMaxWidth(220)
        heading.setStyle('-fx-text-fill: #202020; -fx-font-weight: bold;')
        VBox box = new VBox(5, heading, colours)
        for (String remark : remarks) {
            Region said = words(remark)
            said.setStyle(said.getStyle() + '-fx-text-fill: #9a3b00;')
            box.getChildren().add(said)
        }
        box.getChildren().add(controls(viewer))
        box.setId(ID)
        box.setUserData(before)
        box.setStyle('-fx-background-color: rgba(255,255,255,0.92); -fx-padding: 8; -fx-border-color: #888888; -fx-background-radius: 4; -fx-border-radius: 4;')
        box.setMaxSize(240, Region.USE_PREF_SIZE)
        viewer.getView().getChildren().add(box)
        StackPane.setAlignment(box, Pos.BOTTOM_LEFT)
        StackPane.setMargin(box, new Insets(0, 0, 46, 8)) // clear of the scale bar
    }

    private static Region controls(QuPathViewer viewer) {
        Button close = new Button('Hide')
        close.setOnAction { ActionEvent pressed -> Look.hide(viewer) }
        close.setStyle('-fx-font-size: 10; -fx-padding: 1 6 1 6;')
        Slider opacity = new Slider(0, 1, 1) // the same as that of QuPath's toolbar, whichever is moved
        opacity.setId(OPACITY)
        opacity.setPrefWidth(110)
        opacity.valueProperty().bindBidirectional(viewer.getOverlayOptions().opacityProperty())
        opacity.valueProperty().addListener({ ObservableValue value, Number old, Number now -> Look.remember(now.doubleValue()) } as ChangeListener<Number>)
        Label word = label('Opacity')
        word.setMinWidth(Region.USE_PREF_SIZE)
        close.setMinWidth(Region.USE_PREF_SIZE)
        new HBox(6, word, opacity, spacer(), close)
    }

    private static Label label(String text) {
        Label made = new Label(text)
        made.setStyle('-fx-text-fill: #202020; -fx-font-size: 11;')
        made
    }

    private static Region spacer() {
        Region made = new Region()
        HBox.setHgrow(made, Priority.ALWAYS)
        made
    }

    static String number(double value) { String.format(Locale.ROOT, Math.abs(value) >= 1000 ? '%.0f' : Math.abs(value) >= 10 ? '%.1f' : '%.2f', value) }
}

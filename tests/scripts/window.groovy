// What the drivers of QuPath's window share: evaluate() it, and each of these is a variable of the driver.
import javafx.application.Platform
import javafx.scene.control.ButtonType
import javafx.scene.control.DialogPane
import javafx.stage.Window
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI

fx = { Closure work -> FXUtils.callOnApplicationThread(work) }
waitFor = { double seconds, Closure<Boolean> what ->
    long limit = System.nanoTime() + (long) (seconds * 1e9)
    while (System.nanoTime() < limit) {
        if (what()) return true
        Thread.sleep(100)
    }
    false
}
dialogs = { Window.windows.findAll { it.showing }.collect { it.scene?.root }.findAll { it instanceof DialogPane } }
entry = { String name -> fx { QuPathGUI.getInstance().lookupMenuItem('Extensions>H-MGDM>' + name) } }
fire = { String name ->
    def item = entry(name)
    assert item != null : name
    Platform.runLater { item.fire() }
}
press = { Closure prepare = null -> // OK of the dialog that comes up
    assert waitFor(60) { fx { dialogs().any { it.lookupButton(ButtonType.OK) } } }
    fx {
        def pane = dialogs().find { it.lookupButton(ButtonType.OK) }
        prepare?.call(pane)
        Platform.runLater { pane.lookupButton(ButtonType.OK).fire() }
    }
}
notices = { fx { Window.windows.findAll { it.showing && it instanceof javafx.stage.PopupWindow }.collectMany { it.scene.root.lookupAll('.label')*.text }.findAll() } }
said = { // text of the dialog that an error is shown in, and how many there are
    assert waitFor(60) { fx { dialogs().any { it.lookupButton(ButtonType.OK) && !it.lookupButton(ButtonType.CANCEL) } } }
    Thread.sleep(500)
    def shown = fx { dialogs() }
    def text = fx { shown.collect { it.lookupAll('.label')*.text.findAll().join(' ') } }
    fx { shown.each { pane -> Platform.runLater { pane.lookupButton(ButtonType.OK).fire() } } }
    assert waitFor(20) { fx { dialogs().isEmpty() } }
    text
}
quiet = { // an error that a dialog shows ends the test
    def said = fx { dialogs().findAll { it.lookupButton(ButtonType.OK) && !it.lookupButton(ButtonType.CANCEL) }*.contentText }
    assert !said
    true
}
named = { String title -> fx { Window.windows.find { it.showing && it instanceof javafx.stage.Stage && it.title == title } } }
ticked = { pane, String words, boolean on -> // of the ticks in a dialog
    def box = pane.lookupAll('.check-box').find { it.text.startsWith(words) }
    assert box != null : words
    box.selected = on
}
settled = { double seconds -> waitFor(seconds) { fx { dialogs().isEmpty() } } }

// An image that does not say its pixel size, in the driver of the menu: it is asked for, with none suggested, and used.
import javafx.scene.control.ButtonType

estimated = { String image, Closure told ->
    fx { window.openImage(window.viewer, image, false, false) }
    fire('Analyse whole slide…')
    press()
    def words = { pane -> pane.lookupAll('.label')*.text.findAll().join(' ') }
    def asking = { String what -> fx { dialogs().find { it.lookupButton(ButtonType.OK) && words(it).contains(what) } } }
    assert waitFor(60) { asking('pixel size') }
    told('suggested', fx { asking('pixel size').lookup('.text-field').text })
    press { pane -> pane.lookup('.text-field').text = '0,5' }
    assert waitFor(60) { asking('Estimated time') }
    told('estimated', fx { words(asking('Estimated time')) })
    fx { asking('Estimated time').lookupButton(ButtonType.CANCEL).fire() }
    assert settled(20)
    told('left by an estimate', ours().size())
}

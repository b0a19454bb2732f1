// A person's own startup script: leaves a mark that it ran, then tells what the menu bar has, and does what is asked.
// Told in -Dhmgdm.test.out, as a file named after -Dhmgdm.test.start, the name of this start of QuPath.
import com.google.gson.Gson
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.commands.ProjectCommands
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.tools.ColorToolsFX
import qupath.lib.images.servers.ImageServers
import qupath.lib.objects.classes.PathClass
import qupath.lib.projects.ProjectIO
import qupath.lib.projects.Projects

given = { String key -> System.getProperty('hmgdm.test.' + key) }
start = given('start')
new File(given('out'), "${start}.ran") << 'ran\n'
facts = [:]

evaluate(new File(given('shared'), 'window.groovy'))

told = { String when ->
    facts[when] = [
        entry: entry('Check installation') != null,
        bar: fx { QuPathGUI.getInstance().getMenu('Extensions', false)?.items?.any { it.text == 'H-MGDM' } ?: false },
        startup: PathPrefs.startupScriptProperty().get(),
        settings: fx { QuPathGUI.getInstance().preferencePane.propertySheet.items.count { it.category == 'H-MGDM' } },
    ]
}
prepared = { // of the slide, with a colour of its own for one class
    def folder = new File(given('out'), 'project')
    folder.mkdir()
    def made = Projects.createProject(folder, BufferedImage)
    def server = ImageServers.buildServer(given('slide'))
    ProjectCommands.addSingleImageToProject(made, server, null)
    server.close()
    made.setPathClasses([PathClass.fromString(given('class'), 0x010203)])
    made.syncChanges()
}
colours = { window -> // the results brought in, a layer of probabilities shown, and the colours that tiles have
    PathPrefs.imageTypeSettingProperty().set(PathPrefs.ImageTypeSetting.AUTO_ESTIMATE)
    def opened = ProjectIO.loadProject(new File(given('out'), 'project/project.qpproj'), BufferedImage)
    fx { window.setProject(opened) }
    fx { window.openImageEntry(opened.imageList[0]) }
    def (Choose) = evaluate(new File(given('scripts'), 'load.groovy'))('Choose')
    Choose.metaClass.static.folder = { -> new File(given('results')) } // the system's own window for folders
    def legend = { fx { window.viewer.view.lookup('#hmgdm-legend')?.lookupAll('.label')*.text?.join(' ') } }
    fire('Import results…')
    assert waitFor(30) { legend() }
    fire('Show / hide heat map')
    assert waitFor(20) { !legend() }
    fire('Show / hide heat map')
    press { pane ->
        def box = pane.lookup('.combo-box')
        facts.layers = box.items*.toString()
        box.selectionModel.select(box.items.find { it == given('layer') })
    }
    assert waitFor(20) { legend() }
    facts.legend = legend()
    facts.opacity = fx { window.viewer.overlayOptions.opacity }
    def tiles = fx { window.imageData.hierarchy.getAllObjects(false).findAll { it.name?.startsWith('tile ') } }
    facts.colours = tiles.collectEntries { [it.pathClass.toString(), ColorToolsFX.getDisplayedColorARGB(it) & 0xffffff] }
    fire('Show / hide heat map')
    assert waitFor(20) { !legend() }
    fx { window.imageData.setChanged(false) } // quitting would ask whether to save
}
drive = {
    assert waitFor(40) { QuPathGUI.getInstance()?.stage?.showing }
    def window = QuPathGUI.getInstance()
    if (start == 'install') {
        PathPrefs.startupScriptProperty().set(given('own'))
        told('before')
        prepared()
        fx { window.runScript(new File(given('scripts'), 'install_menu.groovy'), null) }
        evaluate(new File(given('scripts'), 'load.groovy'))('Look')[0].remember(0.35d) // as the slider of a legend does
    }
    waitFor(start == 'gone' ? 4 : 15) { entry('Remove this menu') != null } // 'gone': time to come back, were it to
    told('seen')
    if (start == 'back') {
        colours(window)
        fire('Remove this menu')
        press()
        waitFor(10) { entry('Remove this menu') == null }
        told('after')
    }
}
Thread.startDaemon('hmgdm-test') {
    try {
        drive()
    } catch (Throwable error) {
        facts.error = error.toString()
    }
    new File(given('out'), "${start}.json").setText(new Gson().toJson(facts), 'UTF-8')
    Platform.runLater { QuPathGUI.getInstance().sendQuitRequest() } // as File > Quit
}

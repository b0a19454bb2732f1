// Drives QuPath's window as a person would: what menu entries do is pressed, photographed and told in steps.json.
// Started as the startup script; -Dhmgdm.test.* names the scripts, the image, the program and the folder for results.
import com.google.gson.GsonBuilder
import javafx.scene.control.ButtonType
import javafx.stage.Window
import javax.imageio.ImageIO
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.tools.GuiTools

given = { String key -> System.getProperty('hmgdm.test.' + key) }
out = new File(given('out'))
steps = [:]
window = null

evaluate(new File(given('shared'), 'window.groovy'))
evaluate(new File(given('shared'), 'unsized.groovy'))
evaluate(new File(given('shared'), 'opacity.groovy'))
snap = { String name ->
    Thread.sleep(1500)
    fx { ImageIO.write(GuiTools.makeSnapshot(window, GuiTools.SnapshotType.MAIN_SCENE), 'PNG', new File(out, name + '.png')) }
}
screen = { String name -> // with what pops up beside the window
    fx { ImageIO.write(GuiTools.makeSnapshot(window, GuiTools.SnapshotType.FULL_SCREENSHOT), 'PNG', new File(out, name + '.png')) }
}
ours = { fx { window.imageData.hierarchy.getAllObjects(false).findAll { it.ID.toString().startsWith('484d4744') } } }
mine = { fx { window.imageData.hierarchy.annotationObjects.collect { [it.ID.toString(), it.name, it.pathClass.toString(), it.ROI.toString()] } } }
finished = { File folder, Set known -> // the run folder that came up, once its objects are on the slide
    def found = null
    assert waitFor(400) { quiet() && (found = folder.listFiles().find { !(it.name in known) && new File(it, 'run.json').isFile() }) }
    assert waitFor(100) { quiet() && fx { window.imageData.getProperty('hmgdm.folder') == found.canonicalPath } }
    settled(60)
    found
}
json = { File file -> new com.google.gson.Gson().fromJson(file.getText('UTF-8'), Map) }
legend = { boolean there -> // layers are prepared in the background
    assert waitFor(60) { fx { window.viewer.view.children.any { it.id == 'hmgdm-legend' } == there } }
}
told = { String name, value ->
    steps[name] = value
    new File(out, 'steps.json').setText(new GsonBuilder().serializeSpecialFloatingPointValues().setPrettyPrinting().create().toJson(steps), 'UTF-8')
}

// What the first round leaves: import, nuclei, and analysis with them; settings and the check.
beyond = { File runs, before ->
    def folder = runs.listFiles().find { it.directory }
    def (Choose) = evaluate(new File(given('scripts'), 'load.groovy'))('Choose')
    Choose.metaClass.static.folder = { -> folder } // the only step that is not pressed: the system's own window for folders
    for (round in ['imported', 'imported again']) {
        fx { window.imageData.removeProperty('hmgdm.folder') }
        fire('Import results…')
        assert waitFor(60) { quiet() && fx { window.imageData.getProperty('hmgdm.folder') != null } }
        Thread.sleep(1000)
        settled(30)
        told(round, [objects: ours().size(), same: (ours()*.ID*.toString() as Set) == firstIds])
    }
    snap('7-imported')
    told('imported steps', fx { window.imageData.historyWorkflow.steps.count { it.name == 'H-MGDM: import results' } })

    def region = fx { window.imageData.hierarchy.annotationObjects[0] }
    fx { window.imageData.hierarchy.selectionModel.setSelectedObject(region) }
    def known = runs.list() as Set
    fire('Nuclei…')
    press { pane -> told('nuclei model', pane.lookupAll('.text-field')*.text) }
    def nuclei = finished(runs, known)
    told('nuclei', ofNuclei().count { !(it.ID.toString() in firstIds) && region.ROI.contains(it.ROI.centroidX, it.ROI.centroidY) }) // not the analysis's own
    told('nuclei in all', ours().size() - firstIds.size())
    legend(true)
    fire('Show / hide heat map')
    legend(false)
    fx {
        window.imageData.hierarchy.selectionModel.clearSelection()
        window.viewer.overlayOptions.setShowDetections(true)
        window.viewer.overlayOptions.setFillDetections(false)
        window.viewer.setDownsampleFactor(0.5d)
        window.viewer.centerROI(region.ROI)
    }
    snap('8-nuclei')
    told('shade', shades())

    fx { window.imageData.hierarchy.selectionModel.setSelectedObject(region) }
    known = runs.list() as Set
    fire('Analyse selected regions…')
    press { pane -> ticked(pane, 'Explain', false); ticked(pane, 'Use the ', true) }
    def fused = finished(runs, known)
    told('nuclei used', json(new File(fused, 'nuclei.geojson')).features.size())
    told('contacts left', ours().count { it.name == 'contact' })
    told('nuclei as entities', ofNuclei().size() - steps['nuclei in all'])
    fx { window.viewer.setDownsampleFactor(2.0d) }
    snap('9-with-nuclei')
    def step = fx { window.imageData.historyWorkflow.steps[-1].script }, made = ours()*.ID*.toString() as Set
    known = runs.list() as Set
    Thread.startDaemon { window.runScript(null, step) }
    finished(runs, known)
    told('repeated by the step', (ours()*.ID*.toString() as Set) == made)
    told('annotations after all', mine() == before)

    fire('Settings…')
    press { pane -> fx { pane.lookupAll('.text-field').find { it.text == 'auto' }.text = 'cpu' } }
    Thread.sleep(1000)
    told('device', PathPrefs.createPersistentPreference('hmgdm.device', '').get())
    fire('Check installation')
    assert waitFor(120) { quiet() && named('H-MGDM: installation') }
    def report = named('H-MGDM: installation')
    told('report', fx { report.scene.root.lookupAll('.text-area')*.text.join() })
    fx { ImageIO.write(javafx.embed.swing.SwingFXUtils.fromFXImage(report.scene.snapshot(null), null), 'PNG', new File(out, '10-check.png')) }
    fx { report.close() }
}
ofNuclei = { ours().findAll { it.pathClass?.toString() == 'Nucleus' } }
shades = { // mean red of the slide under the nuclei and around them
    def region = fx { window.imageData.hierarchy.annotationObjects[0].ROI }
    def image = window.imageData.server.readRegion(qupath.lib.regions.RegionRequest.createInstance(window.imageData.server.path, 1.0d, region))
    def mask = new java.awt.image.BufferedImage(image.width, image.height, java.awt.image.BufferedImage.TYPE_BYTE_GRAY)
    def pen = mask.createGraphics()
    pen.translate(-region.boundsX, -region.boundsY)
    ofNuclei().each { pen.fill(it.ROI.shape) }
    double[] sum = [0, 0], count = [0, 0]
    for (int y = 0; y < image.height; y++) for (int x = 0; x < image.width; x++) {
        int k = mask.raster.getSample(x, y, 0) > 0 ? 0 : 1, rgb = image.getRGB(x, y)
        sum[k] += ((rgb >> 16) & 255)
        count[k]++
    }
    [under: sum[0] / count[0], around: sum[1] / count[1], share: count[0] / (count[0] + count[1])]
}
drive = {
    assert waitFor(60) { QuPathGUI.getInstance()?.stage?.showing }
    window = QuPathGUI.getInstance()
    PathPrefs.imageTypeSettingProperty().set(PathPrefs.ImageTypeSetting.AUTO_ESTIMATE)
    def home = new File(given('scripts'))
    fx { window.runScript(new File(home, 'install_menu.groovy'), null) }
    fx { window.runScript(new File(home, 'install_menu.groovy'), null) } // again: safe
    told('entries', fx { window.getMenu('Extensions>H-MGDM', false).items*.text })
    told('startup', PathPrefs.startupScriptProperty().get())
    fire('More like this…')
    assert waitFor(60) { given('more') != null }
    told('added entry', given('more'))
    PathPrefs.createPersistentPreference('hmgdm.program', '').set(given('program'))
    PathPrefs.createPersistentPreference('hmgdm.runs', '').set(new File(out, 'runs ä').path)

    fire('Analyse whole slide…')
    told('no image', said())
    fx { window.openImage(window.viewer, given('image'), false, false) }
    fire('Analyse selected regions…')
    told('no region', said())
    fire('Undo a run…')
    told('nothing to undo', said())
    PathPrefs.createPersistentPreference('hmgdm.program', '').set(new File(out, 'none').path)
    fire('Analyse whole slide…')
    told('no program', said())
    PathPrefs.createPersistentPreference('hmgdm.program', '').set(given('program'))
    def (Choose, Scale) = evaluate(new File(given('scripts'), 'load.groovy'))('Choose', 'Scale')
    told('shades', given('shades').split(';').collect { Scale.newInstance([it.tokenize(',')*.toFloat() as float[]] as Object[]).with { [low, high] } })
    Choose.metaClass.static.folder = { -> new File(out, 'of another slide') }
    fire('Import results…')
    told('of another slide', said())
    def (x, y, w, h) = given('region').split(',')*.toDouble()
    fx {
        def region = qupath.lib.objects.PathObjects.createAnnotationObject(qupath.lib.roi.ROIs.createEllipseROI(x, y, w, h, qupath.lib.regions.ImagePlane.getDefaultPlane()))
        region.setName('drawn by a person')
        window.imageData.hierarchy.addObject(region)
        window.imageData.hierarchy.selectionModel.setSelectedObject(region)
    }
    def before = mine()
    long start = System.nanoTime()
    fire('Analyse selected regions…')
    press()
    snap('1-running')
    assert waitFor(400) { quiet() && !ours().isEmpty() }
    told('seconds', (System.nanoTime() - start) / 1e9d)
    assert waitFor(60) { quiet() && notices().any { it.contains('unlike the') } }
    told('notices', notices())
    Thread.sleep(1500)
    screen('2-said')
    settled(60)
    told('analysed', ours().size())
    firstIds = ours()*.ID*.toString() as Set
    legend(true)
    told('legend', fx { window.viewer.view.lookup('#hmgdm-legend').lookupAll('.label')*.text.join(' ') })
    told('workflow', fx { window.imageData.historyWorkflow.steps.collect { it.name } })
    snap('2-heat-map')
    told('annotations untouched', mine() == before)
    faded()

    def tile = fx { ours().findAll { it.name?.startsWith('tile ') }.max { it.measurementList.get(it.measurementList.measurementNames[0]) } }
    fx { window.imageData.hierarchy.selectionModel.setSelectedObject(tile) }
    fx { window.viewer.setDownsampleFactor(1.2d); window.viewer.centerROI(tile.ROI) }
    fire('Why this result')
    assert waitFor(60) { fx { window.viewer.overlayOptions.measurementMapper != null } }
    told('lit', fx { ours().count { window.viewer.overlayOptions.measurementMapper.getColorForObject(it) != null } })
    snap('3-why')
    fx { Window.windows.findAll { it instanceof javafx.stage.Stage && it.title?.startsWith('H-MGDM: why') }.each { it.close() } }
    fx { window.imageData.hierarchy.selectionModel.clearSelection() }

    fire('Show / hide heat map')
    legend(false)
    told('hidden', opaque())
    for (layer in (given('layers') ?: '').replace('_', ' ').split(';').findAll()) {
        fire('Show / hide heat map')
        press { pane -> fx { pane.lookupAll('.combo-box').each { box -> box.selectionModel.select(box.items.find { it.toString().startsWith(layer) }) } } }
        legend(true)
        told('opacity of ' + layer, opaque())
        fx { window.viewer.setDownsampleFactor(4.0d) }
        snap('4-' + layer.replaceAll(/\W+/, '-').toLowerCase())
        fire('Show / hide heat map')
        legend(false)
    }
    fx { window.imageData.hierarchy.selectionModel.setSelectedObject(window.imageData.hierarchy.annotationObjects[0]) }
    fire('Undo a run…')
    press()
    assert waitFor(30) { ours().isEmpty() }
    told('undone', true)
    told('annotations after undo', mine() == before)
    snap('5-undone')
    beyond(new File(out, 'runs ä'), before)
    if (given('cancel')) {
        int there = ours().size()
        fire('Analyse whole slide…')
        press()
        assert waitFor(400) { fx { dialogs().any { it.lookupButton(ButtonType.OK) } } } // the estimate
        snap('6-estimate')
        press()
        Thread.sleep(given('cancel').toLong())
        long asked = System.nanoTime()
        fx { dialogs().find { it.lookupButton(ButtonType.CANCEL) }.lookupButton(ButtonType.CANCEL).fire() }
        told('cancelled in s', waitFor(10) { ProcessHandle.current().descendants().count() == 0 } ? (System.nanoTime() - asked) / 1e9d : -1)
        Thread.sleep(1000)
        told('left by cancel', ours().size() - there)
    }
    estimated(given('unsized'), told)
    fire('Remove this menu')
    press()
    Thread.sleep(1500)
    told('menu removed', fx { !window.getMenu('Extensions', false).items.any { it.text == 'H-MGDM' } })
    told('startup after', PathPrefs.startupScriptProperty().get() ?: '')
    told('finished', true)
}

Thread.startDaemon('hmgdm-test') {
    try {
        drive()
    } catch (Throwable error) {
        error.printStackTrace()
        told('error', error.toString())
        try { snap('error') } catch (Throwable ignored) { }
    } finally {
        new File(out, 'done').text = ''
        Runtime.runtime.halt(0)
    }
}

// Imports results folders from the menu into QuPath's window and notes how long it stands still; started by viewer.py.
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicLong
import javafx.application.Platform
import javafx.scene.control.DialogPane
import javafx.stage.Window
import javax.imageio.ImageIO
import qupath.fx.utils.FXUtils
import qupath.lib.gui.QuPathGUI
import qupath.lib.gui.images.stores.TileListener
import qupath.lib.gui.prefs.PathPrefs
import qupath.lib.gui.tools.GuiTools
import qupath.lib.gui.viewer.QuPathViewerListener

given = { String key -> System.getProperty('hmgdm.bench.' + key) }
out = new File(given('out'))
fx = { Closure work -> FXUtils.callOnApplicationThread(work) }
beans = java.lang.management.ManagementFactory.threadMXBean
machine = java.lang.management.ManagementFactory.operatingSystemMXBean
stall = new AtomicLong()
drawn = new AtomicLong() // when the last square of the overlay came
busy = new AtomicLong() // the most that the window's own thread computed before it answered
since = new AtomicLong()
stood = new AtomicLong()
moved = new AtomicLong(System.nanoTime())
where = Collections.synchronizedList([])

answering = { // one question after the other to the window's own thread: how long each waits
    def thread = Thread.allStackTraces.keySet().find { it.name == 'JavaFX Application Thread' }
    def asked = new AtomicLong(Long.MAX_VALUE)
    Thread.startDaemon('asking') {
        while (true) {
            def answered = new CountDownLatch(1)
            asked.set(System.nanoTime())
            long before = beans.getThreadCpuTime(thread.id)
            Platform.runLater { answered.countDown() }
            answered.await()
            if (asked.get() >= since.get()) {
                stall.accumulateAndGet(System.nanoTime() - asked.get(), Math.&max)
                busy.accumulateAndGet(beans.getThreadCpuTime(thread.id) - before, Math.&max)
            }
            asked.set(Long.MAX_VALUE)
            Thread.sleep(5)
        }
    }
    Thread.startDaemon('looking') { // what it does where it does not answer
        while (true) {
            Thread.sleep(20)
            if (System.nanoTime() - asked.get() > 60_000_000L)
                where << thread.state.toString() + ' ' + thread.stackTrace.findAll { it.className =~ /qupath|hmgdm|viewer/ }.take(5).collect { "${it.className.tokenize('.')[-1]}.${it.methodName}:${it.lineNumber}" }.join(' < ')
        }
    }
}
watching = { window ->
    window.imageRegionStore.addTileListener([
        tileAvailable: { path, region, tile -> if (path != window.imageData?.serverPath) drawn.set(System.nanoTime()) },
        requiresTileRegion: { path, region -> false }] as TileListener)
    window.viewer.addViewerListener([
        imageDataChanged: { viewer, old, now -> }, selectedObjectChanged: { viewer, object -> }, viewerClosed: { viewer -> },
        visibleRegionChanged: { viewer, shape -> long now = System.nanoTime(); stood.accumulateAndGet(now - moved.getAndSet(now), Math.&max) }] as QuPathViewerListener)
    if (given('pan') == 'True') Thread.startDaemon('moving') {
        for (int k = 0; true; k++) {
            Thread.sleep(40)
            Platform.runLater { window.viewer.setCenterPixelLocation(16384d + 20 * Math.sin(k / 5d), 16384d + 20 * Math.cos(k / 5d)) }
        }
    }
}
settled = { double quiet -> // nothing is asked or drawn any more
    while (fx { Window.windows.any { it.showing && it.scene?.root instanceof DialogPane } } || System.nanoTime() - drawn.get() < quiet * 1e9) Thread.sleep(50)
}
measure = {
    while (!QuPathGUI.getInstance()?.stage?.showing) Thread.sleep(200)
    def window = QuPathGUI.getInstance()
    PathPrefs.imageTypeSettingProperty().set(PathPrefs.ImageTypeSetting.NONE)
    fx { window.runScript(new File(given('scripts'), 'install_menu.groovy'), null) }
    fx { window.openImage(window.viewer, given('slide'), false, false) }
    fx { window.viewer.setDownsampleFactor(45d) }
    def (Choose) = evaluate(new File(given('scripts'), 'load.groovy'))('Choose')
    Thread.sleep(6000) // scripts compile, the slide is drawn
    watching(window)
    answering()
    Thread.sleep(1000)
    settled(0) // what measures has run once, so that its own first run is not measured
    def lines = [String.format('heap %.1f GB', Runtime.runtime.maxMemory() / 1e9d)]
    given('results').split(',').each { folder ->
        Choose.metaClass.static.folder = { -> new File(folder) }
        fx { window.imageData.removeProperty('hmgdm.folder') }
        where.clear()
        long start = System.nanoTime()
        long windows = fx { beans.currentThreadCpuTime }, all = machine.processCpuTime
        [stall, busy, stood].each { it.set(0) }
        moved.set(start)
        def item = fx { window.lookupMenuItem('Extensions>H-MGDM>Import results…') }
        since.set(Long.MAX_VALUE)
        double click = 0
        Platform.runLater { // QuPath compiles the script of an entry when it is first pressed
            long pressed = System.nanoTime()
            item.fire()
            since.set(System.nanoTime())
            click = (since.get() - pressed) / 1e9d
        }
        while (fx { window.imageData.getProperty('hmgdm.folder') == null }) Thread.sleep(20)
        double landed = (System.nanoTime() - start) / 1e9d
        settled(3)
        def shown = String.format('%s: on the slide after %.1f s, all drawn after %.1f s, longest without an answer %.2f s after the click, which took %.2f s', new File(folder).name, landed, (drawn.get() - start) / 1e9d, stall.get() / 1e9d, click)
        lines << shown + (given('pan') == 'True' ? String.format(', picture still for %.2f s at most', stood.get() / 1e9d) : '')
        def spent = [busy.get(), fx { beans.currentThreadCpuTime } - windows, machine.processCpuTime - all].collect { it / 1e9d }
        lines << String.format('    processor: %.2f s at most before an answer, %.2f s in all on that thread, %.1f s on every thread; load %.1f', *spent, machine.systemLoadAverage)
        where.countBy { it }.sort { -it.value }.take(12).each { place, times -> lines << "    ${times} x ${place}" }
        new File(out, 'figures.txt').setText(lines.join('\n') + '\n', 'UTF-8')
    }
    fx { ImageIO.write(GuiTools.makeSnapshot(window, GuiTools.SnapshotType.MAIN_SCENE), 'PNG', new File(out, 'shown.png')) }
}
Thread.startDaemon('hmgdm-bench') {
    try {
        measure()
    } catch (Throwable error) {
        error.printStackTrace()
    } finally {
        Runtime.runtime.halt(0)
    }
}

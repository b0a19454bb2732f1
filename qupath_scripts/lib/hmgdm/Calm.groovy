package hmgdm

import groovy.transform.CompileStatic
import java.awt.image.BufferedImage
import javafx.application.Platform
import qupath.fx.utils.FXUtils
import qupath.lib.gui.images.stores.TileListener
import qupath.lib.gui.viewer.QuPathViewer
import qupath.lib.images.ImageData
import qupath.lib.regions.ImageRegion

/**
 * Many objects at once, in a window that goes on answering. Left alone, QuPath sorts all objects by place and waits for every
 * square of the overlay to be painted, both on the window's own thread. Here viewers keep their picture until the objects
 * are sorted in the background, and then take the squares as other threads paint them.
 */
class Calm {
    static final int MANY = 2000 // objects; fewer are painted at once, without a flicker
    private static final long HOLD_MS = 600_000

    /** Do `work`, which changes the objects of an image, on a thread that is not the window's. */
    static Object change(ImageData imageData, Closure work) {
        def viewers = waiting() ? Talk.window().allViewers.findAll { it.imageData == imageData } : []
        if (!viewers) return work()
        onWindow { viewers.each { it.setMinimumRepaintSpacingMillis(HOLD_MS) } }
        try {
            def done = work()
            Source.detections(imageData.hierarchy, ImageRegion.createInstance(0, 0, 1, 1, 0, 0)) // sorts all by place
            return done
        } finally {
            onWindow { viewers.each { viewer -> gently(viewer) { viewer.resetMinimumRepaintSpacingMillis() } } }
        }
    }

    /** Let the window do what it was asked before the next change: while objects are moved it would have to wait for them. */
    static void pause() { if (waiting()) onWindow { } }

    /** Do `work` on the window's thread, which makes a viewer paint its overlay anew. */
    static void gently(viewer, Closure work) {
        boolean many = (viewer.hierarchy?.rootObject?.nChildObjects() ?: 0) > MANY
        if (many) Squares.follow(viewer)
        work()
    }

    private static boolean waiting() { Talk.window() && !Platform.isFxApplicationThread() }

    private static void onWindow(Closure work) { FXUtils.callOnApplicationThread { work() } }

    /** Squares of the overlay, shown as they come; once all are there, the viewer is as it was. */
    @CompileStatic
    private static class Squares implements TileListener<BufferedImage> {
        private static final String KEY = 'hmgdm.squares'
        private static final long REPAINT_MS = 250, STILL_NS = 1_500_000_000L, NONE_NS = 10_000_000_000L

        private final QuPathViewer viewer
        private volatile long asked, came, shown

        private Squares(QuPathViewer viewer) { this.viewer = viewer }

        static void follow(QuPathViewer viewer) {
            Map<Object, Object> known = viewer.getView().getProperties()
            Squares running = known.get(KEY) as Squares
            Squares followed = running ?: new Squares(viewer)
            followed.asked = System.nanoTime()
            viewer.setDoFasterRepaint(true) // takes what is painted, and waits for nothing
            if (running != null) return
            known.put(KEY, followed)
            viewer.getImageRegionStore().addTileListener(followed)
            followed.start(known)
        }

        private void show(Map<Object, Object> known) {
            while (coming()) {
                Thread.sleep(REPAINT_MS)
                if (came <= shown) continue
                shown = System.nanoTime()
                viewer.repaint()
            }
            Platform.runLater { coming() ? start(known) : stop(known) } // asked again, maybe, while this waited
        }

        private void start(Map<Object, Object> known) { Thread.startDaemon('hmgdm-squares') { show(known) } }

        private void stop(Map<Object, Object> known) {
            viewer.getImageRegionStore().removeTileListener(this)
            known.remove(KEY)
            viewer.setDoFasterRepaint(false)
        }

        /** The first square may take its time; after it they come one upon the other. */
        private boolean coming() {
            long now = System.nanoTime()
            came > asked ? now - came < STILL_NS : now - asked < NONE_NS
        }

        @Override
        void tileAvailable(String path, ImageRegion region, BufferedImage tile) { came = System.nanoTime() }

        @Override
        boolean requiresTileRegion(String path, ImageRegion region) { false }
    }
}
